"""Exact expectations and values: by hand on a tiny policy, and on the embedded one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from oracle_by_hand import (
    all_completions,
    plain_logp,
    reward_by_hand,
    scored_by_hand,
    tiny_policy,
)

from workbench.oracle import (
    OracleError,
    enumerate_completions,
    oracle_of,
    score_completions,
    token_logps,
    token_values,
)
from workbench.rewards import RewardSet


@pytest.fixture(scope="module")
def tiny():
    return tiny_policy()


@pytest.fixture(scope="module")
def by_hand(tiny):
    return scored_by_hand(tiny)


def test_expectations_are_sums_over_everything_that_can_be_said(tiny, by_hand):
    p = {ids: math.exp(sum(plain_logp(tiny, ids))) for ids in all_completions()}
    expected = sum(p[ids] * reward_by_hand(ids) for ids in p)
    right = sum(p[ids] for ids in p if reward_by_hand(ids) == 2)
    second = sum(p[ids] * reward_by_hand(ids) ** 2 for ids in p)
    assert by_hand.expected_reward == pytest.approx(expected, abs=1e-10)
    assert by_hand.reward_std == pytest.approx(math.sqrt(second - expected**2), abs=1e-9)
    assert by_hand.entropy == pytest.approx(-sum(q * math.log(q) for q in p.values()), abs=1e-10)
    assert by_hand.pass_at(1) == pytest.approx(right, abs=1e-10)
    assert by_hand.pass_at(4) == pytest.approx(1 - (1 - right) ** 4, abs=1e-10)
    assert by_hand.expected_reward_error == 0
    np.testing.assert_allclose(
        by_hand.advantage_C(), (by_hand.reward_C - expected) / (by_hand.reward_std + 1e-4)
    )
    with pytest.raises(OracleError, match="pass@0"):
        by_hand.pass_at(0)


def test_the_kl_is_the_sum_over_everything_and_what_is_lost_lowers_it(tiny, by_hand):
    other = tiny_policy(seed=1)
    both = [(sum(plain_logp(tiny, ids)), sum(plain_logp(other, ids))) for ids in all_completions()]
    exact = sum(math.exp(own) * (own - others) for own, others in both)
    logp_CT = token_logps(other, by_hand.enumeration)
    assert by_hand.kl_to(logp_CT.sum(1)) == pytest.approx(exact, abs=1e-8)
    assert by_hand.kl_to(by_hand.enumeration.logp_C) == 0
    coarser = [exact, by_hand.entropy]
    for mass in (0.95, 0.7):
        less = scored_by_hand(tiny, mass=mass)
        found = [less.kl_to(token_logps(other, less.enumeration).sum(1)), less.entropy]
        assert 0 < found[0] < coarser[0]
        assert 0 < found[1] < coarser[1]
        coarser = found
        # As far off as it says at most: the reward here is 0 to 2 wherever something was found.
        off = abs(less.expected_reward - by_hand.expected_reward)
        assert 0 < off <= less.expected_reward_error


def test_values_are_conditional_expectations_and_credit_adds_up(tiny, by_hand):
    values = token_values(by_hand)
    tree = by_hand.enumeration.tree
    for node in range(0, len(tree.parent_M), 7):
        prefix = tree.prefix(node)
        behind = [ids for ids in all_completions() if list(ids[: len(prefix)]) == prefix]
        p = [math.exp(sum(plain_logp(tiny, ids))) for ids in behind]
        earned = sum(q * reward_by_hand(ids) for q, ids in zip(p, behind, strict=True))
        assert values.value_M[node] == pytest.approx(earned / sum(p), abs=1e-10)
    mask_CT = by_hand.enumeration.mask_CT
    assert (np.isnan(values.credit_CT) == ~mask_CT).all()
    total_C = np.nansum(values.credit_CT, axis=1)
    np.testing.assert_allclose(
        total_C, by_hand.reward_C - by_hand.expected_reward, rtol=0, atol=1e-12
    )
    # At every prefix the credit of its tokens is 0 on average: choosing as the policy does
    # changes nothing.
    credit_M = values.value_M[1:] - values.value_M[tree.parent_M[1:]]
    mean_M = np.zeros(len(tree.parent_M))
    np.add.at(mean_M, tree.parent_M[1:], tree.probability_M[1:] * credit_M)
    np.testing.assert_allclose(mean_M, 0, atol=1e-12)


def test_a_problem_of_the_embedded_policy(embedded, arithmetic):
    problem = arithmetic.held_out[0]
    scored = oracle_of(
        embedded, arithmetic, problem, RewardSet(["answer", "format"]), max_new_tokens=48
    )
    assert scored.enumeration.complete
    assert scored.expected_reward_error <= 0.001 * 2 + 1e-9
    assert scored.names == ("answer_reward", "format_reward")
    # All of the reward and all of the right ones are in the text, hence known of each completion.
    assert (scored.rewards_CK[scored.right_C] == 1).all()
    assert 0 < scored.accuracy < 1
    assert scored.pass_at(8) > scored.accuracy
    credit_CT = token_values(scored).credit_CT
    total_C = np.nansum(credit_CT, axis=1)
    np.testing.assert_allclose(total_C, scored.reward_C - scored.expected_reward, atol=1e-9)


def test_a_completion_without_a_score_is_named(embedded, arithmetic, prompt_of):
    enumeration = enumerate_completions(embedded, prompt_of(0), mass=0.9, max_new_tokens=48)

    def silent(completions, **columns):
        return [None if i == 1 else 1.0 for i in range(len(completions))]

    with pytest.raises(OracleError, match="'silent' gave nan for the completion"):
        score_completions(
            embedded, arithmetic, arithmetic.held_out[0], enumeration, RewardSet(silent)
        )
