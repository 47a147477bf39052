"""Clip-Cov and KL-Cov: which tokens they choose, what becomes of these, and that the covariance is
what moves the entropy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.config import LOSSES, ConfigError, GRPOConfig
from workbench.objective import LossBatch
from workbench.objective.covariance import SELECTIONS

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")


def f64(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


LOGP = f64([[-0.5, -1.5, -2.5], [-0.5, -3.5, 0.0]])
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]], dtype=torch.bool)
ADVANTAGES = f64([1.0, -1.0])
# Mean log-probability (-0.5 - 1.5 - 2.5 - 0.5 - 3.5) / 5 = -1.7, mean advantage 0.2:
COVARIANCE = f64([[1.2 * 0.8, 0.2 * 0.8, -0.8 * 0.8], [1.2 * -1.2, -1.8 * -1.2, 0]])


def solve(batch: LossBatch, config: GRPOConfig) -> tuple[Any, Tensor]:
    logp = batch.logp.clone().requires_grad_()
    out = replace(batch, logp=logp).loss(config)
    return out, torch.autograd.grad(out.loss, logp)[0]


def config_of(loss_type: str, **changes: Any) -> GRPOConfig:
    return GRPOConfig(**dict(loss_type=loss_type, beta=0.0) | changes)


BATCH = LossBatch(LOGP, ADVANTAGES, MASK, old_logp=LOGP - 0.1)


def test_every_loss_that_selects_has_its_selection() -> None:
    assert set(SELECTIONS) == {name for name, loss in LOSSES.items() if loss.selects}


@pytest.mark.parametrize(("share", "places"), [(0.2, [4]), (0.4, [0, 4]), (1e-6, [4]), (1.0, None)])
def test_kl_cov_takes_the_highest_covariances(share: float, places: list[int] | None) -> None:
    """2.16, 0.96, 0.16, -0.64, -1.44 in this order; padding never, one token at least."""
    chosen = BATCH.select(config_of("kl_cov", kl_cov_ratio=share))
    expected = MASK.clone()
    if places is not None:
        expected = torch.zeros_like(MASK)
        expected.view(-1)[places] = True
    assert torch.equal(chosen, expected)
    assert COVARIANCE[MASK].argmax() == 4


def test_kl_cov_adds_a_kl_where_it_holds() -> None:
    """Ratio e^0.1 everywhere: -r A, and coef x 0.1 on the chosen token, over five tokens."""
    config = config_of("kl_cov", kl_cov_ratio=0.2, kl_cov_coef=3.0)
    out, gradient = solve(BATCH, config)
    r = torch.tensor(0.1).double().exp()
    terms = f64([-r, -r, -r, r, r + 0.3])
    torch.testing.assert_close(out.per_token.term[MASK], terms)
    torch.testing.assert_close(gradient[MASK] * 5, f64([-r, -r, -r, r, r + 3]))
    # At the old policy itself the KL has no gradient.
    _, still = solve(replace(BATCH, old_logp=None), config)
    torch.testing.assert_close(still[MASK] * 5, f64([-1, -1, -1, 1, 1]))
    assert float(out.metrics["covariance_selected"]) == pytest.approx(1 / 5)


def test_clip_cov_leaves_tokens_within_its_bounds_without_gradient() -> None:
    """Of the five only 2.16 lies between 1 and 5, and with 0.5 below also 0.96."""
    _, gradient = solve(BATCH, config_of("clip_cov", clip_cov_ratio=1.0))
    assert (gradient == 0)[MASK].tolist() == [False, False, False, False, True]
    _, gradient = solve(BATCH, config_of("clip_cov", clip_cov_ratio=1.0, clip_cov_min=0.5))
    assert (gradient == 0)[MASK].tolist() == [True, False, False, False, True]
    _, untouched = solve(BATCH, config_of("clip_cov", clip_cov_min=3.0))
    _, plain = solve(BATCH, config_of("dapo"))
    torch.testing.assert_close(untouched, plain)


def test_clip_cov_draws_its_share_among_the_eligible() -> None:
    generator = torch.Generator().manual_seed(0)
    logp = -torch.rand(40, 10, generator=generator, dtype=torch.float64) * 8
    batch = LossBatch(
        logp,
        torch.randn(40, generator=generator, dtype=torch.float64),
        torch.ones(40, 10, dtype=torch.bool),
    )
    config = config_of("clip_cov", clip_cov_ratio=0.05, clip_cov_min=0.5, clip_cov_max=3.0)
    chosen = batch.select(config)
    every = batch.select(config.replace(clip_cov_ratio=1.0))
    assert int(chosen.sum()) == 20 < int(every.sum())
    assert not (chosen & ~every).any()
    assert torch.equal(chosen, batch.select(config))
    assert not torch.equal(chosen, batch.select(config.replace(seed=1)))
    # Padding to another length draws the same tokens, as in a record of longer completions.
    longer = LossBatch(
        torch.nn.functional.pad(batch.logp, (0, 3)),
        batch.advantages,
        torch.nn.functional.pad(batch.mask, (0, 3)),
    )
    assert torch.equal(longer.select(config)[:, :10], chosen)


def test_equal_advantages_have_no_covariance_and_the_first_token_is_taken() -> None:
    """0.1 is not a float32, and a mean of seven of it is not 0.1 either: rounding is no choice."""
    logp = -torch.linspace(0.1, 3.0, 7, dtype=torch.float64)[None]
    for dtype in (torch.float32, torch.float64):
        batch = LossBatch(logp.to(dtype), f64([0.1]).to(dtype), torch.ones(1, 7, dtype=torch.bool))
        assert batch.select(config_of("kl_cov")).nonzero().tolist() == [[0, 0]]
        assert not batch.select(config_of("clip_cov", clip_cov_min=0.0)).any()


@pytest.mark.parametrize("loss_type", ["clip_cov", "kl_cov"])
@pytest.mark.parametrize("seed", range(8))
def test_term_and_gradient_are_the_papers_in_a_plain_double_loop(loss_type: str, seed: int) -> None:
    """Equations of section 4.2, token by token, over ragged rows; clip_cov with everything between
    its bounds chosen, so that nothing is drawn."""
    random = torch.Generator().manual_seed(seed)
    rows, length = 6, 5
    mask = torch.arange(length) < torch.randint(0, length + 1, (rows, 1), generator=random)
    mask[0] = True
    logp = -3 * torch.rand(rows, length, generator=random)
    old = logp + torch.randn(rows, length, generator=random) / 3
    advantages = torch.randn(rows, generator=random)
    batch = LossBatch(*(part.double() for part in (logp, advantages)), mask, old.double())
    config = config_of(
        loss_type, clip_cov_ratio=1.0, clip_cov_min=0.2, clip_cov_max=1.0, kl_cov_ratio=0.3
    )
    out, gradient = solve(batch, config)

    places = [(i, t) for i in range(rows) for t in range(length) if mask[i, t]]
    mean_logp = sum(float(logp[place]) for place in places) / len(places)
    mean_advantage = sum(float(advantages[i]) for i, _ in places) / len(places)
    cov = {
        (i, t): (float(logp[i, t]) - mean_logp) * (float(advantages[i]) - mean_advantage)
        for i, t in places
    }
    held = sorted(places, key=lambda place: -cov[place])[: max(int(0.3 * len(places)), 1)]
    for i, t in places:
        advantage = float(advantages[i])
        log_ratio = float(logp[i, t].double() - old[i, t].double())
        ratio = math.exp(log_ratio)
        if loss_type == "kl_cov":
            penalty = 1.0 if (i, t) in held else 0.0
            term = -ratio * advantage + penalty * abs(log_ratio)
            slope = -ratio * advantage + penalty * math.copysign(1, log_ratio)
        else:
            term = -min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
            stopped = (ratio > 1.2 and advantage > 0) or (ratio < 0.8 and advantage < 0)
            slope = 0.0 if stopped else -ratio * advantage
            if 0.2 < cov[i, t] < 1.0 and not stopped:
                term = slope = 0.0
        assert float(out.per_token.term[i, t]) == pytest.approx(term, rel=1e-12), (i, t)
        assert float(gradient[i, t]) * len(places) == pytest.approx(slope, rel=1e-12), (i, t)


def test_clip_cov_counts_what_ppos_clip_has_stopped_as_stopped_already() -> None:
    """The token of highest covariance has A < 0; with its ratio far below, PPO's clip holds it."""
    far = replace(BATCH, old_logp=LOGP + 1.0)
    config = config_of("clip_cov", clip_cov_ratio=1.0)
    assert BATCH.select(config).sum() == 1
    assert not far.select(config).any()


def test_the_covariance_is_how_fast_a_policy_gradient_step_lowers_the_entropy() -> None:
    """Theorem 1 on an enumerated policy: natural policy gradient with step eta changes the entropy
    by -eta Cov(log pi, A) to first order."""
    logits = f64([0.5, -0.3, 1.0, 0.0])
    values = f64([1.0, -0.5, 2.0, 0.3])
    pi = logits.softmax(0)

    def entropy(z: Tensor) -> Tensor:
        return -(z.softmax(0) * z.log_softmax(0)).sum()

    logp = pi.log()
    covariance = (pi * (logp - (pi * logp).sum()) * (values - (pi * values).sum())).sum()
    eta = 1e-5
    moved = entropy(logits + eta * (values - (pi * values).sum())) - entropy(logits)
    assert float(moved / eta) == pytest.approx(-float(covariance), rel=1e-3)


def test_bounds_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="clip_cov_min=5.0 must be below clip_cov_max=5.0"):
        GRPOConfig(clip_cov_min=5.0)
