"""What is whole of a damaged run, as a run of its own that can be read and gone on with. The
damaged one stays as it is: a better copy of it may turn up."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.runs.checkpoint_folders import copy
from workbench.runs.integrity.check import Health, check_run, wrong_with
from workbench.runs.integrity.facts import kept_facts, with_facts
from workbench.runs.integrity.salvage import Salvaged, salvage
from workbench.runs.store.files import DamagedError, RunRecordError, record_path
from workbench.runs.store.writer import check_left
from workbench.runs.whole_folder import whole_folder

RESULTS = ("adapter", "policy")
"""What a run leaves beside record and checkpoints; it has no checksums and is copied as it is."""


@dataclass(frozen=True)
class Repaired:
    """What was kept, and what was not."""

    out: Path | None
    """The folder of the repaired run; None where the run was whole and nothing was written."""

    steps: int
    """The last step of its record."""

    checkpoints: list[int]
    """The steps of its checkpoints."""

    left_out: list[str]
    """What is not in it, a sentence each."""


def repair(path: str | Path, out: str | Path | None = None) -> Repaired:
    """Write what is whole of a run into the folder `out` (None = beside the run, RUN-repaired).

    A step whose figures are damaged keeps its place, without figures, and an event says so; damaged
    completions, tokens, evaluations and events are left out; a run whose knobs are damaged ends
    before them, since what was in force afterwards is not known. Damaged facts of the run (policy,
    task, settings) are taken from the copy that a checkpoint has. Checkpoints that are damaged or
    do not belong to the record are left out. Raises `RunRecordError` where the record cannot be
    read at all, while it is being written, or when something is at `out` already; OSError where the
    disk refuses. Whatever fails leaves nothing.
    """
    file = record_path(path)
    health = check_run(file)
    if health.whole:
        return Repaired(None, health.steps or 0, list(health.checkpoints), [])
    facts = _facts_to_take(health)
    with suppress(DamagedError):  # a writer that is at work has a mark that can be read
        check_left(file)
    folder = Path(out).absolute() if out is not None else _beside(file)
    if folder.exists():
        raise RunRecordError(f"{folder} is there already. Name another folder: --out FOLDER.")
    with whole_folder(folder) as draft:
        kept, checkpoints = _fill(draft, health, facts)
    return Repaired(folder, kept.last, checkpoints, kept.left_out)


def _facts_to_take(health: Health) -> dict[str, Any] | None:
    """The facts of the run that a checkpoint has, where the record's own cannot be read. Raises
    `RunRecordError` where none has them."""
    if health.steps is not None:
        return None
    facts = kept_facts(health.path.parent / "checkpoints", health.whole_checkpoints)
    if facts is None:
        raise RunRecordError(f"{health.record[0]}{_of_the_checkpoints(health)}")
    return facts


def _fill(draft: Path, health: Health, facts: dict[str, Any] | None) -> tuple[Salvaged, list[int]]:
    """Put all that is whole into the folder; what the record came to, and the steps of the
    checkpoints."""
    home = health.path.parent
    source = health.path
    if facts is not None:
        source = _with_facts(health, draft / "facts.sqlite", facts)
        found = {s: wrong_with(source, home / "checkpoints", s) for s in health.whole_checkpoints}
        health = replace(health, checkpoints=health.checkpoints | found)
    kept = salvage(source, draft / "run.sqlite", health.whole_checkpoints)
    if facts is not None:
        source.unlink()
        kept.left_out.insert(0, "the facts of the run: they are those that a checkpoint has.")
    kept.left_out += [wrong for wrong in health.checkpoints.values() if wrong]
    checkpoints = _copy_checkpoints(home / "checkpoints", draft, kept, health.whole_checkpoints)
    for name in RESULTS:
        if (home / name).is_dir():
            shutil.copytree(home / name, draft / name)
    return kept, checkpoints


def _with_facts(health: Health, out: Path, facts: dict[str, Any]) -> Path:
    try:
        return with_facts(health.path, out, facts)
    except RunRecordError as error:
        raise RunRecordError(f"{error}{_of_the_checkpoints(health)}") from error


def _copy_checkpoints(root: Path, folder: Path, kept: Salvaged, whole: list[int]) -> list[int]:
    """Copy those whose step the record has as it was; the steps of them."""
    copied = []
    for step in whole:
        if step > kept.last or step in kept.without_figures:
            kept.left_out.append(f"the checkpoint of step {step}: its step was not whole.")
            continue
        copy(root, folder / "checkpoints", step)
        copied.append(step)
    return copied


def _beside(file: Path) -> Path:
    home = file.parent if file.name == "run.sqlite" else file.with_suffix("")
    return home.with_name(f"{home.name}-repaired")


def _of_the_checkpoints(health: Health) -> str:
    """What can be said to whoever has lost the record."""
    whole = health.whole_checkpoints
    if not whole:
        return ""
    return (
        f" Its checkpoints of the steps {', '.join(map(str, whole))} are whole: each holds what "
        f"was trained, in weights.safetensors of {health.path.parent / 'checkpoints'}."
    )
