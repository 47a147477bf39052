"""Supervised fine-tuning: the task's own worked solutions are imitated, each token alike.

DeepSeekMath (arXiv 2402.03300) eq. 7: data P_sft(Q, O), gradient coefficient 1. The completions are
demonstrations in place of samples; their rewards are recorded and weigh nothing. Deviation: the
mean is over the tokens of the whole batch (loss_type "reinforce"), where the paper's formula takes
that of each answer first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from workbench.config import ConfigError, GRPOConfig
from workbench.methods.base import Method, Scored
from workbench.methods.batch import Batch
from workbench.policy.policy import Policy
from workbench.rollout.request import left_pad
from workbench.rollout.types import Rollout
from workbench.tasks.types import Problem, Task

SAMPLER_DTYPE = torch.float32
"""As engines give it."""


class SFT(Method):
    """Coefficient 1 on every token of a demonstration."""

    def credit(self, batch: Batch, scored: Scored, config: GRPOConfig) -> Tensor:
        return torch.ones_like(batch.advantages)


def demonstrations(
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    prompts: Sequence[Sequence[int]],
    config: GRPOConfig,
) -> Rollout:
    """The worked solution of each problem as if it had been sampled, G times; its `sampler_logp_BT`
    is NaN, for nobody sampled it. Raises `TaskError` where the data has none, `ConfigError` for one
    that is too long."""
    answers = []
    for problem in problems:
        text = task.demonstration(problem)
        ids = policy.encode_completion(text, task.messages(problem))
        if len(ids) > config.max_completion_length:
            raise ConfigError(
                f"the worked solution of {problem.question[:60]!r} has {len(ids)} tokens, "
                f"max_completion_length is {config.max_completion_length}. Raise it, or leave such "
                "problems out of the data."
            )
        answers += [ids] * config.num_generations
    device = policy.device
    completion_ids_BT, mask_BT = _right_pad(answers, policy.pad_token_id)
    prompt_ids_NP, prompt_mask_NP = left_pad(prompts, policy.pad_token_id, device)
    return Rollout(
        prompt_ids_NP=prompt_ids_NP,
        prompt_mask_NP=prompt_mask_NP,
        completion_ids_BT=completion_ids_BT.to(device),
        mask_BT=mask_BT.to(device),
        sampler_logp_BT=torch.full(mask_BT.shape, torch.nan, dtype=SAMPLER_DTYPE, device=device),
        truncated_B=torch.zeros(len(answers), dtype=torch.bool, device=device),
        num_generations=config.num_generations,
    )


def _right_pad(rows: Sequence[Sequence[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Token ids padded on the right to the longest row, and the mask (False on padding)."""
    ids_BT = pad_sequence([torch.tensor(row) for row in rows], True, pad_token_id)
    lengths_B = torch.tensor([len(row) for row in rows])
    return ids_BT, torch.arange(ids_BT.shape[1]) < lengths_B[:, None]
