"""Advantages of tokens from the rewards of steps (DeepSeekMath, section 4.1.3), by hand and against
the paper's formula written as loops."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.objective import process_advantages

NAN = math.nan
EPS = 1e-4


def f64(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def close(actual: torch.Tensor, expected: list[list[float]]) -> None:
    torch.testing.assert_close(actual, f64(expected), rtol=1e-12, atol=1e-15)


# One group of two. Completion 0: steps right, wrong, right, ending with tokens 1, 3 and 4;
# completion 1: one wrong step that ends with token 2, of its four tokens.
REWARDS = f64([[1, 0, 1], [0, NAN, NAN]])
ENDS = torch.tensor([[1, 3, 4], [2, -1, -1]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 0]]).bool()


def test_a_token_gets_the_sum_of_the_steps_that_end_at_or_after_it() -> None:
    # Rewards 1 0 1 0: mean 1/2, squares 4 x 1/4 = 1, over 3 for the sample, over 4 for all.
    unit = 0.5 / (math.sqrt(1 / 3) + EPS)
    found = process_advantages(REWARDS, ENDS, MASK, 2)
    # From the back: + for the last step, - for the middle one, + for the first.
    expected = [
        [unit, unit, 0, 0, unit, 0],
        [-unit, -unit, -unit, 0, 0, 0],
    ]
    close(found.advantage_BT, expected)
    close(found.mean_N[None], [[0.5]])
    close(found.std_N[None], [[math.sqrt(1 / 3)]])
    assert found.scored_N.tolist() == [4]
    assert found.dead_N.tolist() == [False]


def test_the_papers_std_may_be_the_populations_or_none() -> None:
    population = process_advantages(REWARDS, ENDS, MASK, 2, advantage_std="population")
    assert population.advantage_BT[0, 0].item() == pytest.approx(0.5 / (0.5 + EPS), abs=1e-15)
    centred = process_advantages(REWARDS, ENDS, MASK, 2, scale_rewards="none")
    close(centred.advantage_BT[:, :3], [[0.5, 0.5, 0.0], [-0.5, -0.5, -0.5]])


def test_the_batchs_std_is_over_all_step_rewards() -> None:
    rewards = f64([[1], [0], [4], [0]])
    ends = torch.zeros(4, 1, dtype=torch.int64)
    found = process_advantages(rewards, ends, torch.ones(4, 1), 2, scale_rewards="batch")
    std = statistics.stdev([1, 0, 4, 0]) + EPS
    close(found.advantage_BT, [[0.5 / std], [-0.5 / std], [2 / std], [-2 / std]])


def test_a_group_without_spread_gets_exactly_0() -> None:
    # The float32 mean of five times 0.7 is not 0.7: by its std this group would not be dead.
    rewards = torch.full((5, 1), 0.7)
    rewards = torch.cat([rewards, torch.tensor([[1.0], [0.0], [1.0], [1.0], [0.0]])])
    ends = torch.full((10, 1), 2)
    found = process_advantages(rewards, ends, torch.ones(10, 3), 5)
    assert found.dead_N.tolist() == [True, False]
    assert found.advantage_BT[:5].eq(0).all()
    assert found.advantage_BT[5:].ne(0).all()


def test_what_was_not_scored_counts_nowhere() -> None:
    """A step with an end and no reward neither moves the mean nor any token; a completion without a
    step gets 0; a group of neither is dead, not NaN."""
    rewards = f64([[1, NAN], [0, NAN], [NAN, NAN], [NAN, NAN]])
    ends = torch.tensor([[0, 1], [1, -1], [-1, -1], [-1, -1]])
    found = process_advantages(rewards, ends, torch.ones(4, 2), 2)
    unit = 0.5 / (math.sqrt(0.5) + EPS)
    close(found.advantage_BT, [[unit, 0], [-unit, -unit], [0, 0], [0, 0]])
    assert found.normalised_BS.isnan().tolist()[0] == [False, True]
    assert found.dead_N.tolist() == [False, True]
    assert found.scored_N.tolist() == [2, 0]


def test_two_steps_may_end_with_one_token() -> None:
    found = process_advantages(
        f64([[1, 1], [0, 0]]), torch.tensor([[1, 1], [0, 1]]), torch.ones(2, 2), 2
    )
    unit = 0.5 / (math.sqrt(1 / 3) + EPS)
    close(found.advantage_BT, [[2 * unit, 2 * unit], [-2 * unit, -unit]])


def test_one_step_at_the_end_is_outcome_supervision() -> None:
    """With one step per completion, at its last token, each token has the advantage that the group
    gives the completion."""
    from workbench.objective import AdvantageRule, group_advantages

    reward_B = torch.tensor([1.0, 0.0, 0.5, 1.0, 0.2, 0.2, 0.2, 0.2], dtype=torch.float64)
    ends = torch.full((8, 1), 4)
    found = process_advantages(reward_B[:, None], ends, torch.ones(8, 5), 4)
    outcome_B = group_advantages(reward_B, AdvantageRule(4)).advantage_B
    torch.testing.assert_close(found.advantage_BT, outcome_B[:, None].expand(8, 5))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_it_is_the_papers_formula_as_loops(data: st.DataObject) -> None:
    group = data.draw(st.integers(1, 3))
    width = data.draw(st.integers(1, 5))
    steps = st.lists(
        st.tuples(st.integers(0, width - 1), st.integers(-3, 3).map(float)), max_size=4
    )
    of_row = data.draw(st.lists(steps, min_size=2 * group, max_size=2 * group))
    most = max([1, *map(len, of_row)])
    rewards = f64([[r for _, r in row] + [NAN] * (most - len(row)) for row in of_row])
    ends = torch.tensor([[e for e, _ in row] + [-1] * (most - len(row)) for row in of_row])
    found = process_advantages(rewards, ends, torch.ones(2 * group, width), group)
    for i, row in enumerate(of_row):
        first = i // group * group
        R = [r for other in of_row[first : first + group] for _, r in other]
        spread = len(R) > 1 and max(R) > min(R)
        for t in range(width):
            total = 0.0
            if spread:
                std = statistics.stdev(R) + EPS
                total = sum((r - statistics.mean(R)) / std for e, r in row if e >= t)
            assert found.advantage_BT[i, t].item() == pytest.approx(total, abs=1e-9)


def test_what_does_not_fit_is_refused_by_name() -> None:
    def refused(match: str, **other: object) -> None:
        given = {"rewards": REWARDS, "ends": ENDS, "mask": MASK, "group": 2} | other
        options = {k: v for k, v in given.items() if k in ("advantage_std", "scale_rewards")}
        with pytest.raises(ValueError, match=match):
            process_advantages(
                given["rewards"], given["ends"], given["mask"], given["group"], **options
            )

    refused("groups of num_generations=3", group=3)
    refused("step 1 of completion 0 has the end 6", ends=torch.tensor([[1, 6, 4], [2, -1, -1]]))
    refused(
        "step 2 of completion 0 has the end -1, and a reward",
        ends=torch.tensor([[1, 3, -1], [2, -1, -1]]),
    )
    refused(r"\(B, T\)", mask=MASK[:1])
    refused("is inf", rewards=f64([[1, 0, math.inf], [0, NAN, NAN]]))
    refused("advantage_std='std'", advantage_std="std")
    refused("scale_rewards='all'", scale_rewards="all")
