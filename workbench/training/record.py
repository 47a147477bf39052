"""From the tensors of a step to its `StepRecord`."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from workbench.config import GRPOConfig
from workbench.objective import group_statistics, merge_metrics, total_rewards
from workbench.policy.policy import Policy
from workbench.rollout.types import Rollout
from workbench.runs.step_record import Samples, TokenArrays
from workbench.tasks.types import Problem
from workbench.training.batch import Batch


def samples_of(
    problems: Sequence[Problem],
    indices: Sequence[int],
    completions: Sequence[str],
    rewards_BK: torch.Tensor,
    batch: Batch,
    config: GRPOConfig,
) -> Samples:
    """The completions of the step by column."""
    G = config.num_generations
    reward_B = total_rewards(rewards_BK, config.reward_weights)
    statistics = group_statistics(rewards_BK, G, weights=config.reward_weights)
    return Samples(
        num_generations=G,
        problem_ids=[f"train/{i}" for i in indices],
        prompts=[p.question for p in problems],
        gold_answers=[p.answer for p in problems],
        completions=list(completions),
        rewards_BK=rewards_BK,
        reward_B=reward_B,
        advantage_B=batch.advantages_B.cpu(),
        baseline_B=baselines(reward_B, statistics.mean_N, config),
        length_B=batch.rollout.lengths_B.cpu(),
        truncated_B=batch.rollout.truncated_B.cpu(),
        dead_N=statistics.dead_N,
    )


def baselines(reward_B: torch.Tensor, mean_N: torch.Tensor, config: GRPOConfig) -> torch.Tensor:
    """(B,) what the config's `advantage_baseline` subtracts from each total reward."""
    G = config.num_generations
    group_B = mean_N.repeat_interleave(G)
    table = {
        "group": group_B,
        "leave_one_out": (group_B * G - reward_B) / (G - 1),
        "batch": reward_B.nanmean().expand_as(reward_B),
        "none": torch.zeros_like(reward_B),
    }
    return table[config.advantage_baseline]


def tokens_of(batch: Batch) -> TokenArrays:
    """Every sampled token with its log-probabilities."""
    r = batch.rollout
    floats = {
        "sampler_logp": r.sampler_logp_BT,
        "old_logp": batch.old_logp_BT,
        "ref_logp": batch.ref_logp_BT,
        "logp": batch.logp_BT,
        "entropy": batch.entropy_BT,
    }
    kept = {
        name: values.detach().float().cpu() for name, values in floats.items() if values is not None
    }
    return TokenArrays.from_padded(r.completion_ids_BT.cpu(), r.mask_BT.cpu(), **kept)


def reward_metrics(
    rewards_BK: torch.Tensor, names: Sequence[str], config: GRPOConfig
) -> dict[str, float]:
    """Means of the total and of each reward function, the mean group spread, the share of dead
    groups."""
    statistics = group_statistics(rewards_BK, config.num_generations, weights=config.reward_weights)
    total = total_rewards(rewards_BK, config.reward_weights)
    means = {
        f"rewards/{name}": float(column.nanmean())
        for name, column in zip(names, rewards_BK.T, strict=True)
    }
    return {
        "reward": float(total.nanmean()),
        "reward_std": float(statistics.std_N.nanmean()),
        "dead_group_share": float(statistics.dead_N.float().mean()),
    } | means


def rollout_metrics(rollout: Rollout) -> dict[str, float]:
    """Lengths in tokens and the share of completions that were cut off."""
    lengths = rollout.lengths_B.float()
    return {
        "completion_length": float(lengths.mean()),
        "completion_length_max": float(lengths.max()),
        "truncated_share": float(rollout.truncated_B.float().mean()),
        "tokens": float(lengths.sum()),
    }


def update_metrics(updates: Sequence[dict[str, float]]) -> dict[str, float]:
    """The metrics of a step's updates in one: weighed by tokens, extremes kept; loss and gradient
    norm are plain means.

    An update whose rows were all skipped (every group dead, no KL) has a loss and a norm only.
    """
    own = [name for name in ("loss", "grad_norm") if name in updates[0]]
    measured = [{k: v for k, v in u.items() if k not in own} for u in updates if "tokens" in u]
    means = {name: sum(u[name] for u in updates) / len(updates) for name in own}
    return (merge_metrics(measured) if measured else {}) | means | {"updates": float(len(updates))}


def text_of(policy: Policy, rollout: Rollout) -> list[str]:
    """The completions as text."""
    return [policy.decode(ids) for ids in rollout.completion_lists()]
