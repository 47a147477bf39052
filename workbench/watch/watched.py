"""`WatchedTrainer`: TRL's trainer as a dashboard sees a session.

TRL trains in its own loop, in the thread that called `train()`. So it can be stopped and some of
its settings can be moved, and it cannot be paused, gone back with or branched.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from workbench.config import ConfigWarning, GRPOConfig
from workbench.libraries import trl_
from workbench.runs import Run, RunWriter
from workbench.runs.step_record import Event, KnobChange
from workbench.training.in_hand import InHand
from workbench.training.knobs import Knobs
from workbench.training.listeners import Listeners
from workbench.training.session.pump import PUBLISHERS, ui_events
from workbench.watch.errors import WatchError
from workbench.watch.rollout import WatchedRollout, prompt_of
from workbench.watch.settings import config_of, planned_rollouts

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
        self.recording = True
        self._names = _different(list(trainer.reward_func_names))
        config, left_out = config_of(trainer)
        self.movable = _movable(trainer)
        tokenizer = trl_.tokenizer_of(trainer)
        self._pieces: Callable[[Any], list[str]] = lambda ids: [tokenizer.decode([i]) for i in ids]
        self._writer = RunWriter.create(
            self.out,
            config=config.to_dict(),
            name=name or self.out.name,
            policy=str(getattr(trainer.model.config, "_name_or_path", "")),
            task="TRL",
            reward_names=self._names,
            pieces=self._pieces,
        )
        self._writer.add_to_environment(watched="trl", trl=_trl_version())
        self._writer.write_event(Event("trl config", "TRL's arguments", _arguments(trainer)))
        for sentence in left_out:
            self._writer.write_event(Event("notice", sentence))
        self.run = Run.open(self.out)
        self.in_hand = InHand(tokenizer.decode)
        self.knobs = Knobs(config, self._names)
        self.trainer = TrainerInside(self.knobs, self.in_hand, self.out)
        self._listeners = Listeners(self)
        self._open: list[WatchedRollout] = []
        self._prompts: dict[str, str] = {}
        self._poll: Callable[[], None] = lambda: None
        self._stop = threading.Event()
        self.hooks = trl_.Hooks(trainer, self)
        self._train = trainer.train
        self.theirs.train = self._trains

    def __repr__(self) -> str:
        return f"WatchedTrainer({str(self.out)!r}, {self.status}, step {self.step_number})"

    def leave(self) -> None:
        """Watch no longer: the trainer is as it was, the record stays."""
        self.hooks.leave()
        self.theirs.__dict__.pop("train", None)
        self._writer.close()

    # ------------------------------------------------------------------- as a session is looked at

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
        self._guarded(self._begin)
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
        if self._writer.closed:
            self._writer = RunWriter.resume(self.out, self.run.last_step(), pieces=self._pieces)
            self._writer.write_event(Event("notice", "trainer.train() was called again"))
        self._stop.clear()
        self._open = []
        self.error = None
        self.status = "running"
        self.activity = "training"
        self._listeners.tell()

    def _end(self, status: str, reason: str) -> None:
        self.status = status
        self.activity = ""
        self.in_hand.rollout = None
        self.in_hand.leave()

        def close() -> None:
            left = [rollout for rollout in self._open if rollout.micro_batches]
            for rollout in left if status != "failed" else []:
                self._write(rollout)
            if not self._writer.closed:
                self._writer.finish(status, reason)

        self._guarded(close)
        self._listeners.tell()
        for publish in PUBLISHERS.copy():
            publish(True)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Whatever fails here must never end TRL's training."""
        if not self.recording:
            return
        try:
            act()
        except Exception as error:
            self.recording = False
            words = f"watching ended, TRL goes on: {type(error).__name__}: {error}"
            warnings.warn(words, stacklevel=2)
            self.error = error
            self.activity = "training, not recorded any more"
            # Where the disk refuses, it refuses this, too, and the warning has said it.
            with suppress(Exception):
                self._writer.write_event(Event("error", words))
            self._listeners.tell()

    # ---------------------------------------------------------------------- what the hooks tell

    def rollout_begins(self) -> None:
        """Take knobs over, and open a rollout."""

        def begin() -> None:
            # TRL's settings are not ours to warn of, and not once more with each rollout.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConfigWarning)
                self.knobs.put_in_force(max_steps=planned_rollouts(self.theirs))
                changes = self.knobs.take()
            self._apply(changes)
            config = self.knobs.config
            self._open.append(WatchedRollout(config, self._names, changes))
            self.in_hand.rollout = (0, config.prompts_per_step * config.num_generations)
            self.in_hand.enter("rollout")

        self._guarded(begin)

    def _apply(self, changes: list[KnobChange]) -> None:
        config = self.knobs.config
        for change in changes:
            if change.name == "beta":
                trl_.set_beta(self.theirs, change.new)
            elif change.name == "temperature":
                trl_.set_temperature(self.theirs, change.new)
            elif change.name == "learning_rate":
                trl_.set_learning_rate(self.theirs, change.new)
            else:
                high = config.epsilon if config.epsilon_high is None else config.epsilon_high
                trl_.set_epsilons(self.theirs, config.epsilon, high)

    def rewarding(self) -> None:
        """The rollout is sampled."""

        def scored_next() -> None:
            self._open[-1].phase_ends("rollout")
            self.in_hand.rollout = None
            self.in_hand.enter("reward")

        self._guarded(scored_next)

    def rewarded(self, rows: Any, texts: Any, ids: Any, rewards: Any) -> None:
        """Keep texts and scores."""

        def keep() -> None:
            self._open[-1].rewarded(rows, texts, ids, rewards)
            self._open[-1].phase_ends("reward")
            self.in_hand.sampled(self._open[-1].completions)
            self.in_hand.enter("update")

        self._guarded(keep)

    def rolled_out(self, output: dict[str, Any]) -> None:
        """Keep advantages and log-probabilities."""
        self._guarded(lambda: self._open[-1].rolled_out(output))

    def passed(self, inputs: dict[str, Any], logp: Tensor, entropy: Tensor | None) -> None:
        """Keep what the update sees."""
        self._guarded(lambda: self._open[-1].passed(inputs, logp, entropy))

    def differentiated(self, inputs: dict[str, Any], gradient: Tensor) -> None:
        """Keep the tokens' coefficients."""
        self._guarded(lambda: self._open[-1].differentiated(inputs, gradient))

    def micro_batch_done(self, loss: float) -> None:
        """Count it, and let the page's messages in."""
        self._guarded(lambda: self._open[-1].micro_batch_done(loss))
        self._guarded(self._poll)
        for publish in PUBLISHERS.copy():
            publish(False)

    def updated(self, gradient_norm: float, learning_rate: float) -> None:
        """Write the rollouts that are used up."""
        state = self.theirs.state

        def write() -> None:
            passes = self.theirs.args.steps_per_generation * self.theirs.num_iterations
            for rollout in self._open:
                rollout.updated(gradient_norm, learning_rate, state.global_step)
            done = [rollout for rollout in self._open if rollout.micro_batches >= passes]
            self._open = [rollout for rollout in self._open if rollout.micro_batches < passes]
            if done:
                done[-1].evaluation = _evaluation(state)
            for rollout in done:
                self._write(rollout)

        self._guarded(write)
        if self._stop.is_set():
            self.theirs.control.should_training_stop = True
        self._listeners.tell()

    def _write(self, rollout: WatchedRollout) -> None:
        ids = [self._problem_id(prompt_of(row)) for row in rollout.rows]
        step = self._writer.last_step + 1
        self._writer.write_step(rollout.record(step, trl_.ends(self.theirs), ids))

    def _problem_id(self, prompt: str) -> str:
        return self._prompts.setdefault(prompt, f"prompt/{len(self._prompts)}")


def _evaluation(state: Any) -> dict[str, float]:
    """The figures of TRL's evaluation of this step, by its own names."""
    found = {}
    for entry in reversed(state.log_history):
        if entry.get("step") != state.global_step:
            break
        for name, value in entry.items():
            if name.startswith("eval_") and isinstance(value, (int, float)):
                found[f"eval/{name.removeprefix('eval_')}"] = float(value)
    return found


def _movable(trainer: Any) -> tuple[str, ...]:
    """vLLM's engine reads its own temperature."""
    return tuple(n for n in MOVABLE if n != "temperature" or not trainer.use_vllm)


def _different(names: list[str]) -> list[str]:
    """Two functions of one name are told apart by a number."""
    return [
        name if name not in names[:place] else f"{name}_{place}" for place, name in enumerate(names)
    ]


def _arguments(trainer: Any) -> dict[str, Any]:
    """TRL's arguments as JSON can hold them."""
    plain = (str, int, float, bool, type(None))
    given = trainer.args.to_dict()
    return {n: v if isinstance(v, plain) else repr(v)[:500] for n, v in given.items()}


def _trl_version() -> str:
    import trl

    return str(trl.__version__)
