"""`import_completions`: files of another trainer as a run record."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.exchange.grouping import figures_of, group_size, in_whole_groups, samples_of
from workbench.exchange.readers import READERS, Completion, ImportFileError, step_in_name
from workbench.runs import Event, RunWriter, StepRecord
from workbench.tasks.sources.files import rows_of_file, unit_of

ENDINGS = (".jsonl", ".parquet")
MOST_EMPTY_STEPS = 20_000
"""Steps between those of the files that the record holds without completions."""


@dataclass(frozen=True)
class Imported:
    """What came of an import."""

    path: Path
    """The run's folder."""

    steps: tuple[int, ...]
    """The steps that have completions."""

    completions: int

    notes: tuple[str, ...]
    """What is missing, and what was left out, a sentence each; they stand in the record too."""


def import_completions(
    files: Sequence[str | Path], source: str, out: str | Path, *, name: str = "", policy: str = ""
) -> Imported:
    """Write a record at `out` of the completions in `files` (or folders of them), which `source`, a
    key of `READERS`, wrote.

    A step keeps its number, from the row or else the file's name. Raises `ImportFileError` or
    `TaskError` with file and line, and `RunRecordError` where a run stands at `out`; nothing is
    written then.
    """
    if source not in READERS:
        raise ImportFileError(f"--from {source!r}: choose one of {', '.join(READERS)}.")
    by_step: dict[int, list[Completion]] = {}
    for number, file in enumerate(_files(files), start=1):
        for step, completion in _rows(file, source, number):
            by_step.setdefault(step, []).append(completion)
    if not by_step:
        raise ImportFileError(f"{files[0]}: holds no completion.")
    names = _reward_names(by_step)
    whole, notes = _whole_groups(by_step)
    notes += _missing([one for rows in whole.values() for one in rows])
    out = Path(out)
    last = max(whole)
    if last - len(whole) > MOST_EMPTY_STEPS:
        raise ImportFileError(
            f"the files hold {len(whole)} steps, the last of them {last}: more than "
            f"{MOST_EMPTY_STEPS:,} would be empty. Number the steps from 1."
        )
    with RunWriter.create(
        out, config=_config(whole), name=name or out.name, policy=policy, reward_names=names
    ) as writer:
        for step in range(1, last + 1):
            writer.write_step(_record(step, whole.get(step, []), names))
        said = f"imported from files of {source}. " + " ".join(notes)
        writer.write_event(Event("import", said, {"source": source, "notes": notes}))
        writer.finish()
    rows = sum(map(len, whole.values()))
    return Imported(out, tuple(sorted(whole)), rows, tuple(notes))


def _files(given: Sequence[str | Path]) -> list[Path]:
    """The files, those of a folder in the order of the numbers in their names."""
    found: list[Path] = []
    for path in map(Path, given):
        if not path.is_dir():
            found.append(path)
            continue
        inside = [each for each in path.iterdir() if each.suffix.lower() in ENDINGS]
        if not inside:
            raise ImportFileError(f"{path}: the folder holds no {' or '.join(ENDINGS)} file.")
        found += sorted(inside, key=_natural)
    return found


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _rows(file: Path, source: str, number: int) -> list[tuple[int, Completion]]:
    """(step, completion) of each row of a file."""
    found = []
    usual = step_in_name(file.name) or number
    for line, row in rows_of_file(file):
        completion = READERS[source](f"{file}, {unit_of(file)} {line}", row)
        found.append((completion.step or usual, completion))
    return found


def _reward_names(by_step: dict[int, list[Completion]]) -> list[str]:
    return list(dict.fromkeys(n for rows in by_step.values() for one in rows for n in one.rewards))


def _whole_groups(
    by_step: dict[int, list[Completion]],
) -> tuple[dict[int, list[Completion]], list[str]]:
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


def _missing(rows: list[Completion]) -> list[str]:
    """What none of the files say, or not of every completion."""
    notes = []
    lacking = {
        "lengths in tokens (0 stands in their place)": [one.length is None for one in rows],
        "whether a completion was cut off": [one.truncated is None for one in rows],
        "advantages": [one.advantage is None for one in rows],
        "gold answers": [one.gold is None for one in rows],
    }
    absent = [what for what, is_missing in lacking.items() if any(is_missing)]
    absent += ["log-probabilities", "the objective's figures", "the run's settings"]
    notes.append(f"Not in the files, or not of every completion: {', '.join(absent)}.")
    if len({name for one in rows for name in one.rewards}) > 1:
        notes.append("The total reward is the plain sum of the functions: no weights are known.")
    unread = Counter(name for one in rows for name in one.unread)
    if unread:
        notes.append(f"Columns not read: {', '.join(list(unread)[:20])}.")
    return notes


def _config(whole: dict[int, list[Completion]]) -> dict[str, int]:
    """What of a config the completions themselves show, where it is the same in all steps."""
    sizes = {group_size(rows) for rows in whole.values()}
    return {"num_generations": sizes.pop()} if len(sizes) == 1 else {}


def _record(step: int, rows: list[Completion], names: list[str]) -> StepRecord:
    if not rows:
        return StepRecord(step=step, metrics={})
    samples = samples_of(rows, names)
    return StepRecord(step=step, metrics=figures_of(rows, samples, names), samples=samples)
