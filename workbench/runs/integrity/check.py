"""Is a run whole? Its record, and each of its checkpoints, against their checksums and against each
other. Nothing is changed, and no torch is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.runs.checkpoint_folders import (
    CheckpointError,
    check_mark,
    state_of,
    steps_in,
    whole_files,
)
from workbench.runs.store.files import RunNotFoundError, RunRecordError, is_run_record, record_path
from workbench.runs.store.reader import Run
from workbench.runs.store.schema import RUN_FILE
from workbench.runs.store.writer import mark_of, newest_checkpoint


@dataclass(frozen=True)
class Health:
    """What was found of a run."""

    path: Path
    """The record's file."""

    steps: int | None
    """The last step; None where the record cannot be read."""

    record: list[str]
    """What is wrong with the record, a sentence each."""

    checkpoints: dict[int, str]
    """Each checkpoint's step to what is wrong with it, "" where it is whole."""

    @property
    def whole_checkpoints(self) -> list[int]:
        """The steps of the checkpoints that are whole."""
        return [step for step, wrong in self.checkpoints.items() if not wrong]

    @property
    def problems(self) -> list[str]:
        """All that is wrong, a sentence each."""
        return [
            f"{self.path} {said}" if not said.startswith(str(self.path)) else said
            for said in self.record
        ] + [said for said in self.checkpoints.values() if said]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check_run(path: str | Path) -> Health:
    """Look through all of a run (its folder or its .sqlite file). A record of another name than
    `run.sqlite` is looked at by itself: checkpoints beside it belong to another.

    Raises `RunNotFoundError` where there is none; what cannot be read is in the answer.
    """
    file = record_path(path)
    root = file.parent / "checkpoints"
    saved = steps_in(root) if file.name == RUN_FILE else []
    try:
        run = Run.open(file)
        _, last = run.meta, run.last_step()
    except RunNotFoundError:
        raise
    except RunRecordError as error:
        alone = {step: _wrong_files(root, step) for step in saved}
        return Health(file, None, [str(error)], alone)
    try:
        record = run.damage()
    # A page of the database itself: other tables may be whole.
    except RunRecordError as error:
        record = [str(error)]
    found = {step: wrong_with(file, root, step) for step in saved}
    known = newest_checkpoint(file)
    # Where there are none at all they were taken away to make room, or stayed behind.
    if saved and known is not None and known > max(saved):
        record.append(f"had a checkpoint of step {known}, which is gone.")
    return Health(file, last, record, found)


def check_runs(folder: str | Path) -> Iterator[Health]:
    """The health of each run at or below a folder, by path. Raises `RunNotFoundError` when it is
    not there."""
    place = Path(folder).absolute()
    if not place.exists():
        raise RunNotFoundError(f"{place} is not there. Give a run, or the folder that holds runs.")
    files = sorted(place.rglob("*.sqlite")) if place.is_dir() else [place]
    for file in files:
        if _is_ours(file):
            yield check_run(file)


def _is_ours(file: Path) -> bool:
    """Whether it is a record; one that cannot be opened counts."""
    try:
        return is_run_record(file)
    except RunRecordError:
        return True


def wrong_with(file: Path, root: Path, step: int) -> str:
    """What is wrong with a checkpoint, by itself and beside the record; "" where it is whole."""
    try:
        whole_files(root, step)
        check_mark(root, step, state_of(root, step), mark_of(file, step) if step else None)
    except CheckpointError as error:
        return str(error)
    return ""


def _wrong_files(root: Path, step: int) -> str:
    try:
        whole_files(root, step)
    except CheckpointError as error:
        return str(error)
    return ""
