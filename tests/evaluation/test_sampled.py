"""Answers with samples: what they come to, and that a killed evaluation goes on as if nothing had
happened."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.evaluation.answer_file import EvaluationError, KeptAnswers, read_answers
from workbench.evaluation.answered import (
    JUDGES,
    grouped,
    powers_of_two,
    summarize,
    verdicts,
)
from workbench.evaluation.recorded import figures_of, judged_by_all
from workbench.evaluation.sampled import HowToAnswer, answer_all, weights_digest
from workbench.policy import load_policy
from workbench.policy.policy import Policy
from workbench.rollout import make_engine
from workbench.runs import Answered
from workbench.tasks.arithmetic import arithmetic_task

HOW = HowToAnswer(samples=3, max_completion_length=6, batch_size=12)


def said(answer: str) -> str:
    return f"<think>t</think><answer>{answer}</answer>"


def two_problems() -> list[Answered]:
    easy = [said("8"), said("8.0"), said("5"), "no tags: 8"]
    hard = [said("1"), said("2"), said("3"), said("3")]
    return [
        Answered(0, "3 + 5", "8", "add", said("8"), easy),
        Answered(1, "9 - 7", "2", "subtract", "It is 2.", hard),
    ]


def test_the_figures_of_two_problems_by_hand() -> None:
    strict = summarize(verdicts(two_problems()))
    assert list(strict) == [
        "greedy", "mean@4", "maj@1", "pass@1", "maj@2", "pass@2", "maj@4", "pass@4",
    ]  # fmt: skip
    assert strict["greedy"].value == 0.5
    assert strict["mean@4"].value == strict["pass@1"].value == pytest.approx((2 / 4 + 1 / 4) / 2)
    # 8 and 8.0 are one vote, so the easy problem has a majority; the hard one's 3 is wrong.
    assert strict["maj@4"].value == 0.5
    assert strict["pass@4"].value == 1.0
    assert strict["pass@2"].value == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert strict["maj@4"].n == 2

    lenient = summarize(verdicts(two_problems(), "lenient"))
    assert lenient["greedy"].value == 1.0
    assert lenient["mean@4"].value == pytest.approx((3 / 4 + 1 / 4) / 2)


def test_the_kinds_are_counted_apart() -> None:
    kinds = grouped(verdicts(two_problems()), "kind")
    assert {kind: summarize(judged)["greedy"].value for kind, judged in kinds.items()} == {
        "add": 1.0,
        "subtract": 0.0,
    }


def test_what_could_not_be_compared_in_time_is_not_counted(monkeypatch) -> None:
    slow = "<think>t</think><answer>9^{9^9}</answer>"
    judge = JUDGES["strict"]
    in_time = replace(
        judge, right=lambda text, gold: None if text == slow else judge.right(text, gold)
    )
    monkeypatch.setitem(JUDGES, "strict", in_time)
    easy, hard = two_problems()
    one_slow = replace(hard, samples=[slow, *hard.samples[1:]])
    assert verdicts([easy, one_slow]) == verdicts([easy])
    assert len(verdicts([easy, hard])) == 2
    # Nothing known is no figure at all, in JSON too.
    nothing = summarize(verdicts([one_slow]))["greedy"]
    assert nothing.as_dict() == {"value": None, "interval": [0.0, 1.0], "n": 0}


def test_without_samples_there_is_the_greedy_figure_alone() -> None:
    greedy_alone = [replace(a, samples=[]) for a in two_problems()]
    assert list(summarize(verdicts(greedy_alone))) == ["greedy"]


@pytest.mark.parametrize(
    ("samples", "ks"), [(0, []), (1, [1]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_the_curve_ends_at_the_number_of_samples(samples: int, ks: list[int]) -> None:
    assert powers_of_two(samples) == ks


@pytest.fixture(scope="module")
def policy(tiny_folder: Path) -> Policy:
    return load_policy(tiny_folder, trainable=False)


class Dies(Exception):
    pass


def answers(policy: Policy, keep: Path | None = None, *, dies_after: int | None = None, how=HOW):
    task = arithmetic_task(0, 16, 16)
    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)

    def progress(done: int) -> None:
        if done == dies_after:
            raise Dies

    return answer_all(engine, policy, task, task.held_out, how, keep=keep, on_progress=progress)


def test_an_evaluation_that_was_broken_off_ends_as_the_other_one(policy, tmp_path) -> None:
    whole = answers(policy)
    assert [a.problem for a in whole] == list(range(16))
    assert len({text for a in whole for text in a.samples}) > 1

    keep = tmp_path / "deep" / "answers.jsonl"
    with pytest.raises(Dies):
        answers(policy, keep, dies_after=8)
    assert len(keep.read_text().splitlines()) == 1 + 8
    # The process died in the middle of the next line.
    with keep.open("a") as file:
        file.write('{"problem": 3, "ques')
    assert answers(policy, keep) == whole
    # And a third time nothing is asked any more.
    before = keep.read_bytes()
    assert answers(policy, keep) == whole
    assert keep.read_bytes() == before


def test_the_answers_of_another_evaluation_are_not_taken(policy, tmp_path) -> None:
    keep = tmp_path / "answers.jsonl"
    answers(policy, keep)
    with pytest.raises(EvaluationError, match="temperature was 1.0, is 0.5"):
        answers(policy, keep, how=replace(HOW, temperature=0.5))
    header = json.loads(keep.read_text().splitlines()[0])
    assert header["samples"] == 3
    whole = keep.read_text().splitlines()
    for lines, said in (
        (["not an answer"], "is no file of answers .line 1"),
        (["[1]"], "is no file of answers .line 1: it is a list"),
        (
            [whole[0], whole[1].replace('"greedy": "', '"greedy": 4, "x": "')],
            "line 2: it is no ans",
        ),
        ([whole[0], "{}"], "line 2: it is no answered problem"),
    ):
        keep.write_text("\n".join(lines) + "\n")
        with pytest.raises(EvaluationError, match=said):
            answers(policy, keep)
    with pytest.raises(EvaluationError, match="cannot be kept in .* directory"):
        answers(policy, tmp_path)


def test_a_batch_that_a_kill_has_torn_is_answered_whole(policy, tmp_path) -> None:
    """Several lines are written at once, and a kill may leave some of them, or half of one, or
    nothing but half the first line."""
    keep = tmp_path / "answers.jsonl"
    whole = answers(policy, keep)
    lines = keep.read_bytes().splitlines(keepends=True)
    for left in (lines[0][:20], b"".join(lines[:3]) + lines[3][:9], b"".join(lines[:7]), b""):
        keep.write_bytes(left)
        assert answers(policy, keep) == whole
        assert sorted(keep.read_bytes().splitlines(keepends=True)) == sorted(lines)
    # A line that stands twice is one answer.
    keep.write_bytes(b"".join([*lines, lines[2]]))
    assert answers(policy, keep) == whole


def test_other_weights_are_another_evaluation(policy, tiny_folder) -> None:
    other = load_policy(tiny_folder, lora=4)
    before = weights_digest(other)
    assert before != weights_digest(policy)
    other.trainable_parameters()[0].data[0, 0] += 1e-3
    assert weights_digest(other) != before


def test_the_parts_are_in_the_order_of_their_numbers() -> None:
    easy, hard = two_problems()
    levels = ["Level 10", "Level 2", "?", None]
    answered = [replace(easy, level=level) for level in levels] + [replace(hard, level="Level 2")]
    figures = figures_of(judged_by_all(answered))
    greedy = [
        (one.label, one.value, one.n)
        for one in figures
        if (one.judge, one.grouping, one.figure) == ("strict", "level", "greedy")
    ]
    assert greedy == [("Level 2", 0.5, 2), ("Level 10", 1.0, 1), ("?", 1.0, 1)]
    # What no problem has is not counted by.
    assert {one.grouping for one in figures} == {"all", "kind", "level"}


def test_what_was_kept_is_read_with_its_verdicts(policy, tmp_path) -> None:
    keep = tmp_path / "answers.jsonl"
    whole = answers(policy, keep)
    kept = read_answers(keep)
    assert kept.answers == whole
    assert (kept.asked["samples"], kept.asked["task"]) == (3, "arithmetic")
    frame = kept.frame()
    assert len(frame) == 16 * (1 + 3)
    assert frame["sample"].tolist()[:4] == [0, 1, 2, 3]
    assert frame["completion"].tolist()[:4] == [whole[0].greedy, *whole[0].samples]
    # Also while it is written, and where it comes from before there were subjects.
    lines = keep.read_text().splitlines()
    old = json.loads(lines[1])
    del old["subject"], old["level"]
    keep.write_text(f"{lines[0]}\n{json.dumps(old)}\n{lines[2][:30]}")
    assert [a.question for a in read_answers(keep).answers] == [old["question"]]


def test_the_verdicts_of_the_frame_are_the_judges() -> None:
    easy, hard = two_problems()
    text = "\ud800 It is 8."
    rows = KeptAnswers({}, [replace(easy, samples=[text]), hard]).frame()
    found = rows[["problem", "sample", "strict", "lenient"]].to_numpy().tolist()
    assert found[:3] == [[0, 0, True, True], [0, 1, False, True], [1, 0, False, True]]
    assert rows["completion"][1] == text


def test_what_is_no_file_of_answers_says_so(tmp_path) -> None:
    for text, said in (
        ("", "holds no answers yet"),
        ('{"policy": "half', "holds no answers yet"),
        ('{"question": "1"}\n', "line 1: it does not say what was asked"),
        ("[" * 100_000 + "\n", "line 1: maximum recursion|line 1: Expecting"),
    ):
        (tmp_path / "file").write_text(text)
        with pytest.raises(EvaluationError, match=said):
            read_answers(tmp_path / "file")
    with pytest.raises(EvaluationError, match="cannot be read: No such file"):
        read_answers(tmp_path / "nothing")


def test_more_samples_than_a_batch_holds_come_in_rounds(policy) -> None:
    task = arithmetic_task(0, 16, 16)
    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
    asked: list[tuple[int, int]] = []
    generate = engine.generate

    def counted(prompts, count, sampling, generator):
        asked.append((len(prompts), count))
        return generate(prompts, count, sampling, generator)

    engine.generate = counted
    how = HowToAnswer(samples=11, max_completion_length=4, batch_size=4)
    (one, two) = answer_all(engine, policy, task, task.held_out[:2], how)
    assert asked == [(1, 1), (1, 4), (1, 4), (1, 3)] * 2
    assert len(one.samples) == len(two.samples) == 11
    assert len(set(one.samples)) > 1


def test_subject_and_level_are_kept_with_the_answer(policy) -> None:
    task = arithmetic_task(0, 16, 16)
    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
    levels = [5, 2.0, 2.5, "easy", 0, None]
    asked = [
        replace(problem, subject="Algebra", level=level)
        for problem, level in zip(task.held_out, levels, strict=False)
    ]
    found = answer_all(engine, policy, task, asked, HowToAnswer(0, 4))
    assert [one.level for one in found] == ["5", "2", "2.5", "easy", "0", None]
    assert {one.subject for one in found} == {"Algebra"}


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("-3", "−3.0", True),  # a minus sign of typography; a majority had failed on negatives
        ("-3", "3", False),
        ("x = 8", "8", True),
        ("$8", "**8**", True),
        ("10/2", "5", False),  # wrong where 5 is right: not worked out
        ("1/2", r"\frac12", True),
        ("North", "north", True),
    ],
)
def test_equal_answers_are_one_vote(one: str, other: str, alike: bool) -> None:
    votes = {JUDGES["strict"].vote(said(answer), "8") for answer in (one, other)}
    assert (len(votes) == 1) == alike
