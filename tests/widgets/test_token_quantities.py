"""The microscope's quantities are those of the objective, and what is missing is said."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from workbench.config import LOSS_TYPES, LOSSES, SAMPLER_CORRECTIONS, ConfigError, GRPOConfig
from workbench.objective import BatchTotals, policy_loss
from workbench.widgets.tokens.row import QUANTITIES, token_row

LENGTHS = np.array([9, 4, 1, 7, 9, 0, 3, 5], np.int32)
B, T = len(LENGTHS), 9


def make_batch(config, seed: int = 0, **changes):
    """What `Run.batch` gives: two updates of four rows, random numbers far enough apart that
    everything clips."""
    rng = np.random.default_rng(seed)
    mask_BT = np.arange(T) < LENGTHS[:, None]

    def floats(low: float, high: float):
        return np.where(mask_BT, rng.uniform(low, high, (B, T)), 0).astype(np.float32)

    old = floats(-3, -0.1)
    made = {
        "ids_BT": rng.integers(0, 50, (B, T)).astype(np.int32),
        "mask_BT": mask_BT,
        "lengths_B": LENGTHS,
        "old_logp_BT": old,
        "logp_BT": np.where(mask_BT, old + floats(-0.6, 0.6), 0).astype(np.float32),
        "ref_logp_BT": np.where(mask_BT, old + floats(-1, 1), 0).astype(np.float32),
        "sampler_logp_BT": np.where(mask_BT, old + floats(-0.3, 0.3), 0).astype(np.float32),
        "entropy_BT": floats(0, 2),
        "rewards_BK": rng.random((B, 1)),
        "reward_B": rng.random(B),
        "advantages_B": rng.normal(size=B).round(3),
        "baseline_B": np.full(B, 0.5),
        "truncated_B": np.arange(B) % 3 == 0,
        "num_generations": 2,
        "reward_names": ["r"],
        "config": config if isinstance(config, dict) else config.to_dict(),
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def config_of(**changes) -> GRPOConfig:
    """Two updates of two groups of two."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GRPOConfig(
            **{"prompts_per_step": 4, "num_generations": 2, "updates_per_rollout": 2, "beta": 0.04}
            | changes
        )


def random_config(seed: int) -> GRPOConfig:
    """Any valid mix of the objective's options."""
    rng = np.random.default_rng(seed)

    def one_of(*values):
        return values[rng.integers(len(values))]

    while True:
        try:
            return config_of(
                loss_type=one_of(*LOSS_TYPES),
                importance_sampling_level=one_of("token", "token", "sequence"),
                beta=one_of(0.0, 0.1),
                epsilon=one_of(0.05, 0.2),
                epsilon_high=one_of(None, 0.3, 1.5),
                delta=one_of(None, 1.6),
                kl_estimator=one_of("k1", "k2", "k3"),
                use_bias_correction_kl=one_of(True, False),
                top_entropy_quantile=one_of(1.0, 0.3),
                off_policy_mask_threshold=one_of(None, 0.02),
                importance_sampling_mode=one_of(None, *SAMPLER_CORRECTIONS),
                importance_sampling_clip_max=one_of(1.15, None),
                importance_sampling_clip_min=one_of(None, 0.9),
                micro_batch_size=one_of(None, 1, 3),
                mask_truncated_completions=one_of(True, False),
                updates_per_rollout=one_of(1, 2, 4),
                num_iterations=one_of(1, 2),
            )
        except ConfigError:
            continue


def expected(batch, config):
    """The objective's per-token figures, (B, T) float64, an update at a time, as the trainer
    computes them whatever its micro-batches are."""
    mask_BT = batch["mask_BT"] & ~(
        batch["truncated_B"][:, None] & config.mask_truncated_completions
    )
    rows = [part.numpy() for part in torch.arange(B).chunk(config.updates_per_rollout)]
    advantages = batch.get("advantage_BT", batch["advantages_B"])

    def of(name, part):
        return torch.as_tensor(batch[name][part]).double() if name in batch else None

    found: dict[str, list] = {}
    for part in rows:
        one = policy_loss(
            of("logp_BT", part),
            torch.as_tensor(advantages[part]).double(),
            torch.as_tensor(mask_BT[part]),
            config,
            old_logp=of("old_logp_BT", part),
            ref_logp=of("ref_logp_BT", part),
            entropy=of("entropy_BT", part),
            sampler_logp=of("sampler_logp_BT", part),
            num_items=BatchTotals(len(part), 1),
        ).per_token
        for name in ("ratio", "clipped_low", "clipped_high", "kl", "term"):
            found.setdefault(name, []).append(getattr(one, name))
    return {
        name: None if values[0] is None else torch.cat(values).numpy()
        for name, values in found.items()
    }, mask_BT


def assert_same(batch, config) -> None:
    """Every row's ratio, clip sides, KL and loss term are the objective's."""
    wanted, mask_BT = expected(batch, config)
    for row in range(B):
        got, part = token_row(batch, row).values, (row, slice(0, LENGTHS[row]))
        np.testing.assert_allclose(got["term"], wanted["term"][part], rtol=1e-11, atol=1e-13)
        if not mask_BT[row].any():
            assert np.isnan(got["ratio"]).all()
            continue
        np.testing.assert_allclose(got["ratio"], wanted["ratio"][part], rtol=1e-12)
        assert (
            got["clipped"] == 1.0 * wanted["clipped_high"][part] - wanted["clipped_low"][part]
        ).all()
        if wanted["kl"] is not None:
            np.testing.assert_allclose(got["kl"], wanted["kl"][part], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_every_loss_type_as_in_the_objective(loss_type: str) -> None:
    high = 1.2 if loss_type == "cispo" else None
    config = config_of(loss_type=loss_type, epsilon_high=high, divergence_threshold=0.005)
    batch = make_batch(config)
    assert_same(batch, config)
    clipped = np.concatenate([token_row(batch, row).values["clipped"] for row in range(B)])
    loss = LOSSES[loss_type]
    assert (clipped != 0).any() == (loss.clips or loss.caps)


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": 0.1, "epsilon_high": 0.3, "delta": 1.4},
        {"importance_sampling_level": "sequence", "epsilon": 0.02},
        {"kl_estimator": "k1"},
        {"kl_estimator": "k2", "use_bias_correction_kl": False},
        {"use_bias_correction_kl": False},
        {"beta": 0.0},
        {"top_entropy_quantile": 0.4},
        {"top_entropy_quantile": 0.4, "micro_batch_size": 3},
        {"off_policy_mask_threshold": 0.01},
        {"importance_sampling_mode": "token_truncate", "importance_sampling_clip_max": 1.1},
        {
            "importance_sampling_mode": "token_mask",
            "importance_sampling_clip_min": 0.9,
            "importance_sampling_clip_max": 1.1,
        },
        {"importance_sampling_mode": "sequence_truncate", "importance_sampling_clip_max": 1.1},
        {"importance_sampling_mode": "sequence_mask", "importance_sampling_clip_max": None},
        {
            "loss_type": "vespo",
            "importance_sampling_mode": "token_mask",
            "importance_sampling_clip_max": 1.1,
        },
        {"mask_truncated_completions": True},
        {"mask_truncated_completions": True, "top_entropy_quantile": 0.5},
    ],
    ids=str,
)
def test_every_option_as_in_the_objective(changes) -> None:
    config = config_of(**changes)
    assert_same(make_batch(config, seed=3), config)


@pytest.mark.parametrize("seed", range(40))
def test_random_configs_as_in_the_objective(seed: int) -> None:
    config = random_config(seed)
    assert_same(make_batch(config, seed=seed), config)


def test_one_advantage_per_token_is_used() -> None:
    config = config_of()
    advantage_BT = np.random.default_rng(5).normal(size=(B, T)).astype(np.float32)
    batch = make_batch(config, advantage_BT=advantage_BT)
    assert_same(batch, config)
    assert (token_row(batch, 0).values["advantage"] == advantage_BT[0].astype(float)).all()


def test_differences_of_log_probabilities() -> None:
    batch = make_batch(config_of())
    got = token_row(batch, 3)
    wide = {
        name: batch[f"{name}_BT"][3, :7].astype(float)
        for name in ("logp", "old_logp", "sampler_logp", "entropy")
    }
    assert (got.values["change"] == wide["logp"] - wide["old_logp"]).all()
    assert (got.values["mismatch"] == wide["old_logp"] - wide["sampler_logp"]).all()
    assert (got.values["entropy"] == wide["entropy"]).all()
    assert (got.values["logp"] == wide["logp"]).all()
    assert (got.inputs.update, got.inputs.updates) == (1, 2)
    assert set(got.values) == set(QUANTITIES)


def test_k3_by_hand() -> None:
    """ref 0.4, policy 0.2: d = ln 2, k3 = 2 - ln 2 - 1."""
    config = config_of(use_bias_correction_kl=False)
    batch = make_batch(config)
    batch["logp_BT"][1, 0], batch["ref_logp_BT"][1, 0] = np.log(0.2), np.log(0.4)
    assert token_row(batch, 1).values["kl"][0] == pytest.approx(1 - np.log(2), abs=1e-7)


def test_clip_sides_by_hand() -> None:
    """Below 1 - epsilon only with A < 0, above 1 + epsilon_high only with A > 0."""
    config = config_of(epsilon=0.2, epsilon_high=0.5)
    batch = make_batch(config)
    batch["old_logp_BT"][0, :4] = -1
    batch["logp_BT"][0, :4] = -1 + np.log(np.float32([0.7, 0.9, 1.4, 1.6]))
    for advantage, sides in ((1.0, [0, 0, 0, 1]), (-1.0, [-1, 0, 0, 0]), (0.0, [0, 0, 0, 0])):
        batch["advantages_B"][0] = advantage
        assert token_row(batch, 0).values["clipped"][:4].tolist() == sides


# --------------------------------------------- what is missing or trivial


def test_on_policy_without_old_logp_the_ratio_is_exactly_one() -> None:
    config = config_of(updates_per_rollout=1)
    batch = make_batch(config, old_logp_BT=None)
    assert_same(batch, config)
    got = token_row(batch, 0)
    assert (got.values["ratio"] == 1).all()
    assert (got.values["change"] == 0).all()
    assert "exactly 1" in got.notes["ratio"]
    assert "clipping cannot fire" in got.notes["clipped"]
    assert (
        got.values["mismatch"] == batch["logp_BT"][0].astype(float) - batch["sampler_logp_BT"][0]
    ).all()


def test_off_policy_without_old_logp_nothing_is_made_up() -> None:
    got = token_row(make_batch(config_of(), old_logp_BT=None), 0)
    for name in ("ratio", "clipped", "change", "term"):
        assert np.isnan(got.values[name]).all(), name
        assert "old_logp was not recorded" in got.notes[name]
    assert "old_logp was not recorded" in got.notes["mismatch"]


def test_without_a_reference() -> None:
    got = token_row(make_batch(config_of(beta=0.0), ref_logp_BT=None), 0)
    assert np.isnan(got.values["kl"]).all()
    assert "beta is 0" in got.notes["kl"]
    assert np.isfinite(got.values["term"]).all()
    lost = token_row(make_batch(config_of(beta=0.1), ref_logp_BT=None), 0)
    assert "ref_logp was not recorded" in lost.notes["kl"]
    assert np.isnan(lost.values["term"]).all()
    assert "ref_logp was not recorded" in lost.notes["term"]


def test_skipped_rows_are_explained() -> None:
    batch = make_batch(config_of(beta=0.0))
    batch["advantages_B"][3] = 0
    batch["logp_BT"][3] = batch["entropy_BT"][3] = np.nan
    got = token_row(batch, 3)
    for name in ("ratio", "clipped", "change", "entropy", "logp", "kl"):
        assert np.isnan(got.values[name]).all(), name
        assert "skipped" in got.notes[name], name
    assert got.values["term"].tolist() == [0] * 7
    assert np.isfinite(got.values["mismatch"]).all()
    assert "mismatch" not in got.notes
    assert "nothing moves" in got.notes["advantage"]


def test_rows_left_out_for_truncation_are_explained() -> None:
    batch = make_batch(config_of(mask_truncated_completions=True))
    batch["logp_BT"][0] = batch["entropy_BT"][0] = np.nan
    got = token_row(batch, 0)
    assert "mask_truncated_completions" in got.notes["ratio"]
    assert "mask_truncated_completions" in got.notes["term"]
    assert (got.values["term"] == 0).all()


def test_nan_in_a_row_that_was_not_skipped_stays_nan() -> None:
    """A NaN that has no reason is not called 'skipped'."""
    batch = make_batch(config_of())
    batch["logp_BT"][0] = np.nan
    got = token_row(batch, 0)
    assert np.isnan(got.values["term"]).all()
    assert not got.inputs.skipped


@pytest.mark.parametrize(
    "changes", [{"logp_BT": None}, {"entropy_BT": None}, {"sampler_logp_BT": None}], ids=str
)
def test_an_array_that_was_not_kept_is_named(changes) -> None:
    got = token_row(make_batch(config_of(), **changes), 0)
    name = {"logp_BT": "ratio", "entropy_BT": "entropy", "sampler_logp_BT": "mismatch"}[
        next(iter(changes))
    ]
    assert np.isnan(got.values[name]).all()
    assert f"{next(iter(changes)).removesuffix('_BT')} was not recorded" in got.notes[name]


def test_the_first_update_is_explained_and_the_last_is_not() -> None:
    batch = make_batch(config_of())
    assert "update 1 of 2" in token_row(batch, 3).notes["ratio"]
    assert "ratio" not in token_row(batch, 4).notes
    twice = token_row(make_batch(config_of(num_iterations=2)), 3)
    assert (twice.inputs.update, twice.inputs.updates) == (3, 4)
    assert "ratio" not in twice.notes


def test_notes_name_the_settings_in_force() -> None:
    assert (
        "sequence"
        in token_row(
            make_batch(config_of(importance_sampling_level="sequence", epsilon=0.01)), 4
        ).notes["clipped"]
    )
    assert "clips nothing" in token_row(make_batch(config_of(loss_type="sapo")), 4).notes["clipped"]
    assert (
        "epsilon_high"
        in token_row(make_batch(config_of(loss_type="cispo", epsilon_high=2.0)), 4).notes["clipped"]
    )
    assert "k2" in token_row(make_batch(config_of(kl_estimator="k2")), 4).notes["kl"]


def test_an_older_config_gets_the_defaults() -> None:
    batch = make_batch({"beta": 0.0, "updates_per_rollout": 2})
    assert np.isfinite(token_row(batch, 0).values["term"]).all()


def test_an_empty_row_and_a_wrong_row() -> None:
    batch = make_batch(
        config_of(importance_sampling_level="sequence", epsilon=0.01, off_policy_mask_threshold=0.1)
    )
    assert all(len(values) == 0 for values in token_row(batch, 5).values.values())
    with pytest.raises(IndexError, match="rows 0 to 7"):
        token_row(batch, 8)


def test_a_huge_ratio_is_no_crash() -> None:
    batch = make_batch(config_of())
    batch["logp_BT"][0, 0], batch["old_logp_BT"][0, 0] = -0.1, -1000
    got = token_row(batch, 0)
    assert np.isinf(got.values["ratio"][0])
    assert np.isnan(got.values["term"][0])
    assert np.isfinite(got.values["term"][1:]).all()


def test_no_torch_is_imported() -> None:
    code = (
        "import sys, workbench.widgets.tokens.view, workbench.widgets.groups.view; print('torch' "
        "in sys.modules)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )
