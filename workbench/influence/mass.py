"""The probability of each completion of a step, before it and after each of its updates.

A completion's probability under the policy is the product of those of its tokens, at the run's
temperature. Distinct completions of a prompt are distinct events, so that their probabilities are
parts of one whole: the rest is the mass of all that was not sampled.

Suffixes: U updates of the step plus one (place 0 is before the first), B completions, K all their
tokens one after another, A likeliest tokens, S = 2 (before the step, after it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from workbench.influence.begin import before_step, record_of
from workbench.influence.files import fingerprint
from workbench.influence.kept_step import KeptStep
from workbench.influence.mass_file import Mass, keep_mass, stored_mass
from workbench.influence.updates import Watch, distance_to_record
from workbench.policy.likeliest import likeliest_tokens
from workbench.policy.pieces import pieces_of
from workbench.policy.policy import Policy
from workbench.runs import Run
from workbench.tasks.types import Task
from workbench.training.session import Session

ALTERNATIVES = 3
"""Likeliest tokens that are kept at each place."""


@dataclass(frozen=True)
class _Look:
    """What one pass over all completions gives."""

    logp_K: np.ndarray
    ids_KA: np.ndarray
    logp_KA: np.ndarray


def mass_of_step(
    run: Session | Run | str | Path,
    step: int,
    *,
    policy: Policy | None = None,
    task: Task | None = None,
    again: bool = False,
    progress: Callable[[str, int, int], None] = lambda words, done, of: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Mass:
    """How probable each completion of `step` was before the step and after each of its updates,
    and the three likeliest tokens at each place of it, before and after.

    The step is made again from the checkpoint before it, as `who_taught` does: nothing is sampled,
    a running session pauses for it, a stored run loads its policy and task by the record's names
    unless they are given. It costs the step's updates, and a forward pass over its completions for
    each and one more. The answer is kept in `RUN/mass/`, and read from there the next time unless
    `again`. Raises `InfluenceError`, `InfluenceCancelledError`, `RunRecordError`.
    """
    record = record_of(run)
    if not again and (known := stored_mass(record, step)) is not None:
        return known
    digest = fingerprint(record.batch(step))
    watch = Watch(progress, should_stop)
    with before_step(run, step, watch, policy, task) as replay:
        kept = replay.kept(step)
        looks = [_look(replay.policy, kept)]
        updates = kept.updates()
        for number, rows_R in enumerate(updates):
            watch.tick(f"making step {step} again", number, len(updates))
            replay.move(kept, replay.gradient(kept, rows_R))
            looks.append(_look(replay.policy, kept))
        # Made again by another policy or version it would be another step.
        distance_to_record(kept)
        found = _mass(replay.policy, kept, looks)
    keep_mass(found, record, digest)
    return found


def _look(policy: Policy, step: KeptStep) -> _Look:
    rollout = step.batch.rollout
    # No more at once than in an update, whose micro-batches fit into memory.
    pieces = pieces_of(policy.model, rollout, step.config)
    parts = [
        likeliest_tokens(policy.model, rollout, part, step.config.temperature, ALTERNATIVES)
        for part in pieces
    ]
    row_K = torch.cat([piece.repeat_interleave(rollout.lengths_B[piece]) for piece in pieces])
    order_K = row_K.argsort(stable=True)
    logp_K, ids_KA, logp_KA = (torch.cat(each)[order_K].cpu() for each in zip(*parts, strict=True))
    return _Look(logp_K.double().numpy(), ids_KA.numpy().astype(np.int32), logp_KA.float().numpy())


def _mass(policy: Policy, step: KeptStep, looks: list[_Look]) -> Mass:
    first, last = looks[0], looks[-1]
    ids_SKA = np.stack([first.ids_KA, last.ids_KA])
    ids = np.unique(ids_SKA).tolist()
    return Mass(
        step=step.number,
        num_generations=step.batch.rollout.num_generations,
        temperature=float(step.config.temperature),
        lengths_B=step.batch.rollout.lengths_B.cpu().numpy().astype(np.int32),
        logp_UK=np.stack([look.logp_K for look in looks]),
        likely_ids_SKA=ids_SKA,
        likely_logp_SKA=np.stack([first.logp_KA, last.logp_KA]),
        texts=dict(zip(ids, policy.pieces(ids), strict=True)),
    )
