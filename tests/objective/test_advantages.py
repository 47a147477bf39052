"""Advantages against hand-computed values: baselines, scales, aggregation, missing scores, dead
groups, errors."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.objective import AdvantageRule, group_advantages

NAN = math.nan
EPS = 1e-4


def f64(*values: float | list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(actual: Tensor, *expected: float) -> None:
    torch.testing.assert_close(actual, f64(*expected), rtol=1e-12, atol=1e-15)


TWO_GROUPS = f64(1, 2, 3, 6, 0, 0, 0, 4)  # means 3 and 1; deviations -2 -1 0 3 | -1 -1 -1 3
STD_1, STD_2 = math.sqrt(14 / 3), 2.0
STD_BATCH = math.sqrt((1 + 0 + 1 + 16 + 4 + 4 + 4 + 4) / 7)  # around 2


def test_scale_group_divides_by_each_groups_sample_std() -> None:
    expected = [d / (STD_1 + EPS) for d in (-2, -1, 0, 3)] + [
        d / (STD_2 + EPS) for d in (-1, -1, -1, 3)
    ]
    close(group_advantages(TWO_GROUPS, AdvantageRule(4)).advantage_B, *expected)


def test_population_std_divides_by_g() -> None:
    expected = [d / (math.sqrt(14 / 4) + EPS) for d in (-2, -1, 0, 3)] + [
        d / (math.sqrt(3) + EPS) for d in (-1, -1, -1, 3)
    ]
    close(
        group_advantages(TWO_GROUPS, AdvantageRule(4, advantage_std="population")).advantage_B,
        *expected,
    )


def test_scale_batch_and_none() -> None:
    deviations = (-2, -1, 0, 3, -1, -1, -1, 3)
    close(
        group_advantages(TWO_GROUPS, AdvantageRule(4, scale_rewards="batch")).advantage_B,
        *[d / (STD_BATCH + EPS) for d in deviations],
    )
    close(
        group_advantages(TWO_GROUPS, AdvantageRule(4, scale_rewards="none")).advantage_B,
        *deviations,
    )


def test_leave_one_out_subtracts_the_mean_of_the_others() -> None:
    # group 1 of 1 2 3 6: the others' means are 11/3, 10/3, 3, 2
    expected = (1 - 11 / 3, 2 - 10 / 3, 0, 4, -4 / 3, -4 / 3, -4 / 3, 4)
    close(
        group_advantages(
            TWO_GROUPS, AdvantageRule(4, scale_rewards="none", advantage_baseline="leave_one_out")
        ).advantage_B,
        *expected,
    )


def test_batch_baseline_whitens_over_the_batch() -> None:
    expected = [(r - 2) / (STD_BATCH + EPS) for r in (1, 2, 3, 6, 0, 0, 0, 4)]
    close(
        group_advantages(
            TWO_GROUPS, AdvantageRule(4, scale_rewards="batch", advantage_baseline="batch")
        ).advantage_B,
        *expected,
    )


def test_no_baseline_keeps_the_reward() -> None:
    close(
        group_advantages(
            TWO_GROUPS, AdvantageRule(4, scale_rewards="none", advantage_baseline="none")
        ).advantage_B,
        *TWO_GROUPS.tolist(),
    )


def test_weights_and_sum_over_functions() -> None:
    rewards = f64([1, 10], [0, 20], [1, 0], [0, 30])  # weighted 2a + 0.1b: 3, 2, 2, 3
    close(group_advantages(rewards, AdvantageRule(4, reward_weights=[2, 0.1])).total_B, 3, 2, 2, 3)
    close(
        group_advantages(
            rewards, AdvantageRule(4, reward_weights=[2, 0.1], scale_rewards="none")
        ).advantage_B,
        0.5,
        -0.5,
        -0.5,
        0.5,
    )


def test_normalize_then_sum_gives_each_function_the_same_voice() -> None:
    """GDPO: a reward of 0/1 and one of 0/100 count alike, where their sum would drown the first."""
    small, large = [1, 0, 1, 0], [100, 100, 0, 0]
    rewards = torch.stack([f64(*small), f64(*large)], 1)
    root = math.sqrt(1 / 3)  # sample std of 1 0 1 0
    a, b = 0.5 / (root + EPS), 50 / (100 * root + EPS)
    sums = [a + b, -a + b, a - b, -a - b]
    spread = math.sqrt(sum(s * s for s in sums) / 3) + EPS
    close(
        group_advantages(
            rewards, AdvantageRule(4, multi_objective_aggregation="normalize_then_sum")
        ).advantage_B,
        *[s / spread for s in sums],
    )


def test_normalize_then_sum_takes_no_notice_of_scale_rewards() -> None:
    rewards = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    results = [
        group_advantages(
            rewards,
            AdvantageRule(4, multi_objective_aggregation="normalize_then_sum", scale_rewards=s),
        ).advantage_B
        for s in ("group", "batch", "none")
    ]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


# --- dead groups


@pytest.mark.parametrize("value", [0.7, 1 / 3, 0.1, 1e8, 0.0])
@pytest.mark.parametrize("size", [2, 3, 7, 8, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("baseline", ["group", "leave_one_out"])
@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_equal_rewards_give_exactly_zero(
    value: float, size: int, dtype: torch.dtype, baseline: str, aggregation: str
) -> None:
    rewards = torch.cat([torch.full((size,), value), torch.arange(size) * 0.37]).to(dtype)
    for scale in ("group", "batch", "none"):
        advantages = group_advantages(
            rewards,
            AdvantageRule(
                size,
                scale_rewards=scale,
                advantage_baseline=baseline,
                multi_objective_aggregation=aggregation,
            ),
        ).advantage_B
        assert advantages.dtype == dtype
        assert not advantages[:size].any()
        assert advantages[size:].any()


@pytest.mark.parametrize("value", [0.7, 1 / 3, 0.1])
@pytest.mark.parametrize("size", [4, 7, 8, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_scores_with_one_missing_are_dead_too(
    value: float, size: int, dtype: torch.dtype
) -> None:
    """What stands in for the missing score is the others' mean, and that must be their value to the
    bit."""
    rewards = torch.full((size, 2), value, dtype=dtype)
    rewards[1, 0] = NAN
    assert group_advantages(rewards, AdvantageRule(size)).dead_N.all()
    for baseline in ("group", "leave_one_out"):
        assert not group_advantages(
            rewards, AdvantageRule(size, advantage_baseline=baseline)
        ).advantage_B.any()


def test_a_group_is_dead_when_the_weighted_sums_are_equal() -> None:
    rewards = f64([1, 0], [0, 1], [1, 0], [0, 1])
    assert not group_advantages(rewards, AdvantageRule(4)).advantage_B.any()
    assert group_advantages(rewards, AdvantageRule(4, reward_weights=[1, 0.5])).advantage_B.any()


def test_a_dead_group_without_a_group_baseline_is_left_unscaled() -> None:
    rewards = f64(1, 1, 0, 4)  # batch mean 1.5
    close(
        group_advantages(rewards, AdvantageRule(2, advantage_baseline="none")).advantage_B[:2], 1, 1
    )
    close(
        group_advantages(rewards, AdvantageRule(2, advantage_baseline="batch")).advantage_B[:2],
        -0.5,
        -0.5,
    )


def test_statistics_of_groups() -> None:
    stats = group_advantages(torch.cat([TWO_GROUPS, f64(0.7, 0.7, 0.7, 0.7)]), AdvantageRule(4))
    close(stats.mean_N, 3, 1, 0.7)
    close(stats.std_N, STD_1, STD_2, 0)
    assert stats.dead_N.tolist() == [False, False, True]
    assert stats.scored_N.tolist() == [4, 4, 4]
    close(
        group_advantages(TWO_GROUPS, AdvantageRule(4, advantage_std="population")).std_N,
        math.sqrt(3.5),
        math.sqrt(3),
    )


# --- missing scores


def test_a_missing_score_is_neither_punished_nor_praised() -> None:
    """Function 2 gave 5 to everyone it scored: whoever it left out must not fall behind for
    that."""
    rewards = f64([1, 5], [0, 5], [1, NAN], [0, 5])
    close(
        group_advantages(rewards, AdvantageRule(4, scale_rewards="none")).advantage_B,
        0.5,
        -0.5,
        0.5,
        -0.5,
    )
    torch.testing.assert_close(
        group_advantages(rewards, AdvantageRule(4)).advantage_B,
        group_advantages(rewards[:, :1], AdvantageRule(4)).advantage_B,
    )
    assert group_advantages(rewards, AdvantageRule(4)).total_B.tolist() == [6, 5, 6, 5]


def test_missing_scores_are_centred_function_by_function() -> None:
    rewards = f64([1, 2], [3, NAN], [NAN, 6], [5, 7])  # means 3 and 5
    close(
        group_advantages(rewards, AdvantageRule(4, scale_rewards="none")).advantage_B,
        -2 - 3,
        0,
        1,
        2 + 2,
    )
    # leave one out: of 3 scores each, so 3/2 of the distance to the mean
    close(
        group_advantages(
            rewards, AdvantageRule(4, scale_rewards="none", advantage_baseline="leave_one_out")
        ).advantage_B,
        -7.5,
        0,
        1.5,
        6,
    )
    close(
        group_advantages(
            rewards, AdvantageRule(4, scale_rewards="none", advantage_baseline="none")
        ).advantage_B,
        3,
        8,
        9,
        12,
    )
    # filled sums 3 8 9 12: sample std of deviations -5 0 1 4
    close(
        group_advantages(rewards, AdvantageRule(4)).advantage_B,
        *[d / (math.sqrt(42 / 3) + EPS) for d in (-5, 0, 1, 4)],
    )


def test_a_completion_that_nothing_scored_is_left_out() -> None:
    with_hole = group_advantages(f64(1, NAN, 0, 3), AdvantageRule(4)).advantage_B
    without = group_advantages(f64(1, 0, 3), AdvantageRule(3)).advantage_B
    assert with_hole[1] == 0
    torch.testing.assert_close(with_hole[[0, 2, 3]], without, rtol=0, atol=0)
    for baseline in ("group", "leave_one_out", "batch", "none"):
        assert (
            group_advantages(
                f64([NAN, NAN], [1, 2], [3, 0], [3, 4]),
                AdvantageRule(4, advantage_baseline=baseline),
            ).advantage_B[0]
            == 0
        )
    both = group_advantages(
        f64([NAN, NAN], [1, 2], [3, 0], [3, 4]),
        AdvantageRule(4, multi_objective_aggregation="normalize_then_sum"),
    ).advantage_B
    torch.testing.assert_close(
        both[1:],
        group_advantages(
            f64([1, 2], [3, 0], [3, 4]),
            AdvantageRule(3, multi_objective_aggregation="normalize_then_sum"),
        ).advantage_B,
    )


@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
@pytest.mark.parametrize("baseline", ["group", "leave_one_out", "batch", "none"])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_a_group_that_nothing_scored_gets_zero(aggregation: str, baseline: str, scale: str) -> None:
    rewards = f64([NAN, NAN], [NAN, NAN], [1, NAN], [0, NAN])
    advantages = group_advantages(
        rewards,
        AdvantageRule(
            2,
            multi_objective_aggregation=aggregation,
            advantage_baseline=baseline,
            scale_rewards=scale,
        ),
    ).advantage_B
    assert advantages.isfinite().all()
    assert not advantages[:2].any()
    assert advantages[2] > advantages[3]


def test_statistics_with_holes() -> None:
    stats = group_advantages(f64([NAN, NAN], [NAN, NAN], [1, 5], [NAN, 5]), AdvantageRule(2))
    assert stats.scored_N.tolist() == [0, 2]
    assert stats.dead_N.tolist() == [True, True]
    assert math.isnan(stats.mean_N[0])
    assert stats.mean_N[1] == 6
    assert stats.std_N.tolist() == [0, 0]


def test_one_score_in_a_group_says_nothing() -> None:
    assert not group_advantages(f64(1, NAN, NAN, NAN), AdvantageRule(4)).advantage_B.any()


# --- what was subtracted from what


@pytest.mark.parametrize(
    ("baseline", "subtracted"),
    [("group", 2 / 3), ("leave_one_out", 0.5), ("batch", 2 / 3), ("none", 0)],
)
def test_the_baseline_is_the_one_that_was_subtracted(baseline: str, subtracted: float) -> None:
    """A mean that counts the missing score as a fourth one would be 0.556 under leave_one_out."""
    rule = AdvantageRule(4, scale_rewards="none", advantage_baseline=baseline)
    found = group_advantages(f64(1, NAN, 0, 1), rule)
    assert found.baseline_B[0] == pytest.approx(subtracted, abs=1e-15)
    assert found.total_B[1].isnan()
    assert found.baseline_B[1].isnan()
    assert found.advantage_B[1] == 0
    close(found.advantage_B[:1], 1 - subtracted)


def test_a_partly_scored_completion_has_the_total_that_was_compared() -> None:
    rewards = f64([1, 2], [3, NAN], [NAN, 6], [5, 7])  # means 3 and 5
    found = group_advantages(rewards, AdvantageRule(4, scale_rewards="none"))
    close(found.total_B, 3, 8, 9, 12)
    close(found.baseline_B, 8, 8, 8, 8)
    rule = AdvantageRule(4, scale_rewards="none", advantage_baseline="leave_one_out")
    # the others' means: 4 and 6.5; 3 and the filled-in 5; the filled-in 3 and 4.5; 2 and 4
    close(group_advantages(rewards, rule).baseline_B, 10.5, 8, 7.5, 6)


def test_dead_is_what_was_compared() -> None:
    """Sums that are equal, of functions that are not: alive where each one is normalised first."""
    rewards = f64([1, 0], [0, 2], [1, 0], [0, 2]) * f64([1, 0.5])
    assert group_advantages(rewards, AdvantageRule(4)).dead_N.all()
    rule = AdvantageRule(4, multi_objective_aggregation="normalize_then_sum")
    uneven = f64([1, 0], [0, 1], [0, 1], [0, 1])
    assert group_advantages(uneven, AdvantageRule(4)).dead_N.all()
    gdpo = group_advantages(torch.cat([uneven, f64([0, 0], [0, 0], [0, 0], [1, 0])]), rule)
    assert gdpo.dead_N.tolist() == [True, False]
    weighted = dataclasses.replace(rule, reward_weights=[1, 2])
    assert not group_advantages(uneven, weighted).dead_N.any()


def test_a_rule_has_the_names_and_defaults_of_the_config() -> None:
    config = GRPOConfig(num_generations=4)
    assert AdvantageRule(**{f.name: getattr(config, f.name) for f in fields(AdvantageRule)}) == (
        AdvantageRule(4)
    )
    found = group_advantages(TWO_GROUPS, config)
    assert torch.equal(
        found.advantage_B, group_advantages(TWO_GROUPS, AdvantageRule(4)).advantage_B
    )


# --- dtype and errors


def test_dtype_is_kept_and_integers_are_taken() -> None:
    assert group_advantages(torch.rand(4), AdvantageRule(4)).advantage_B.dtype == torch.float32
    assert (
        group_advantages(torch.rand(4).double(), AdvantageRule(4)).advantage_B.dtype
        == torch.float64
    )
    assert group_advantages(
        torch.tensor([1, 0, 0, 1]), AdvantageRule(4, scale_rewards="none")
    ).advantage_B.tolist() == [
        0.5,
        -0.5,
        -0.5,
        0.5,
    ]


@pytest.mark.parametrize(
    ("rewards", "size", "options", "message"),
    [
        (f64(1, 2, 3), 2, {}, "3 rewards cannot be split into groups of num_generations=2"),
        (f64(1, 2), 0, {}, "num_generations=0"),
        (f64(1, 2), 1, {}, "a group of one"),
        (f64(1, 2), 1, {"advantage_baseline": "leave_one_out"}, "a group of one"),
        (torch.zeros(2, 2, 2), 2, {}, r"shape \(2, 2, 2\)"),
        (torch.zeros(0), 2, {}, "not empty"),
        (f64(1, math.inf), 2, {}, "completion 1 by function 0 is inf"),
        (f64([1, 1], [-math.inf, 1]), 2, {}, "completion 1 by function 0 is -inf"),
        (f64(1, 2), 2, {"reward_weights": [1, 1]}, "1 reward functions need as many weights"),
        (f64(1, 2), 2, {"reward_weights": [NAN]}, "must be finite"),
        (f64(1, 2), 2, {"scale_rewards": "std"}, "scale_rewards='std' is unknown"),
        (f64(1, 2), 2, {"advantage_baseline": "median"}, "baseline='median' is unknown"),
        (f64(1, 2), 2, {"multi_objective_aggregation": "max"}, "aggregation='max' is unknown"),
        (f64(1, 2), 2, {"advantage_std": "n"}, "std='n' is unknown"),
    ],
)
def test_errors_say_what_is_wrong(rewards: Tensor, size: int, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        group_advantages(rewards, AdvantageRule(size, **options))


def test_a_group_of_one_is_fine_without_a_group_baseline() -> None:
    close(
        group_advantages(
            f64(1, 3), AdvantageRule(1, advantage_baseline="batch", scale_rewards="none")
        ).advantage_B,
        -1,
        1,
    )
