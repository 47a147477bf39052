"""Who holds the model: sessions that train one model in memory (a branch and its parent) take turns
with its weights.

A session that comes to its turn and finds another's weights in the model, or an update of its own
broken off, loads its newest checkpoint first. A knob that was set since that checkpoint is not
lost.
"""

from __future__ import annotations

import weakref
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs import Run
from workbench.training import checkpoints
from workbench.training.trainer import Trainer

_held_by: weakref.WeakKeyDictionary[Any, object] = weakref.WeakKeyDictionary()
"""Model -> mark of the session whose weights it holds."""


class SessionError(WorkbenchError, RuntimeError):
    """A call that the session's state does not allow, or the training's own error handed on."""


def hold_model(trainer: Trainer, mark: object) -> None:
    """Make the model hold the weights of this trainer's last whole step; `mark` stands for its
    session.

    Raises `SessionError` where a checkpoint is needed and none is usable.
    """
    if trainer.dirty or _held_by.setdefault(trainer.policy.model, mark) is not mark:
        load_latest(trainer)
        _held_by[trainer.policy.model] = mark


def load_latest(trainer: Trainer) -> None:
    """Back to the newest checkpoint. Raises `SessionError` where none is usable."""
    out = trainer.folder.parent
    whole, step, knobs = not trainer.dirty, trainer.steps_done, trainer.knobs.snapshot()
    checkpoint = checkpoints.load_latest(trainer.folder)
    if checkpoint is None:
        raise SessionError(f"{trainer.folder} holds no usable checkpoint, so the run cannot go on.")
    if checkpoint.step < Run.open(out).last_step():
        trainer.continue_record(checkpoint.step)
    trainer.restore(checkpoint)
    if whole and trainer.steps_done == step:
        trainer.knobs.restore(knobs)
    else:
        trainer.knobs.ask_again(knobs[0], "user")
    checkpoints.drop_after(trainer.folder, checkpoint.step)


def open_record(trainer: Trainer) -> None:
    """A stopped or finished run has closed its record; going on opens it again."""
    if trainer.run.closed:
        trainer.continue_record(trainer.steps_done)
