"""`import_completions`: files of another trainer as a run record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.exchange.files import files_of, parts_of
from workbench.exchange.grouping import (
    evaluation_figures,
    figures_of,
    group_size,
    in_whole_groups,
    samples_of,
)
from workbench.exchange.readers import READERS, Completion
from workbench.exchange.rewards import RewardColumns, reward_notes
from workbench.exchange.sorting import Part, apart, without_repeats
from workbench.exchange.tokens import Vocabulary, arrays_of, check_one_kind
from workbench.exchange.values import ImportFileError
from workbench.exchange.words import evaluation_note, missing, token_notes
from workbench.runs import Event, RunWriter, StepRecord

MOST_EMPTY_STEPS = 20_000
"""Steps between those of the files that the record holds without completions."""

Steps = dict[int, list[Completion]]


@dataclass(frozen=True)
class Imported:
    """What came of an import."""

    path: Path
    """The run's folder."""

    steps: tuple[int, ...]
    """The steps that have completions."""

    completions: int

    notes: tuple[str, ...]
    """What was guessed, is missing or was left out, a sentence each; they stand in the record
    too."""


def import_completions(
    files: Sequence[str | Path],
    source: str,
    out: str | Path,
    *,
    name: str = "",
    policy: str = "",
    rewards: Sequence[str] = (),
    total: str | None = None,
    evaluation: Sequence[str] = (),
) -> Imported:
    """Write a record at `out` of the completions in `files` (or folders of them), which `source`, a
    key of `READERS`, wrote.

    rewards      the columns that are rewards, in place of a guess
    total        the column that holds the total, in place of their sum
    evaluation   patterns of the files' names (`*`, `?`): those that match are of an evaluation,
                 whose mean rewards are kept as `eval/...` and whose completions are not

    A step keeps its number, from the row or else the file's name. Raises `ImportFileError` or
    `TaskError` with file and line, and `RunRecordError` where a run stands at `out`; nothing is
    written then.
    """
    if source not in READERS:
        raise ImportFileError(f"--from {source!r}: choose one of {', '.join(READERS)}.")
    found = _found(files, source, RewardColumns(tuple(rewards), total), evaluation)
    out = Path(out)
    _write(found, source, out, name or out.name, policy)
    completions = sum(map(len, found.whole.values()))
    return Imported(out, tuple(sorted(found.whole)), completions, tuple(found.notes))


@dataclass(frozen=True)
class _Found:
    """What the files hold, sorted."""

    whole: Steps
    """The training's completions in whole groups."""
    evaluated: dict[int, dict[str, float]]
    """Step -> the figures of an evaluation."""
    names: list[str]
    """Of the reward functions."""
    vocabulary: Vocabulary
    notes: list[str]


def _found(
    files: Sequence[str | Path], source: str, columns: RewardColumns, patterns: Sequence[str]
) -> _Found:
    """All that the files hold. Raises `ImportFileError`, `TaskError`."""
    parts = [
        part
        for number, file in enumerate(files_of(files), start=1)
        for part in parts_of(file, source, number, columns)
    ]
    if not parts:
        raise ImportFileError(f"{files[0]}: holds no completion.")
    training, asked = apart(parts, source, patterns)
    training, again = without_repeats(training) if source == "trl" else (training, [])
    by_step = _by_step(training)
    _check_steps(by_step, [part.step for part in asked])
    names = _reward_names(by_step)
    whole, lost = _whole_groups(by_step)
    everything = [one for rows in whole.values() for one in rows]
    vocabulary = _vocabulary(everything)
    evaluated = {s: evaluation_figures(rows, names) for s, rows in _by_step(asked).items()}
    notes = [
        *reward_notes(columns, names),
        *again,
        *evaluation_note(evaluated),
        *lost,
        *token_notes(whole, vocabulary),
        *missing(everything),
    ]
    return _Found(whole, evaluated, names, vocabulary, notes)


def _write(found: _Found, source: str, out: Path, name: str, policy: str) -> None:
    with RunWriter.create(
        out,
        config=_config(found.whole),
        name=name,
        policy=policy,
        reward_names=found.names,
        pieces=found.vocabulary.pieces if found.vocabulary.has_texts else None,
    ) as writer:
        for step in range(1, max(*found.whole, *found.evaluated, 1) + 1):
            writer.write_step(_record(step, found))
        said = f"imported from files of {source}. " + " ".join(found.notes)
        writer.write_event(Event("import", said, {"source": source, "notes": found.notes}))
        writer.finish()


def _by_step(parts: Sequence[Part]) -> Steps:
    found: Steps = {}
    for part in parts:
        found.setdefault(part.step, []).extend(part.rows)
    return found


def _check_steps(training: Steps, evaluated: Sequence[int]) -> None:
    if not training:
        raise ImportFileError(
            "the files hold completions of an evaluation alone: there is no step of a training."
        )
    if 0 in training:
        raise ImportFileError(
            "a completion is of step 0, and the first step of a training is 1. Number the steps "
            "from 1, or name the files of an evaluation with --evaluation."
        )
    last = max(*training, *evaluated, 1)
    if last - len(training) > MOST_EMPTY_STEPS:
        raise ImportFileError(
            f"the files hold {len(training)} steps, the last of them {last}: more than "
            f"{MOST_EMPTY_STEPS:,} would be empty. Number the steps from 1."
        )


def _reward_names(by_step: Steps) -> list[str]:
    everything = [one for rows in by_step.values() for one in rows]
    names = dict.fromkeys(name for one in everything for name in one.rewards.by_function)
    # What is no number in one row is no reward because it is empty in another.
    other = {name for one in everything for name in one.unread}
    return [name for name in names if name not in other] or list(names)


def _whole_groups(by_step: Steps) -> tuple[Steps, list[str]]:
    """The completions of each step in groups of one size, and what was left out for it."""
    whole = {}
    left_out = 0
    for step in sorted(by_step):
        whole[step], lost = in_whole_groups(by_step[step])
        left_out += lost
    notes = []
    if left_out:
        notes.append(
            f"Left out, since their groups were not of their step's size: {left_out} completions."
        )
    return whole, notes


def _vocabulary(rows: Sequence[Completion]) -> Vocabulary:
    check_one_kind([one.tokens for one in rows])
    vocabulary = Vocabulary()
    for one in rows:
        if one.tokens is not None:
            vocabulary.learn(one.tokens)
    return vocabulary


def _config(whole: Steps) -> dict[str, int]:
    """What of a config the completions themselves show, where it is the same in all steps."""
    sizes = {group_size(rows) for rows in whole.values()}
    return {"num_generations": sizes.pop()} if len(sizes) == 1 else {}


def _record(step: int, found: _Found) -> StepRecord:
    rows = found.whole.get(step, [])
    evaluated = found.evaluated.get(step, {})
    if not rows:
        return StepRecord(step=step, metrics=evaluated)
    samples = samples_of(rows, found.names)
    return StepRecord(
        step=step,
        metrics=figures_of(rows, samples, found.names) | evaluated,
        samples=samples,
        tokens=arrays_of([one.tokens for one in rows], found.vocabulary),
    )
