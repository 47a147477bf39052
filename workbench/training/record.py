"""From the tensors of a step to its `StepRecord`."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from workbench.methods import Batch
from workbench.objective import Advantages
from workbench.policy.policy import Policy
from workbench.rollout.types import Rollout
from workbench.runs.figures import length_figures, reward_figures, truncation_figures
from workbench.runs.step_record import Samples, TokenArrays
from workbench.tasks.types import Problem


def samples_of(
    problems: Sequence[Problem],
    indices: Sequence[int],
    completions: Sequence[str],
    rewards_BK: torch.Tensor,
    advantages: Advantages,
    batch: Batch,
) -> Samples:
    """The completions of the step by column; the advantages and what led to them as they were
    used."""
    return Samples(
        num_generations=batch.rollout.num_generations,
        problem_ids=[f"train/{i}" for i in indices],
        prompts=[p.prompt_text for p in problems],
        gold_answers=[p.answer for p in problems],
        completions=list(completions),
        rewards_BK=rewards_BK,
        reward_B=advantages.total_B,
        advantage_B=completion_means(batch),
        baseline_B=advantages.baseline_B,
        length_B=batch.rollout.lengths_B.cpu(),
        truncated_B=batch.rollout.truncated_B.cpu(),
        dead_N=advantages.dead_N,
    )


def completion_means(batch: Batch) -> torch.Tensor:
    """(B,) what each completion was weighed with: with one number for each token, their mean."""
    values = batch.advantages.cpu()
    if values.dim() == 1:
        return values
    mask_BT = batch.loss_mask_BT.cpu()
    return torch.where(mask_BT, values, 0.0).sum(1) / mask_BT.sum(1).clamp(min=1)


def tokens_of(batch: Batch) -> TokenArrays:
    """Every sampled token with its log-probabilities, its coefficient, and its advantage where
    each token has its own."""
    r = batch.rollout
    floats = {
        "sampler_logp": batch.sampler_logp_BT,
        "old_logp": batch.old_logp_BT,
        "ref_logp": batch.ref_logp_BT,
        "logp": batch.logp_BT,
        "entropy": batch.entropy_BT,
        "coefficient": batch.coefficient_BT,
        "advantage": batch.advantages if batch.advantages.dim() == 2 else None,
    }
    kept = {
        name: values.detach().float().cpu() for name, values in floats.items() if values is not None
    }
    return TokenArrays.from_padded(r.completion_ids_BT.cpu(), r.mask_BT.cpu(), **kept)


def reward_metrics(
    rewards_BK: torch.Tensor, names: Sequence[str], advantages: Advantages
) -> dict[str, float]:
    """Means of the total and of each reward function, the mean group spread, the share of dead
    groups."""
    return reward_figures(
        names, rewards_BK, advantages.total_B, advantages.std_N, advantages.dead_N
    )


def rollout_metrics(rollout: Rollout) -> dict[str, float]:
    """Lengths in tokens and the share of completions that were cut off."""
    lengths = length_figures(rollout.lengths_B.cpu())
    return lengths | truncation_figures(rollout.truncated_B.cpu())


def text_of(
    policy: Policy, rollout: Rollout, messages_N: Sequence[Sequence[dict[str, str]]]
) -> list[str]:
    """The completions as text, each the whole message of the assistant that answers the messages of
    its group."""
    return [
        policy.decode(ids, messages_N[row // rollout.num_generations])
        for row, ids in enumerate(rollout.completion_lists())
    ]
