"""The worked examples of the five seed documents with exact figures; where a document's own figure
differs, the test says so."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.objective import AdvantageRule, group_advantages, kl_per_token, policy_loss


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def figures(actual: Tensor, *expected: float, digits: int = 4) -> None:
    """Equal when rounded to as many digits as the example prints."""
    assert [round(value, digits) for value in actual.flatten().tolist()] == list(expected)


REWARDS_0 = f64(1.0, 0.1, 0.1, 1.0, 0.2, 1.0, 0.1, 0.8)
CURRENT_0 = f64(-2.1, -2.5, -2.3, -2.0, -2.4, -1.9, -2.6, -2.2)
OLD_0 = f64(-2.0, -2.4, -2.2, -1.9, -2.3, -1.8, -2.5, -2.1)


def test_seed_000_step_3_advantages() -> None:
    """Printed: mean 0.55, advantages 0.45 -0.45 ...; the mean is 0.5375."""
    stats = group_advantages(REWARDS_0, AdvantageRule(8))
    figures(stats.mean_N, 0.5375)
    figures(stats.std_N, 0.4470)
    figures(group_advantages(REWARDS_0, AdvantageRule(8, advantage_std="population")).std_N, 0.4181)
    advantages = group_advantages(REWARDS_0, AdvantageRule(8, scale_rewards="none")).advantage_B
    figures(advantages, 0.4625, -0.4375, -0.4375, 0.4625, -0.3375, 0.4625, -0.4375, 0.2625)


def test_seed_000_step_5_ratios() -> None:
    """Printed: log ratios +0.1, ratios 1.105; current - old of the printed log-probabilities is
    -0.1."""
    out = policy_loss(
        CURRENT_0[:, None],
        torch.ones(8),
        torch.ones(8, 1),
        GRPOConfig(beta=0.0),
        old_logp=OLD_0[:, None],
    )
    figures(out.per_token.ratio, *[0.9048] * 8)
    assert float(out.metrics["clip_ratio_region"]) == 0


def test_seed_000_final_loss() -> None:
    """Printed: "average of absolute loss terms = 0.458". The loss is the signed mean: 0 for centred
    advantages and equal ratios."""
    advantages = group_advantages(REWARDS_0, AdvantageRule(8, scale_rewards="none")).advantage_B
    out = policy_loss(
        CURRENT_0[:, None],
        advantages,
        torch.ones(8, 1),
        GRPOConfig(beta=0.0),
        old_logp=OLD_0[:, None],
    )
    assert abs(float(out.loss)) < 1e-15
    assert float(out.per_token.term.abs().mean()) > 0.37


def test_seed_000_two_sided_clipping() -> None:
    """Printed: min(rA, clip(r)A, delta A), which for A < 0 and r < delta is delta A, without
    gradient. The right one has -r A."""
    logp = f64(math.log(1.1)).requires_grad_()
    config = GRPOConfig(beta=0.0, delta=2.0)
    out = policy_loss(
        logp[:, None], f64(-1.0), torch.ones(1, 1), config, old_logp=f64(0.0)[:, None]
    )
    figures(out.loss.detach(), 1.1)
    figures(torch.autograd.grad(out.loss, logp)[0], 1.1)


def test_seed_001_kl_belongs_into_the_loss() -> None:
    """Printed: rewards minus beta KL, right as arithmetic but PPO's way. GRPO's advantages see the
    rewards alone; beta KL is a term."""
    rewards = f64(0.92, 0.25, 0.89, -0.75, 0.65, -0.50, 0.30, 0.95)
    kl_divs = f64(0.02, 0.05, 0.03, 0.12, 0.04, 0.09, 0.06, 0.01)
    figures(
        rewards - 0.04 * kl_divs, 0.9192, 0.248, 0.8888, -0.7548, 0.6484, -0.5036, 0.2976, 0.9496
    )
    logp, ref = f64(-1.0)[:, None], f64(-1.2)[:, None]
    shares = [
        policy_loss(logp, f64(0.5), torch.ones(1, 1), GRPOConfig(beta=b), ref_logp=ref).loss
        for b in (0.0, 0.04)
    ]
    figures(shares[1] - shares[0], round(0.04 * (math.exp(-0.2) + 0.2 - 1), 6), digits=6)


def test_seed_001_the_score_has_mean_zero() -> None:
    """Printed: the gradient of log pi_ref is dropped, with a plus sign. What vanishes is the mean
    of the gradient of log pi."""
    logits = f64(0.2, -1.0, 0.5).requires_grad_()
    probabilities = logits.detach().softmax(0)
    (mean_score,) = torch.autograd.grad((probabilities * logits.log_softmax(0)).sum(), logits)
    assert float(mean_score.abs().max()) < 1e-15


def test_seed_002_advantages() -> None:
    """Printed: +-1, which is the population std; divided by G - 1 it is +-0.8660."""
    rewards = f64(1, 1, 0, 0)
    # the 1e-4 beside the std changes the fourth digit
    assert group_advantages(
        rewards, AdvantageRule(4, advantage_std="population")
    ).advantage_B.tolist() == pytest.approx([1, 1, -1, -1], abs=3e-4)
    assert group_advantages(rewards, AdvantageRule(4)).advantage_B.tolist() == pytest.approx(
        [0.8660, 0.8660, -0.8660, -0.8660], abs=3e-4
    )


def test_seed_002_failures_alone_teach_nothing() -> None:
    """Printed: "creates learning signal even from failures". True for graded rewards; all-zero
    binary ones make a dead group."""
    assert group_advantages(f64(0, 0, 0, 0), AdvantageRule(4)).dead_N.all()
    assert not group_advantages(f64(0, 0, 0, 0), AdvantageRule(4)).advantage_B.any()
    graded = group_advantages(f64(0.1, 0, 0, 0), AdvantageRule(4)).advantage_B
    assert (graded > 0).tolist() == [True, False, False, False]


def test_seed_003_step_4_loss() -> None:
    """Printed: 2.774 / 4 = 0.694, from rounded ratios, to the reference. The ratio is to the old
    policy, and the mean is 0.6916."""
    current, other = f64(-2.1, -1.8, -0.5, -1.2)[None], f64(-2.3, -1.9, -0.6, -1.4)[None]
    out = policy_loss(current, f64(0.6), torch.ones(1, 4), GRPOConfig(beta=0.0), old_logp=other)
    figures(out.per_token.ratio, 1.2214, 1.1052, 1.1052, 1.2214)
    figures(-out.per_token.term, 0.72, 0.6631, 0.6631, 0.72)
    figures(-out.loss, 0.6916)
    assert out.per_token.clipped_high[0].tolist() == [True, False, False, True]
    # to the reference there is a KL, no ratio
    measured = policy_loss(
        current, f64(0.6), torch.ones(1, 4), GRPOConfig(beta=0.0), ref_logp=other
    )
    assert measured.per_token.ratio.tolist() == [[1.0] * 4]
    assert float(measured.metrics["kl"]) > 0


def test_seed_004_advantages() -> None:
    """Printed: std 1.99, advantages -0.34, 1.17, -0.84."""
    rewards = f64(-1, 2, -2)
    figures(group_advantages(rewards, AdvantageRule(3, advantage_std="population")).std_N, 1.6997)
    figures(group_advantages(rewards, AdvantageRule(3)).std_N, 2.0817)
    # the 1e-4 beside the std changes the fourth digit
    assert group_advantages(
        rewards, AdvantageRule(3, advantage_std="population")
    ).advantage_B.tolist() == pytest.approx([-0.3922, 1.3728, -0.9806], abs=1.2e-4)
    assert group_advantages(rewards, AdvantageRule(3)).advantage_B.tolist() == pytest.approx(
        [-0.3203, 1.1209, -0.8006], abs=1.2e-4
    )
    by_hand = (rewards + 1 / 3) / (math.sqrt(26 / 9) + 1e-4)
    torch.testing.assert_close(
        group_advantages(rewards, AdvantageRule(3, advantage_std="population")).advantage_B,
        by_hand,
        rtol=1e-12,
        atol=0,
    )


def test_seed_004_kl() -> None:
    """Printed: 0.02. The three terms add up to 0.1177; their mean under the policy is 0.0305, the
    KL itself."""
    policy, reference = f64(0.2, 0.5, 0.3), f64(0.3, 0.4, 0.3)
    terms = kl_per_token(policy.log(), reference.log())
    figures(terms.sum(), 0.1177)
    figures((policy * terms).sum(), 0.0305)
    torch.testing.assert_close((policy * terms).sum(), (policy * (policy / reference).log()).sum())


def test_seed_004_the_ratio_and_the_clip_are_missing() -> None:
    """Printed: pi A. As a ratio r A the term is 1 x A on policy whatever pi is, and clipped off
    policy."""
    logp = f64(0.5, 0.2).log()[:, None]
    on_policy = policy_loss(logp, f64(1.0, 1.0), torch.ones(2, 1), GRPOConfig(beta=0.0))
    assert on_policy.per_token.term.flatten().tolist() == [-1.0, -1.0]
    off_policy = policy_loss(
        logp,
        f64(1.0, 1.0),
        torch.ones(2, 1),
        GRPOConfig(beta=0.0),
        old_logp=f64(0.3, 0.19).log()[:, None],
    )
    figures(off_policy.per_token.term, -1.2, -1.0526)
