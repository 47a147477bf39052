"""Every row of the table of per-token terms against values computed by hand."""

from __future__ import annotations

import math
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.config import LOSS_TYPES, LOSSES, GRPOConfig
from workbench.config.losses import LOSS_REDUCTIONS
from workbench.objective import REDUCTIONS, TERMS, policy_loss

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")

OLD = 0.2
RATIOS = [0.5, 1.1, 1.5, 3.0]
CLIPPED = [name for name, loss in LOSSES.items() if loss.has_delta]


def f64(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def run(
    config: Any, advantage: float | list, *, ratios: list[float] = RATIOS, **options: Any
) -> SimpleNamespace:
    """One completion whose tokens have these importance ratios: the PolicyLoss and the gradient,
    (T,)."""
    old = torch.full((1, len(ratios)), OLD, dtype=torch.float64).log()
    logp = (old + f64(ratios).log()).requires_grad_()
    mask = options.pop("mask", torch.ones(1, len(ratios)))
    out = policy_loss(
        logp,
        torch.as_tensor([advantage], dtype=torch.float64),
        mask,
        config,
        old_logp=old,
        **options,
    )
    (gradient,) = torch.autograd.grad(out.loss, logp)
    return SimpleNamespace(
        loss=out.loss.detach(), per_token=out.per_token, metrics=out.metrics, gradient=gradient[0]
    )


def config(**values: Any) -> GRPOConfig:
    return GRPOConfig(**({"beta": 0.0} | values))


def test_the_tables_know_every_loss_type_and_reduction() -> None:
    assert tuple(TERMS) == LOSS_TYPES
    assert tuple(REDUCTIONS) == tuple(LOSS_REDUCTIONS)


# --- the clipped surrogate


@pytest.mark.parametrize("loss_type", CLIPPED)
def test_clipped_surrogate(loss_type: str) -> None:
    up = run(config(loss_type=loss_type), 2.0)
    torch.testing.assert_close(up.per_token.term[0], f64(-1.0, -2.2, -2.4, -2.4))
    down = run(config(loss_type=loss_type), -2.0)
    torch.testing.assert_close(down.per_token.term[0], f64(1.6, 2.2, 3.0, 6.0))
    torch.testing.assert_close(up.per_token.ratio[0], f64(*RATIOS))


def test_where_the_gradient_flows() -> None:
    """Clipped tokens have none; the others have -r A (times 1/4, the mean over the tokens)."""
    torch.testing.assert_close(run(config(), 2.0).gradient * 4, f64(-1.0, -2.2, 0, 0))
    torch.testing.assert_close(run(config(), -2.0).gradient * 4, f64(0, 2.2, 3.0, 6.0))


def test_epsilon_high_moves_the_upper_bound_only() -> None:
    wide = config(epsilon=0.1, epsilon_high=0.8)
    torch.testing.assert_close(run(wide, 2.0).per_token.term[0], f64(-1.0, -2.2, -3.0, -3.6))
    torch.testing.assert_close(run(wide, -2.0).per_token.term[0], f64(1.8, 2.2, 3.0, 6.0))


def test_delta_caps_the_unclipped_branch_only() -> None:
    capped = config(delta=2.0)
    torch.testing.assert_close(run(capped, -2.0).per_token.term[0], f64(1.6, 2.2, 3.0, 4.0))
    torch.testing.assert_close(run(capped, 2.0).per_token.term[0], f64(-1.0, -2.2, -2.4, -2.4))
    torch.testing.assert_close(run(capped, -2.0).gradient * 4, f64(0, 2.2, 3.0, 0))


def test_delta_does_not_swallow_the_gradient_of_a_small_ratio() -> None:
    """The two-sided formula as printed, min(rA, clip(r)A, delta A), would choose the constant delta
    A for A < 0 and r < delta."""
    out = run(config(delta=2.0), -1.0, ratios=[1.1])
    assert float(out.gradient) == pytest.approx(1.1)


def test_clip_shares_know_the_sign_of_the_advantage() -> None:
    up, down = run(config(), 1.0), run(config(), -1.0)
    assert up.per_token.clipped_high[0].tolist() == [False, False, True, True]
    assert not up.per_token.clipped_low.any()
    assert down.per_token.clipped_low[0].tolist() == [True, False, False, False]
    assert not down.per_token.clipped_high.any()
    shares = {name: float(up.metrics[f"clip_ratio_{name}"]) for name in ("low", "high", "region")}
    assert shares == {"low": 0.0, "high": 0.5, "region": 0.5}
    assert float(down.metrics["clip_ratio_low"]) == float(down.metrics["clip_ratio_region"]) == 0.25
    assert float(run(config(), 0.0).metrics["clip_ratio_region"]) == 0


def test_clip_shares_are_counted_before_delta() -> None:
    """Any config object will do; GRPOConfig refuses such a delta, with which the order shows."""
    low_delta = SimpleNamespace(**asdict(config()) | {"delta": 1.1})
    out = run(low_delta, 1.0)
    assert out.per_token.clipped_high[0].tolist() == [False, False, True, True]
    torch.testing.assert_close(out.per_token.ratio[0], f64(*RATIOS))


def test_ratio_metrics() -> None:
    metrics = run(config(), 1.0).metrics
    assert [float(metrics[f"ratio_{name}"]) for name in ("mean", "min", "max")] == pytest.approx(
        [6.1 / 4, 0.5, 3.0]
    )
    assert (int(metrics["tokens"]), int(metrics["sequences"])) == (4, 1)


def test_on_policy_the_ratio_is_one_and_the_gradient_is_the_policy_gradient() -> None:
    """The loss of centred advantages is 0 and nothing is clipped, and that is right: the gradient
    is -A."""
    logp = torch.randn(
        4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    advantages = f64(1.0, -1.0, 0.5, -0.5)
    for loss_type in LOSS_TYPES:
        high = 5.0 if loss_type == "cispo" else None
        settings = config(
            loss_type=loss_type, epsilon_high=high, max_completion_length=3, clip_cov_min=4.9
        )
        out = policy_loss(logp, advantages, torch.ones(4, 3), settings)
        (gradient,) = torch.autograd.grad(out.loss, logp)
        scale = 4 if loss_type == "luspo" else 12
        torch.testing.assert_close(
            gradient * scale, -advantages[:, None].expand(4, 3), msg=loss_type
        )
        assert float(out.metrics["clip_ratio_region"]) == 0
        assert float(out.metrics["ratio_max"]) == float(out.metrics["ratio_min"]) == 1
        if loss_type not in ("cispo", "vespo", "sapo", "reinforce"):
            assert abs(float(out.loss.detach())) < 1e-15


# --- sequence level


def test_sequence_level_uses_the_geometric_mean_over_the_mask() -> None:
    settings = config(importance_sampling_level="sequence", epsilon=0.2)
    out = run(settings, -2.0, mask=f64([1, 1, 1, 0]))
    mean = (0.5 * 1.1 * 1.5) ** (1 / 3)  # 0.9379
    torch.testing.assert_close(out.per_token.ratio[0], f64(mean, mean, mean, 0))
    torch.testing.assert_close(out.per_token.term[0], f64(2 * mean, 2 * mean, 2 * mean, 0))
    # each token's log-probability moves all three terms by a third: 3 x 2 mean / 3, over 3 tokens
    torch.testing.assert_close(out.gradient * 3, f64(2 * mean, 2 * mean, 2 * mean, 0))
    clipped = run(settings, 1.0, ratios=[1.5, 3.0])
    assert clipped.per_token.clipped_high.all()
    assert not clipped.gradient.any()


# --- cispo, sapo, vespo


def test_cispo_caps_a_detached_ratio() -> None:
    settings = config(loss_type="cispo", epsilon_high=2.0)
    out = run(settings, -2.0)
    weights = [0.5, 1.1, 1.5, 2.0]
    torch.testing.assert_close(
        out.per_token.term[0],
        f64(*[2 * w * math.log(r * OLD) for w, r in zip(weights, RATIOS, strict=True)]),
    )
    torch.testing.assert_close(out.gradient * 4, f64(*[2 * w for w in weights]))
    assert out.per_token.clipped_high.any().item() is False  # A < 0
    up = run(settings, 2.0)
    torch.testing.assert_close(up.gradient * 4, f64(*[-2 * w for w in weights]))
    assert up.per_token.clipped_high[0].tolist() == [False, False, False, True]


def test_cispo_without_a_cap_is_refused() -> None:
    uncapped = SimpleNamespace(**asdict(config()) | {"loss_type": "cispo"})
    with pytest.raises(ValueError, match="epsilon_high=None with loss_type='cispo'"):
        run(uncapped, 1.0)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_sapo_gates_softly() -> None:
    settings = config(loss_type="sapo")
    torch.testing.assert_close(
        run(settings, 2.0).per_token.term[0],
        f64(*[-2 * sigmoid(r - 1) * 4 for r in RATIOS]),
        rtol=1e-14,
        atol=0,
    )
    torch.testing.assert_close(
        run(settings, -2.0).per_token.term[0],
        f64(*[2 * sigmoid(1.05 * (r - 1)) * 4 / 1.05 for r in RATIOS]),
        rtol=1e-14,
        atol=0,
    )
    assert float(run(settings, 2.0).metrics["clip_ratio_region"]) == 0
    warm = config(loss_type="sapo", sapo_temperature_pos=2.0)
    torch.testing.assert_close(
        run(warm, 2.0).per_token.term[0], f64(*[-2 * sigmoid(2 * (r - 1)) * 2 for r in RATIOS])
    )


def test_vespo_weighs_a_sequence_by_its_whole_ratio() -> None:
    w = 0.5 * 1.1 * 1.5 * 3.0
    settings = config(loss_type="vespo")
    for advantage, k, lam in ((2.0, 2, 3), (-2.0, 3, 2)):
        phi = math.exp(lam + k * math.log(w) - lam * w)
        out = run(settings, advantage)
        torch.testing.assert_close(
            out.per_token.term[0], f64(*[-phi * advantage * math.log(r * OLD) for r in RATIOS])
        )
        torch.testing.assert_close(
            out.gradient * 4, torch.full((4,), -phi * advantage, dtype=torch.float64)
        )


def test_vespo_reads_its_four_numbers() -> None:
    settings = config(
        loss_type="vespo",
        vespo_k_pos=1.3,
        vespo_lambda_pos=0.7,
        vespo_k_neg=0.9,
        vespo_lambda_neg=1.7,
    )
    for advantage, k, lam in ((1.0, 1.3, 0.7), (-1.0, 0.9, 1.7)):
        out = run(settings, advantage, ratios=[1.5])
        assert float(out.gradient) == pytest.approx(
            -advantage * math.exp(lam + k * math.log(1.5) - lam * 1.5), rel=1e-14
        )


def test_vespo_bounds_its_log_ratios() -> None:
    """Each token to +-20 nats, their sum to [log 1e-8, 20]."""
    zero = SimpleNamespace(**asdict(config(loss_type="vespo")))
    cancelling = run(zero, 1.0, ratios=[math.exp(30), math.exp(-25)])
    torch.testing.assert_close(cancelling.gradient * 2, f64(-1, -1))
    tiny = run(zero, 1.0, ratios=[math.exp(-19.5)])
    assert float(tiny.gradient) == pytest.approx(-math.exp(3 + 2 * math.log(1e-8) - 3e-8))


def test_one_advantage_per_token() -> None:
    """Process supervision: (B, T) advantages, each token judged by its own."""
    out = run(config(), [2.0, -2.0, -2.0, 2.0])
    torch.testing.assert_close(out.per_token.term[0], f64(-1.0, 2.2, 3.0, -2.4))


def test_an_unknown_loss_type_or_level_is_an_error() -> None:
    for name, value in (("loss_type", "ppo"), ("importance_sampling_level", "word")):
        odd = SimpleNamespace(**asdict(config()) | {name: value})
        with pytest.raises(ValueError, match=f"{name}='{value}' is unknown"):
            run(odd, 1.0)
