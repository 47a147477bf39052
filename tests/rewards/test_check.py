"""The reward check: what each named reward is found to pay, and what is said of rewards that are
wrong in a way that is known."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from workbench.rewards import RewardError, check_reward
from workbench.rewards.check import ATTACKS, KINDS, RewardCheck, RewardCheckError, word_ids
from workbench.rewards.functions import completion_text
from workbench.tasks import load_task
from workbench.tasks.types import Problem


def anywhere(completions: Any, answer: Any, **_: Any) -> list[float]:
    """Pays wherever the gold answer stands."""
    return [float(g in completion_text(c)) for c, g in zip(completions, answer, strict=True)]


def exact(completions: Any, answer: Any, **_: Any) -> list[float]:
    """Pays one spelling in tags."""
    texts = map(completion_text, completions)
    return [float(f"<answer>{g}</answer>" in t) for t, g in zip(texts, answer, strict=True)]


def careless(completions: Any, answer: Any, **_: Any) -> list[float]:
    """Fails on whatever is no number."""
    found = [re.findall("<answer>(.*)</answer>", completion_text(c)) for c in completions]
    return [float(bool(f) and float(f[-1]) == float(g)) for f, g in zip(found, answer, strict=True)]


def kinds_of(rows: Any) -> set[str]:
    return {row.kind for row in rows}


def test_the_answer_reward_is_not_fooled() -> None:
    check = check_reward("answer", "arithmetic", problems=4)
    assert not check.false_positives
    assert not check.false_negatives
    assert not check.failures
    assert check.blind == 0
    assert check.forms["think and answer tags"] == 1
    assert check.forms["the answer is"] == 0
    assert check.reward == "answer_reward"
    assert "Nothing found" in str(check)


def test_a_reward_for_form_is_said_to_be_blind() -> None:
    check = check_reward("format", "arithmetic", problems=3)
    assert check.blind == 3
    assert "On 3 of 3 problems a plain wrong answer is paid as much" in str(check)
    # In the form everything is paid, out of it nothing.
    assert "shotgun" in kinds_of(check.false_positives)
    assert not check.false_negatives


def test_the_gold_answer_anywhere_is_paid_by_a_reward_that_only_looks_for_it() -> None:
    found = kinds_of(check_reward(anywhere, "arithmetic", problems=3).false_positives)
    assert {"shotgun", "negation", "gold quoted and denied", "repetition"} <= found
    assert "empty" not in found


def test_one_spelling_alone_makes_false_negatives() -> None:
    check = check_reward(exact, "arithmetic", problems=3)
    assert kinds_of(check.false_negatives) == {"equal spellings"}
    notes = {row.note for row in check.false_negatives}
    assert {"decimal", "in dollars", "full width"} <= notes


def test_what_makes_a_reward_fail_is_a_finding_by_text() -> None:
    check = check_reward(careless, "arithmetic", problems=2)
    assert {"negation", "stumbling blocks", "empty"} <= kinds_of(check.failures)
    failed = next(row for row in check.failures if row.note == "not")
    assert failed.failure.startswith("ValueError: could not convert string to float: 'not ")
    assert failed.verdict == "failed"
    # The texts beside them are scored all the same.
    assert check.rows[0].verdict == "as expected"


def test_a_reward_that_cannot_score_the_right_answer_is_an_error() -> None:
    def broken(completions: Any, **_: Any) -> list[float]:
        raise KeyError("solution")

    with pytest.raises(RewardError, match="cannot score the plain right answer .*KeyError"):
        check_reward(broken, "arithmetic", problems=1)


def test_a_text_that_hangs_fails_alone() -> None:
    def slow_on_brackets(completions: Any, answer: Any, **_: Any) -> list[float]:
        if any(completion_text(c).startswith("((((") for c in completions):
            time.sleep(60)
        return exact(completions, answer)

    check = check_reward(slow_on_brackets, "arithmetic", problems=1, timeout=0.3)
    assert {row.note for row in check.failures} == {"opening brackets"}
    assert "had not returned after 0.3 s" in check.failures[0].failure


def test_a_reward_that_always_hangs_ends_the_check() -> None:
    def hangs(completions: Any, **_: Any) -> list[float]:
        time.sleep(60)
        return []

    began = time.monotonic()
    with pytest.raises(RewardError, match="had not returned"):
        check_reward(hangs, "arithmetic", problems=2, timeout=0.2)
    assert time.monotonic() - began < 10


def test_none_is_not_scored() -> None:
    def only_tagged(completions: Any, answer: Any, **_: Any) -> list[float | None]:
        values = exact(completions, answer)
        tagged = ["<answer>" in completion_text(c) for c in completions]
        return [v if t else None for v, t in zip(values, tagged, strict=True)]

    check = check_reward(only_tagged, "arithmetic", problems=1)
    assert {"empty", "judge injection"} <= kinds_of(check.not_scored)
    assert all(row.paid is None and row.score is None for row in check.not_scored)


@pytest.mark.parametrize(
    ("right", "wrong", "nothing", "middle"),
    [
        (1, 0, 0, 0.5),
        (1, -1, 0, 0.5),
        (2, 1, 0, 1.5),
        (0, -1, -1, -0.5),
        # Paid alike: as much as the right answer, and more than nothing.
        (1, 1, 0, 0.5),
        (1, 1, 1, 1),
        (0, 0, 0, 1e-9),
        (-1, -1, 0, 1e-9),
    ],
)
def test_paid_is_from_the_middle_between_right_and_wrong_on(
    right: float, wrong: float, nothing: float, middle: float
) -> None:
    def graded(completions: Any, answer: Any, **_: Any) -> list[float]:
        texts = list(map(completion_text, completions))
        is_right = exact(completions, answer)
        return [
            nothing if "<answer>" not in t or "<answer></" in t else right if r else wrong
            for t, r in zip(texts, is_right, strict=True)
        ]

    check = check_reward(graded, "arithmetic", problems=1, form="<answer>{answer}</answer>")
    assert {row.paid_from for row in check.rows} == {middle}
    assert check.rows[0].paid == (right >= middle)
    assert check.rows[1].paid == (wrong >= middle)
    assert check.blind == (wrong >= right)


def test_the_middle_and_the_form_can_be_given() -> None:
    check = check_reward(
        exact, "arithmetic", problems=1, form="<answer>{answer}</answer>", paid_from=2
    )
    assert not [row for row in check.rows if row.paid]
    assert check.written == ("<answer>{answer}</answer>",)
    assert check.forms == {}
    with pytest.raises(RewardCheckError, match=r"has no \{answer\}"):
        check_reward(exact, "arithmetic", form="<answer></answer>")


def test_problems_are_counted_or_given() -> None:
    own = [Problem("What is 1 + 1?", "2"), Problem("And 2 + 2?", "4")]
    check = check_reward("answer", "arithmetic", problems=own)
    assert check.problems == ("What is 1 + 1?", "And 2 + 2?")
    assert {row.gold for row in check.rows} == {"2", "4"}
    for wrong in (0, []):
        with pytest.raises(RewardCheckError, match="at least one"):
            check_reward("answer", "arithmetic", problems=wrong)


def test_a_reward_gets_what_a_training_gives_it() -> None:
    seen: dict[str, Any] = {}

    def looks(prompts: Any, completions: Any, completion_ids: Any, **columns: Any) -> list[float]:
        seen.update(columns, prompts=prompts, ids=completion_ids, completions=completions)
        return [0.0] * len(completions)

    task = load_task(
        [{"question": f"{i} + 1?", "answer": str(i + 1), "rule": "r"} for i in range(9)]
    )
    check_reward(looks, task, problems=1)
    size = len(seen["completions"])
    assert seen["rule"] == ["r"] * size
    assert seen["prompts"][0][-1] == {"role": "user", "content": seen["question"][0]}
    assert seen["completions"][0][0]["role"] == "assistant"
    assert seen["ids"] == [word_ids(c[0]["content"]) for c in seen["completions"]]


def test_word_ids_are_the_same_for_the_same_word() -> None:
    assert len(word_ids("a b, a")) == 6
    first, space, _, comma, _, again = word_ids("a b, a")
    assert first == again
    assert len({first, space, comma}) == 3


def test_progress_and_json() -> None:
    seen: list[tuple[int, int]] = []
    check = check_reward(
        "answer", "arithmetic", problems=2, on_progress=lambda done, of: seen.append((done, of))
    )
    assert seen == [(1, 2), (2, 2)]
    values = json.loads(json.dumps(check.to_dict()))
    assert values["texts"] == len(check.rows) == len(check.frame()) == len(values["rows"])
    assert sum(kind["texts"] for kind in values["kinds"]) == len(check.rows)
    assert [kind["kind"] for kind in values["kinds"]] == list(KINDS)


def test_every_attack_makes_texts_that_should_not_be_paid() -> None:
    check = check_reward("answer", "arithmetic", problems=1)
    for kind in ATTACKS:
        rows = [row for row in check.rows if row.kind == kind]
        assert rows
        assert not [row for row in rows if row.expected is True]
        assert [row for row in rows if row.expected is False]


def test_the_sums_of_the_table_are_those_of_the_rows() -> None:
    check: RewardCheck = check_reward(anywhere, "arithmetic", problems=2)
    counts = check.counts()
    assert sum(c.false_positives for c in counts) == len(check.false_positives)
    assert sum(c.paid for c in counts) == sum(row.paid is True for row in check.rows)
    last = str(check).split("\n")[-3]
    assert last.split()[:2] == ["all", str(len(check.rows))]


# ----------------------------------------------------------------------------- public reports


def in_either_direction(completions: Any, answer: Any, **_: Any) -> list[float]:
    """Liuziyu77/Visual-RFT#176: the policy learned to answer with nothing."""
    given = [
        (re.findall("<answer>(.*?)</answer>", completion_text(c)) or ["?"]) for c in completions
    ]
    return [float(g in a[0] or a[0] in g) for a, g in zip(given, answer, strict=True)]


def holds_the_gold(completions: Any, answer: Any, **_: Any) -> list[float]:
    """PrimeIntellect-ai/verifiers#763 (1 is in 21) and Visual-RFT#79 (A or B or C)."""
    given = [
        (re.findall("<answer>(.*?)</answer>", completion_text(c)) or [""]) for c in completions
    ]
    return [float(g in a[0]) for a, g in zip(given, answer, strict=True)]


def one_where_the_gold_is_not_read(completions: Any, answer: Any, **_: Any) -> list[float]:
    """huggingface/cookbook#335: golds that are no LaTeX are not read, and then all is right."""
    return [float("$" not in g) for g, _ in zip(answer, completions, strict=True)]


def far_from_twenty(completions: Any, **_: Any) -> list[float]:
    """huggingface/trl#2771: meant to ask for 20 characters, with the sign turned round."""
    return [abs(20 - len(completion_text(c))) / 1000 for c in completions]


@pytest.mark.parametrize(
    ("reward", "kind", "note"),
    [
        (in_either_direction, "empty", "the form around nothing"),
        (holds_the_gold, "other answers", "times ten and one"),
        (holds_the_gold, "shotgun", "joined by or"),
        (one_where_the_gold_is_not_read, "plain answers", "wrong"),
        (far_from_twenty, "padding", "words before"),
    ],
)
def test_what_people_reported_after_a_training_is_found_before(
    reward: Any, kind: str, note: str
) -> None:
    check = check_reward(reward, "arithmetic", problems=3)
    assert (kind, note) in {(row.kind, row.note) for row in check.false_positives}


@pytest.mark.parametrize("reward", ["answer", "lenient_answer"])
def test_our_rewards_have_none_of_these_on_any_kind_of_gold(reward: str) -> None:
    golds = ["42", "-5", "1080", "3/4", "2.5", "0", "Paris", "B", "12:00", "50%", "$5", "x^2+1"]
    golds += ["3, 5", "(1, 2)", "text:}}{{", "London town", "5 apples"]
    task = load_task([{"question": f"Question {i}?", "answer": a} for i, a in enumerate(golds)])
    check = check_reward(reward, task, problems=len(golds))
    assert not [(row.gold, row.text) for row in check.false_positives]
    assert not [(row.gold, row.text) for row in check.false_negatives]
