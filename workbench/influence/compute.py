"""The influence matrix of one step.

The step is made again, and of each update is kept what it began with: weights, coefficients, and
what the optimizer made of a push. Then the gradients of what moved are taken at each update, and
held against the push of each answer that was learnt from, one after the other: memory holds the
gradients of what moved and one more, however many answers there are. A push of an early update goes
on in the moment of the later ones of the step, and is counted there too.

Suffixes: U updates, S answers learnt from, M completions or tokens that moved, B all completions, T
tokens, W trained weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workbench.influence.files import Question
from workbench.influence.gradients import gradient_of, put_weights
from workbench.influence.kept_step import KeptStep
from workbench.influence.replay import Replay
from workbench.influence.result import Influence
from workbench.influence.targets import Target, targets_of
from workbench.influence.updates import (
    UpdateMade,
    Watch,
    distance_to_record,
    log_probabilities,
    make_step,
)
from workbench.policy.policy import Policy


def compute(
    replay: Replay, question: Question, watch: Watch, memory_bytes: int = 2**30
) -> Influence:
    """Answer `question`; `replay` stands before its step, and afterwards somewhere in it.

    memory_bytes: how much the gradients that are held at once may take; beside them two numbers for
    each trained weight and update stay on the CPU. Raises `InfluenceError` where the step made
    again is not the recorded one, and `InfluenceCancelledError`.
    """
    step = replay.kept(question.step)
    before = replay.state()
    before_BT = log_probabilities(replay.policy, step)
    made_U = make_step(replay, step, question, None, watch)
    replay_error = distance_to_record(step)
    moved_BT = log_probabilities(replay.policy, step) - before_BT
    targets = targets_of(question, step, moved_BT)
    real_BT = moved_BT
    if question.optimizer == "sgd":
        replay.return_to(before)
        lengths_U = [made.length for made in made_U]
        made_U = make_step(replay, step, question, lengths_U, watch)
        real_BT = log_probabilities(replay.policy, step) - before_BT

    influence: dict[int, np.ndarray] = {}
    earlier_M = np.zeros(len(targets))
    decay_M = np.zeros(len(targets))
    work = Work(replay.policy, step, made_U, question, watch)
    parts = list(_parts(len(targets), made_U, memory_bytes))
    for number, places in enumerate(parts):
        words = "gradients" if len(parts) == 1 else f"gradients, part {number + 1} of {len(parts)}"
        part = part_of_matrix(work, targets[places], words)
        earlier_M[places] = part.earlier_M
        decay_M[places] = part.decay_M
        for row, values in part.influence.items():
            influence.setdefault(row, np.zeros(len(targets)))[places] = values

    sources = sorted(influence)
    stacked_SM = [influence[row] for row in sources]
    return Influence(
        step=step.number,
        optimizer=question.optimizer,
        path_points=question.path_points,
        num_generations=step.batch.rollout.num_generations,
        source_S=np.array(sources, np.int64),
        weight_S=np.array([_weight(made_U, row) for row in sources], np.float64),
        target_M=np.array([target.row for target in targets], np.int64),
        position_M=np.array([target.position for target in targets], np.int64),
        influence_SM=np.array(stacked_SM, np.float64).reshape(len(sources), len(targets)),
        earlier_M=earlier_M,
        decay_M=decay_M,
        before_M=_of_targets(before_BT, targets),
        real_M=_of_targets(real_BT, targets),
        moved_B=moved_BT.cpu().double().sum(1).numpy(),
        replay_error=replay_error,
    )


@dataclass(frozen=True)
class Work:
    """What the parts of the matrix are computed from."""

    policy: Policy
    step: KeptStep
    made_U: list[UpdateMade]
    question: Question
    watch: Watch

    @property
    def beta1(self) -> float:
        """How much of its moment an update hands on to the next."""
        return self.step.config.adam_beta1 if self.question.optimizer == "run" else 0.0

    @property
    def pushes(self) -> int:
        """How many gradients of answers are to be taken."""
        return sum(len(made.weights) for made in self.made_U)


@dataclass(frozen=True)
class Part:
    """The matrix for some of the targets, in nats."""

    influence: dict[int, np.ndarray]
    """By the row that was learnt from, (M,)."""
    earlier_M: np.ndarray
    decay_M: np.ndarray


def part_of_matrix(work: Work, targets: Sequence[Target], words: str) -> Part:
    """What pushed these targets."""
    held_UMW, decay_M = _moved(work, targets, words)
    moment_W = work.made_U[0].moment_before_W
    assert moment_W is not None  # the first update's is kept
    influence: dict[int, np.ndarray] = {}
    done = len(work.made_U) * len(targets)
    for made, held_MW in zip(work.made_U, held_UMW, strict=True):
        put_weights(work.policy, made.start_W.to(work.policy.device))
        for row, weights in made.weights.items():
            work.watch.tick(words, done, done + work.pushes)
            push_W = gradient_of(
                work.policy, work.step.batch.rollout, row, weights, work.step.config.temperature
            )
            influence_M = made.gain * _numpy(held_MW @ push_W.to(held_MW))
            influence[row] = influence.get(row, 0.0) + influence_M
            done += 1
    return Part(influence, _numpy(held_UMW[0] @ moment_W.to(held_UMW[0])), decay_M)


def _moved(work: Work, targets: Sequence[Target], words: str) -> tuple[list[Tensor], np.ndarray]:
    """The gradients of the targets at each update, times what the optimizer makes of a push there
    and, through the moment, in the later updates; and what weight decay did to the targets."""
    decay_M = np.zeros(len(targets))
    held_UMW = []
    gradients = len(work.made_U) * len(targets)
    for number, made in enumerate(work.made_U):
        slopes = []
        for place, target in enumerate(targets):
            done = number * len(targets) + place
            work.watch.tick(words, done, gradients + work.pushes)
            slopes.append(_target_gradient(work, made, target))
        slope_MW = torch.stack(slopes)
        decay_M -= made.decay * _numpy(slope_MW @ made.start_W.to(slope_MW))
        # The same for all pushes, so it goes to this side.
        held_UMW.append(slope_MW.mul_(made.rate_W.to(slope_MW)))
    # A push goes on in the moments of the later updates, less by beta1 in each.
    for number in reversed(range(len(held_UMW) - 1)):
        held_UMW[number].add_(held_UMW[number + 1], alpha=work.beta1)
    return held_UMW, decay_M


def _target_gradient(work: Work, made: UpdateMade, target: Target) -> Tensor:
    """(W,) the gradient of a target's log-probability: before the update, or its mean along the way
    that the update goes.

    The mean is Gauss and Legendre's. With it the products with the parts of the movement add up to
    the real change (the fundamental theorem of calculus; arXiv 1703.01365 calls it completeness).
    """
    rollout = work.step.batch.rollout
    temperature = work.step.config.temperature
    weights = target.weights(rollout.mask_BT[target.row])
    nodes = np.array([0.0])
    shares = np.array([1.0])
    if work.question.path_points > 0:
        textbook_nodes, textbook_shares = np.polynomial.legendre.leggauss(work.question.path_points)
        # From the interval [-1, 1] of the textbooks to the way from 0 to 1.
        nodes = (textbook_nodes + 1) / 2
        shares = textbook_shares / 2
    total_W: Tensor | None = None
    for node, share in zip(nodes.tolist(), shares.tolist(), strict=True):
        place_W = made.start_W if made.way_W is None else made.start_W + node * made.way_W
        put_weights(work.policy, place_W.to(work.policy.device))
        slope_W = gradient_of(work.policy, rollout, target.row, weights, temperature)
        total_W = share * slope_W if total_W is None else total_W.add_(slope_W, alpha=share)
    assert total_W is not None
    return total_W


def _parts(count: int, made_U: Sequence[UpdateMade], memory_bytes: int) -> Iterator[slice]:
    """The targets in pieces whose gradients, at all updates, fit into the memory."""
    start_W = made_U[0].start_W
    size = len(made_U) * start_W.numel() * start_W.element_size()
    at_once = max(1, memory_bytes // size)
    for first in range(0, count, at_once):
        yield slice(first, min(first + at_once, count))


def _numpy(values: Tensor) -> np.ndarray:
    found: np.ndarray = values.cpu().double().numpy()
    return found


def _of_targets(values_BT: Tensor, targets: Sequence[Target]) -> np.ndarray:
    values = values_BT.cpu().double()
    picked = [
        float(values[t.row].sum() if t.position < 0 else values[t.row, t.position]) for t in targets
    ]
    return np.array(picked, np.float64)


def _weight(made_U: Sequence[UpdateMade], row: int) -> float:
    of_row = [made.weights[row] for made in made_U if row in made.weights]
    return sum(float(weights.logp_T.sum()) for weights in of_row)
