"""`WatchedTrainer`: TRL's trainer as a dashboard sees a session.

TRL trains in its own loop, in the thread that called `train()`. So it can be stopped and some of
its settings can be moved, and it cannot be paused, gone back with or branched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.config import GRPOConfig
from workbench.libraries import trl_
from workbench.runs import Run
from workbench.training.in_hand import InHand
from workbench.training.knobs import Knobs
from workbench.training.listeners import Listeners
from workbench.training.session.pump import PUBLISHERS, ui_events
from workbench.watch.errors import WatchError
from workbench.watch.recording import Recording
from workbench.watch.settings import config_of

MOVABLE = ("beta", "epsilon", "epsilon_high", "temperature", "learning_rate")
"""Knobs that TRL can honour from its next rollout on."""
NOT_HERE = (
    "{0}: TRL trains in its own loop, which can be stopped but not {1}. Its own checkpoints are in "
    "{2}."
)


class TrainerInside:
    """What a dashboard asks of a session's trainer: config, knobs and the step in hand."""

    def __init__(self, knobs: Knobs, in_hand: InHand, out: Path) -> None:
        self.knobs = knobs
        self.in_hand = in_hand
        self.out = out

    @property
    def config(self) -> GRPOConfig:
        """In force."""
        return self.knobs.config

    @property
    def policy(self) -> Any:
        """Not at hand. Raises `WatchError`."""
        raise WatchError(
            "the model of a TRL run belongs to its trainer: nothing can be sampled or computed "
            "with it from here. Save it with trainer.save_model() and open that."
        )

    @property
    def task(self) -> Any:
        """Not at hand. Raises `WatchError`."""
        raise WatchError("the data of a TRL run belong to its trainer and are not a task here.")


class WatchedTrainer:
    """Writes the record of `trainer` while it trains. A step of the record is one rollout (TRL's
    generation batch) with all its updates, whatever TRL counts as a step; `trl/global_step` among
    its metrics says where TRL stood.

    Rows stand in group order, as they were sampled; `update` among the tokens' numbers says in
    which update a row was last used, since TRL shuffles before it cuts. With several updates of a
    rollout the page "What if" cuts them by groups, which is not how TRL cut them: terms and
    gradients of tokens are exact, an update's normaliser may differ. A failure of the recording
    never reaches TRL: recording goes off, with a warning.
    """

    actions = frozenset({"stop"})
    movable: tuple[str, ...]
    run: Run
    error: BaseException | None

    def __init__(self, trainer: Any, out: str | Path, name: str = "") -> None:
        self.theirs = trainer
        self.out = Path(out).absolute()
        self.status = "ready"
        self.activity = ""
        self.error = None
        self.holds_its_weights = False
        self._listeners = Listeners(self)
        self._poll: Callable[[], None] = lambda: None
        self._stop = threading.Event()
        config, left_out = config_of(trainer)
        self.movable = _movable(trainer)
        names = _different(list(trainer.reward_func_names))
        self._recording = Recording(trainer, self.out, config, names, self)
        self.run = self._recording.create(name, left_out)
        self.in_hand, self.knobs = self._recording.in_hand, self._recording.knobs
        self.trainer = TrainerInside(self.knobs, self.in_hand, self.out)
        self.hooks = trl_.Hooks(trainer, self._recording)
        self._train = trainer.train
        self.theirs.train = self._trains

    def __repr__(self) -> str:
        return f"WatchedTrainer({str(self.out)!r}, {self.status}, step {self.step_number})"

    def leave(self) -> None:
        """Watch no longer: the trainer is as it was, the record stays."""
        self.hooks.leave()
        self.theirs.__dict__.pop("train", None)
        self._recording.writer.close()

    # ------------------------------------------------------------------- as a session is looked at

    @property
    def recording(self) -> bool:
        """False once a failure has ended it."""
        return self._recording.going

    @property
    def step_number(self) -> int:
        """Rollouts recorded."""
        return self.run.last_step()

    @property
    def config(self) -> GRPOConfig:
        """In force."""
        return self.knobs.config

    @property
    def pending(self) -> dict[str, Any]:
        """Knob values that the next rollout will take over."""
        return self.knobs.pending

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener()` whenever something changed. Returns the way to unsubscribe."""
        return self._listeners.add(listener)

    def watch(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener()` when the step in hand has come further."""
        return self.in_hand.listeners.add(listener)

    def set(self, **knobs: Any) -> None:
        """New values from the next rollout on. Raises `WatchError` for one that TRL reads only
        once, `ConfigError` for a bad one."""
        for name in knobs:
            if name not in self.movable:
                raise WatchError(
                    f"{name} is fixed while TRL trains. What can be moved here: "
                    f"{', '.join(self.movable)}."
                )
        if knobs.get("beta", 0) and not trl_.has_reference(self.theirs):
            raise WatchError(
                f"beta={knobs['beta']!r}: TRL made no reference, because beta was 0 at the start. "
                "Start the run with a small beta, such as 1e-6."
            )
        self.knobs.set(who="user", **knobs)
        self._listeners.tell()

    def ask_to_rest(self, status: str = "stopped") -> None:
        """Let TRL end after the update in hand. Raises `WatchError` for a pause."""
        if status != "stopped":
            raise self._not_here("pause", "paused")
        self._stop.set()

    def stop(self) -> None:
        """Let TRL end after the update in hand."""
        self.ask_to_rest("stopped")

    def dismiss_error(self) -> None:
        """The error that ended the training has been read."""
        self.error = None

    def start(self, steps: int | None = None) -> None:
        """Raises `WatchError`: trainer.train() trains."""
        raise WatchError("a TRL run is started by trainer.train(), in a cell or a script.")

    def step(self, n: int = 1) -> None:
        """Raises `WatchError`, as `start`."""
        self.start(n)

    def rewind(self, step: int) -> None:
        """Raises `WatchError`."""
        raise self._not_here("rewind", "gone back with")

    def branch(self, name: str, from_step: int | None = None, **knobs: Any) -> Any:
        """Raises `WatchError`."""
        raise self._not_here("branch", "branched")

    def tornado(self, *args: Any, **more: Any) -> Any:
        """Raises `WatchError`."""
        raise self._not_here("tornado", "tried ahead")

    def _not_here(self, call: str, done: str) -> WatchError:
        return WatchError(NOT_HERE.format(call, done, self.theirs.args.output_dir))

    # ----------------------------------------------------------------------------------- training

    def _trains(self, *args: Any, **more: Any) -> Any:
        """TRL's own train(), with widgets kept alive meanwhile."""
        self._begin()
        try:
            with ui_events() as poll:
                self._poll = poll
                result = self._train(*args, **more)
        except BaseException as error:
            self.error = error
            self._end("failed", f"{type(error).__name__}: {error}")
            raise
        finally:
            self._poll = lambda: None
        self._end("stopped" if self._stop.is_set() else "finished", "")
        return result

    def _begin(self) -> None:
        self._stop.clear()
        if not self.recording:
            return
        self.error = None
        self.status = "running"
        self.activity = "training"
        self._recording.begin()
        self._listeners.tell()

    def _end(self, status: str, reason: str) -> None:
        self.status = status
        self.activity = ""
        self._recording.end(status, reason)
        self._listeners.tell()
        for publish in PUBLISHERS.copy():
            publish(True)

    # --------------------------------------------------------------------- what the recording tells

    def micro_batch_seen(self) -> None:
        """Let the page's messages in."""
        self._recording.guarded(self._poll)
        for publish in PUBLISHERS.copy():
            publish(False)

    def update_seen(self) -> None:
        """End TRL's training where that was asked for."""
        if self._stop.is_set():
            self.theirs.control.should_training_stop = True
        self._listeners.tell()

    def recording_failed(self, error: Exception, words: str) -> None:
        """Say so."""
        self.error = error
        self.activity = "training, not recorded any more"
        self._listeners.tell()


def _movable(trainer: Any) -> tuple[str, ...]:
    """vLLM's engine reads its own temperature."""
    return tuple(n for n in MOVABLE if n != "temperature" or not trainer.use_vllm)


def _different(names: list[str]) -> list[str]:
    """Two functions of one name are told apart by a number."""
    return [
        name if name not in names[:place] else f"{name}_{place}" for place, name in enumerate(names)
    ]
