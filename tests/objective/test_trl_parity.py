"""Loss, gradient and advantages equal TRL 1.16.0's, over random configurations, in float64."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.config import LOSSES, SAMPLER_CORRECTIONS, GRPOConfig
from workbench.objective import (
    AdvantageRule,
    BatchTotals,
    PolicyLoss,
    group_advantages,
    policy_loss,
)

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")

TRL_LOSSES = tuple(name for name, loss in LOSSES.items() if loss.in_trl)

NUM_DRAWS = 240
B, T, G = 8, 6, 4
CLIPPED = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")


@dataclass
class Draw:
    """A configuration and which tensors are given with it."""

    config: GRPOConfig
    given_old: bool
    given_sampler: bool
    num_items: int | BatchTotals | None


def draw(seed: int) -> Draw:
    """A random configuration that GRPOConfig accepts; the loss types and the sampler corrections
    take turns."""
    rng = random.Random(seed)
    loss_type = TRL_LOSSES[seed % len(TRL_LOSSES)]
    mode = (None, *SAMPLER_CORRECTIONS)[seed // len(TRL_LOSSES) % (1 + len(SAMPLER_CORRECTIONS))]
    if loss_type == "vespo" and mode is not None:
        mode = mode.replace("sequence", "token")
    clipped = loss_type in CLIPPED
    config = GRPOConfig(
        loss_type=loss_type,
        importance_sampling_level=rng.choice(["token", "sequence"]) if clipped else "token",
        delta=rng.choice([None, 1.5]) if clipped else None,
        epsilon=rng.choice([0.2, 0.1]),
        epsilon_high=rng.choice([2.0, 1.1] if loss_type == "cispo" else [None, 0.28]),
        beta=rng.choice([0.0, 0.04, 0.5]),
        use_bias_correction_kl=rng.random() < 0.5,
        top_entropy_quantile=1.0 if loss_type == "vespo" else rng.choice([1.0, 1.0, 0.2, 0.6]),
        off_policy_mask_threshold=rng.choice([None, None, 0.02, 0.2]),
        importance_sampling_mode=mode,
        importance_sampling_clip_max=rng.choice([1.2, 3.0]),
        importance_sampling_clip_min=rng.choice([None, 0.8]),
        # TRL holds these in float32 whatever the inputs are, so the draws are exact there.
        sapo_temperature_pos=rng.choice([1.0, 0.75]),
        sapo_temperature_neg=rng.choice([1.0625, 1.25]),
        vespo_k_pos=rng.choice([2.0, 1.75]),
        vespo_lambda_neg=rng.choice([2.0, 1.25]),
        max_completion_length=T,
    )
    given_old = mode is not None or rng.random() < 0.7
    given_sampler = mode is not None or (given_old and rng.random() < 0.3)
    return Draw(config, given_old, given_sampler, rng.choice([None, 57]))


def tensors(seed: int) -> dict[str, Tensor]:
    """Log-probabilities a few tenths of a nat apart, as after some updates; ragged lengths."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logp = -normal(B, T).abs() - 0.5
    old = logp + 0.25 * normal(B, T)
    # TRL keeps the sampler's log-probabilities in float32.
    sampler = (old + 0.15 * normal(B, T)).float().double()
    lengths = torch.randint(1, T + 1, (B,), generator=generator)
    lengths[0] = T  # TRL cuts the padding that no row needs
    return {
        "logp": logp,
        "old": old,
        "ref": logp + 0.3 * normal(B, T),
        "sampler": sampler,
        # TRL rounds the entropy threshold to float32, so that an entropy which is the threshold may
        # fall below it.
        "entropy": normal(B, T).abs().float().double(),
        "advantages": normal(B) * torch.tensor([1.0] * 7 + [0.0], dtype=torch.float64),
        "lengths": lengths,
        "mask": torch.arange(T) < lengths[:, None],
    }


def trl_inputs(oracle: Any, d: Draw, x: dict[str, Tensor]) -> dict[str, Any]:
    """The batch as TRL's own generation stage would hand it to its loss."""
    given: dict[str, Any] = {
        "completion_mask": x["mask"].long(),
        "advantages": x["advantages"],
        "num_items_in_batch": torch.tensor(d.num_items or int(x["mask"].sum())),
    }
    if d.config.beta > 0:
        given["ref_per_token_logps"] = x["ref"]
    if d.given_old:
        given["old_per_token_logps"] = x["old"]
    if d.given_sampler:
        scored = oracle.mismatch(x["lengths"].tolist(), x["sampler"], x["old"] * x["mask"])
        given["sampling_per_token_logps"] = scored["sampling_per_token_logps"]
        if d.config.importance_sampling_mode is not None:
            given["importance_sampling_ratio"] = scored["importance_sampling_ratio"]
    return given


def ours(leaf: Tensor, d: Draw, x: dict[str, Tensor]) -> PolicyLoss:
    return policy_loss(
        leaf,
        x["advantages"],
        x["mask"],
        d.config,
        old_logp=x["old"] if d.given_old else None,
        ref_logp=x["ref"] if d.config.beta > 0 else None,
        entropy=x["entropy"],
        sampler_logp=x["sampler"] if d.given_sampler else None,
        num_items=d.num_items,
    )


@pytest.mark.parametrize("seed", range(NUM_DRAWS))
def test_loss_and_gradient_equal_trl(trl_oracle: Any, seed: int) -> None:
    d, x = draw(seed), tensors(seed)
    trl_oracle.configure_from(d.config)
    expected, expected_gradient, logged = trl_oracle.loss(
        x["logp"], x["entropy"], trl_inputs(trl_oracle, d, x)
    )

    leaf = x["logp"].clone().requires_grad_()
    out = ours(leaf, d, x)
    (gradient,) = torch.autograd.grad(out.loss, leaf)
    torch.testing.assert_close(out.loss.detach(), expected, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-14)
    assert not gradient[~x["mask"]].any()
    metrics = {name: float(value) for name, value in out.metrics.items()}
    assert metrics["entropy"] == pytest.approx(logged["entropy"], rel=1e-6)
    if d.config.beta > 0:
        assert metrics["kl"] == pytest.approx(logged["kl"], rel=1e-6)
    if d.config.loss_type in CLIPPED and d.config.importance_sampling_level == "token":
        shares = [metrics[f"clip_ratio_{name}"] for name in ("low", "high", "region")]
        assert shares == pytest.approx(
            [logged[f"clip_ratio/{name}_mean"] for name in ("low", "high", "region")], rel=1e-6
        )
    if d.config.loss_type == "cispo":
        assert metrics["clip_ratio_high"] == pytest.approx(logged["cispo_clip_ratio"], rel=1e-6)


def test_the_draws_cover_the_options() -> None:
    """Every value of every option occurs, and what they switch on does bite."""
    draws = [draw(seed) for seed in range(NUM_DRAWS)]
    seen = {
        name: {getattr(d.config, name) for d in draws}
        for name in vars(draws[0].config)
        if name != "reward_weights"
    }
    assert seen["loss_type"] == set(TRL_LOSSES)
    assert seen["importance_sampling_mode"] == {None, *SAMPLER_CORRECTIONS}
    wanted = {
        "importance_sampling_level": 2,
        "delta": 2,
        "epsilon": 2,
        "epsilon_high": 4,
        "beta": 3,
        "use_bias_correction_kl": 2,
        "top_entropy_quantile": 3,
        "off_policy_mask_threshold": 3,
        "importance_sampling_clip_max": 2,
        "importance_sampling_clip_min": 2,
    }
    assert {name: len(seen[name]) for name in wanted} == wanted
    assert {(d.given_old, d.given_sampler) for d in draws} == {
        (False, False),
        (True, False),
        (True, True),
    }
    results = [ours(tensors(seed)["logp"], d, tensors(seed)) for seed, d in enumerate(draws)]
    assert sum(float(r.metrics["clip_ratio_low"]) > 0 for r in results) > 30
    assert sum(float(r.metrics["clip_ratio_high"]) > 0 for r in results) > 30
    assert sum(float(r.metrics["policy_weight"]) != 1 for r in results) > 100
    capped = [
        r.per_token.ratio > d.config.delta
        for r, d in zip(results, draws, strict=True)
        if d.config.delta
    ]
    assert sum(bool(c.any()) for c in capped) > 10


@pytest.mark.parametrize("loss_type", ["sapo", "vespo"])
def test_default_temperatures_equal_trl_to_float32(trl_oracle: Any, loss_type: str) -> None:
    """TRL rounds 1.05 to float32; here it is exact, so the two differ in the eighth digit."""
    d, x = (
        Draw(GRPOConfig(loss_type=loss_type, beta=0.0, max_completion_length=T), True, False, None),
        tensors(0),
    )
    trl_oracle.configure_from(d.config)
    expected, expected_gradient, _ = trl_oracle.loss(
        x["logp"], x["entropy"], trl_inputs(trl_oracle, d, x)
    )
    leaf = x["logp"].clone().requires_grad_()
    out = ours(leaf, d, x)
    torch.testing.assert_close(out.loss.detach(), expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(
        torch.autograd.grad(out.loss, leaf)[0], expected_gradient, rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("given_old", [True, False])
def test_a_row_without_tokens_counts_as_in_trl(
    trl_oracle: Any, level: str, given_old: bool
) -> None:
    for loss_type in TRL_LOSSES:
        config = GRPOConfig(
            loss_type=loss_type,
            epsilon_high=2.0 if loss_type == "cispo" else None,
            beta=0.1,
            max_completion_length=T,
            importance_sampling_level=level if loss_type in CLIPPED else "token",
        )
        d, x = Draw(config, given_old, False, None), tensors(1)
        x["mask"][[2, 5]] = False
        trl_oracle.configure_from(config)
        trl_oracle.configure({"sapo_temperature_neg": 1.0})
        expected, expected_gradient, _ = trl_oracle.loss(
            x["logp"], x["entropy"], trl_inputs(trl_oracle, d, x)
        )
        leaf = x["logp"].clone().requires_grad_()
        out = ours(leaf, Draw(config.replace(sapo_temperature_neg=1.0), given_old, False, None), x)
        torch.testing.assert_close(out.loss.detach(), expected, rtol=1e-10, atol=1e-14)
        torch.testing.assert_close(
            torch.autograd.grad(out.loss, leaf)[0], expected_gradient, rtol=1e-10, atol=1e-14
        )


@pytest.mark.parametrize("loss_type", [name for name in TRL_LOSSES if name != "bnpo"])
def test_trl_accumulating_equal_micro_batches_gives_our_batch_loss(
    trl_oracle: Any, loss_type: str
) -> None:
    """Two micro-batches of four: TRL's sum is the loss of the batch, and so is ours with totals
    (bnpo is local by definition in TRL)."""
    config = GRPOConfig(
        loss_type=loss_type,
        epsilon_high=2.0 if loss_type == "cispo" else None,
        beta=0.1,
        max_completion_length=T,
        sapo_temperature_neg=1.25,
    )
    d, x = Draw(config, True, False, None), tensors(3)
    x["lengths"][4] = T
    x["mask"] = torch.arange(T) < x["lengths"][:, None]
    trl_oracle.configure_from(config)
    given = trl_inputs(trl_oracle, d, x)
    parts = []
    for rows in (slice(0, 4), slice(4, 8)):
        sliced = {name: value if value.dim() == 0 else value[rows] for name, value in given.items()}
        parts.append(
            trl_oracle.loss(x["logp"][rows], x["entropy"][rows], sliced, accumulation=2)[0]
        )
    whole = ours(x["logp"], d, x).loss
    torch.testing.assert_close(sum(parts), whole, rtol=1e-10, atol=1e-14)
    totals = BatchTotals(sequences=8, tokens=int(x["mask"].sum()))
    halves = [
        {name: value[rows] for name, value in x.items()} for rows in (slice(0, 4), slice(4, 8))
    ]
    torch.testing.assert_close(
        sum(ours(half["logp"], Draw(config, True, False, totals), half).loss for half in halves),
        whole,
        rtol=1e-12,
        atol=1e-14,
    )


# --- advantages

# TRL computes n / (n - 1) of its std in float32: the square root of 4/3 is off by 1.5e-8.
ADVANTAGE_TOLERANCE = {"rtol": 3e-8, "atol": 3e-8}


def reward_table(functions: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rewards = torch.randint(0, 5, (3 * G, functions), generator=generator).double() / 4
    return rewards + (
        torch.randn(3 * G, functions, generator=generator, dtype=torch.float64) if seed % 2 else 0
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("functions", [1, 2, 3])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_advantages_equal_trl(
    trl_oracle: Any, aggregation: str, scale: str, functions: int, seed: int
) -> None:
    rewards, weights = reward_table(functions, seed), [1.0, -0.5, 2.0][:functions]
    expected = trl_oracle.advantages(
        rewards, weights=weights, scale_rewards=scale, multi_objective_aggregation=aggregation
    )
    actual = group_advantages(
        rewards,
        AdvantageRule(
            G, scale_rewards=scale, reward_weights=weights, multi_objective_aggregation=aggregation
        ),
    ).advantage_B
    torch.testing.assert_close(actual, expected, **ADVANTAGE_TOLERANCE)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_unscored_completions_of_a_single_function_equal_trl(
    trl_oracle: Any, aggregation: str, scale: str
) -> None:
    rewards = reward_table(1, 7)
    rewards[[1, 6, 7]] = torch.nan
    expected = trl_oracle.advantages(
        rewards, scale_rewards=scale, multi_objective_aggregation=aggregation
    )
    actual = group_advantages(
        rewards, AdvantageRule(G, scale_rewards=scale, multi_objective_aggregation=aggregation)
    ).advantage_B
    torch.testing.assert_close(actual, expected, **ADVANTAGE_TOLERANCE)


def test_gdpo_with_missing_scores_equals_trl(trl_oracle: Any) -> None:
    rewards = reward_table(3, 9)
    rewards[[1, 6, 7], [0, 1, 2]] = torch.nan
    rewards[4:8, 0] = torch.nan
    rewards[9] = torch.nan
    expected = trl_oracle.advantages(
        rewards, scale_rewards="group", multi_objective_aggregation="normalize_then_sum"
    )
    actual = group_advantages(
        rewards, AdvantageRule(G, multi_objective_aggregation="normalize_then_sum")
    ).advantage_B
    torch.testing.assert_close(actual, expected, **ADVANTAGE_TOLERANCE)


def test_where_trl_punishes_a_missing_score_and_we_do_not(trl_oracle: Any) -> None:
    """The deviation that the module states: function 2 gives 5 to all that it scores, and leaves
    one good completion out."""
    rewards = torch.tensor([[1, 5], [0, 5], [1, torch.nan], [0, 5.0]], dtype=torch.float64).repeat(
        2, 1
    )
    assert (
        trl_oracle.advantages(
            rewards, scale_rewards="group", multi_objective_aggregation="sum_then_normalize"
        )[2]
        < -1.4
    )
    assert group_advantages(rewards, AdvantageRule(G)).advantage_B[2] > 0.8
