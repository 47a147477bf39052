"""All 8,792 gold answers of GSM8K: right in every accepted form, wrong in every wrong one."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from workbench.rewards import lenient_correct, strict_correct
from workbench.tasks import Problem, load_task

FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")

ANSWERS: dict[str, Callable[[int], str]] = {
    "plain": lambda g: f"{g}",
    "thousands": lambda g: f"{g:,}",
    "decimal": lambda g: f"{g}.0",
    "decimal and thousands": lambda g: f"{g:,}.00",
    "leading zero": lambda g: f"{g:05d}",
    "plus sign": lambda g: f"{g:+d}",
    "true minus": lambda g: f"{g}".replace("-", "−"),
    "full stop": lambda g: f"{g}.",
    "dollars": lambda g: f"${g}".replace("$-", "-$"),
    "units": lambda g: f"{g} dollars",
    "percent": lambda g: f"{g}%",
    "bold": lambda g: f"**{g}**",
    "formula": lambda g: f"${g}$",
    "round brackets of LaTeX": lambda g: f"\\({g}\\)",
    "box": lambda g: f"\\boxed{{{g}}}",
    "text command": lambda g: f"\\text{{{g}}}",
    "LaTeX thousands": lambda g: f"{g:,}".replace(",", "{,}"),
    "variable": lambda g: f"x = {g}",
    "full width": lambda g: f"{g}".translate(FULL_WIDTH),
    "power of ten": lambda g: f"{g}00e-2",
    "product with a power": lambda g: f"{g} \\times 10^{{0}}",
    "announced": lambda g: f"The answer is {g}",
}
"""How a policy may write the gold g between the answer tags."""

TEXTS: dict[str, Callable[[int], str]] = {
    "GSM8K's mark": lambda g: f"First 3, then 7.\n#### {g}",
    "its mark, thousands": lambda g: f"First 3, then 7.\n#### {g:,}",
    "box": lambda g: f"We add 3 and 7, hence $\\boxed{{{g}}}$.",
    "the answer is": lambda g: f"We add 3 and 7. The answer is {g}.",
    "final answer, bold": lambda g: f"**Final Answer:** **{g}**",
    "answer with a reason": lambda g: f"The answer is {g}, because 3 and 7 were counted before.",
    "last bold": lambda g: f"After 3 and 7 come **{g}**.",
    "last number": lambda g: f"After 3 and 7 she has {g}.",
    "last sum": lambda g: f"That is {g - 3} + 3 = {g}",
    "only tags": lambda g: f"It is <answer>{g}</answer> after 7.",
    "after the thought": lambda g: f"<think>It is {g + 1}.</think>\n\nIt is {g}.",
}
"""How it may write it with no format at all, for the lenient reward alone."""

WRONG: dict[str, Callable[[int], str]] = {
    "one more": lambda g: f"{g + 1}",
    "one less": lambda g: f"{g - 1:,}",
    "one digit more": lambda g: f"{g}1",
    "a half more": lambda g: str(float(Fraction(2 * g + 1, 2))),
    "two answers": lambda g: f"{g} or {g + 1}",
}
"""Five wrong answers, each close to the gold."""


@pytest.fixture(scope="module")
def problems(shared: Path) -> list[Problem]:
    task = load_task(shared / "data" / "gsm8k" / "train.jsonl")
    assert len(task.train) + len(task.held_out) == 8792
    return [*task.train, *task.held_out]


@pytest.fixture(scope="module")
def golds(problems: list[Problem]) -> list[int]:
    """The different ones: what is paid is a function of text and gold alone."""
    return sorted({int(problem.answer) for problem in problems})


def _in_format(answer: str) -> str:
    return f"<think>3 and 7.</think>\n<answer>{answer}</answer>"


@pytest.mark.slow
def test_every_gold_is_right_in_every_form_and_wrong_in_every_wrong_one(golds: list[int]) -> None:
    verdicts = 0
    offenders = []
    for gold in golds:
        for forms, right in ((ANSWERS, True), (WRONG, False)):
            for name, form in forms.items():
                text = _in_format(form(gold))
                for judge in (strict_correct, lenient_correct):
                    verdicts += 1
                    if judge(text, str(gold)) is not right:
                        offenders.append((judge.__name__, name, text))
    assert not offenders, (len(offenders), offenders[:5])
    assert verdicts == len(golds) * (len(ANSWERS) + len(WRONG)) * 2


@pytest.mark.slow
def test_every_gold_is_found_without_a_format_and_a_wrong_one_is_not(golds: list[int]) -> None:
    offenders = []
    for gold in golds:
        for name, form in TEXTS.items():
            text = form(gold)
            if lenient_correct(text, str(gold)) is not True:
                offenders.append((name, text))
            # What pays for any number pays for the next one.
            if lenient_correct(text, str(gold + 2)) is not False:
                offenders.append((f"{name}, for {gold + 2}", text))
            if strict_correct(text, str(gold)) is not False:
                offenders.append((f"{name}, strictly", text))
    assert not offenders, (len(offenders), offenders[:5])


def test_every_worked_solution_is_paid_leniently_and_no_other_gold_is(
    problems: list[Problem],
) -> None:
    offenders = []
    for problem in problems:
        text = problem.columns["solution"]
        if lenient_correct(text, problem.answer) is not True:
            offenders.append(text)
        if lenient_correct(text, f"{int(problem.answer) + 1}") is not False:
            offenders.append(text)
    assert not offenders, (len(offenders), offenders[:5])
