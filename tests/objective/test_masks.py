"""What is multiplied onto the policy term, by hand: off-policy mask, entropy mask, sampler
correction."""

from __future__ import annotations

import math
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.objective import PolicyLoss, entropy_threshold, policy_loss
from workbench.objective.masks import reaches_threshold


def f64(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def config(**values: Any) -> GRPOConfig:
    return GRPOConfig(**({"beta": 0.0} | values))


def settings_with(settings: GRPOConfig, **values: Any) -> SimpleNamespace:
    """What GRPOConfig may refuse: any object with its field names is a config here."""
    return SimpleNamespace(**asdict(settings) | values)


def on_policy(config: Any, advantage: float, tokens: int, **options: Any) -> PolicyLoss:
    """One completion, all ratios 1."""
    mask = options.pop("mask", torch.ones(1, tokens))
    return policy_loss(
        torch.zeros(1, tokens, dtype=torch.float64), f64(advantage), mask, config, **options
    )


def test_off_policy_mask_drops_bad_sequences_that_are_far_away() -> None:
    logp = torch.zeros(5, 2, dtype=torch.float64)
    old = f64([0.5, 0.5], [0.4, 0.6], [0.5, 0.52], [0.9, 0.9], [-3.0, -3.0])
    advantages = f64(-1, -1, -1, 1, -1)
    settings = config(off_policy_mask_threshold=0.5)
    kept = policy_loss(logp, advantages, torch.ones(5, 2), settings, old_logp=old).per_token.weight
    assert kept[:, 0].tolist() == [
        1,
        1,
        0,
        1,
        1,
    ]  # 0.5 itself is kept; good ones always; a policy that moved towards it, too
    # the sampler's log-probabilities take the place of the old policy's
    kept = policy_loss(
        logp, advantages, torch.ones(5, 2), settings, old_logp=old, sampler_logp=logp + 1
    ).per_token.weight
    assert kept[:, 0].tolist() == [0, 0, 0, 1, 0]


def test_off_policy_mask_counts_completion_tokens_only() -> None:
    old = f64([0.6, 9.0], [0.4, 9.0])
    mask = torch.tensor([[True, False]] * 2)
    settings = config(off_policy_mask_threshold=0.5)
    kept = policy_loss(
        torch.zeros(2, 2).double(), f64(-1, -1), mask, settings, old_logp=old
    ).per_token.weight
    assert kept[:, 0].tolist() == [0, 1]


def test_entropy_mask_keeps_the_top_share() -> None:
    entropy = f64([0.1, 0.5, 0.3, 0.4, 0.2])
    out = on_policy(config(top_entropy_quantile=0.4), 1.0, 5, entropy=entropy)
    # quantile 0.6 of five values lies at 0.34: 0.5 and 0.4 are above
    assert out.per_token.weight[0].tolist() == [0, 1, 0, 1, 0]
    assert float(
        entropy_threshold(entropy, torch.ones(1, 5, dtype=torch.bool), 0.4)
    ) == pytest.approx(0.34)
    assert float(out.metrics["policy_weight"]) == pytest.approx(0.4)
    assert float(out.metrics["entropy"]) == pytest.approx(0.3)
    torch.testing.assert_close(out.loss, f64(-2 / 5)[0])  # the denominator keeps all tokens


def test_entropy_mask_keeps_what_a_rounding_takes_from_the_threshold() -> None:
    """Two completions of a prompt share the distribution of their first token. Computed in two
    passes its entropies differ in the last bits, and a threshold that lies there would take one and
    leave the other."""
    for dtype in (torch.float32, torch.float64):
        threshold = torch.tensor(1.5, dtype=dtype)
        bit_less = torch.nextafter(threshold, torch.tensor(0.0, dtype=dtype))
        entropy_BT = torch.stack([bit_less, threshold, threshold * 0.999])[:, None]
        assert reaches_threshold(entropy_BT, threshold).flatten().tolist() == [True, True, False]


def test_entropy_mask_ignores_padding() -> None:
    entropy = f64([0.1, 0.2, 9.0, 9.0])
    out = on_policy(
        config(top_entropy_quantile=0.5), 1.0, 4, entropy=entropy, mask=f64([1, 1, 0, 0])
    )
    assert out.per_token.weight[0].tolist() == [0, 1, 0, 0]


def test_entropy_mask_needs_entropies() -> None:
    with pytest.raises(ValueError, match=r"top_entropy_quantile=0\.2 needs `entropy`"):
        on_policy(config(top_entropy_quantile=0.2), 1.0, 1)


def correct(mode: str | None, low: float | None, high: float | None) -> list[float]:
    """The weights for tokens whose trainer/sampler ratios are 0.4, 1, 2, 5 (the fourth one padding,
    the others' product 0.8)."""
    settings = config(
        importance_sampling_mode=mode,
        importance_sampling_clip_min=low,
        importance_sampling_clip_max=high,
    )
    sampler = -f64([0.4, 1.0, 2.0, 5.0]).log()
    out = on_policy(settings, 1.0, 4, mask=f64([1, 1, 1, 0]), sampler_logp=sampler)
    return out.per_token.weight[0].tolist()


@pytest.mark.parametrize(
    ("mode", "low", "high", "weights"),
    [
        (None, None, 1.5, [1, 1, 1]),
        ("token_truncate", None, 1.5, [0.4, 1, 1.5]),
        ("token_truncate", 0.5, 1.5, [0.5, 1, 1.5]),
        ("token_truncate", 0.5, None, [0.5, 1, 2]),
        ("token_truncate", None, None, [0.4, 1, 2]),
        ("token_mask", None, 1.5, [0.4, 1, 0]),
        ("token_mask", 0.5, 1.5, [0, 1, 0]),
        ("token_mask", 0.5, None, [0, 1, 2]),
        ("sequence_truncate", None, 0.7, [0.7] * 3),
        ("sequence_truncate", None, 3.0, [0.8] * 3),
        ("sequence_truncate", 0.9, 3.0, [0.9] * 3),
        ("sequence_mask", None, 3.0, [0.8] * 3),
        ("sequence_mask", None, 0.7, [0] * 3),
        ("sequence_mask", 0.9, None, [0] * 3),
    ],
)
def test_sampler_correction(
    mode: str | None, low: float | None, high: float | None, weights: list[float]
) -> None:
    assert correct(mode, low, high) == pytest.approx([*weights, 0])


def test_sampler_mismatch_is_measured_raw() -> None:
    settings = config(importance_sampling_mode="token_truncate", importance_sampling_clip_max=1.5)
    sampler = -f64([0.5, 4.0]).log()
    for s in (settings, config()):
        metrics = on_policy(s, 1.0, 2, sampler_logp=sampler).metrics
        assert float(metrics["sampler_logp_difference"]) == pytest.approx(1.5 * math.log(2))
        assert float(metrics["sampler_logp_difference_max"]) == pytest.approx(math.log(4))
        assert float(metrics["sampler_ratio_mean"]) == pytest.approx(2.25)
        assert float(metrics["sampler_ratio_max"]) == pytest.approx(4)


def test_a_correction_needs_the_samplers_log_probabilities() -> None:
    with pytest.raises(
        ValueError, match="importance_sampling_mode='token_mask' needs `sampler_logp`"
    ):
        on_policy(config(importance_sampling_mode="token_mask"), 1.0, 1)


def test_an_unknown_correction_is_an_error() -> None:
    odd = settings_with(config(), importance_sampling_mode="token_drop")
    with pytest.raises(ValueError, match="importance_sampling_mode='token_drop' is unknown"):
        on_policy(odd, 1.0, 4, sampler_logp=torch.zeros(1, 4))


def test_vespo_takes_the_correction_into_its_weight() -> None:
    """Per token only, and it is not multiplied once more."""
    sampler = -f64([1.2, 1.0, 0.5, 1.0]).log()
    settings = config(loss_type="vespo", importance_sampling_mode="token_truncate")
    logp = torch.full((1, 4), -0.5, dtype=torch.float64).requires_grad_()
    out = policy_loss(logp, f64(1.0), torch.ones(1, 4), settings, sampler_logp=sampler - 0.5)
    (gradient,) = torch.autograd.grad(out.loss, logp)
    phi = math.exp(3 + 2 * math.log(0.6) - 3 * 0.6)
    torch.testing.assert_close(gradient * 4, torch.full((1, 4), -phi, dtype=torch.float64))
    assert out.per_token.weight[0].tolist() == [1, 1, 1, 1]
    with pytest.raises(
        ValueError, match="importance_sampling_mode='sequence_mask' with loss_type='vespo'"
    ):
        on_policy(
            settings_with(settings, importance_sampling_mode="sequence_mask"),
            1.0,
            4,
            sampler_logp=sampler,
        )


def test_a_masked_correction_of_zero_counts_as_1e_8_for_vespo() -> None:
    settings = config(
        loss_type="vespo", importance_sampling_mode="token_mask", importance_sampling_clip_max=1.5
    )
    logp = torch.full((1, 1), -0.5, dtype=torch.float64).requires_grad_()
    out = policy_loss(logp, f64(1.0), torch.ones(1, 1), settings, sampler_logp=logp.detach() - 1)
    (gradient,) = torch.autograd.grad(out.loss, logp)
    assert float(gradient) == pytest.approx(-math.exp(3 + 2 * math.log(1e-8) - 3e-8))


def test_masks_and_correction_leave_the_kl_alone() -> None:
    settings = GRPOConfig(
        beta=0.1,
        use_bias_correction_kl=False,
        top_entropy_quantile=0.5,
        importance_sampling_mode="token_truncate",
        off_policy_mask_threshold=0.01,
    )
    ref = torch.full((1, 4), 0.5, dtype=torch.float64)
    sampler = torch.full((1, 4), 2.0, dtype=torch.float64)
    out = on_policy(
        settings, -1.0, 4, ref_logp=ref, entropy=f64([4, 3, 2, 1]), sampler_logp=sampler
    )
    assert not out.per_token.weight.any()
    k3 = math.exp(0.5) - 1.5
    torch.testing.assert_close(
        out.per_token.term, torch.full((1, 4), 0.1 * k3, dtype=torch.float64)
    )


def test_masks_and_correction_multiply() -> None:
    settings = config(
        top_entropy_quantile=0.5,
        importance_sampling_mode="token_truncate",
        off_policy_mask_threshold=1.0,
    )
    out = on_policy(settings, -1.0, 2, entropy=f64([1, 2]), sampler_logp=-f64([1.5, 1.25]).log())
    torch.testing.assert_close(out.per_token.weight, f64([0, 1.25]))
    torch.testing.assert_close(out.per_token.term, f64([0, 1.25]))
