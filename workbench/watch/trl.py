"""`watch(trainer)` and `WatchCallback`: the two ways to look on while TRL trains."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from workbench.libraries.trl_ import TESTED
from workbench.training.session.branching import free_folder
from workbench.watch.errors import WatchError
from workbench.watch.watched import WatchedTrainer

if TYPE_CHECKING:
    from workbench.widgets.dashboard import Dashboard


def watch(
    trainer: Any, out: str | Path | None = None, *, name: str = "", force: bool = False
) -> Dashboard:
    """A dashboard of a TRL `GRPOTrainer`, live while `trainer.train()` runs; `dashboard.session` is
    the `WatchedTrainer`.

    `out` is the folder of the record (default runs/trl-DATE-TIME; a number is added where it holds
    a run already). β, ε, ε_high, temperature and learning rate can be moved; TRL takes them over at
    its next rollout. Else it computes the same, to the last bit. Raises `WatchError` for what is no
    GRPOTrainer, is watched already, trains in several processes, or is of a TRL version that this
    was not tried with, unless `force`.
    """
    from workbench.widgets.dashboard import Dashboard

    return Dashboard(watched(trainer, out, name=name, force=force))


def watched(
    trainer: Any, out: str | Path | None = None, *, name: str = "", force: bool = False
) -> WatchedTrainer:
    """The same without a dashboard."""
    _check(trainer, force)
    folder = Path("runs") / datetime.now().strftime("trl-%Y%m%d-%H%M%S")
    if out is not None:
        folder = Path(out)
    return WatchedTrainer(trainer, free_folder(folder.absolute()), name)


class WatchCallback(TrainerCallback):
    """The record alone, for scripts: `trainer.add_callback(WatchCallback(trainer, "runs/mine"))`.

    A callback of transformers never sees completions or log-probabilities, so it is given the
    trainer and looks into that. Arguments and errors as of `watch`.
    """

    def __init__(
        self, trainer: Any, out: str | Path | None = None, *, name: str = "", force: bool = False
    ) -> None:
        self.watched = watched(trainer, out, name=name, force=force)

    @property
    def out(self) -> Path:
        """The folder of the record."""
        return self.watched.out


def _check(trainer: Any, force: bool) -> None:
    """Raises `WatchError`."""
    try:
        import trl
        from trl.trainer.grpo_trainer import GRPOTrainer
    except ImportError as error:
        raise WatchError("watching TRL needs TRL: pip install 'trl==1.16.*'.") from error

    if not isinstance(trainer, GRPOTrainer):
        raise WatchError(
            f"watch({type(trainer).__name__}): give a TRL GRPOTrainer, or a subclass of it."
        )
    if not (trl.__version__ == TESTED or trl.__version__.startswith(f"{TESTED}.")) and not force:
        raise WatchError(
            f"TRL {trl.__version__} is installed, and watching was tried with {TESTED}: install "
            "that, or say watch(trainer, force=True) and compare a short run with and without it."
        )
    if "train" in trainer.__dict__:
        raise WatchError("this trainer is watched already: its first dashboard goes on.")
    if trainer.accelerator.num_processes > 1:
        raise WatchError(
            f"this trainer runs in {trainer.accelerator.num_processes} processes; one can be "
            "watched."
        )
