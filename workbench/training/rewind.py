"""Going back in a run, and branching off from it, exactly.

Both take the newest checkpoint at or before the step asked for and make the steps in between again
with the knobs of the record. On the same machine that gives the same numbers (a run = config + seed
+ knob records).
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs import Run, RunWriter
from workbench.training import checkpoints
from workbench.training.trainer import Trainer

KnobMoves = dict[int, list[tuple[str, Any, str]]]
"""Step -> (name, new value, who) of the knobs that moved at it."""


class RewindError(WorkbenchError, ValueError):
    """A step that the run cannot go back to."""


def knob_moves(run: Run) -> KnobMoves:
    """The knob records by the step at which they took effect."""
    moves: KnobMoves = defaultdict(list)
    for row in run.knobs().itertuples():
        moves[int(row.step)].append((row.name, row.new, row.who))
    return moves


def rewind(
    trainer: Trainer,
    out: Path,
    step: int,
    on_step: Callable[[Any], None] = lambda record: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Put `trainer` and its record back to what they were after `step`. Raises `RewindError`."""
    run = Run.open(out)
    checkpoint = _checkpoint_before(out, step, run.last_step())
    moves = knob_moves(run)
    trainer.go_back_to(checkpoint)
    replay(trainer, moves, step, on_step, should_stop)
    trainer.save()


def branch_record(
    parent: Path, out: Path, step: int, name: str, pieces: Callable[..., Any]
) -> tuple[RunWriter, KnobMoves]:
    """A new run in `out` whose record and first checkpoints are those of `parent` up to `step`.
    Raises `RewindError`.

    The record is cut back to the newest checkpoint at or before `step`; `replay` makes the rest
    again.
    """
    run = Run.open(parent)
    checkpoint = _checkpoint_before(parent, step, run.last_step())
    writer = RunWriter.branch(parent, out, step, name=name, pieces=pieces)
    for kept in {0, checkpoint.step}:
        shutil.copytree(
            checkpoints.folder_of(parent / "checkpoints", kept),
            checkpoints.folder_of(out / "checkpoints", kept),
        )
    if checkpoint.step < step:
        writer.close()
        writer = RunWriter.resume(out, checkpoint.step, pieces=pieces)
    return writer, knob_moves(run)


def replay(
    trainer: Trainer,
    moves: KnobMoves,
    until: int,
    on_step: Callable[[Any], None] = lambda record: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Step to `until` with the knobs moving as they once did; `should_stop` is asked before each
    step."""
    while trainer.steps_done < until and not should_stop():
        trainer.knobs.forget()
        for name, value, who in moves.get(trainer.steps_done + 1, []):
            trainer.knobs.set(who=who, **{name: value})
        on_step(trainer.step())
    trainer.knobs.forget()


def _checkpoint_before(out: Path, step: int, last: int) -> checkpoints.Checkpoint:
    """The newest whole checkpoint at or before `step`. Raises `RewindError`."""
    if not 0 <= step <= last:
        raise RewindError(
            f"step {step} is not in the run, which has made {last} steps. Choose 0 to {last}."
        )
    for candidate in reversed([s for s in checkpoints.steps_in(out / "checkpoints") if s <= step]):
        try:
            return checkpoints.load(out / "checkpoints", candidate)
        except checkpoints.CheckpointError:
            if candidate == 0:
                raise
    raise RewindError(f"there is no checkpoint at or before step {step} in {out / 'checkpoints'}.")
