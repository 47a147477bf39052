"""The what-if's arithmetic: the step as it happened is the recorded one; what is changed follows
the objective."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_runs import make_run
from widgets.what_if_batches import A, by_hand, trained

from workbench.config import ConfigError
from workbench.objective import AdvantageRule, group_advantages
from workbench.objective.covariance import SELECTIONS
from workbench.widgets.what_if.comparison import Comparison, outcome
from workbench.widgets.what_if.kept_batch import KeptBatch, WhatIfError


def compared(stored, **changes) -> Comparison:
    kept = KeptBatch.of(stored)
    return Comparison(kept, outcome(kept, kept.config), outcome(kept, kept.changed(changes)[0]))


@pytest.mark.parametrize(
    "settings",
    [
        dict(beta=0.0),
        dict(beta=0.1, loss_type="grpo", epsilon=0.05),
        dict(
            beta=0.05,
            loss_type="dr_grpo",
            mask_truncated_completions=True,
            kl_estimator="k1",
            max_completion_length=64,
        ),
        dict(
            beta=0.0,
            loss_type="bnpo",
            scale_rewards="none",
            prompts_per_step=6,
            updates_per_rollout=3,
        ),
        dict(beta=0.02, loss_type="vespo", importance_sampling_mode="token_truncate"),
        dict(beta=0.0, loss_type="cispo", epsilon_high=1.1),
        dict(
            beta=0.0,
            loss_type="luspo",
            importance_sampling_level="sequence",
            epsilon=3e-4,
            epsilon_high=4e-4,
            micro_batch_size=3,
        ),
        dict(beta=0.0, updates_per_rollout=1),
        dict(beta=0.0, loss_type="gmpo", entropy_coef=0.05),
        dict(beta=0.0, loss_type="dppo_tv", loss_reduction="prompt_mean"),
        dict(
            beta=0.0,
            loss_type="clip_cov",
            clip_cov_ratio=0.2,
            clip_cov_min=0.01,
            micro_batch_size=3,
        ),
        dict(
            loss_type="kl_cov",
            kl_cov_ratio=0.1,
            kl_cov_coef=5.0,
            micro_batch_size=3,
        ),
    ],
    ids=lambda s: s.get("loss_type", "dapo"),
)
def test_a_step_computed_again_is_the_recorded_one(tiny_folder, tmp_path, settings) -> None:
    run, records = trained(tiny_folder, tmp_path / "run", steps=2, **settings)
    norms = []
    for record in records:
        kept = KeptBatch.of(run.batch(record.step))
        again = outcome(kept, kept.config)
        assert again.loss == pytest.approx(record.metrics["loss"], abs=2e-7, rel=1e-5)
        for name in (
            "clip_ratio_low",
            "clip_ratio_high",
            "clip_ratio_region",
            "kl",
            "ratio_max",
            "ratio_mean",
            "policy_weight",
        ):
            assert (name in again.metrics) == (name in record.metrics), name
            assert again.metrics.get(name, 0) == pytest.approx(
                record.metrics.get(name, 0), rel=1e-4, abs=1e-6
            ), name
        np.testing.assert_allclose(again.advantages_B, record.samples.advantage_B)
        # Each token's own derivative: a loss that selects tokens has chosen the same ones.
        if settings.get("loss_type") in SELECTIONS:
            coefficient_BT = run.batch(record.step)["coefficient_BT"]
            np.testing.assert_allclose(-again.gradient_BT, coefficient_BT, rtol=1e-4, atol=1e-9)
            assert again.metrics["covariance_selected"] > 0
        norms.append(again.gradient_norm)
    assert max(norms) > 0
    moved = [r.metrics["ratio_max"] > 1 for r in records]
    assert any(moved) is (settings.get("updates_per_rollout") != 1)


def test_by_hand() -> None:
    """grpo: mean over 2 rows of the mean over their tokens of -min(r A, clip(r) A)."""
    c = compared(by_hand(), epsilon=0.6)
    assert c.happened.loss == pytest.approx(-(1.2 * A + A) / 4 + 0.8 * A / 2, rel=1e-6)
    assert c.happened.clipped_BT.tolist() == [[1, 0], [-1, 0]]
    np.testing.assert_allclose(c.happened.gradient_BT, [[0, -A / 4], [0, 0]], atol=1e-7)
    assert c.what_if.loss == pytest.approx(-(1.5 * A + A) / 4 + 0.5 * A / 2, rel=1e-6)
    assert not c.what_if.clipped_BT.any()
    expected = np.array([[-1.5 * A / 4, -A / 4], [0.5 * A / 2, 0]])
    np.testing.assert_allclose(c.what_if.gradient_BT, expected, atol=1e-7)
    assert (c.tokens, c.changed_tokens) == (3, 2)
    assert c.cosine == pytest.approx((A / 4) / np.linalg.norm(expected), rel=1e-6)
    assert (c.moving_share(c.happened), c.moving_share(c.what_if)) == (pytest.approx(1 / 3), 1.0)
    assert c.changes == {"epsilon": (0.2, 0.6)}
    assert c.happened.metrics["clip_ratio_low"] == pytest.approx(1 / 3)


def test_kl_and_beta_by_hand() -> None:
    stored = by_hand(ref_logp_BT=np.array([[-1.0, -2.0], [-1.5, 0.0]], np.float32))
    c = compared(stored, beta=0.5, kl_estimator="k2")
    ratio = np.array([1.5, 1.0, 0.5])
    k3 = ratio * (1 / ratio + np.log(ratio) - 1)  # ref = old, and the ratio in front
    k2 = ratio * np.log(ratio) ** 2 / 2
    assert c.happened.metrics["kl"] == pytest.approx(k3.mean(), rel=1e-5)
    assert c.what_if.metrics["kl"] == pytest.approx(k2.mean(), rel=1e-5)
    assert c.what_if.loss - c.happened.loss == pytest.approx(
        0.5 * ((k2[0] + k2[1]) / 4 + k2[2] / 2), rel=1e-5
    )


def test_the_gradient_is_that_of_the_loss() -> None:
    """Finite differences of the sum over updates, in one token of each completion."""
    run_config = dict(loss_type="dapo", beta=0.3)
    stored = by_hand(
        config=run_config, ref_logp_BT=np.array([[-0.5, -2.5], [-1.0, 0.0]], np.float32)
    )
    gradient_BT = compared(stored, epsilon=0.9).what_if.gradient_BT
    for b, t in ((0, 0), (0, 1), (1, 0)):
        losses = []
        for step in (-1e-2, 1e-2):
            moved = stored["logp_BT"].astype(np.float64)
            moved[b, t] += step
            losses.append(compared(stored | {"logp_BT": moved}, epsilon=0.9).what_if.loss)
        assert gradient_BT[b, t] == pytest.approx((losses[1] - losses[0]) / 2e-2, rel=2e-3)


@pytest.mark.parametrize(
    "change",
    [
        dict(scale_rewards="batch"),
        dict(scale_rewards="none"),
        dict(advantage_baseline="leave_one_out"),
        dict(advantage_std="population"),
        dict(advantage_baseline="batch", scale_rewards="none"),
    ],
)
def test_advantages_under_another_scaling_or_baseline(tmp_path, change) -> None:
    rng = np.random.default_rng(0)
    stored = make_run(tmp_path / "run", steps=1, rewards=lambda step: rng.random((16, 2))).batch(1)
    c = compared(stored, **change)
    expected = group_advantages(
        torch.as_tensor(stored["rewards_BK"]), AdvantageRule(4, **change)
    ).advantage_B
    np.testing.assert_allclose(c.what_if.advantages_B, expected)
    np.testing.assert_array_equal(c.happened.advantages_B, stored["advantages_B"])
    assert (
        c.changed_advantages
        == (~np.isclose(expected, stored["advantages_B"], rtol=0, atol=1e-5)).sum()
        > 0
    )
    assert c.what_if.loss != c.happened.loss


@pytest.mark.parametrize(
    ("loss_type", "divisor"), [("dapo", 3), ("bnpo", 3), ("grpo", 4), ("dr_grpo", 8), ("luspo", 2)]
)
def test_skipped_rows_count_in_the_normaliser_and_nowhere_else(loss_type, divisor) -> None:
    """3 tokens, 2 sequences of at most 4 tokens; the known row has 2 tokens."""
    whole = by_hand(config={"loss_type": loss_type})
    holed = whole | {"logp_BT": whole["logp_BT"].copy(), "advantages_B": np.array([A, 0.0])}
    holed["logp_BT"][1] = np.nan
    c = compared(holed, epsilon=0.6)
    assert c.kept.skipped_B.tolist() == [False, True]
    assert (c.tokens, c.changed_tokens) == (2, 1)
    assert c.happened.metrics["tokens"] == 2
    assert c.happened.metrics["ratio_mean"] == pytest.approx(1.25)
    assert c.what_if.loss == pytest.approx(-(1.5 * A + A) / divisor, rel=1e-6)
    assert np.isfinite(c.what_if.gradient_BT).all()
    assert c.unknown_but_wanted == 0


def test_both_updates_have_a_gradient_and_one_without_rows_has_no_share(tmp_path) -> None:
    rng = np.random.default_rng(1)
    stored = make_run(tmp_path / "run", steps=1, rewards=lambda step: rng.random((16, 2))).batch(1)
    whole = compared(stored, epsilon=0.01).what_if
    assert whole.gradient_BT[:8].any()
    assert whole.gradient_BT[8:].any()
    holed = stored | {"logp_BT": stored["logp_BT"].copy()}
    holed["logp_BT"][:8] = np.nan  # the whole first update
    half = compared(holed, epsilon=0.01).what_if
    assert not half.gradient_BT[:8].any()
    np.testing.assert_array_equal(half.gradient_BT[8:], whole.gradient_BT[8:])
    counted = (
        stored["lengths_B"][8:].sum() / stored["lengths_B"].sum()
    )  # the first update clips nothing
    assert half.metrics["clip_ratio_region"] * counted == pytest.approx(
        whole.metrics["clip_ratio_region"]
    )


def test_a_skipped_row_that_would_have_an_advantage_is_counted() -> None:
    stored = by_hand(rewards_BK=np.array([[1.0], [1.0]]), advantages_B=np.array([0.0, 0.0]))
    stored["logp_BT"] = np.full((2, 2), np.nan, np.float32)
    c = compared(stored, advantage_baseline="none", scale_rewards="none")
    assert (c.tokens, c.happened.loss, c.cosine, c.unknown_but_wanted) == (0, 0.0, None, 2)


def test_truncated_rows_outside_the_loss() -> None:
    stored = by_hand(
        config={"mask_truncated_completions": True}, truncated_B=np.array([False, True])
    )
    stored["logp_BT"][1] = np.nan
    kept = KeptBatch.of(stored)
    assert (kept.left_out_B.tolist(), kept.skipped_B.tolist()) == ([False, True], [False, False])
    assert int(kept.counted_BT.sum()) == 2


def test_without_old_log_probs_every_ratio_is_one() -> None:
    c = compared(by_hand(old_logp_BT=None, config={"num_iterations": 1}), epsilon=0.01)
    assert c.on_policy
    assert c.what_if.metrics["ratio_max"] == 1.0
    assert c.changed_tokens == 0
    assert not compared(by_hand(), epsilon=0.01).on_policy


def test_per_token_advantages_are_used_and_cannot_be_scaled_anew() -> None:
    stored = by_hand(advantage_BT=np.array([[1.0, 3.0], [-2.0, 0.0]], np.float32))
    c = compared(stored, epsilon=0.9)
    assert c.what_if.loss == pytest.approx(-(1.5 * 1 + 3) / 4 + 0.5 * 2 / 2, rel=1e-6)
    assert c.what_if.advantages_B.tolist() == [2.0, -2.0]
    with pytest.raises(WhatIfError, match="scale_rewards cannot be asked about"):
        compared(stored, scale_rewards="none")


def test_what_the_batch_does_not_hold_is_refused_in_words() -> None:
    with pytest.raises(WhatIfError, match="beta=0.1 needs the log-probabilities of the reference"):
        compared(by_hand(), beta=0.1)
    with pytest.raises(WhatIfError, match="were not kept"):
        KeptBatch.of(by_hand(logp_BT=None))
    with pytest.raises(WhatIfError, match="epsilon=-1"):
        KeptBatch.of(by_hand(config={"epsilon": -1}))
    with pytest.raises(ConfigError, match="needs epsilon_high"):
        compared(by_hand(), loss_type="cispo")


def test_warnings_of_a_config_come_back_as_text() -> None:
    kept = KeptBatch.of(by_hand())
    config, warned = kept.changed({"importance_sampling_level": "sequence"})
    assert config.importance_sampling_level == "sequence"
    assert any("this clips nothing" in text for text in warned)


def test_the_row_to_show_is_the_one_that_moved_farthest() -> None:
    stored = by_hand()
    assert KeptBatch.of(stored).row_to_show == 1  # log 0.5 is farther from 0 than log 1.5
    stored["logp_BT"][1] = np.nan
    assert KeptBatch.of(stored).row_to_show == 0
