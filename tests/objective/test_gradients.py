"""Gradients against finite differences, and against the policy gradient of an enumerated
distribution."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import in_one_test
from torch import Tensor

from workbench.config import LOSS_TYPES, LOSSES, GRPOConfig
from workbench.objective import policy_loss

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")

DETACHED = (
    "cispo",
    "vespo",
)  # their weights are constants by definition, which a finite difference would not know
MASK = torch.arange(4) < torch.tensor([4, 1, 3])[:, None]


def make_config(loss_type: str, **values: Any) -> GRPOConfig:
    high = 5.0 if loss_type == "cispo" else None
    return GRPOConfig(
        loss_type=loss_type,
        **({"epsilon_high": high, "max_completion_length": 4, "beta": 0.0} | values),
    )


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    logp, *noise = (torch.randn(3, 4, generator=generator, dtype=torch.float64) for _ in range(5))
    return {
        "logp": logp - 2,
        "old_logp": logp - 2 + 0.3 * noise[0],
        "ref_logp": logp - 2 + 0.4 * noise[1],
        "sampler_logp": logp - 2 + 0.2 * noise[2],
        "entropy": noise[3].abs(),
        "mask": MASK,
        "advantages": torch.tensor([1.0, -0.5, -1.5], dtype=torch.float64),
    }


EXTRAS: list[dict[str, Any]] = [
    {},
    {"beta": 0.3},
    {"beta": 0.3, "use_bias_correction_kl": False, "kl_estimator": "k2"},
    {"beta": 0.3, "kl_estimator": "k1"},
    {"beta": 0.1, "importance_sampling_mode": "token_truncate", "off_policy_mask_threshold": 0.1},
]


@in_one_test(
    [
        dict(loss_type=name, level=level, extra=extra)
        for extra in EXTRAS
        for name in LOSS_TYPES
        if name not in DETACHED
        # The gradient of sequence_token is not that of its value, by definition.
        for level in LOSSES[name].levels
        if level != "sequence_token"
    ]
)
def test_gradient_equals_finite_differences(
    loss_type: str, level: str, extra: dict[str, Any]
) -> None:
    config = make_config(loss_type, importance_sampling_level=level, **extra)
    if LOSSES[loss_type].has_delta:
        config = config.replace(delta=1.4, top_entropy_quantile=0.8)
    x = tensors()
    logp = x.pop("logp").requires_grad_()
    assert torch.autograd.gradcheck(lambda leaf: policy_loss(leaf, config=config, **x).loss, logp)


@pytest.mark.parametrize("extra", EXTRAS[1:4])
@pytest.mark.parametrize("loss_type", DETACHED)
def test_gradient_of_the_kl_beside_detached_weights(loss_type: str, extra: dict[str, Any]) -> None:
    """Loss with beta minus loss without: the policy terms cancel, the KL is left."""
    x = tensors()
    logp = x.pop("logp").requires_grad_()

    def kl_part(leaf: Tensor) -> Tensor:
        with_kl, without = (
            make_config(loss_type, **(extra | change)) for change in ({}, {"beta": 0.0})
        )
        return (
            policy_loss(leaf, config=with_kl, **x).loss
            - policy_loss(leaf, config=without, **x).loss
        )

    assert torch.autograd.gradcheck(kl_part, logp)


@pytest.mark.parametrize("loss_type", DETACHED)
def test_detached_weights_carry_no_gradient(loss_type: str) -> None:
    """The gradient is the per-token term divided by lp: nothing flows through the weight."""
    x = tensors()
    logp = x.pop("logp").requires_grad_()
    out = policy_loss(logp, config=make_config(loss_type), **x)
    (gradient,) = torch.autograd.grad(out.loss, logp)
    by_hand = torch.where(MASK, out.per_token.term / logp.detach(), 0.0) / MASK.sum()
    torch.testing.assert_close(gradient, by_hand, rtol=1e-13, atol=1e-15)


# --- one token from three, enumerated: the exact mean over what the old policy samples

LOGITS = torch.tensor([0.3, -0.2, 0.6], dtype=torch.float64)
OLD = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
VALUES = torch.tensor([1.0, -0.7, 0.4], dtype=torch.float64)


def expected_loss(logits: Tensor, config: GRPOConfig) -> Tensor:
    """Sum over outcomes of probability under the old policy x loss of that outcome; the
    probabilities ride on the advantages."""
    logp = logits.log_softmax(0)[:, None]
    return policy_loss(
        logp, 3 * OLD * VALUES, torch.ones(3, 1), config, old_logp=OLD.log()[:, None]
    ).loss


def gradient_of(function: Any) -> Tensor:
    leaf = LOGITS.clone().requires_grad_()
    return torch.autograd.grad(function(leaf), leaf)[0]


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo"])
def test_unclipped_the_loss_has_the_exact_policy_gradient(loss_type: str, level: str) -> None:
    """Importance sampling at work: samples of the old policy, gradient of -E[A] under the new
    one."""
    if (loss_type, level) == ("cispo", "sequence"):
        level = "token"
    config = make_config(
        loss_type,
        importance_sampling_level=level,
        epsilon=1.0,
        epsilon_high=1000.0,
        max_completion_length=1,
    )
    exact = gradient_of(lambda logits: -(logits.softmax(0) * VALUES).sum())
    torch.testing.assert_close(
        gradient_of(lambda logits: expected_loss(logits, config)), exact, rtol=1e-12, atol=1e-15
    )
    if loss_type != "cispo":
        torch.testing.assert_close(
            expected_loss(LOGITS, config), -(LOGITS.softmax(0) * VALUES).sum(), rtol=1e-12, atol=0
        )


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "sapo", "luspo"])
def test_clipped_the_expected_loss_is_differentiated_exactly(loss_type: str) -> None:
    """Outcomes with ratios 0.71, 0.72, 2.4: two of them clipped or gated."""
    config = make_config(loss_type)
    leaf = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda logits: expected_loss(logits, config), leaf)


def test_clipping_biases_the_gradient() -> None:
    exact = gradient_of(lambda logits: -(logits.softmax(0) * VALUES).sum())
    clipped = gradient_of(lambda logits: expected_loss(logits, make_config("dapo")))
    assert (clipped - exact).abs().max() > 0.05
