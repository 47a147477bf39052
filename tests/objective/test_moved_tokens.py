"""GSPO-token, GMPO and DPPO: by hand, against TRL where it has them, on an enumerated policy."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.config import ConfigError, GRPOConfig
from workbench.objective import PolicyLoss, policy_loss
from workbench.objective.ratios import binary_kl, binary_tv

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")


def f64(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def solve(
    ratios: list[list[float]], advantages: Tensor, old: float = 0.2, **options: Any
) -> tuple[PolicyLoss, Tensor]:
    """The loss of completions whose tokens have these ratios to an old probability, and d loss /
    d logp; a ratio of 0 is padding."""
    ratio_BT = f64(*ratios)
    mask_BT = ratio_BT > 0
    old_BT = torch.full_like(ratio_BT, old).log()
    sampler_logp = options.pop("sampler_logp", None)
    logp_BT = (old_BT + ratio_BT.clamp(min=1e-9).log()).requires_grad_()
    out = policy_loss(
        logp_BT,
        advantages,
        mask_BT,
        GRPOConfig(beta=0.0, **options),
        old_logp=old_BT,
        sampler_logp=sampler_logp,
    )
    return out, torch.autograd.grad(out.loss, logp_BT)[0]


# --- GSPO-token

SEQUENCES = [[1.2, 0.9, 1.1], [0.7, 1.3, 0.0]]


@pytest.mark.parametrize("advantages", [f64(1, -2), f64(-1, -0.5)])
def test_gspo_token_with_one_advantage_for_all_tokens_is_gspo(advantages: Tensor) -> None:
    """Section 4.3: the same value and the same gradient, clipped or not."""
    settings = dict(loss_type="grpo", epsilon=0.02, epsilon_high=0.05)
    gspo, gradient = solve(SEQUENCES, advantages, importance_sampling_level="sequence", **settings)
    token, own = solve(
        SEQUENCES, advantages, importance_sampling_level="sequence_token", **settings
    )
    torch.testing.assert_close(token.loss, gspo.loss)
    torch.testing.assert_close(own, gradient)
    assert torch.equal(token.per_token.clipped_low, gspo.per_token.clipped_low)
    assert float(token.metrics["clip_ratio_region"]) > 0


def test_gspo_token_pushes_each_token_by_its_own_advantage() -> None:
    """-s A_t / length: GSPO gives every token the mean of them instead."""
    advantage_BT = f64([1, -2, 4], [0, 0, 0])
    settings = dict(loss_type="grpo", epsilon=0.5)
    s = (1.2 * 0.9 * 1.1) ** (1 / 3)
    _, own = solve(SEQUENCES, advantage_BT, importance_sampling_level="sequence_token", **settings)
    torch.testing.assert_close(own[0], -s * f64(1, -2, 4) / 3 / 2)
    _, shared = solve(SEQUENCES, advantage_BT, importance_sampling_level="sequence", **settings)
    torch.testing.assert_close(shared[0], -s * f64(1, 1, 1) / 3 / 2)


# --- GMPO


def test_gmpo_is_the_geometric_mean_of_ratios_clipped_one_by_one() -> None:
    """A > 0 with the bounds exp(-0.4) and exp(0.4) = 1.49: 3.0 counts as 1.49, 0.5 as it is."""
    out, gradient = solve([[3.0, 0.5, 1.1]], f64(2), loss_type="gmpo", epsilon=0.4)
    mean = (math.exp(0.4) * 0.5 * 1.1) ** (1 / 3)
    torch.testing.assert_close(out.loss.detach(), f64(-2 * mean)[0])
    # A clipped token has no gradient, and the others lose nothing by it.
    torch.testing.assert_close(gradient[0], -2 * mean / 3 * f64(0, 1, 1))
    assert out.per_token.clipped_high[0].tolist() == [True, False, False]

    down, gradient = solve([[3.0, 0.5, 1.1]], f64(-2), loss_type="gmpo", epsilon=0.4)
    mean = (3.0 * math.exp(-0.4) * 1.1) ** (1 / 3)
    torch.testing.assert_close(down.loss.detach(), f64(2 * mean)[0])
    torch.testing.assert_close(gradient[0], 2 * mean / 3 * f64(1, 0, 1))
    assert down.per_token.clipped_low[0].tolist() == [False, True, False]


@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_gmpo_equals_trl(trl_oracle: Any, beta: float, seed: int) -> None:
    from trl.experimental.gmpo import GMPOTrainer

    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(4, 8, 6, generator=generator, dtype=torch.float64)
    logp = -noise[0].abs() - 0.5
    old = logp + 0.5 * noise[1]
    ref = logp + 0.3 * noise[2]
    advantages = noise[3, :, 0]
    length_B = torch.randint(1, 7, (8,), generator=generator)
    mask = torch.arange(6) < length_B[:, None]
    config = GRPOConfig(
        loss_type="gmpo",
        beta=beta,
        epsilon=0.3,
        epsilon_high=0.4,
        use_bias_correction_kl=False,
    )
    trl_oracle.configure({"beta": beta, "top_entropy_quantile": 1.0, "epsilon_low": 0.3})
    trl_oracle.configure({"epsilon_high": 0.4})
    expected, expected_gradient, logged = trl_oracle.loss(
        logp,
        noise[3].abs(),
        {
            "completion_mask": mask.long(),
            "advantages": advantages,
            "old_per_token_logps": old,
            "ref_per_token_logps": ref,
        },
        loss_of=GMPOTrainer._compute_loss,
    )
    leaf = logp.clone().requires_grad_()
    out = policy_loss(leaf, advantages, mask, config, old_logp=old, ref_logp=ref)
    (gradient,) = torch.autograd.grad(out.loss, leaf)
    torch.testing.assert_close(out.loss.detach(), expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-14)
    for ours, theirs in (("low", "low_mean"), ("high", "high_mean")):
        share = float(out.metrics[f"clip_ratio_{ours}"])
        assert share == pytest.approx(logged[f"clip_ratio/{theirs}"], rel=1e-6)


def test_gmpo_refuses_to_leave_tokens_out_of_its_one_number() -> None:
    with pytest.raises(ConfigError, match="top_entropy_quantile=0.5 with loss_type='gmpo'"):
        GRPOConfig(loss_type="gmpo", top_entropy_quantile=0.5)


# --- DPPO


def test_the_binary_divergences_are_those_of_the_token_against_all_others() -> None:
    mu, pi = f64(0.5, 0.9, 1e-4), f64(0.4, 0.99, 3e-4)
    tv = torch.stack([mu, 1 - mu]).sub(torch.stack([pi, 1 - pi])).abs().sum(0) / 2
    torch.testing.assert_close(binary_tv(mu.log(), pi.log()), tv)
    kl = mu * (mu / pi).log() + (1 - mu) * ((1 - mu) / (1 - pi)).log()
    torch.testing.assert_close(binary_kl(mu.log(), pi.log()), kl)


def test_a_sure_token_has_a_finite_divergence() -> None:
    for dtype in (torch.float32, torch.float64):
        found = binary_kl(
            torch.tensor([0.0, -1e-9], dtype=dtype), torch.tensor([-0.7, 0.0]).to(dtype)
        )
        assert found.isfinite().all()
        torch.testing.assert_close(found[0], torch.tensor(0.7, dtype=dtype), rtol=1e-4, atol=0)


def test_the_binary_divergence_never_exceeds_that_of_the_whole_distribution() -> None:
    """What makes it a lower bound: merging the other tokens into one can only hide differences."""
    generator = torch.Generator().manual_seed(0)
    mu = torch.randn(50, 5, generator=generator, dtype=torch.float64).log_softmax(-1)
    pi = mu + torch.randn(50, 5, generator=generator, dtype=torch.float64)
    pi = pi.log_softmax(-1)
    whole_tv = (mu.exp() - pi.exp()).abs().sum(-1, keepdim=True) / 2
    whole_kl = (mu.exp() * (mu - pi)).sum(-1, keepdim=True)
    assert (binary_tv(mu, pi) <= whole_tv + 1e-12).all()
    assert (binary_kl(mu, pi) <= whole_kl + 1e-12).all()


@pytest.mark.parametrize(
    ("old", "ratio", "advantage", "masked"),
    [
        # A rare token may double: 0.01 -> 0.02 moves the distribution by 0.01.
        (0.01, 2.0, 1.0, False),
        (0.2, 2.0, 1.0, True),
        # Moved against its advantage: it may come back.
        (0.2, 2.0, -1.0, False),
        (0.9, 0.8, -1.0, True),
        (0.9, 0.8, 1.0, False),
        # Less than 0.15, however large the ratio's distance is.
        (0.02, 0.1, -1.0, False),
    ],
)
def test_dppo_goes_by_how_far_the_probability_went(
    old: float, ratio: float, advantage: float, masked: bool
) -> None:
    out, gradient = solve([[ratio]], f64(advantage), old=old, loss_type="dppo_tv")
    wanted = 0.0 if masked else -ratio * advantage
    assert float(gradient) == pytest.approx(wanted)
    assert float(out.loss.detach()) == pytest.approx(wanted)
    assert float(out.metrics["clip_ratio_region"]) == masked
    if masked:
        assert bool(out.per_token.clipped_high) == (advantage > 0)


def test_dppo_kl_masks_by_the_kl() -> None:
    """KL(0.5 against 0.8) = 0.223, KL(0.5 against 0.6) = 0.0204."""
    settings = dict(loss_type="dppo_kl", divergence_threshold=0.05)
    far, gradient = solve([[1.6, 1.2]], f64(1), old=0.5, **settings)
    assert far.per_token.clipped_high[0].tolist() == [True, False]
    torch.testing.assert_close(gradient[0], f64(0, -0.6))


def test_dppo_is_anchored_at_the_sampler() -> None:
    """The old policy has 0.2 and the sampler 0.4: a token of 0.4 has not moved."""
    settings = dict(loss_type="dppo_tv")
    masked, _ = solve([[2.0]], f64(1), **settings)
    assert masked.per_token.clipped_high.all()
    free, gradient = solve([[2.0]], f64(1), sampler_logp=f64([0.4]).log(), **settings)
    assert not free.per_token.clipped_high.any()
    assert float(gradient) == pytest.approx(-2.0)
    unknown, _ = solve([[2.0]], f64(1), sampler_logp=f64([math.nan]), **settings)
    assert math.isnan(unknown.loss.detach())


def test_the_exact_dppo_update_on_an_enumerated_policy() -> None:
    """Three tokens: the expected update leaves out exactly those that have moved too far, and with
    a threshold of 1 is the policy gradient."""
    logits = f64(0.3, -0.2, 0.6).requires_grad_()
    old = f64(0.5, 0.3, 0.2)
    values = f64(1.0, -0.7, 0.4)
    pi = logits.softmax(0)

    def update(threshold: float) -> Tensor:
        config = GRPOConfig(loss_type="dppo_tv", beta=0.0, divergence_threshold=threshold)
        out = policy_loss(
            pi.log()[:, None],
            3 * old * values,
            torch.ones(3, 1),
            config,
            old_logp=old.log()[:, None],
        )
        return torch.autograd.grad(-out.loss, logits, retain_graph=True)[0]

    (whole,) = torch.autograd.grad((pi * values).sum(), logits, retain_graph=True)
    torch.testing.assert_close(update(1.0), whole)
    # pi = .338, .205, .457: the second fell by .095 with A < 0, the third rose by .257 with A > 0.
    (without,) = torch.autograd.grad((pi * values)[0], logits, retain_graph=True)
    torch.testing.assert_close(update(0.09), without)
