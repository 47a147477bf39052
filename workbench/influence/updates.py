"""The updates of a step made again, and what each began with.

Suffixes: U updates, B all completions, T tokens, W trained weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.influence.files import Question
from workbench.influence.gradients import Weights, flat, loss_weights
from workbench.influence.kept_step import KeptStep
from workbench.influence.movement import adamw_movement, sgd_movement
from workbench.influence.replay import Replay
from workbench.influence.result import InfluenceCancelledError, InfluenceError
from workbench.policy.logprobs import logps_in_parts
from workbench.policy.policy import Policy
from workbench.training.update import update_totals

ANOTHER_STEP = 0.01
"""Nats per token: a step made again that is farther from the record is another step."""


@dataclass(frozen=True)
class Watch:
    """Tells how far the work is, and ends it when it is asked to."""

    progress: Callable[[str, int, int], None] = lambda words, done, of: None
    should_stop: Callable[[], bool] = lambda: False

    def tick(self, words: str, done: int, of: int) -> None:
        """`done` of `of` parts are made. Raises `InfluenceCancelledError`."""
        if self.should_stop():
            raise InfluenceCancelledError(f"cancelled while {words}: nothing was kept.")
        self.progress(words, done, of)


@dataclass(frozen=True)
class UpdateMade:
    """An update of the step, as it was made. Its tensors lie on the CPU: there are some for each
    update."""

    start_W: Tensor
    """The weights before it."""

    rate_W: Tensor
    gain: float
    decay: float
    """As in `Movement`."""

    moment_before_W: Tensor | None
    """The same, of the first update of the step; those after it follow from it."""

    way_W: Tensor | None
    """How it moved the weights; None where nobody asks for points along it."""

    length: float
    """How long that way was."""

    weights: dict[int, Weights]
    """By row: the coefficients of the answers that were learnt from in it."""


def log_probabilities(policy: Policy, step: KeptStep) -> Tensor:
    """(B, T) of all completions of the step under the weights of now; 0 on padding."""
    with torch.no_grad():
        return logps_in_parts(policy.model, step.batch.rollout, step.config)


def make_step(
    replay: Replay,
    step: KeptStep,
    question: Question,
    lengths_U: Sequence[float] | None,
    watch: Watch,
) -> list[UpdateMade]:
    """Make the updates of a step, and keep what each began with: as the run's optimizer moves, or
    as plain SGD does in updates of these lengths."""
    made_U = []
    for number, rows_R in enumerate(step.updates()):
        watch.tick(f"making step {step.number} again", number, len(step.updates()))
        policy = replay.policy
        metrics = replay.gradient(step, rows_R)
        gradient_W = flat(_grad(p) for p in policy.trainable_parameters())
        # Before the weights move, since they depend on them.
        config = replay.entropy.in_force(step.config)
        totals = update_totals(policy, step.method, step.batch, rows_R, config)
        weights = loss_weights(policy, step.method, step.batch, rows_R, config, totals)
        start_W = flat(policy.trainable_parameters())
        if lengths_U is not None:
            movement = sgd_movement(gradient_W, lengths_U[number])
            replay.move_by(step, movement.of(-gradient_W, start_W), metrics)
        elif question.optimizer == "run":
            movement = adamw_movement(policy, replay.optimizer, gradient_W, step.config)
            replay.move(step, metrics)
        else:
            # Only its length is asked for, which any optimizer has.
            movement = sgd_movement(gradient_W, 0.0)
            replay.move(step, metrics)
        way_W = flat(policy.trainable_parameters()) - start_W
        made_U.append(
            UpdateMade(
                start_W=start_W.cpu(),
                rate_W=movement.rate_W.cpu(),
                gain=movement.gain,
                decay=movement.decay,
                moment_before_W=movement.moment_before_W.cpu() if number == 0 else None,
                way_W=way_W.cpu() if question.path_points else None,
                length=float(way_W.norm()),
                weights={row: w for row, w in weights.items() if _pushes(w)},
            )
        )
    return made_U


def distance_to_record(step: KeptStep) -> float:
    """Nats per token between the log-probabilities of the step made again and the recorded ones.
    Raises `InfluenceError` where they are another step's."""
    made_BT = step.batch.logp_BT.cpu()
    known_BT = step.recorded_logp_BT.isfinite() & made_BT.isfinite() & step.batch.loss_mask_BT.cpu()
    if not known_BT.any():
        return 0.0
    error = float((made_BT - step.recorded_logp_BT)[known_BT].abs().mean())
    if error > ANOTHER_STEP:
        raise InfluenceError(
            f"step {step.number} made again gives log-probabilities that are {error:.3g} nats per "
            "token away from the recorded ones: policy, task or version are not those of the run. "
            "Give the run's own with policy=POLICY, task=TASK."
        )
    return error


def _grad(parameter: torch.nn.Parameter) -> Tensor:
    assert parameter.grad is not None  # `accumulate_gradient` makes one for each
    return parameter.grad


def _pushes(weights: Weights) -> bool:
    """Whether any token of an answer has a coefficient other than 0."""
    by_entropy = weights.entropy_T is not None and bool(weights.entropy_T.any())
    return bool(weights.logp_T.any()) or by_entropy
