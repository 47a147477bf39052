"""Which groups are shown, in which order, and what counts as right, truncated, dead or found."""

from __future__ import annotations

import numpy as np
import pytest
from made_runs import make_run

from workbench.runs import Run
from workbench.widgets.groups.table import FILTERS, SORTS, TOTAL, GroupTable, chosen, right_by

REWARDS_BK = np.array(
    [
        [[1, 1], [1, 0], [0, 0]],  # group 0: live, one right
        [[0, 0], [0, 0], [0, 0]],  # group 1: dead, none right
        [[1, 1], [1, 1], [1, 1]],  # group 2: dead, all right
        [[1, np.nan], [0, 0], [1, 0]],  # group 3: live, one not scored
    ]
).reshape(12, 2)
TEXTS = [
    "alpha",
    "Beta",
    "",
    "gamma",
    "straße",
    "STRASSE",
    "delta",
    "x.y",
    "x+y",
    "<b>",
    "İstanbul",
    "end",
]


@pytest.fixture
def run(tmp_path) -> Run:
    return make_run(
        tmp_path / "a",
        steps=1,
        prompts=4,
        group=3,
        rewards=lambda step: REWARDS_BK,
        texts=lambda step: TEXTS,
        truncation=0.25,
    )


@pytest.fixture
def table(run: Run) -> GroupTable:
    return GroupTable.of(run.samples(1), run.config_at(1))


def groups_of(
    table: GroupTable,
    sort="original order",
    smallest=False,
    keep="all groups",
    by="answer_reward",
    query="",
) -> list[int]:
    return chosen(table, sort, smallest, keep, by, query)[0].tolist()


def test_the_table_is_the_record(run: Run, table: GroupTable) -> None:
    samples, groups = run.samples(1), run.groups(1)
    assert (len(table), table.G) == (4, 3)
    assert table.completion_NG.ravel().tolist() == TEXTS
    np.testing.assert_array_equal(
        table.rewards["answer_reward"].ravel(), samples["rewards/answer_reward"]
    )
    np.testing.assert_allclose(table.std_N, groups["std"])
    np.testing.assert_allclose(table.mean_N, groups["mean"])
    np.testing.assert_allclose(table.length_NG.mean(1), groups["length"])


def test_the_std_is_the_one_that_the_run_divides_by(tmp_path) -> None:
    run = make_run(tmp_path / "p", steps=1, config={"advantage_std": "population"})
    table = GroupTable.of(run.samples(1), run.config_at(1))
    np.testing.assert_allclose(table.std_N, run.groups(1)["std"])
    np.testing.assert_allclose(table.std_N, table.reward_NG.std(1))


def test_filters(table: GroupTable) -> None:
    wanted = {
        "all groups": [0, 1, 2, 3],
        "live groups only": [0, 3],
        "dead groups only": [1, 2],
        "with a right completion": [0, 2],
        "with a wrong completion": [0, 1, 3],
        "without a right completion": [1, 3],
    }
    assert {name: groups_of(table, keep=name) for name in wanted} == wanted
    truncated = groups_of(table, keep="with a truncated completion")
    assert truncated == np.flatnonzero(table.truncated_NG.any(1)).tolist() != []
    assert set(wanted) | {"with a truncated completion"} == set(FILTERS)


def test_right_and_wrong_leave_out_what_was_not_scored(table: GroupTable) -> None:
    right, wrong = table.right("answer_reward")
    assert not right[3, 0]
    assert not wrong[3, 0]
    right, wrong = table.right(TOTAL)
    assert right[3].tolist() == [True, False, True]
    assert (right ^ wrong).all()


def test_which_function_says_right() -> None:
    assert right_by(["format_reward", "answer_reward"]) == "answer_reward"
    assert right_by(["len", "is_Correct"]) == "is_Correct"
    assert right_by(["len", "style"]) == TOTAL
    assert right_by([]) == TOTAL


def test_sorting(table: GroupTable) -> None:
    assert groups_of(table) == [0, 1, 2, 3]
    assert groups_of(table, smallest=True) == [3, 2, 1, 0]
    for name in SORTS:
        key = SORTS[name](table)
        assert sorted(groups_of(table, sort=name)) == [0, 1, 2, 3]
        assert np.all(np.diff(key[groups_of(table, sort=name)]) <= 0)
        assert np.all(np.diff(key[groups_of(table, sort=name, smallest=True)]) >= 0)
    assert groups_of(table, sort="mean reward")[0] == 2
    assert groups_of(table, sort="reward spread")[0] == 0


def test_ties_keep_their_order_and_nan_comes_last(tmp_path) -> None:
    rewards = np.array([np.nan, np.nan, 1, 1, 1, 1, 0, 0.5])
    run = make_run(
        tmp_path / "a",
        steps=1,
        prompts=4,
        group=2,
        rewards=lambda step: rewards,
        reward_names=["r"],
    )
    samples = run.samples(1)
    samples.loc[0:1, "reward"] = np.nan
    table = GroupTable.of(samples, run.config_at(1))
    assert groups_of(table, sort="mean reward", by=TOTAL) == [1, 2, 3, 0]
    assert groups_of(table, sort="mean reward", by=TOTAL, smallest=True) == [3, 1, 2, 0]


@pytest.mark.parametrize(
    ("query", "groups"),
    [
        ("ALPHA", [0]),
        ("beta", [0]),
        ("strasse", [1]),
        ("x.y", [2]),
        (".", [2]),
        ("<b>", [3]),
        ("nothing of that", []),
        ("", [0, 1, 2, 3]),
    ],
)
def test_search_finds_text_in_any_case_and_no_pattern(
    table: GroupTable, query: str, groups: list[int]
) -> None:
    assert groups_of(table, query=query) == groups


def test_search_looks_into_prompts_and_answers(table: GroupTable) -> None:
    assert groups_of(table, query="what is") == [0, 1, 2, 3]
    assert groups_of(table, query=table.problem_N[2]) == [2]


def test_filter_and_search_must_hold_for_the_same_completion(table: GroupTable) -> None:
    _, matching = chosen(
        table, "original order", False, "with a right completion", "answer_reward", "beta"
    )
    assert not matching.any()
    numbers, matching = chosen(
        table, "original order", False, "with a wrong completion", "answer_reward", "beta"
    )
    assert numbers.tolist() == [0]
    assert matching.sum() == 1
