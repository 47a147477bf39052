"""What must hold for any rewards, tried on random ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from workbench.objective import AdvantageRule, group_advantages

BASELINES = ["group", "leave_one_out", "batch", "none"]
SCALES = ["group", "batch", "none"]
AGGREGATIONS = ["sum_then_normalize", "normalize_then_sum"]

quick = settings(max_examples=60, deadline=None)
numbers = st.integers(-30, 30).map(lambda n: n / 8)  # exact in float32, so that ties are ties


@st.composite
def reward_tables(draw: st.DrawFn, holes: bool = False) -> tuple[Tensor, int]:
    """(B, K) float64 rewards and the group size."""
    groups, size, functions = (
        draw(st.integers(1, 3)),
        draw(st.integers(2, 5)),
        draw(st.integers(1, 3)),
    )
    cell = st.one_of(numbers, st.just(float("nan"))) if holes else numbers
    rows = draw(
        st.lists(
            st.lists(cell, min_size=functions, max_size=functions),
            min_size=groups * size,
            max_size=groups * size,
        )
    )
    return torch.tensor(rows, dtype=torch.float64), size


options = st.fixed_dictionaries(
    {
        "advantage_baseline": st.sampled_from(BASELINES),
        "scale_rewards": st.sampled_from(SCALES),
        "multi_objective_aggregation": st.sampled_from(AGGREGATIONS),
        "advantage_std": st.sampled_from(["sample", "population"]),
    }
)


@quick
@given(reward_tables(holes=True), options, st.randoms(use_true_random=False))
def test_permuting_a_group_permutes_its_advantages(
    table: tuple[Tensor, int], how: dict, random
) -> None:
    rewards, size = table
    order = []
    for start in range(0, len(rewards), size):
        rows = list(range(start, start + size))
        random.shuffle(rows)
        order += rows
    expected = group_advantages(rewards, AdvantageRule(size, **how)).advantage_B[order]
    torch.testing.assert_close(
        group_advantages(rewards[order], AdvantageRule(size, **how)).advantage_B,
        expected,
        rtol=1e-9,
        atol=1e-9,
    )


@quick
@given(reward_tables(holes=True), options, st.lists(numbers, min_size=3, max_size=3))
def test_with_a_group_baseline_only_differences_within_a_group_count(
    table: tuple[Tensor, int], how: dict, shifts: list
) -> None:
    """A function's score may be shifted by a constant in one whole group."""
    rewards, size = table
    how = how | {
        "advantage_baseline": "leave_one_out"
        if how["advantage_baseline"] == "leave_one_out"
        else "group"
    }
    if how["scale_rewards"] == "batch":  # the batch's std does see shifts between groups
        how = how | {"scale_rewards": "none"}
    moved = rewards.clone()
    for i, shift in zip(range(0, len(rewards), size), shifts, strict=False):
        moved[i : i + size, 0] += shift
    torch.testing.assert_close(
        group_advantages(moved, AdvantageRule(size, **how)).advantage_B,
        group_advantages(rewards, AdvantageRule(size, **how)).advantage_B,
        rtol=1e-9,
        atol=1e-9,
    )


@quick
@given(
    reward_tables(),
    st.sampled_from(BASELINES[:3]),
    st.sampled_from(["sample", "population"]),
    st.sampled_from([0.5, 2.0, 16.0]),
)
def test_scaling_the_rewards(
    table: tuple[Tensor, int], baseline: str, std: str, factor: float
) -> None:
    """Without scaling the advantages grow with the rewards; with it they hardly change: only 1e-4
    in the divisor does."""
    rewards, size = table
    plain = {"scale_rewards": "none", "advantage_baseline": baseline, "advantage_std": std}
    torch.testing.assert_close(
        group_advantages(rewards * factor, AdvantageRule(size, **plain)).advantage_B,
        factor * group_advantages(rewards, AdvantageRule(size, **plain)).advantage_B,
        rtol=1e-9,
        atol=1e-9,
    )
    for scale in ("group", "batch"):
        if scale == "group" and baseline == "batch":
            continue  # a dead group is left unscaled there
        how = plain | {"scale_rewards": scale}
        before, after = (
            group_advantages(rewards, AdvantageRule(size, **how)).advantage_B,
            group_advantages(rewards * factor, AdvantageRule(size, **how)).advantage_B,
        )
        torch.testing.assert_close(after, before, rtol=1e-2, atol=1e-9)
        assert torch.equal(after.sign(), before.sign())


@quick
@given(
    reward_tables(holes=True),
    st.sampled_from(SCALES),
    st.sampled_from(BASELINES[:2]),
    st.sampled_from(AGGREGATIONS),
)
def test_advantages_of_a_group_add_up_to_zero(
    table: tuple[Tensor, int], scale: str, baseline: str, aggregation: str
) -> None:
    rewards, size = table
    advantages = group_advantages(
        rewards,
        AdvantageRule(
            size,
            scale_rewards=scale,
            advantage_baseline=baseline,
            multi_objective_aggregation=aggregation,
        ),
    ).advantage_B
    sums = advantages.view(-1, size).sum(1)
    torch.testing.assert_close(sums, torch.zeros_like(sums), rtol=0, atol=1e-9)


@quick
@given(reward_tables(holes=True))
def test_dead_groups_are_the_ones_whose_advantages_are_all_zero(table: tuple[Tensor, int]) -> None:
    rewards, size = table
    zero = (group_advantages(rewards, AdvantageRule(size)).advantage_B.view(-1, size) == 0).all(1)
    assert torch.equal(zero, group_advantages(rewards, AdvantageRule(size)).dead_N)


@quick
@given(reward_tables(), st.integers(0, 10**6))
def test_leave_one_out_is_a_multiple_of_the_group_baseline(
    table: tuple[Tensor, int], seed: int
) -> None:
    rewards, size = table
    group = group_advantages(rewards, AdvantageRule(size, scale_rewards="none")).advantage_B
    others = group_advantages(
        rewards, AdvantageRule(size, scale_rewards="none", advantage_baseline="leave_one_out")
    ).advantage_B
    torch.testing.assert_close(others, group * size / (size - 1), rtol=1e-9, atol=1e-9)


@quick
@given(
    reward_tables(holes=True),
    st.sampled_from(BASELINES),
    st.one_of(st.none(), st.lists(st.floats(-3, 3, width=16), min_size=3, max_size=3)),
)
def test_unscaled_advantages_are_the_total_minus_the_baseline(
    table: tuple[Tensor, int], baseline: str, weights: list[float] | None
) -> None:
    """Also where scores are missing; a completion that nothing scored has neither of the two."""
    rewards, size = table
    if weights is not None:
        weights = weights[: rewards.shape[1]]
    rule = AdvantageRule(
        size, scale_rewards="none", advantage_baseline=baseline, reward_weights=weights
    )
    found = group_advantages(rewards, rule)
    scored_B = ~rewards.isnan().all(1)
    difference_B = found.total_B - found.baseline_B
    torch.testing.assert_close(
        found.advantage_B[scored_B], difference_B[scored_B], rtol=0, atol=1e-12
    )
    assert difference_B[~scored_B].isnan().all()
    assert not found.advantage_B[~scored_B].any()


@quick
@given(reward_tables(), options)
def test_a_function_that_scored_nothing_changes_nothing(
    table: tuple[Tensor, int], how: dict
) -> None:
    rewards, size = table
    wider = torch.cat([rewards, torch.full_like(rewards[:, :1], torch.nan)], 1)
    torch.testing.assert_close(
        group_advantages(wider, AdvantageRule(size, **how)).advantage_B,
        group_advantages(rewards, AdvantageRule(size, **how)).advantage_B,
        rtol=1e-12,
        atol=1e-12,
    )


@quick
@given(
    st.integers(2, 64),
    st.floats(-1e6, 1e6, width=32),
    st.sampled_from(BASELINES[:2]),
    st.sampled_from(SCALES),
)
def test_equal_rewards_are_dead_in_float32(
    size: int, value: float, baseline: str, scale: str
) -> None:
    rewards = torch.full((size,), value, dtype=torch.float32)
    assert not group_advantages(
        rewards, AdvantageRule(size, advantage_baseline=baseline, scale_rewards=scale)
    ).advantage_B.any()
    assert group_advantages(rewards, AdvantageRule(size)).dead_N.all()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_float32_and_float64_agree(aggregation: str) -> None:
    rewards = torch.randn(32, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    narrow = group_advantages(
        rewards.float(), AdvantageRule(8, multi_objective_aggregation=aggregation)
    ).advantage_B
    torch.testing.assert_close(
        narrow.double(),
        group_advantages(
            rewards, AdvantageRule(8, multi_objective_aggregation=aggregation)
        ).advantage_B,
        rtol=1e-5,
        atol=1e-5,
    )
