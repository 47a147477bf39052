"""What stands on padding never matters, the end token does, and what is not finite is never
hidden."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from helpers import in_one_test
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from workbench.config import LOSS_TYPES, GRPOConfig
from workbench.objective import PolicyLoss, policy_loss

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")

LENGTHS = torch.tensor([5, 1, 3, 0])
MASK = torch.arange(5) < LENGTHS[:, None]
GARBAGE = [math.nan, math.inf, -math.inf, 1e300, -1e300]


def make_config(loss_type: str, level: str = "token") -> GRPOConfig:
    return GRPOConfig(
        loss_type=loss_type,
        importance_sampling_level=level,
        epsilon_high=5.0 if loss_type == "cispo" else None,
        beta=0.1,
        importance_sampling_mode="token_mask" if loss_type == "vespo" else "sequence_truncate",
        off_policy_mask_threshold=0.2,
        top_entropy_quantile=1.0 if loss_type in ("vespo", "gmpo") else 0.6,
        max_completion_length=5,
    )


def inputs(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    names = ("logp", "old_logp", "ref_logp", "sampler_logp", "entropy", "advantages")
    return {
        name: torch.randn(4, 5, generator=generator, dtype=torch.float64).abs().neg() / 2
        for name in names
    }


def solve(
    x: dict[str, Tensor], config: GRPOConfig, mask: Tensor = MASK
) -> tuple[PolicyLoss, Tensor]:
    leaf = x["logp"].clone().requires_grad_()
    out = policy_loss(**(x | {"logp": leaf}), mask=mask, config=config)
    (gradient,) = torch.autograd.grad(out.loss, leaf)
    return replace(out, loss=out.loss.detach()), gradient


def assert_same(a: PolicyLoss, b: PolicyLoss) -> None:
    assert torch.equal(a.loss, b.loss)
    assert a.metrics.keys() == b.metrics.keys()
    assert all(torch.equal(a.metrics[name], b.metrics[name]) for name in a.metrics)
    for name, value in vars(a.per_token).items():
        assert torch.equal(value, getattr(b.per_token, name)), name


CASES = [(loss_type, "token") for loss_type in LOSS_TYPES] + [
    ("grpo", "sequence"),
    ("luspo", "sequence"),
    ("grpo", "sequence_token"),
]


@in_one_test(
    [
        dict(loss_type=loss_type, level=level, garbage=garbage)
        for loss_type, level in CASES
        for garbage in GARBAGE
    ]
)
def test_garbage_on_padding_changes_no_bit(loss_type: str, level: str, garbage: float) -> None:
    x, config = inputs(), make_config(loss_type, level)
    dirty = {name: torch.where(MASK, value, garbage) for name, value in x.items()}
    (clean_out, clean_gradient), (dirty_out, dirty_gradient) = (
        solve(x, config),
        solve(dirty, config),
    )
    assert_same(clean_out, dirty_out)
    assert torch.equal(clean_gradient, dirty_gradient)
    assert clean_gradient.isfinite().all()
    assert clean_gradient[MASK].any()
    assert not clean_gradient[~MASK].any()
    for name, value in asdict(dirty_out.per_token).items():
        assert not value[~MASK].any(), name


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_masked_row_may_have_any_advantage(garbage: float) -> None:
    x, config = inputs(), make_config("dapo")
    x["advantages"] = x["advantages"][:, 0]
    dirty = x | {
        "advantages": x["advantages"].where(LENGTHS > 0, torch.tensor(garbage, dtype=torch.float64))
    }
    assert_same(solve(x, config)[0], solve(dirty, config)[0])


@pytest.mark.parametrize(("loss_type", "level"), CASES)
@settings(max_examples=8, deadline=None)
@given(columns=st.integers(1, 4), seed=st.integers(0, 1000))
def test_more_padding_changes_nothing(loss_type: str, level: str, columns: int, seed: int) -> None:
    x, config = inputs(seed), make_config(loss_type, level)
    wider = {
        name: torch.nn.functional.pad(value, (0, columns), value=math.nan)
        for name, value in x.items()
    }
    (narrow_out, narrow_gradient) = solve(x, config)
    wide_out, wide_gradient = solve(wider, config, torch.nn.functional.pad(MASK, (0, columns)))
    torch.testing.assert_close(wide_out.loss, narrow_out.loss, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(wide_gradient[:, :5], narrow_gradient, rtol=1e-13, atol=1e-15)
    assert not wide_gradient[:, 5:].any()


@pytest.mark.parametrize(("loss_type", "level"), CASES)
def test_the_order_of_the_rows_does_not_matter(loss_type: str, level: str) -> None:
    x, config, order = inputs(), make_config(loss_type, level), [2, 0, 3, 1]
    shuffled, gradient = solve(
        {name: value[order] for name, value in x.items()}, config, MASK[order]
    )
    plain, plain_gradient = solve(x, config)
    torch.testing.assert_close(shuffled.loss, plain.loss, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(gradient, plain_gradient[order], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.bool, torch.long, torch.float32, torch.float64])
def test_masks_of_any_type(dtype: torch.dtype) -> None:
    x, config = inputs(), make_config("grpo")
    assert_same(solve(x, config)[0], solve(x, config, MASK.to(dtype))[0])


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_the_end_token_is_learned(loss_type: str) -> None:
    """Masking the last token of each row out (pad = eos, a bug of peers) loses its gradient and
    changes the loss."""
    x = inputs() | {"advantages": torch.tensor([1.0, 1.0, 0.5, 1.0], dtype=torch.float64)}
    ends = torch.nn.functional.one_hot((LENGTHS - 1).clamp(min=0), 5).bool() & MASK
    x["old_logp"] = x["logp"] - 0.1 * ends
    config = GRPOConfig(
        loss_type=loss_type, beta=0.0, epsilon_high=5.0 if loss_type == "cispo" else None
    )
    out, gradient = solve(x, config)
    assert gradient[ends].all()
    assert out.per_token.term[ends].all()
    without, lost = solve(x, config, MASK & ~ends)
    assert not lost[ends].any()
    assert abs(float(without.loss - out.loss)) > 1e-3


# --- numbers that are not finite where they count


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@pytest.mark.parametrize("name", ["logp", "old_logp", "ref_logp", "advantages"])
def test_nan_on_a_completion_token_reaches_the_loss(loss_type: str, name: str) -> None:
    x = inputs()
    x[name][0, 1] = math.nan
    config = GRPOConfig(
        loss_type=loss_type, beta=0.1, epsilon_high=5.0 if loss_type == "cispo" else None
    )
    assert math.isnan(solve(x, config)[0].loss)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("entropy", {"top_entropy_quantile": 0.5}),
        ("sampler_logp", {"importance_sampling_mode": "token_mask"}),
        ("sampler_logp", {"importance_sampling_mode": "sequence_truncate"}),
        ("sampler_logp", {"off_policy_mask_threshold": 0.1}),
    ],
)
@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_nan_that_decides_a_mask_reaches_the_loss(
    name: str, option: dict[str, Any], advantage: float
) -> None:
    """A comparison with NaN is False: without care the token would be masked and nobody told. Only
    measured, it is not fatal."""
    x = inputs() | {"advantages": torch.full((4,), advantage, dtype=torch.float64)}
    x[name][0, 1] = math.nan
    used, _ = solve(x, GRPOConfig(beta=0.0, **option))
    assert math.isnan(used.loss)
    assert math.isnan(used.per_token.term[0, 1])
    measured, _ = solve(x, GRPOConfig(beta=0.0))
    assert math.isfinite(measured.loss)


@in_one_test(
    [
        dict(advantage=advantage, loss_type=loss_type, dtype=dtype, nats=nats)
        for advantage in (1.0, 0.0, -1.0)
        for loss_type in LOSS_TYPES
        for dtype, nats in ((torch.float32, 100.0), (torch.float64, 800.0))
    ]
)
def test_a_ratio_that_overflows_makes_the_loss_nan(
    advantage: float, loss_type: str, dtype: torch.dtype, nats: float
) -> None:
    """Clipping would keep the loss finite while its gradient holds 0 x inf; so the loss says it."""
    logp = torch.tensor([[-1.0, -1.0]], dtype=dtype)
    old = torch.tensor([[-1.0, -1.0 - nats]], dtype=dtype)
    config = GRPOConfig(
        loss_type=loss_type, beta=0.0, epsilon_high=5.0 if loss_type == "cispo" else None
    )
    out = policy_loss(
        logp, torch.tensor([advantage], dtype=dtype), torch.ones(1, 2), config, old_logp=old
    )
    assert math.isnan(out.loss)
    assert out.per_token.term.isnan().tolist() == [[False, True]]
    assert out.per_token.ratio.tolist() == [[1.0, math.inf]]
    assert math.isinf(out.metrics["ratio_max"])


def test_a_vanishing_ratio_is_harmless() -> None:
    logp = torch.tensor([[-800.0, -1.0]], requires_grad=True)
    out = policy_loss(
        logp,
        torch.tensor([-1.0]),
        torch.ones(1, 2),
        GRPOConfig(beta=0.0),
        old_logp=torch.tensor([[-1.0, -1.0]]),
    )
    assert float(out.loss.detach()) == pytest.approx(0.9)
    assert torch.autograd.grad(out.loss, logp)[0][0].tolist() == pytest.approx([0, 0.5])


# --- types and shapes


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_float64_is_never_narrowed(loss_type: str) -> None:
    x = inputs()
    out, gradient = solve(x, make_config(loss_type))
    assert (
        out.loss.dtype
        == gradient.dtype
        == out.per_token.term.dtype
        == out.per_token.weight.dtype
        == torch.float64
    )
    nudged, _ = solve(x | {"logp": x["logp"] + 1e-12}, make_config(loss_type))
    assert out.loss != nudged.loss


def test_float32_policy_with_float64_sampler_is_not_narrowed() -> None:
    logp = torch.zeros(1, 2)
    out = policy_loss(
        logp,
        torch.ones(1),
        torch.ones(1, 2),
        GRPOConfig(beta=0.0),
        old_logp=torch.full((1, 2), 1e-12).double(),
    )
    assert float(out.per_token.ratio[0, 0]) == pytest.approx(1 - 1e-12, rel=1e-15)
    assert float(out.per_token.ratio[0, 0]) != 1


def test_half_precision_is_widened() -> None:
    """300 tokens: in bfloat16 their count would be 296 or 304."""
    logp = torch.zeros(1, 300, dtype=torch.bfloat16, requires_grad=True)
    out = policy_loss(
        logp, torch.ones(1), torch.ones(1, 300), GRPOConfig(loss_type="grpo", beta=0.0)
    )
    assert out.loss.dtype == torch.float32
    assert float(out.loss.detach()) == pytest.approx(-1, rel=1e-6)
    assert torch.autograd.grad(out.loss, logp)[0].dtype == torch.bfloat16


def test_only_logp_has_a_gradient() -> None:
    x = {name: value.requires_grad_() for name, value in inputs().items()}
    out = policy_loss(**x, mask=MASK, config=make_config("grpo"))
    out.loss.backward()
    assert x.pop("logp").grad is not None
    assert all(value.grad is None for value in x.values())
    assert not any(
        value.requires_grad for value in [*vars(out.per_token).values(), *out.metrics.values()]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logp": torch.zeros(4)}, r"logp must be \(B, T\)"),
        ({"logp": torch.zeros(4, 5, dtype=torch.long)}, "of a floating type"),
        ({"mask": torch.ones(4, 6)}, r"mask has shape \(4, 6\)"),
        ({"old_logp": torch.zeros(4, 1)}, r"old_logp has shape \(4, 1\)"),
        ({"ref_logp": torch.zeros(1, 5)}, "ref_logp has shape"),
        ({"sampler_logp": torch.zeros(5)}, "sampler_logp has shape"),
        ({"entropy": torch.zeros(4)}, "entropy has shape"),
        ({"advantages": torch.zeros(5)}, r"advantages has shape \(5,\): give \(4,\)"),
        ({"advantages": torch.zeros(4, 1)}, r"advantages has shape \(4, 1\)"),
    ],
)
def test_shapes_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    given = inputs() | {"mask": MASK} | changes
    with pytest.raises(ValueError, match=message):
        policy_loss(**given, config=GRPOConfig())
