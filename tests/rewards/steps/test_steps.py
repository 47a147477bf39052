"""Step-reward functions: the rule for arithmetic, the splitting of other texts, and what is refused
of an answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import in_one_test

from workbench.assets import habits
from workbench.rewards import GoldError
from workbench.rewards.steps import StepRewardError, arithmetic_steps, checked_steps, split_steps
from workbench.tasks.arithmetic import draw_problems


def steps_of(text: str, answer: str = "45") -> list[tuple[str, float | None]]:
    """Each step's text and reward."""
    (steps,) = arithmetic_steps(["?"], [text], answer=[answer])
    starts = [0, *(end for end, _ in steps)][: len(steps)]
    return [(text[start:end], reward) for start, (end, reward) in zip(starts, steps, strict=True)]


def test_each_equation_and_the_answer_are_steps() -> None:
    text = "<think>7+8=15 1+2+1=5</think><answer>45</answer>"
    assert steps_of(text) == [
        ("<think>7+8=15", 1.0),
        (" 1+2+1=5", 0.0),
        ("</think><answer>45</answer>", 1.0),
    ]
    assert steps_of(text, "46")[-1][1] == 0.0


@in_one_test(
    [
        {"text": text, "rewards": rewards}
        for text, rewards in [
            ("<think>7+8=15</think><answer>45</answer><answer>45</answer>", [1, 0]),
            # Equations after the answer, or in it, are no working.
            ("<answer>40+5=45</answer>", [0]),
            ("<answer>45</answer>1+1=2 1+1=2", [1]),
            ("I say 45", [0]),
            ("30+15=45", [0]),
            ("", []),
        ]
    ]
)
def test_the_answer_is_the_last_step_of_every_text(text: str, rewards: list[float]) -> None:
    assert [reward for _, reward in steps_of(text)] == rewards


def test_a_conversations_completion_and_the_golds_errors_are_the_rewards_own() -> None:
    said = [{"role": "assistant", "content": "1+1=2"}]
    assert arithmetic_steps(["?"], [said], answer=["2"]) == [[(5, 0.0)]]
    with pytest.raises(GoldError):
        arithmetic_steps(["?"], ["1+1=2"], answer=[""])


def test_workings_that_go_wrong_by_a_wrong_choice_are_paid_for_each_step() -> None:
    """What the docstring warns of, on the embedded policy's own habits: right and wrong workings
    are right in every equation, and differ in the answer alone."""
    problems = draw_problems(60, np.random.default_rng(0), held_out=False)
    for habit, last in (("right", {1.0}), ("wrong", {0.0, 1.0})):
        texts = [habits.completion(problem, habit) for problem in problems]
        found = arithmetic_steps(["?"] * 60, texts, answer=[p.answer for p in problems])
        assert all(reward == 1 for steps in found for _, reward in steps[:-1])
        assert {steps[-1][1] for steps in found} <= last


@in_one_test(
    [
        {"text": text, "by": by, "parts": parts}
        for text, by, parts in [
            ("One. Two? Three!", "auto", ["One. ", "Two? ", "Three!"]),
            ("First line.\nSecond. Line.\n", "auto", ["First line.\n", "Second. Line.\n"]),
            ("A.\nB.\n\n  C.", "auto", ["A.\nB.\n\n  ", "C."]),
            ("\n\nA.\n\n\nB.", "auto", ["\n\nA.\n\n\n", "B."]),
            (
                "It is e.g. the sum of 3.5 and 2. So 5.5",
                "auto",
                ["It is e.g. the sum of 3.5 and 2. ", "So 5.5"],
            ),
            (
                'He said "No." Then 5 came. 6 too',
                "sentences",
                ['He said "No." ', "Then 5 came. ", "6 too"],
            ),
            ("A.\nB.\n\nC.", "lines", ["A.\n", "B.\n\n", "C."]),
            ("A.\nB.\n\nC.", "paragraphs", ["A.\nB.\n\n", "C."]),
            ("  \n \n", "auto", []),
            ("", "lines", []),
        ]
    ]
)
def test_other_texts_are_split_at_their_borders(text: str, by: str, parts: list[str]) -> None:
    ends = split_steps(text, by)
    starts = [0, *ends][: len(ends)]
    assert [text[a:b] for a, b in zip(starts, ends, strict=True)] == parts


def test_an_unknown_border_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="by='words' is unknown.*auto, paragraphs, lines"):
        split_steps("a b", by="words")


@in_one_test(
    [
        {"steps": steps, "match": match}
        for steps, match in [
            ([[(3, 1.0)]], "one entry for each of the 2 completions"),
            (None, "one entry for each"),
            ([[(3, 1.0)], [5]], r"step 0 of completion 1 is 5: expected \(end_character, reward\)"),
            ([[], [(3, "good")]], "step 0 of completion 1 is"),
            ([[(2, 1), (2, 1)], []], "must end behind character 2"),
            ([[(0, 1)], []], "must end behind character 0"),
            ([[(6, 1)], []], "the text, which has 5"),
            ([[(1, math.nan)], []], "reward nan: it must be finite"),
        ]
    ]
)
def test_step_rewards_that_do_not_fit_are_refused_with_their_place(steps, match: str) -> None:
    with pytest.raises(StepRewardError, match=match):
        checked_steps(steps, ["1+1=2", "abc"])
