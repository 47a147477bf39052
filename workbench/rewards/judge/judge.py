"""A reward that a model gives by a rubric."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from workbench.rewards.functions import Completion, completion_text
from workbench.rewards.judge.prompts import REMINDER, RUBRIC, grade_in, prompt_for
from workbench.rewards.parameters import RewardSpecError

Grader = Callable[[list[str]], Sequence[str]]
"""A batch of prompts to a reply for each."""

UNREAD = "judge_replies_without_grade"
"""The metric that counts the completions of a step whose replies held no grade."""

_REMEMBERED = 65_536
"""Grades that are kept; the oldest goes first."""


class Judge:
    """The grade that `grader` gives by `rubric`, from 0 to 1; None where no reply held one.

    `grader` gets all prompts of a step at once, each different one once, and those that were graded
    before not at all. Where a reply has no grade it is asked again with a reminder, `max_tries`
    times in all; what it raises ends the step. The columns `question` and, unless
    `shows_gold=False`, `answer` go into the prompt.

    Hackable: a judge is a model, and a policy trained on it finds what it likes. Long and confident
    answers, made-up verdicts and short openings ("Thought process:") are known to be paid (arXiv
    2306.05685, 2507.08794). `workbench reward check` tries them; keep a reward that compares
    answers beside it.
    """

    def __init__(
        self,
        grader: Grader,
        rubric: str = RUBRIC,
        *,
        shows_gold: bool = True,
        max_tries: int = 3,
    ) -> None:
        if max_tries < 1 or not rubric.strip():
            raise RewardSpecError(
                f"Judge: max_tries={max_tries}, rubric={rubric!r:.80}; expected 1 or more tries "
                "and a rubric that says something."
            )
        self.grader = grader
        self.rubric = rubric
        self.shows_gold = shows_gold
        self.max_tries = max_tries
        self.__name__ = f"judge_{getattr(grader, '__name__', type(grader).__name__)}"
        self._grades: OrderedDict[str, float] = OrderedDict()

    def __call__(
        self,
        completions: Sequence[Completion],
        question: Sequence[str],
        answer: Sequence[str],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        prompts = [
            prompt_for(self.rubric, q, completion_text(c), a if self.shows_gold else None)
            for q, c, a in zip(question, completions, answer, strict=True)
        ]
        grades = self._graded(prompts)
        unread = sum(prompt not in grades for prompt in prompts)
        if unread and log_metric is not None:
            log_metric(UNREAD, unread)
        return [grades.get(prompt) for prompt in prompts]

    def _graded(self, prompts: Sequence[str]) -> dict[str, float]:
        """The grades of those prompts that have one."""
        different = list(dict.fromkeys(prompts))
        grades = {prompt: self._grades[prompt] for prompt in different if prompt in self._grades}
        for number in range(self.max_tries):
            left = [prompt for prompt in different if prompt not in grades]
            if not left:
                break
            # The same prompt again would get the same reply from a model without randomness.
            asked = left if number == 0 else [f"{prompt}\n{REMINDER}" for prompt in left]
            replies = self.grader(asked)
            if len(replies) != len(asked):
                raise ValueError(
                    f"the grader returned {len(replies)} replies for {len(asked)} prompts; "
                    "expected one for each."
                )
            read = zip(left, map(grade_in, replies), strict=True)
            grades |= {prompt: grade for prompt, grade in read if grade is not None}
        self._remember(grades)
        return grades

    def _remember(self, grades: dict[str, float]) -> None:
        self._grades.update(grades)
        while len(self._grades) > _REMEMBERED:
            self._grades.popitem(last=False)
