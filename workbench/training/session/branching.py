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

from workbench.faults import make_fault
from workbench.runs import Run, RunWriter, is_run_record
from workbench.runs.step_record import StepRecord
from workbench.training import checkpoints
from workbench.training.checkpoints import Checkpoint
from workbench.training.session.errors import RewindError, SessionError
from workbench.training.shared import trainer_of
from workbench.training.trainer import Trainer

OnStep = Callable[[StepRecord], None]
ShouldStop = Callable[[], bool]
KnobMoves = dict[int, list[tuple[str, Any, str]]]
"""Step -> (name, new value, who) of the knobs that moved at it."""


def rewind(trainer: Trainer, step: int, on_step: OnStep, should_stop: ShouldStop) -> None:
    """Put `trainer` and its record back to what they were after `step`. Raises `RewindError`."""
    run = Run.open(trainer.out)
    check_step(step, run.last_step())
    checkpoint = _checkpoint_before(trainer.folder, step)
    moves = knob_moves(run)  # before the record is cut
    trainer.go_back_to(checkpoint)
    replay(trainer, moves, step, on_step, should_stop)
    trainer.save()


def branch_trainer(parent: Trainer, out: Path, step: int) -> tuple[Trainer, KnobMoves]:
    """A trainer of the parent's model whose run in `out` begins as a copy of the parent's up to
    `step`, and the knob moves that `replay` needs to bring it there. Raises `RewindError`, and
    `SaveError` and `RunRecordError` where the disk refuses; nothing is left of the branch then.

    Its record is cut back to the newest checkpoint at or before `step`, and its folder holds that
    checkpoint.
    """
    run = Run.open(parent.out)
    check_step(step, run.last_step())
    checkpoint = _checkpoint_before(parent.folder, step)
    try:
        record = _branched(parent, out, step, checkpoint.step)
    except BaseException:
        # A branch that cannot begin would only stand there.
        shutil.rmtree(out, ignore_errors=True)
        raise
    if parent.processes > 1:
        # Its helpers would keep their memory beside the child's; its next step starts them again.
        parent.engine.free()
    child = trainer_of(parent.processes)(
        parent.policy,
        parent.task,
        parent.rewards,
        parent.config,
        open_run=lambda: record,
        out=out,
        # One of its own: a fault may keep something of its run.
        fault=None if parent.fault is None else make_fault(parent.fault.spec),
    )
    return child, knob_moves(run)


def _branched(parent: Trainer, out: Path, step: int, saved: int) -> RunWriter:
    """The branch's record, cut back to the checkpoint after the step `saved`, which is copied."""
    pieces = parent.policy.pieces
    # Branched at `step` first, since the record says where it left its parent; then cut back.
    record = RunWriter.branch(parent.out, out, step, name=out.name, pieces=pieces)
    try:
        # The first checkpoint, too: it holds the weights of the reference.
        for kept in {0, saved}:
            checkpoints.copy(parent.folder, out / "checkpoints", kept)
    except BaseException:
        record.close()
        raise
    if saved == step:
        return record
    record.close()
    return RunWriter.resume(out, saved, pieces=pieces)


def catch_up(
    trainer: Trainer,
    moves: KnobMoves,
    step: int,
    knobs: dict[str, Any],
    on_step: OnStep,
    should_stop: ShouldStop,
) -> None:
    """Make a branch's steps again up to `step`; its own `knobs` are for the first new one."""
    try:
        replay(trainer, moves, step, on_step, should_stop)
    finally:
        # Whatever ended the replay: what the branch was made for is not forgotten.
        trainer.knobs.set(who="branch", **knobs)
    trainer.save()


def replay(
    trainer: Trainer, moves: KnobMoves, until: int, on_step: OnStep, should_stop: ShouldStop
) -> None:
    """Step to `until` with the knobs moving as they once did; `should_stop` is asked before each
    step."""
    while trainer.steps_done < until and not should_stop():
        trainer.knobs.forget()
        for name, value, who in moves.get(trainer.steps_done + 1, []):
            trainer.knobs.set(who=who, **{name: value})
        on_step(trainer.step())
    trainer.knobs.forget()


def knob_moves(run: Run) -> KnobMoves:
    """The knob records by the step at which they took effect."""
    moves: KnobMoves = defaultdict(list)
    for row in run.knobs().itertuples():
        moves[int(row.step)].append((row.name, row.new, row.who))
    return moves


def return_to_latest_checkpoint(trainer: Trainer) -> None:
    """Back to the newest checkpoint; knobs that were set since are not lost. Raises `SessionError`
    where none is usable."""
    # What lies in the folder of a run that was moved away may be another run's.
    trainer.run.check_in_place()
    was_whole = not trainer.dirty
    step_before = trainer.steps_done
    knobs_before = trainer.knobs.snapshot()
    checkpoint = checkpoints.load_latest(trainer.folder)
    if checkpoint is None:
        raise SessionError(f"{trainer.folder} holds no usable checkpoint, so the run cannot go on.")
    # Only a record that is ahead is cut: each continuation is an event that views show.
    if checkpoint.step < Run.open(trainer.out).last_step():
        trainer.continue_record(checkpoint.step)
    trainer.restore(checkpoint)
    if was_whole and trainer.steps_done == step_before:
        trainer.knobs.restore(knobs_before)
    else:
        trainer.knobs.ask_again(knobs_before[0], "user")
    # The later ones are damaged.
    checkpoints.drop_after(trainer.folder, checkpoint.step)


def _checkpoint_before(folder: Path, step: int) -> Checkpoint:
    """The newest whole checkpoint at or before `step`. Raises `RewindError`."""
    for candidate in reversed([s for s in checkpoints.steps_in(folder) if s <= step]):
        try:
            return checkpoints.load(folder, candidate)
        except checkpoints.CheckpointError:
            # A damaged one costs some steps that are made again; without the first there is none.
            if candidate == 0:
                raise
    raise RewindError(f"there is no checkpoint at or before step {step} in {folder}.")


# ----------------------------------------------------------------------------- what can be asked


def check_step(step: int, last: int) -> None:
    """Raises `RewindError` for a step that the run has not made."""
    if not 0 <= step <= last:
        raise RewindError(
            f"step {step} is not in the run, which has made {last} steps. Choose 0 to {last}."
        )


def check_name(name: str) -> None:
    """A branch's name becomes a folder beside its parent's. Raises `RewindError` for one that
    cannot, or leads elsewhere."""
    leads_elsewhere = name in ("", ".", "..") or set(name) & set("/\\")
    if leads_elsewhere or not name.isprintable() or len(name.encode()) > 200:
        raise RewindError(
            f"branch({name!r}): the name becomes a folder beside the run's own. Use 1 to 200 "
            "printable characters, no / or \\."
        )


def free_folder(folder: Path) -> Path:
    """`folder`, or the first of folder-2, folder-3 … that holds no run yet."""
    candidate = folder
    number = 1
    while is_run_record(candidate / "run.sqlite"):
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate
