"""What of the files is the training: neither an evaluation, nor a rollout that was logged again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from workbench.exchange.readers import Completion
from workbench.exchange.values import ImportFileError

ENOUGH_TEXT = 200
"""Characters that the answers of an earlier step must have, each different one counted once, for
equal ones at the next step to be the same rollout: two that were sampled do not agree in so
much."""


@dataclass(frozen=True)
class Part:
    """The completions of one step in one file, in its order."""

    file: Path
    step: int
    rows: Sequence[Completion]


def apart(
    parts: Sequence[Part], source: str, patterns: Sequence[str]
) -> tuple[list[Part], list[Part]]:
    """(training, evaluation): a file is of an evaluation where its name or path matches one of
    `patterns`, and a row where its column `split` says so. Raises `ImportFileError`."""
    for pattern in patterns:
        if not any(_matches(part.file, [pattern]) for part in parts):
            raise ImportFileError(f"--evaluation {pattern!r:.100} matches none of the files.")
    training: list[Part] = []
    evaluation: list[Part] = []
    for part in parts:
        # A trainer that logs before its first step has not trained yet.
        whole = _matches(part.file, patterns) or (part.step == 0 and source == "trl")
        rows = [(one, whole or one.evaluated) for one in part.rows]
        for kept, wanted in ((training, False), (evaluation, True)):
            if chosen := [one for one, evaluated in rows if evaluated is wanted]:
                kept.append(replace(part, rows=chosen))
    return training, evaluation


def _matches(file: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatch(file.name, each) or fnmatch(file.as_posix(), each) for each in patterns)


def without_repeats(parts: Sequence[Part]) -> tuple[list[Part], list[str]]:
    """The parts without those that say again what another one said, and that in words.

    A rollout is logged again by each process that writes, in the same step, and by each pass over
    it (num_iterations, steps_per_generation), in the steps that follow. It is recognised as a
    whole: every prompt, completion, reward and advantage, in the same order. So two equal answers
    of one group are never taken for one.
    """
    by_step: dict[int, list[Part]] = defaultdict(list)
    for part in parts:
        by_step[part.step].append(part)
    kept: list[Part] = []
    again = 0
    later: list[int] = []
    before: list[tuple[Hashable, ...]] = []
    for step in sorted(by_step):
        first_of = {_said(part.rows): part for part in reversed(by_step[step])}
        once = [part for part in by_step[step] if first_of[_said(part.rows)] is part]
        again += sum(len(part.rows) for part in by_step[step]) - sum(len(p.rows) for p in once)
        now = [_said(part.rows) for part in once]
        if now == before and _tells(once):
            later.append(step)
            continue
        kept, before = kept + once, now
    return kept, _repeat_notes(again, later)


def _said(rows: Sequence[Completion]) -> tuple[Hashable, ...]:
    # As text, in which NaN is equal to NaN.
    return tuple(
        (one.prompt, one.text, repr(sorted(one.rewards.by_function.items())), repr(one.advantage))
        for one in rows
    )


def _tells(parts: Sequence[Part]) -> bool:
    """Whether equal answers could not have been sampled twice: some prompt got different ones, and
    they are long."""
    answers: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        for one in part.rows:
            answers[one.prompt].add(one.text)
    varied = [texts for texts in answers.values() if len(texts) > 1]
    return sum(len(text) for texts in varied for text in texts) >= ENOUGH_TEXT


def _repeat_notes(again: int, later: Sequence[int]) -> list[str]:
    notes = []
    if again:
        notes.append(
            f"Logged twice and kept once: {again} completions, in files that say of a step, row "
            "by row, what another file says."
        )
    if later:
        shown = ", ".join(map(str, later[:10])) + (" and more" if len(later) > 10 else "")
        notes.append(
            f"Logged again and kept once: the completions of {len(later)} steps ({shown}) are, row "
            "by row, those of the step before, as num_iterations or steps_per_generation above 1 "
            "make it."
        )
    return notes
