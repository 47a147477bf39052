"""Training a reward model, and training it further on what a moved policy samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from workbench.rewards.model.data import Example, Outcome, Pair, StepLabels, replay_mix
from workbench.rewards.model.losses import bradley_terry_loss, label_loss
from workbench.rewards.model.scalar import RewardModel, RewardModelError

OnStep = Callable[[int, int, float], None]
"""Told the step, of how many, and its loss."""
E = TypeVar("E")


@dataclass(frozen=True)
class RewardTraining:
    """How a reward model is trained."""

    learning_rate: float = 2e-5
    """DeepSeekMath's (section 4.2), for a body of 7 B parameters. The embedded policy's 0.9 M take
    `EMBEDDED_LEARNING_RATE`."""
    epochs: int = 1
    """Passes over the examples. The usual number: a second pass overfits (arXiv 2203.02155)."""
    batch_size: int = 32
    """Examples of an update."""
    warmup: float = 0.1
    """Share of the updates over which the learning rate rises; then it falls to 0 in a straight
    line."""
    max_grad_norm: float = 1.0
    """The gradient is clipped to this norm."""
    centre: float = 0.0
    """Of pairs: see `bradley_terry_loss`."""
    seed: int = 0
    """Of the order of the examples."""


EMBEDDED_LEARNING_RATE = 5e-4
"""For a copy of the embedded policy, whose weights are three orders fewer than the paper's: at 2e-5
it hardly moves in the few hundred updates that a minute has."""


def train_reward_model(
    model: RewardModel,
    examples: Sequence[Example],
    how: RewardTraining | None = None,
    *,
    on_step: OnStep = lambda step, steps, loss: None,
) -> list[float]:
    """Train `model` in place with AdamW; returns the loss of each update. The same examples,
    settings and weights give the same model.

    Raises `RewardModelError` for examples that are not of the model's kind, and for a loss that is
    not finite.
    """
    how = how or RewardTraining()
    loss_of = LOSSES.get(model.kind)
    if loss_of is None:
        raise RewardModelError(
            f"reward model {model.source!r} is of kind {model.kind!r}: what its number means is "
            f"not known, so that it cannot be trained. Its kind must be one of {', '.join(LOSSES)}."
        )
    _check_examples(model.kind, examples)
    batches = _batches(examples, how)
    optimizer = torch.optim.AdamW(model.model.parameters(), lr=how.learning_rate, weight_decay=0.0)
    losses = []
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = how.learning_rate * _rate(step, len(batches), how.warmup)
        loss = loss_of(model, batch, how)
        if not torch.isfinite(loss):
            raise RewardModelError(
                f"update {step + 1} of reward model {model.source!r}: the loss is {loss.item()}. "
                f"Lower learning_rate (now {how.learning_rate:g})."
            )
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.model.parameters(), how.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        on_step(step + 1, len(batches), losses[-1])
    return losses


def retrain(
    model: RewardModel,
    new: Sequence[E],
    old: Sequence[E] = (),
    how: RewardTraining | None = None,
    *,
    share: float = 0.1,
    on_step: OnStep = lambda step, steps, loss: None,
) -> list[float]:
    """Train `model` further, in place, on examples of the policy of now with `share` of historical
    ones (`replay_mix`): line 12 of Algorithm 1 of DeepSeekMath. The optimizer begins anew. Returns
    the losses."""
    how = how or RewardTraining()
    mixed: Any = replay_mix(old, new, share, how.seed)
    return train_reward_model(model, mixed, how, on_step=on_step)


def _rate(step: int, steps: int, warmup: float) -> float:
    """Factor of the learning rate."""
    rising = max(math.ceil(warmup * steps), 1)
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(steps - rising + 1, 1)


def _batches(examples: Sequence[Example], how: RewardTraining) -> list[list[Any]]:
    found: list[list[Any]] = []
    for epoch in range(how.epochs):
        order = np.random.default_rng((how.seed, epoch)).permutation(len(examples))
        shuffled = [examples[place] for place in order]
        found += [
            shuffled[start : start + how.batch_size]
            for start in range(0, len(shuffled), how.batch_size)
        ]
    return found


def _pair_loss(model: RewardModel, batch: Sequence[Pair], how: RewardTraining) -> Tensor:
    chosen = [model.encode(pair.messages, pair.chosen) for pair in batch]
    rejected = [model.encode(pair.messages, pair.rejected) for pair in batch]
    # In one pass, which the two halves share.
    logit_2B = model.logits([*chosen, *rejected])
    return bradley_terry_loss(logit_2B[: len(batch)], logit_2B[len(batch) :], how.centre)


def _outcome_loss(model: RewardModel, batch: Sequence[Outcome], how: RewardTraining) -> Tensor:
    logit_B = model.logits([model.encode(one.messages, one.completion) for one in batch])
    return label_loss(logit_B, logit_B.new_tensor([one.label for one in batch]))


def _step_loss(model: RewardModel, batch: Sequence[StepLabels], how: RewardTraining) -> Tensor:
    rows = [model.encode_steps(one.messages, one.completion, one.ends) for one in batch]
    logit_S = model.step_logits([ids for ids, _ in rows], [places for _, places in rows])
    return label_loss(logit_S, logit_S.new_tensor([label for one in batch for label in one.labels]))


LOSSES: dict[str, Callable[[RewardModel, Sequence[Any], RewardTraining], Tensor]] = {
    "pairs": _pair_loss,
    "outcome": _outcome_loss,
    "process": _step_loss,
}
"""Kind -> the loss of a batch of its examples."""
EXAMPLES: dict[str, type] = {"pairs": Pair, "outcome": Outcome, "process": StepLabels}
"""Kind -> what its examples are."""


def _check_examples(kind: str, examples: Sequence[Example]) -> None:
    if not examples:
        raise RewardModelError(
            "there is no example to train on. Sample more problems, or more completions of each: "
            "where all are right or all wrong there is no pair."
        )
    wrong = next((one for one in examples if not isinstance(one, EXAMPLES[kind])), None)
    if wrong is not None:
        raise RewardModelError(
            f"a model of kind {kind!r} is trained on {EXAMPLES[kind].__name__}, got a "
            f"{type(wrong).__name__}."
        )
