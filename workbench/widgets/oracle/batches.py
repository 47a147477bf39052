"""Batches of groups drawn from a `World`, and the gradient of each.

Every weight comes from `workbench.objective`, as in training: the advantages of the groups, the
derivative of the policy term (ratio, clip, KL) at each token, the reduction. What is added up with
these weights are the gradients at the world's edges: no policy is needed.

Suffixes beside the world's: M batches, G completions of a group, B completions of a batch, W = M x
B.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from workbench.widgets.oracle.world import NO_EDGE, Array, World

if TYPE_CHECKING:
    import torch

    from workbench.config import GRPOConfig


@dataclass(frozen=True)
class Gradients:
    """The gradients of M batches."""

    gradient_MR: Array
    """Uphill, in the basis of the world's factor."""

    dead: float
    """Share of groups whose rewards are all equal."""

    clipped: float
    """Share of the tokens that are clipped."""


def gradients(world: World, config: GRPOConfig, stale: int, uniform_MNG: Array) -> Gradients:
    """The gradient (uphill) of each batch, from samples of a stale policy."""
    batches = len(uniform_MNG)
    completion_W = draw(world, stale, uniform_MNG).reshape(-1)
    advantage_W, dead = _advantages(world, config, completion_W.reshape(batches, -1))
    push_WD, clipped_WD = pushes(world, config, stale, completion_W, advantage_W)
    share_W = _shares(world, config, completion_W.reshape(batches, -1))
    weight_WD = push_WD * share_W[:, None]

    # Into the edges, batch by batch: one flat index for both.
    edge_WD = world.edge_CD[completion_W]
    there = edge_WD != NO_EDGE
    edges = len(world.factor_ER)
    batch_W1 = np.repeat(np.arange(batches), len(completion_W) // batches)[:, None]
    flat = (batch_W1 * edges + edge_WD)[there]
    weight_ME = np.bincount(flat, weight_WD[there], batches * edges).reshape(batches, edges)
    tokens = float(world.length_C[completion_W].sum())
    return Gradients(weight_ME @ world.factor_ER, dead, float(clipped_WD.sum()) / tokens)


def draw(world: World, stale: int, uniform_MNG: Array) -> Array:
    """Completions drawn from the sampler, (M, N, G), by the inverse of its distribution."""
    probability_C = world.probability(stale)
    drawn = np.empty(uniform_MNG.shape, int)
    for n in range(len(world.questions)):
        own = np.flatnonzero(world.prompt_C == n)
        edges = np.cumsum(probability_C[own])
        place = np.searchsorted(edges / edges[-1], uniform_MNG[:, n], side="right")
        drawn[:, n] = own[np.minimum(place, len(own) - 1)]
    return drawn


def _advantages(world: World, config: GRPOConfig, completion_MB: Array) -> tuple[Array, float]:
    """(W,) advantages, batch by batch, and the share of dead groups."""
    import torch

    from workbench.objective import group_advantages

    parts = []
    dead = 0.0
    for completion_B in completion_MB:
        found = group_advantages(torch.from_numpy(world.reward_C[completion_B]), config)
        parts.append(found.advantage_B.numpy())
        dead += float(found.dead_N.float().mean()) / len(completion_MB)
    return np.concatenate(parts), dead


def pushes(
    world: World, config: GRPOConfig, stale: int, completion_W: Array, advantage_W: Array
) -> tuple[Array, Array]:
    """What grad log pi of each token at a branch is multiplied with before the reduction, (W, D),
    and which tokens are clipped."""
    import torch

    from workbench.objective import BatchTotals, policy_loss

    def on_branches(logp_E: Array) -> torch.Tensor:
        return torch.from_numpy(world.token_logps(logp_E)[completion_W])

    mask_WD = torch.from_numpy(world.edge_CD[completion_W] != NO_EDGE)
    logp_WD = on_branches(world.logp_SE[0]).requires_grad_()
    # A sum over sequences of which there is one: the terms as they are, not yet divided.
    summed = _with_reduction(config, "sequence_sum")
    loss = policy_loss(
        logp_WD,
        torch.from_numpy(advantage_W),
        mask_WD,
        summed,
        old_logp=on_branches(world.logp_SE[stale]),
        ref_logp=on_branches(world.ref_logp_E) if config.beta > 0 else None,
        num_items=BatchTotals(sequences=1, tokens=torch.tensor(1.0)),
    )
    (gradient_WD,) = torch.autograd.grad(loss.loss, logp_WD)
    clipped_WD = loss.per_token.clipped_low | loss.per_token.clipped_high
    return -gradient_WD.numpy(), clipped_WD.numpy()


def _with_reduction(config: GRPOConfig, name: str) -> GRPOConfig:
    from workbench.config import ConfigWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        return replace(config, loss_reduction=name)


def _shares(world: World, config: GRPOConfig, completion_MB: Array) -> Array:
    """What the reduction multiplies the terms of each completion with, (W,)."""
    import torch

    from workbench.config.losses import reduction_of
    from workbench.objective.reductions import REDUCTIONS, BatchTotals, Terms

    reduce = REDUCTIONS[reduction_of(config)]
    shares = []
    for completion_B in completion_MB:
        length_B1 = torch.from_numpy(world.length_C[completion_B]).double()[:, None]
        term_B1 = torch.ones_like(length_B1, requires_grad=True)
        totals = BatchTotals(sequences=len(completion_B), tokens=length_B1.sum())
        value = reduce(Terms(term_B1, length_B1, None, totals), config)
        shares.append(torch.autograd.grad(value, term_B1)[0][:, 0].numpy())
    return np.concatenate(shares)
