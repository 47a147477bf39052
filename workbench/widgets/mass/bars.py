"""The completions of one group as bars of their probability, and where the clip range stops one.
Arrays only.

Suffixes: U updates of the step plus one (place 0 is before the first), T tokens of a completion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from workbench.config import LOSSES
from workbench.config.losses import SEQUENCE_LEVELS
from workbench.influence.mass_file import Mass
from workbench.widgets.tokens.inputs import settings_of

Array = np.ndarray


@dataclass(frozen=True)
class Bar:
    """A distinct completion of the group."""

    rows: tuple[int, ...]
    """All completions of the step with these tokens."""
    probability_U: Array
    """Before the step and after each update."""
    wall_U: Array
    """Where the clip range stops it: its probability if no token had gone beyond its bound. NaN
    while no token is there."""
    at_wall_U: Array
    """How many of its tokens are beyond their bound."""
    tokens: int
    advantage: float
    reward: float


@dataclass(frozen=True)
class GroupMass:
    """The bars of a group, the best paid first, and what is left for all other texts."""

    group: int
    bars: list[Bar]
    rest_U: Array
    clips: bool
    """Whether the loss stops pushing a token at a bound at all."""


def group_mass(mass: Mass, batch: Mapping[str, Any], group: int) -> GroupMass:
    """Group `group` of what `Run.batch` gives for the step."""
    G = mass.num_generations
    config = settings_of(batch["config"])
    distinct: dict[tuple[int, ...], list[int]] = {}
    for row in range(group * G, (group + 1) * G):
        ids = tuple(batch["ids_BT"][row, : batch["lengths_B"][row]].tolist())
        distinct.setdefault(ids, []).append(row)
    bars = [_bar(mass, batch, config, tuple(rows)) for rows in distinct.values()]
    # Texts that were cut off are the beginnings of many others: together still no more than 1.
    rest_U = np.clip(1.0 - sum(bar.probability_U for bar in bars), 0.0, 1.0)
    bars.sort(key=lambda bar: (-np.nan_to_num(bar.advantage), -bar.probability_U[0]))
    return GroupMass(group, bars, rest_U, _clips(config))


def group_that_moved_most(mass: Mass) -> int:
    """The group with the largest change of probability, up or down."""
    probability_UB = np.exp(mass.logp_UB)
    moved_B = np.abs(probability_UB[-1] - probability_UB[0])
    return int(moved_B.reshape(-1, mass.num_generations).max(1).argmax())


def _bar(
    mass: Mass, batch: Mapping[str, Any], config: SimpleNamespace, rows: tuple[int, ...]
) -> Bar:
    first = rows[0]
    logp_UT = mass.logp_UK[:, mass.tokens_of(first)]
    tokens = logp_UT.shape[1]
    advantage = float(batch["advantages_B"][first])
    advantage_T = np.full(tokens, advantage)
    if "advantage_BT" in batch:
        advantage_T = batch["advantage_BT"][first, :tokens].astype(np.float64)
    wall_U, at_wall_U = _wall(logp_UT, advantage_T, config)
    return Bar(
        rows=rows,
        probability_U=np.exp(logp_UT.sum(1)),
        wall_U=wall_U,
        at_wall_U=at_wall_U,
        tokens=tokens,
        advantage=advantage,
        reward=float(batch["reward_B"][first]),
    )


def _clips(config: SimpleNamespace) -> bool:
    return bool(LOSSES[config.loss_type].clips)


def _wall(logp_UT: Array, advantage_T: Array, config: SimpleNamespace) -> tuple[Array, Array]:
    """(wall_U, at_wall_U) of one completion."""
    log_ratio_UT = logp_UT - logp_UT[0]
    if not _clips(config):
        return np.full(len(logp_UT), np.nan), np.zeros(len(logp_UT), int)
    if config.importance_sampling_level in SEQUENCE_LEVELS:
        # One ratio for all tokens: the geometric mean of theirs.
        log_ratio_UT = np.broadcast_to(log_ratio_UT.mean(1, keepdims=True), log_ratio_UT.shape)
    low = float(config.epsilon)
    high = low if config.epsilon_high is None else float(config.epsilon_high)
    highest_T = np.where(advantage_T > 0, np.log1p(high), np.inf)
    lowest_T = np.where(advantage_T < 0, np.log1p(-low) if low < 1 else -np.inf, -np.inf)
    bounded_UT = np.clip(log_ratio_UT, lowest_T, highest_T)
    at_wall_U = (bounded_UT != log_ratio_UT).sum(1)
    wall_U = np.exp(logp_UT[0].sum() + bounded_UT.sum(1))
    return np.where(at_wall_U > 0, wall_U, np.nan), at_wall_U
