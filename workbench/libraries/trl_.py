"""TRL (tried with 1.16.0): where one can look on while its `GRPOTrainer` trains, and which of its
settings it reads anew.

TRL calls everything through `self`, so a method is looked into by an attribute of the same name at
the instance, and left alone again by deleting that. Held against the installed version by
`tests/watch/`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

TESTED = "1.16"
"""The versions that begin so were tried."""
ROW = "workbench_row"
"""A column of row numbers that goes with the batch through TRL's shuffle."""


class Observer(Protocol):
    """What `Hooks` tells. Nothing that it does may reach TRL: it raises nothing."""

    def rollout_begins(self) -> None:
        """A rollout of the training is about to be sampled: settings may be changed here."""

    def rewarded(self, rows: Sequence[Any], texts: Sequence[Any], ids: Any, rewards: Any) -> None:
        """The completions of the rollout in hand were scored."""

    def rewarding(self) -> None:
        """They are about to be."""

    def rolled_out(self, output: dict[str, Any]) -> None:
        """The rollout is whole, rows in group order."""

    def passed(self, inputs: dict[str, Any], logp: Tensor, entropy: Tensor | None) -> None:
        """The policy was asked for a micro-batch of an update."""

    def differentiated(self, inputs: dict[str, Any], gradient: Tensor) -> None:
        """The backward pass came to the log-probabilities of that micro-batch."""

    def micro_batch_done(self, loss: float) -> None:
        """A micro-batch is over."""

    def updated(self, gradient_norm: float, learning_rate: float) -> None:
        """An optimizer step is over, its log and evaluation too."""


class Hooks:
    """Looks into one trainer from now until `leave`."""

    def __init__(self, trainer: Any, observer: Observer) -> None:
        self.trainer = trainer
        self.observer = observer
        # The inputs of the loss that is being computed: the same method also serves the old policy
        # and the reference.
        self._inputs: dict[str, Any] | None = None
        self._last_update = trainer.state.global_step
        self._watched = {
            "_generate_and_score_completions": self._generate,
            "_calculate_rewards": self._rewards,
            "_compute_loss": self._loss,
            "_get_per_token_logps_and_entropies": self._logps,
            "training_step": self._micro_batch,
            "_maybe_log_save_evaluate": self._update,
        }
        self._originals = {name: getattr(trainer, name) for name in self._watched}
        for name, watched in self._watched.items():
            setattr(trainer, name, watched)

    def leave(self) -> None:
        """Let the trainer be as it was. Twice does nothing."""
        for name, watched in self._watched.items():
            if self.trainer.__dict__.get(name) == watched:
                delattr(self.trainer, name)

    @property
    def _trains(self) -> bool:
        return bool(self.trainer.model.training)

    def _generate(self, inputs: Any, *args: Any, **more: Any) -> Any:
        original = self._originals["_generate_and_score_completions"]
        # Evaluation comes this way, too.
        if not self._trains:
            return original(inputs, *args, **more)
        self.observer.rollout_begins()
        output = original(inputs, *args, **more)
        self.observer.rolled_out(output)
        rows = len(output["completion_ids"])
        return {**output, ROW: torch.arange(rows)}

    def _rewards(self, inputs: Any, prompts: Any, completions: Any, ids: Any, **more: Any) -> Any:
        original = self._originals["_calculate_rewards"]
        if not self._trains:
            return original(inputs, prompts, completions, ids, **more)
        self.observer.rewarding()
        rewards = original(inputs, prompts, completions, ids, **more)
        self.observer.rewarded(inputs, completions, ids, rewards)
        return rewards

    def _loss(self, model: Any, inputs: Any) -> Any:
        self._inputs = inputs if self._trains and ROW in inputs else None
        try:
            return self._originals["_compute_loss"](model, inputs)
        finally:
            self._inputs = None

    def _logps(self, *args: Any, **more: Any) -> Any:
        found = self._originals["_get_per_token_logps_and_entropies"](*args, **more)
        inputs = self._inputs
        if inputs is None:
            return found
        logp, entropy = found[0], found[1]
        self.observer.passed(inputs, logp, entropy)
        if logp.requires_grad:
            # What a hook of a tensor returns would take the gradient's place.
            def look(gradient: Tensor) -> None:
                self.observer.differentiated(inputs, gradient)

            logp.register_hook(look)
        return found

    def _micro_batch(self, *args: Any, **more: Any) -> Any:
        loss = self._originals["training_step"](*args, **more)
        self.observer.micro_batch_done(float(loss))
        return loss

    def _update(self, tr_loss: Any, grad_norm: Any, *args: Any, **more: Any) -> Any:
        # Called once more at the end of an epoch.
        step = self.trainer.state.global_step
        is_new = step != self._last_update
        self._last_update = step
        rate = more.get("learning_rate")
        if rate is None:
            rate = learning_rate_in_force(self.trainer)
        norm = math.nan if grad_norm is None else float(grad_norm)
        try:
            original = self._originals["_maybe_log_save_evaluate"]
            return original(tr_loss, grad_norm, *args, **more)
        finally:
            if is_new:
                self.observer.updated(norm, float(rate))


# -------------------------------------------------------------------------- what TRL reads anew


def has_reference(theirs: Any) -> bool:
    """Whether TRL can score with a reference: a model of its own, or the one under the adapter."""
    return theirs.ref_model is not None or _adapted(theirs)


def set_beta(theirs: Any, value: float) -> None:
    """The weight of the KL, from the next rollout on."""
    theirs.beta = value


def set_epsilons(theirs: Any, low: float, high: float) -> None:
    """How far the ratio may go before it is clipped."""
    theirs.epsilon_low = low
    theirs.epsilon_high = high


def set_temperature(theirs: Any, value: float) -> None:
    """Of the sampling and of the loss, which TRL keeps in two places. Raises LookupError where one
    of them is not where it was."""
    cells = [cell for model in _scoring_models(theirs) for cell in _temperature_cells(model)]
    if not cells:
        raise LookupError("the temperature of TRL's fused head was not found")
    for cell in cells:
        cell.cell_contents = value
    theirs.generation_config.temperature = value
    theirs.temperature = value


def set_learning_rate(theirs: Any, value: float) -> None:
    """The rate that the schedule is multiplied with, for the next update and all after it."""
    schedule = getattr(theirs.lr_scheduler, "scheduler", theirs.lr_scheduler)
    before = list(getattr(schedule, "base_lrs", []))
    for place, group in enumerate(theirs.optimizer.param_groups):
        # Where the schedule stands: a share of the rate that it began with.
        share = group["lr"] / before[place] if before and before[place] else 1.0
        group["lr"] = value * share
    if before:
        schedule.base_lrs = [value] * len(before)
        # What TRL logs as the rate in force.
        schedule._last_lr = [group["lr"] for group in theirs.optimizer.param_groups]


def learning_rate_in_force(theirs: Any) -> float:
    """Of the first group of weights."""
    return float(theirs.optimizer.param_groups[0]["lr"])


def ends(theirs: Any) -> set[int]:
    """Token ids that end a completion, the padding included."""
    given = theirs.eos_token_ids
    ids = {given} if isinstance(given, int) else set(given)
    tokenizer = tokenizer_of(theirs)
    return {*ids, tokenizer.pad_token_id} - {None}


def tokenizer_of(theirs: Any) -> Any:
    """The tokenizer, also inside a processor."""
    return getattr(theirs.processing_class, "tokenizer", theirs.processing_class)


def _adapted(theirs: Any) -> bool:
    return hasattr(theirs.accelerator.unwrap_model(theirs.model), "peft_config")


def _scoring_models(theirs: Any) -> Iterator[Any]:
    for model in (theirs.model, theirs.ref_model):
        if model is None:
            continue
        plain = theirs.accelerator.unwrap_model(model)
        yield plain.get_base_model() if hasattr(plain, "peft_config") else plain


def _temperature_cells(model: Any) -> Iterator[Any]:
    forwards: list[Callable[..., Any]] = [model.forward]
    # Under mixed precision accelerate wraps the forward and keeps the one before.
    if hasattr(model, "_original_forward"):
        forwards.append(model._original_forward)
    for forward in forwards:
        function: Any = getattr(forward, "__func__", forward)
        code = getattr(function, "__code__", None)
        if code is not None and "temperature" in code.co_freevars:
            yield function.__closure__[code.co_freevars.index("temperature")]
