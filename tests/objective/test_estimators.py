"""MaxRL and pass@k advantages: against the papers' formulas, against every subset, and against the
gradient that they stand for, by enumeration."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from workbench.config import ConfigError, GRPOConfig
from workbench.config.advantages import ESTIMATORS
from workbench.objective import AdvantageRule, group_advantages
from workbench.objective.estimators import OWN_ESTIMATORS


def f64(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def advantages_of(rewards: Any, estimator: str, k: int = 4, group_size: int | None = None):
    rule = AdvantageRule(group_size or len(rewards), advantage_estimator=estimator, advantage_k=k)
    return group_advantages(f64(rewards), rule)


def test_every_estimator_without_a_baseline_has_its_function() -> None:
    own = {name for name, facts in ESTIMATORS.items() if not facts.uses_baseline}
    assert own == set(OWN_ESTIMATORS)
    assert AdvantageRule(4).advantage_estimator == GRPOConfig().advantage_estimator
    assert AdvantageRule(4).advantage_k == GRPOConfig().advantage_k


# --- MaxRL


def test_maxrl_by_hand() -> None:
    found = advantages_of([1, 0, 0, 0, 1, 1, 0, 0], "maxrl", group_size=4)
    # Mean 1/4: (1 - 1/4) / (1/4) = 3 and -1; mean 1/2: 1 and -1.
    assert found.advantage_B.tolist() == [3, -1, -1, -1, 1, 1, -1, -1]
    assert found.baseline_B.tolist() == [0.25] * 4 + [0.5] * 4
    graded = advantages_of([0.5, 1.0, 0.0, 0.5], "maxrl")
    assert graded.advantage_B.tolist() == [0, 1, -1, 0]


def test_maxrl_leaves_dead_groups_and_missing_scores_at_zero() -> None:
    found = advantages_of([0, 0, 0, 0, 1, 1, 1, 1, 1, 0, math.nan, 0], "maxrl", group_size=4)
    assert found.advantage_B[:8].tolist() == [0] * 8
    # The mean of the three that were scored is 1/3.
    torch.testing.assert_close(found.advantage_B[8:], f64([2, -1, 0, -1]))
    assert found.dead_N.tolist() == [True, True, False]


def test_maxrl_refuses_rewards_whose_mean_says_nothing_of_success() -> None:
    with pytest.raises(ValueError, match=r"reward -1 for completion 2 of group 0.*0 or more"):
        advantages_of([1, 0, -1, 0], "maxrl")


# --- pass@k


def test_pass_at_k_by_the_papers_formula() -> None:
    """Eq. 14 and 15: N = 4, 3 wrong, k = 2. pass@2 = 1 - 3/6, its std 1/2."""
    found = advantages_of([1, 0, 0, 0], "pass_at_k", k=2)
    torch.testing.assert_close(found.advantage_B, f64([1, -1 / 3, -1 / 3, -1 / 3]))
    assert not found.dead_N[0]


@pytest.mark.parametrize("size", [3, 5, 8])
def test_pass_at_k_equals_eq_14_and_15_for_binary_rewards(size: int) -> None:
    for wrong, k in itertools.product(range(size + 1), range(1, size)):
        rewards = [0.0] * wrong + [1.0] * (size - wrong)
        p = 1 - math.comb(wrong, k) / math.comb(size, k)
        std = math.sqrt(p * (1 - p))
        expected = [0.0] * size
        if std > 0:
            others_wrong = math.comb(wrong - 1, k - 1) / math.comb(size - 1, k - 1)
            expected = [(1 - p - others_wrong) / std] * wrong + [(1 - p) / std] * (size - wrong)
        found = advantages_of(rewards, "pass_at_k", k=k)
        torch.testing.assert_close(found.advantage_B, f64(expected), msg=f"{wrong} wrong, k={k}")
        assert bool(found.dead_N[0]) == (std == 0)


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=2, max_size=7), st.data())
def test_pass_at_k_is_the_mean_over_every_subset(rewards: list[int], data: st.DataObject) -> None:
    """Graded rewards with ties, whatever their order."""
    k = data.draw(st.integers(1, len(rewards) - 1))
    subsets = list(itertools.combinations(range(len(rewards)), k))
    best = f64([max(rewards[i] for i in subset) for subset in subsets])
    std = best.std(correction=0)
    found = advantages_of(rewards, "pass_at_k", k=k).advantage_B
    for i in range(len(rewards)):
        with_i = torch.tensor([i in subset for subset in subsets])
        wanted = (best[with_i].mean() - best.mean()) / std if std > 0 else f64(0.0)
        torch.testing.assert_close(found[i], wanted, rtol=1e-10, atol=1e-12)


def test_pass_at_1_is_the_group_mean_over_the_population_std() -> None:
    rewards = f64([0.3, 1.0, 0.0, 0.5, 0.5])
    found = group_advantages(
        rewards, AdvantageRule(5, advantage_estimator="pass_at_k", advantage_k=1)
    )
    torch.testing.assert_close(
        found.advantage_B, (rewards - rewards.mean()) / rewards.std(correction=0)
    )


def test_pass_at_k_with_missing_scores_takes_the_subsets_of_the_others() -> None:
    found = advantages_of([1, math.nan, 0, 0, 0], "pass_at_k", k=2).advantage_B
    torch.testing.assert_close(found, f64([1, 0, -1 / 3, -1 / 3, -1 / 3]))
    too_few = advantages_of([1, math.nan, math.nan, 0], "pass_at_k", k=3)
    assert not too_few.advantage_B.any()
    assert too_few.dead_N.tolist() == [True]


# --- what they are estimates of


def expected_update(estimator: str, group_size: int, k: int, scale: bool) -> tuple[Tensor, Tensor]:
    """The expected gradient of the mean of A log pi over all groups that a policy of three answers
    can draw, the first of them right, and that policy's logits."""
    logits = f64([0.2, -0.5, 0.4]).requires_grad_()
    logp = logits.log_softmax(-1)
    total = f64(0.0)
    for group in itertools.product(range(3), repeat=group_size):
        drawn = torch.tensor(group)
        rewards = (drawn == 0).double()
        weight_G = advantages_of(rewards.tolist(), estimator, k=k).advantage_B
        if not scale:
            estimate = OWN_ESTIMATORS[estimator](rewards[None], torch.ones(1, group_size) > 0, k)
            weight_G = estimate.centred_NG[0]
        chance = logp.detach()[drawn].sum().exp()
        total = total + chance * (weight_G * logp[drawn]).mean()
    return torch.autograd.grad(total, logits)[0], logits


def pass_at(k: int, logits: Tensor) -> Tensor:
    return 1 - (1 - logits.softmax(-1)[0]) ** k


@pytest.mark.parametrize("group_size", [2, 3, 5])
def test_maxrl_pushes_the_log_likelihood_of_success_to_order_g_minus_1(group_size: int) -> None:
    found, logits = expected_update("maxrl", group_size, 4, scale=True)
    series = torch.stack([pass_at(j, logits) / j for j in range(1, group_size)]).sum()
    (wanted,) = torch.autograd.grad(series, logits)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("group_size", "k"), [(3, 1), (3, 2), (5, 2), (5, 4)])
def test_pass_at_k_pushes_pass_at_k(group_size: int, k: int) -> None:
    """Before it is divided by the std: the gradient of pass@k times (1/k - 1/G)."""
    found, logits = expected_update("pass_at_k", group_size, k, scale=False)
    (wanted,) = torch.autograd.grad(pass_at(k, logits), logits)
    torch.testing.assert_close(found, wanted * (1 / k - 1 / group_size), rtol=1e-10, atol=1e-12)


# --- with what they cannot be


@pytest.mark.parametrize("estimator", OWN_ESTIMATORS)
@pytest.mark.parametrize(
    "idle",
    [
        dict(advantage_baseline="leave_one_out"),
        dict(scale_rewards="none"),
        dict(multi_objective_aggregation="normalize_then_sum"),
    ],
    ids=str,
)
def test_settings_that_would_have_no_effect_are_refused(estimator: str, idle: dict) -> None:
    (name,) = idle
    with pytest.raises(ConfigError, match=f"{name}=.* would have no effect"):
        GRPOConfig(advantage_estimator=estimator, **idle)
    with pytest.raises(ValueError, match=f"{name}=.* would have no effect"):
        group_advantages(f64([1, 0]), AdvantageRule(2, advantage_estimator=estimator, **idle))


def test_k_must_leave_something_to_compare() -> None:
    with pytest.raises(ConfigError, match=r"advantage_k=8 must be from 1 to .* 7"):
        GRPOConfig(advantage_estimator="pass_at_k", advantage_k=8)
    with pytest.raises(ValueError, match="advantage_k=4"):
        advantages_of([1, 0, 0, 0], "pass_at_k", k=4)
    assert GRPOConfig(advantage_k=8).advantage_k == 8  # where nothing reads it


def test_an_unknown_estimator_lists_the_known() -> None:
    with pytest.raises(ValueError, match="'gae' is unknown.*baseline, maxrl, pass_at_k"):
        advantages_of([1, 0], "gae")
