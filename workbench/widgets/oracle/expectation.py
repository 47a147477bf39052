"""The expected gradient under an old sampler, without drawing: nothing is left but ratio and
clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.widgets.oracle.batches import pushes
from workbench.widgets.oracle.settings import Setting, config_of
from workbench.widgets.oracle.world import World, cosine


@dataclass(frozen=True)
class Turned:
    """The expected gradient of one prompt under a sampler that is old."""

    cosine: float
    """Cosine between the expected gradient and the truth."""

    clipped: float
    """Share of the tokens that are clipped."""

    kl: float
    """KL(sampler || policy) of the completions, in nats."""


def expected(world: World, setting: Setting, prompt: int | None = None) -> Turned:
    """The expectation itself, with the advantage r - J of the sampler (a group without end, not
    scaled) and every token weighing alike: nothing is left but ratio and clip."""
    config = config_of(setting)
    stale = setting.stale
    every = np.arange(len(world.reward_C))
    baseline_N = world.expected_reward(stale)
    advantage_C = world.reward_C - baseline_N[world.prompt_C]
    push_CD, clipped_CD = pushes(world, config, stale, every, advantage_C)
    old_C = world.probability(stale)
    chosen_C = np.ones(len(every), bool) if prompt is None else world.prompt_C == prompt
    weight_C = np.where(chosen_C, old_C, 0.0)
    direction_R = world.direction(weight_C[:, None] * push_CD)
    tokens = float(weight_C @ world.length_C)
    log_ratio_C = world.token_logps(world.logp_SE[stale] - world.logp_SE[0]).sum(1)
    prompts = len(world.questions) if prompt is None else 1
    return Turned(
        cosine=cosine(direction_R, world.true_gradient(prompt)),
        clipped=float((weight_C[:, None] * clipped_CD).sum()) / tokens,
        kl=float(weight_C @ log_ratio_C) / prompts,
    )
