"""`check_reward`: the whole corpus on one reward function, before anything is trained on it."""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from workbench.errors import WorkbenchError
from workbench.rewards.batch import RewardFunction
from workbench.rewards.calling import RewardError
from workbench.rewards.check.attacks import ATTACKS
from workbench.rewards.check.result import RewardCheck, Row
from workbench.rewards.check.scene import FORMS, PLACE, Attempt, Maker, Scene, scene_of
from workbench.rewards.check.spellings import equal_spellings, other_spellings
from workbench.rewards.score import RewardSet, RewardWarning
from workbench.tasks import load_task
from workbench.tasks.types import Problem, Task, columns_of

Encode = Callable[[str], Sequence[int]]
"""Text to token ids."""


class RewardCheckError(WorkbenchError, ValueError):
    """A check that cannot be made as it was asked for."""


def plain_answers(scene: Scene) -> list[Attempt]:
    """The right answer and wrong ones, in the form: what every reward is measured by."""
    right = Attempt("right", scene.write(scene.gold), True)
    return [right, *(Attempt("wrong", scene.write(wrong), False) for wrong in scene.wrong)]


KINDS: dict[str, Maker] = {
    "plain answers": plain_answers,
    "equal spellings": equal_spellings,
    "other answers": other_spellings,
    **ATTACKS,
}
"""All kinds of texts, in the order of the table."""

_PIECES = re.compile(r"\w+|\s+|[^\w\s]")
_WORD_IDS = 50_000
"""How many ids there are; more than enough that two words seldom share one."""
_MORE_THAN_NOTHING = 1e-9
"""The least score that counts as paid where a reward tells nothing apart."""
_MOST_LATE = 3
"""Texts of a problem that may each take the whole time before the check gives up."""


def word_ids(text: str) -> list[int]:
    """An id for each word, sign and white space: in place of a tokenizer, for rewards that count
    tokens."""
    return [zlib.crc32(piece.encode()) % _WORD_IDS for piece in _PIECES.findall(text)]


def check_reward(
    reward: RewardFunction | str,
    task: Task | str,
    *,
    problems: int | Sequence[Problem] = 8,
    form: str | None = None,
    paid_from: float | None = None,
    encode: Encode = word_ids,
    seed: int = 0,
    timeout: float | None = 60.0,
    should_stop: Callable[[], bool] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> RewardCheck:
    """What `reward` pays: right answers in other spellings, near misses, and a corpus of attacks.

    reward       a function in TRL's signature, or what `--reward` takes
    task         a task or its name; its reward columns are handed over as in a training
    problems     how many of its training problems are drawn by `seed`, or the problems themselves
    form         how an answer is written, with "{answer}" in it; None takes, of those of `FORMS` in
                 which most problems' right answer is paid more than a wrong one, the strictest and
                 the loosest
    paid_from    the score from which on a text counts as paid; None takes, for each problem, the
                 middle between the plain right answer and the next lower score of a wrong or empty
                 one
    encode       makes `completion_ids`; by default one id for each word and sign
    timeout      seconds for the texts of one problem; a text that alone takes as long has failed

    `should_stop` is asked meanwhile, and `on_progress(done, of)` called after each problem. Raises
    `RewardError` where the plain right answer cannot be scored, `RewardCheckError`,
    `ScoringCancelledError`, and what `resolve_reward` and `load_task` raise.
    """
    if isinstance(task, str):
        task = load_task(task, seed)
    asked = _drawn(task, problems, seed)
    if form is not None and PLACE not in form:
        raise RewardCheckError(
            f"form={form!r:.80} has no {PLACE} in it: say where the answer goes."
        )
    asking = _Asking(RewardSet(reward), task, encode, timeout, should_stop)
    golds = [problem.answer for problem in asked]
    forms = {} if form is not None else _forms(asking, asked, golds)
    written = _written(forms) if form is None else (form,)
    rows: list[Row] = []
    for i, problem in enumerate(asked):
        scenes = [scene_of(problem, golds, one) for one in written]
        rows += _rows(asking, i, problem, scenes, paid_from)
        if on_progress is not None:
            on_progress(i + 1, len(asked))
    return RewardCheck(
        reward=asking.rewards.names[0],
        task=task.name,
        problems=tuple(problem.question for problem in asked),
        written=written,
        forms=forms,
        blind=_blind(rows),
        rows=tuple(rows),
    )


def _drawn(task: Task, problems: int | Sequence[Problem], seed: int) -> list[Problem]:
    if not isinstance(problems, int):
        if not problems:
            raise RewardCheckError("problems=[]: give at least one problem, or how many to draw.")
        return list(problems)
    if problems < 1:
        raise RewardCheckError(f"problems={problems}: at least one is needed.")
    count = min(problems, len(task.train))
    return [task.train[i] for i in task.draw(0, count, seed)]


def _forms(asking: _Asking, problems: Sequence[Problem], golds: Sequence[str]) -> dict[str, float]:
    """By form the share of problems for which the right answer is paid more than wrong ones."""
    told_apart: dict[str, list[bool]] = {name: [] for name in FORMS}
    for problem in problems:
        scenes = {name: scene_of(problem, golds, form) for name, form in FORMS.items()}
        texts = [text for scene in scenes.values() for text in _right_and_wrong(scene)]
        scores = iter(asking.scores(problem, texts))
        for name in scenes:
            right = next(scores).score
            wrong = next(scores).score
            told_apart[name].append(right is not None and wrong is not None and right > wrong)
    return {name: fmean(values) for name, values in told_apart.items()}


def _right_and_wrong(scene: Scene) -> tuple[str, str]:
    return scene.write(scene.gold), scene.write(scene.wrong[0])


def _written(forms: Mapping[str, float]) -> tuple[str, ...]:
    best = max(forms.values())
    names = [name for name in FORMS if forms[name] == best]
    if best == 0:
        return (FORMS[names[0]],)
    # What is loose can be attacked where it is loose, too.
    return tuple(dict.fromkeys([FORMS[names[0]], FORMS[names[-1]]]))


def _rows(
    asking: _Asking,
    index: int,
    problem: Problem,
    scenes: Sequence[Scene],
    paid_from: float | None,
) -> list[Row]:
    attempts = _attempts(scenes)
    scored = asking.scores(problem, [attempt.text for _, attempt in attempts])
    first = scored[0]
    if first.failure:
        # Without a score of the right answer there is nothing to measure by.
        name = asking.rewards.names[0]
        raise RewardError(
            f"reward function {name!r} cannot score the plain right answer {problem.answer!r:.80}: "
            f"{first.failure}",
            name,
            None,
        )
    if paid_from is None:
        paid_from = _middle(attempts, scored)
    return [
        Row(
            kind=kind,
            note=attempt.note,
            problem=index,
            question=problem.question,
            gold=problem.answer,
            text=attempt.text,
            expected=attempt.expected,
            score=found.score,
            paid_from=paid_from,
            failure=found.failure,
        )
        for (kind, attempt), found in zip(attempts, scored, strict=True)
    ]


def _attempts(scenes: Sequence[Scene]) -> list[tuple[str, Attempt]]:
    """All texts with their kinds; what is the same in two forms stands once."""
    found: dict[tuple[str, str], Attempt] = {}
    for kind, make in KINDS.items():
        for scene in scenes:
            for attempt in make(scene):
                found.setdefault((kind, attempt.text), attempt)
    return [(kind, attempt) for (kind, _), attempt in found.items()]


def _middle(attempts: Sequence[tuple[str, Attempt]], scored: Sequence[_Scored]) -> float:
    """Half-way between the plain right answer and the best paid of those plain wrong and empty
    texts that are paid less. Where none is, paid is what gets as much, and more than nothing."""
    known = [
        (attempt.expected is True, found.score)
        for (kind, attempt), found in zip(attempts, scored, strict=True)
        if kind in ("plain answers", "empty") and found.score is not None
    ]
    # A right answer that was not scored leaves the best of the others to measure by.
    right = max([score for is_right, score in known if is_right] or [s for _, s in known] or [0.0])
    less = [score for _, score in known if score < right]
    return (right + max(less)) / 2 if less else max(right, _MORE_THAN_NOTHING)


def _blind(rows: Sequence[Row]) -> int:
    """For how many problems no plain wrong answer is paid less than the right one."""
    blind = 0
    for problem in {row.problem for row in rows}:
        plain = [r for r in rows if r.problem == problem and r.kind == "plain answers"]
        right = [r.score for r in plain if r.expected and r.score is not None]
        wrong = [r.score for r in plain if not r.expected and r.score is not None]
        blind += bool(right and wrong) and min(wrong) >= max(right)
    return blind


@dataclass(frozen=True)
class _Scored:
    score: float | None
    failure: str = ""


@dataclass
class _Asking:
    """Asks the reward as a training would: messages, token ids, the columns of the problem."""

    rewards: RewardSet
    task: Task
    encode: Encode
    timeout: float | None
    should_stop: Callable[[], bool] | None
    calls: int = 0

    def scores(self, problem: Problem, texts: Sequence[str]) -> list[_Scored]:
        """The score of each text, or the error that it alone makes."""
        try:
            return [_scored(value) for value in self._call(problem, texts)]
        except RewardError:
            # Some text is at fault: each has its own call, and its own time.
            return self._alone(problem, texts)

    def _alone(self, problem: Problem, texts: Sequence[str]) -> list[_Scored]:
        found: list[_Scored] = []
        late = 0
        for text in texts:
            try:
                found.append(_scored(self._call(problem, [text])[0]))
            except RewardError as error:
                found.append(_Scored(None, _why(error)))
                # Where not even the row is known, it had not returned.
                late += error.row is None
                if late == _MOST_LATE:
                    raise
        return found

    def _call(self, problem: Problem, texts: Sequence[str]) -> list[float]:
        self.calls += 1
        columns: Mapping[str, list[Any]] = columns_of([problem] * len(texts))
        with warnings.catch_warnings():
            # What was not scored is a verdict here.
            warnings.simplefilter("ignore", RewardWarning)
            table = self.rewards.score(
                prompts=[self.task.messages(problem)] * len(texts),
                completions=[[{"role": "assistant", "content": text}] for text in texts],
                completion_ids=[list(self.encode(text)) for text in texts],
                columns=columns,
                step=self.calls,
                timeout=self.timeout,
                should_stop=self.should_stop,
            )
        values: list[float] = table.rewards_BK[:, 0].tolist()
        return values


def _why(error: RewardError) -> str:
    """What the function itself raised; else what is said of it."""
    cause = error.__cause__
    return str(error) if cause is None else f"{type(cause).__name__}: {cause}"


def _scored(value: float) -> _Scored:
    return _Scored(None if np.isnan(value) else value)
