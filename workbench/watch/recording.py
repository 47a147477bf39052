"""`Recording`: what TRL's trainer tells while it trains, written as a record."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from workbench.config import ConfigWarning, GRPOConfig
from workbench.libraries import trl_
from workbench.runs import Run, RunWriter
from workbench.runs.step_record import Event, KnobChange
from workbench.training.in_hand import InHand
from workbench.training.knobs import Knobs
from workbench.watch.rollout import WatchedRollout, prompt_of
from workbench.watch.settings import planned_rollouts


class Onlooker(Protocol):
    """Who is told how the recording goes."""

    def micro_batch_seen(self) -> None:
        """A micro-batch is done: time for the page's messages."""

    def update_seen(self) -> None:
        """TRL has moved its weights."""

    def recording_failed(self, error: Exception, words: str) -> None:
        """Nothing is recorded any more; TRL goes on."""


class Recording:
    """Hears what `trl_.Hooks` tell and writes each rollout that is used up. A failure here never
    reaches TRL: `going` becomes False, with a warning."""

    def __init__(
        self, trainer: Any, out: Path, config: GRPOConfig, names: list[str], onlooker: Onlooker
    ) -> None:
        self.theirs = trainer
        self.out = out
        self.going = True
        tokenizer = trl_.tokenizer_of(trainer)
        self._pieces: Callable[[Any], list[str]] = lambda ids: [tokenizer.decode([i]) for i in ids]
        self._names = names
        self._onlooker = onlooker
        self.in_hand = InHand(tokenizer.decode)
        self.knobs = Knobs(config, names)
        self._open: list[WatchedRollout] = []
        self._prompts: dict[str, str] = {}

    def create(self, name: str, notices: list[str]) -> Run:
        """The record, with what was found at the start written into it."""
        self.writer = RunWriter.create(
            self.out,
            config=self.knobs.config.to_dict(),
            name=name or self.out.name,
            policy=str(getattr(self.theirs.model.config, "_name_or_path", "")),
            task="TRL",
            reward_names=self._names,
            pieces=self._pieces,
        )
        self.writer.add_to_environment(watched="trl", trl=_trl_version())
        self.writer.write_event(Event("trl config", "TRL's arguments", _arguments(self.theirs)))
        for sentence in notices:
            self.writer.write_event(Event("notice", sentence))
        return Run.open(self.out)

    def begin(self) -> None:
        """train() was called, once more perhaps."""

        def begin() -> None:
            if self.writer.closed:
                last = Run.open(self.out).last_step()
                self.writer = RunWriter.resume(self.out, last, pieces=self._pieces)
                self.writer.write_event(Event("notice", "trainer.train() was called again"))
            self._open = []

        self.guarded(begin)

    def end(self, status: str, reason: str) -> None:
        """train() has ended; what had begun is written, unless it failed."""
        self.in_hand.rollout = None
        self.in_hand.leave()

        def close() -> None:
            left = [rollout for rollout in self._open if rollout.micro_batches]
            for rollout in left if status != "failed" else []:
                self._write(rollout)
            if not self.writer.closed:
                self.writer.finish(status, reason)

        self.guarded(close)

    def guarded(self, act: Callable[[], None]) -> None:
        """Whatever fails here must never end TRL's training."""
        if not self.going:
            return
        try:
            act()
        except Exception as error:
            self.going = False
            words = f"watching ended, TRL goes on: {type(error).__name__}: {error}"
            warnings.warn(words, stacklevel=2)
            # Where the disk refuses, it refuses this, too, and the warning has said it.
            with suppress(Exception):
                self.writer.write_event(Event("error", words))
            self._onlooker.recording_failed(error, words)

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

        self.guarded(begin)

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

        self.guarded(scored_next)

    def rewarded(self, rows: Any, texts: Any, ids: Any, rewards: Any) -> None:
        """Keep texts and scores."""

        def keep() -> None:
            self._open[-1].rewarded(rows, texts, ids, rewards)
            self._open[-1].phase_ends("reward")
            self.in_hand.sampled(self._open[-1].completions)
            self.in_hand.enter("update")

        self.guarded(keep)

    def rolled_out(self, output: dict[str, Any]) -> None:
        """Keep advantages and log-probabilities."""
        self.guarded(lambda: self._open[-1].rolled_out(output))

    def passed(self, inputs: dict[str, Any], logp: Tensor, entropy: Tensor | None) -> None:
        """Keep what the update sees."""
        self.guarded(lambda: self._open[-1].passed(inputs, logp, entropy))

    def differentiated(self, inputs: dict[str, Any], gradient: Tensor) -> None:
        """Keep the tokens' coefficients."""
        self.guarded(lambda: self._open[-1].differentiated(inputs, gradient))

    def micro_batch_done(self, loss: float) -> None:
        """Count it, and let the page's messages in."""
        self.guarded(lambda: self._open[-1].micro_batch_done(loss))
        self._onlooker.micro_batch_seen()

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

        self.guarded(write)
        self._onlooker.update_seen()

    def _write(self, rollout: WatchedRollout) -> None:
        ids = [self._problem_id(prompt_of(row)) for row in rollout.rows]
        step = self.writer.last_step + 1
        self.writer.write_step(rollout.record(step, trl_.ends(self.theirs), ids))

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


def _arguments(trainer: Any) -> dict[str, Any]:
    """TRL's arguments as JSON can hold them."""
    plain = (str, int, float, bool, type(None))
    given = trainer.args.to_dict()
    return {n: v if isinstance(v, plain) else repr(v)[:500] for n, v in given.items()}


def _trl_version() -> str:
    import trl

    return str(trl.__version__)
