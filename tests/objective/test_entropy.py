"""The entropy bonus: TRL's loss and gradients, an enumerated policy, micro-batches, and the
coefficient that adapts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.config import LOSS_TYPES, LOSSES, ConfigError, GRPOConfig
from workbench.objective import (
    BatchTotals,
    EntropyControl,
    next_entropy_coef,
    policy_loss,
    rows_with_gradient,
    totals_of,
)

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")

B, T = 8, 6


def batch(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(4, B, T, generator=generator, dtype=torch.float64)
    length_B = torch.randint(1, T + 1, (B,), generator=generator)
    length_B[0] = T
    logp = -noise[0].abs() - 0.5
    return {
        "logp": logp,
        "old_logp": logp + 0.2 * noise[1],
        # TRL rounds a threshold of them to float32.
        "entropy": noise[2].abs().float().double(),
        "advantages": noise[3, :, 0],
        "mask": torch.arange(T) < length_B[:, None],
    }


def config_of(loss_type: str = "dapo", **changes: Any) -> GRPOConfig:
    high = 2.0 if LOSSES[loss_type].caps else None
    return GRPOConfig(
        **dict(
            loss_type=loss_type,
            epsilon_high=high,
            beta=0.0,
            max_completion_length=T,
            num_generations=4,
            prompts_per_step=2,
            updates_per_rollout=1,
            sapo_temperature_neg=1.25,
        )
        | changes
    )


@pytest.mark.parametrize("loss_type", [name for name in LOSS_TYPES if LOSSES[name].in_trl])
@pytest.mark.parametrize("quantile", [1.0, 0.4])
def test_loss_and_both_gradients_equal_trl(
    trl_oracle: Any, loss_type: str, quantile: float
) -> None:
    x = batch(3)
    config = config_of(loss_type, entropy_coef=0.3, top_entropy_quantile=quantile)
    trl_oracle.configure_from(config)
    bonus = {"entropy_coef": 0.3, "use_adaptive_entropy": False, "_entropy_bonus_enabled": True}
    trl_oracle.configure(bonus)
    given = {
        "completion_mask": x["mask"].long(),
        "advantages": x["advantages"],
        "old_per_token_logps": x["old_logp"],
        "num_items_in_batch": x["mask"].sum(),
    }
    theirs = x["entropy"].clone().requires_grad_()
    try:
        expected, expected_gradient, _ = trl_oracle.loss(x["logp"], theirs, given)
    finally:
        trl_oracle.configure({"entropy_coef": 0.0, "_entropy_bonus_enabled": False})

    logp = x["logp"].clone().requires_grad_()
    entropy = x["entropy"].clone().requires_grad_()
    out = policy_loss(config=config, **(x | {"logp": logp, "entropy": entropy}))
    found = torch.autograd.grad(out.loss, (logp, entropy))
    torch.testing.assert_close(out.loss.detach(), expected, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found[0], expected_gradient, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found[1], trl_oracle.entropy_gradient, rtol=1e-10, atol=1e-14)
    assert found[1][x["mask"]].any()


@pytest.mark.parametrize("quantile", [1.0, 0.4])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_micro_batches_add_up(quantile: float, size: int) -> None:
    x = batch(1)
    rows = torch.arange(B)
    config = config_of("grpo", entropy_coef=0.7, top_entropy_quantile=quantile)

    def gradients(config: GRPOConfig) -> tuple[Tensor, ...]:
        leaves = {name: x[name].clone().requires_grad_() for name in ("logp", "entropy")}
        given = x | leaves
        totals = totals_of(x["mask"], rows, config, x["entropy"])
        parts = [
            policy_loss(
                config=config,
                num_items=totals,
                **{name: value[part] for name, value in given.items()},
            ).loss
            for part in rows.split(config.micro_batch_size or len(rows))
        ]
        return torch.autograd.grad(torch.stack(parts).sum(), tuple(leaves.values()))

    found = gradients(config.replace(micro_batch_size=size))
    torch.testing.assert_close(found, gradients(config), rtol=1e-12, atol=1e-15)


def test_the_totals_of_a_mask_hold_for_its_micro_batches() -> None:
    x, config = batch(2), config_of(entropy_coef=0.5)
    totals = BatchTotals.of(x["mask"])
    halves = [{name: value[rows] for name, value in x.items()} for rows in (slice(3), slice(3, 8))]
    parts = [policy_loss(config=config, num_items=totals, **half).loss for half in halves]
    torch.testing.assert_close(sum(parts), policy_loss(config=config, **x).loss)


def test_the_bonus_pushes_an_enumerated_policy_by_the_gradient_of_its_entropy() -> None:
    """One token from three: with advantage 0 the loss is -coef x H(pi), and H's gradient is
    -pi (log pi + H)."""
    logits = torch.tensor([1.0, -0.5, 0.2], dtype=torch.float64, requires_grad=True)
    logp = logits.log_softmax(0)
    entropy = -(logp.exp() * logp).sum()
    out = policy_loss(
        logp[:1, None],
        torch.zeros(1, dtype=torch.float64),
        torch.ones(1, 1),
        config_of(entropy_coef=0.25),
        entropy=entropy.view(1, 1),
    )
    torch.testing.assert_close(out.loss, -0.25 * entropy)
    (gradient,) = torch.autograd.grad(out.loss, logits)
    pi = logp.detach().exp()
    torch.testing.assert_close(gradient, 0.25 * pi * (logp.detach() + entropy.detach()))


def test_without_a_bonus_the_entropy_has_no_gradient() -> None:
    x = batch()
    x["entropy"].requires_grad_()
    x["logp"].requires_grad_()
    out = policy_loss(config=config_of(), **x)
    (gradient,) = torch.autograd.grad(out.loss, x["entropy"], allow_unused=True)
    assert gradient is None
    assert not out.metrics["entropy"].requires_grad


def test_a_bonus_needs_entropies_and_every_row() -> None:
    x = batch()
    del x["entropy"]
    with pytest.raises(ValueError, match="entropy_coef=0.1 needs `entropy`"):
        policy_loss(config=config_of(entropy_coef=0.1), **x)
    rows = torch.arange(B)
    nothing_B = torch.zeros(B)
    for bonus in (dict(entropy_coef=0.1), dict(use_adaptive_entropy=True)):
        config = config_of(**bonus)
        assert rows_with_gradient(x["mask"], nothing_B, rows, config).tolist() == rows.tolist()
    assert not len(rows_with_gradient(x["mask"], nothing_B, rows, config_of()))


def test_a_bonus_where_it_cannot_act_is_refused() -> None:
    with pytest.raises(ConfigError, match="entropy_coef=0.1 with method='dpo'"):
        GRPOConfig().with_method("dpo").replace(entropy_coef=0.1)
    with pytest.raises(ConfigError, match="use_adaptive_entropy with top_entropy_quantile=0.5"):
        GRPOConfig(use_adaptive_entropy=True, top_entropy_quantile=0.5)
    with pytest.raises(ConfigError, match="entropy_coef_min=2"):
        GRPOConfig(entropy_coef_min=2.0)


# --- the coefficient that adapts


@pytest.mark.parametrize(
    ("coef", "entropy", "expected"),
    [
        (0.01, 0.1, 0.015),
        (0.01, 0.2, 0.015),  # at the target it still rises
        (0.01, 0.3, 0.005),
        (0.002, 0.3, 0.0),
        (0.999, 0.1, 1.0),
    ],
)
def test_the_next_coefficient(coef: float, entropy: float, expected: float) -> None:
    assert next_entropy_coef(coef, entropy, 0.2, 0.005) == pytest.approx(expected)


def test_the_bonus_waits_for_a_measurement_and_for_a_low_entropy() -> None:
    config = GRPOConfig(use_adaptive_entropy=True, entropy_coef=0.1, entropy_coef_delta=0.02)
    control = EntropyControl(config.entropy_coef)
    assert control.in_force(config).entropy_coef == 0
    control = control.after({"entropy": 0.15}, config)
    assert control.in_force(config).entropy_coef == pytest.approx(0.12)
    high = control.after({"entropy": 0.5}, config)
    assert high.in_force(config).entropy_coef == 0
    assert high.coef == pytest.approx(0.1)
    assert high.after({"loss": 0.0}, config) == high
    assert EntropyControl.from_list(high.to_list(), config) == high
    assert EntropyControl.from_list(None, config) == EntropyControl(0.1)


def test_a_fixed_coefficient_stays_what_it_is() -> None:
    config = GRPOConfig(entropy_coef=0.1)
    control = EntropyControl(config.entropy_coef)
    assert control.in_force(config) is config
    assert control.after({"entropy": 0.0}, config) is control
    assert control.figures(config) == {}
