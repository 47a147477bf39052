"""Each reward function gets its own copy of all that it is given, however deep it is nested."""

from __future__ import annotations

import copy
import threading

import pytest

from workbench.rewards import RewardError, RewardSet, format_reward
from workbench.tasks.types import Problem, columns_of

RIGHT = "<think>a</think><answer>8</answer>"
PROMPTS = [[{"role": "user", "content": f"{i} + 1?"}] for i in range(4)]
COMPLETIONS = [[{"role": "assistant", "content": RIGHT}] for _ in range(4)]
COLUMNS = {
    "answer": ["8"] * 4,
    "choices": [["7", "8"] for _ in range(4)],
    "extra_info": [{"tests": [{"input": "1", "output": "2"}]} for _ in range(4)],
}


def score(functions, **changes):
    given = {"prompts": PROMPTS, "completions": COMPLETIONS, "columns": COLUMNS, "step": 3}
    return RewardSet(functions).score(**(given | changes))


def zeros(completions):
    return [0.0] * len(completions)


def edits_messages(completions, **columns):
    for messages in completions:
        messages[0]["content"] = messages[0]["content"].split("</think>")[-1]
    return zeros(completions)


def appends_messages(prompts, completions, **columns):
    for messages in (*prompts, *completions):
        messages.append({"role": "user", "content": "more"})
    return zeros(completions)


def edits_lists(completions, choices, completion_ids, **columns):
    for entries in (*choices, *completion_ids):
        entries.clear()
    return zeros(completions)


def edits_nested_dicts(completions, extra_info, **columns):
    for info in extra_info:
        info["tests"][0]["output"] = "changed"
        info["seen"] = True
    return zeros(completions)


def edits_the_trainers_state(completions, trainer_state, **columns):
    trainer_state.global_step = 99
    return zeros(completions)


async def edits_messages_later(completions, **columns):
    return edits_messages(completions)


EDITORS = [
    edits_messages,
    appends_messages,
    edits_lists,
    edits_nested_dicts,
    edits_the_trainers_state,
    edits_messages_later,
]


def test_a_function_that_edits_messages_does_not_change_what_the_next_one_scores() -> None:
    assert score([edits_messages, format_reward]).rewards_BK[:, 1].tolist() == [1.0] * 4


@pytest.mark.parametrize("editor", EDITORS)
def test_nothing_that_a_function_edits_reaches_the_others_or_the_caller(editor) -> None:
    seen = []

    def witness(prompts, completions, completion_ids, trainer_state, **columns):
        lists = (prompts, completions, completion_ids, columns["choices"], columns["extra_info"])
        seen.append(copy.deepcopy((*lists, trainer_state.global_step)))
        return zeros(completions)

    async def witness_later(**given):
        return witness(**given)

    ids = [[1, 2], [3], [4], [5, 6]]
    given = (PROMPTS, COMPLETIONS, ids, COLUMNS["choices"], COLUMNS["extra_info"])
    before = copy.deepcopy(given)
    score([editor, witness, editor, witness_later], completion_ids=ids)
    assert seen == [(*before, 3), (*before, 3)]
    assert given == before


def test_the_problems_of_the_task_stay_as_they_were() -> None:
    problem = Problem(
        "7 + 1?", "8", columns={"choices": ["7", "8"], "extra_info": {"tests": [{"output": 2}]}}
    )
    before = copy.deepcopy(problem)
    rows = [problem] * 4
    edits = lambda completions, choices, extra_info: [  # noqa: E731
        float(len(c.pop()) + bool(e.pop("tests", 0)))
        for c, e in zip(choices, extra_info, strict=True)
    ]
    table = score(edits, columns=columns_of(rows))
    assert problem == before
    # Not even the rows of one group, which are one problem: each has its copy.
    assert table.rewards_BK[:, 0].tolist() == [2.0] * 4


def test_the_search_for_the_sample_to_blame_sees_what_was_sampled() -> None:
    def edits_and_fails(completions, **columns):
        edits_messages(completions)
        return [1 / 0]

    with pytest.raises(RewardError, match="<think>a</think><answer>8</answer>"):
        score(edits_and_fails)


def test_an_entry_that_cannot_be_copied_is_named() -> None:
    locks = [threading.Lock() for _ in range(4)]
    with pytest.raises(RewardError, match="'lock' holds a lock, which cannot be copied"):
        score(lambda completions, lock: zeros(completions), columns={"lock": locks})
    # Whoever does not ask for it is not troubled by it.
    assert score(lambda completions: zeros(completions), columns={"lock": locks}).rewards_BK.size
