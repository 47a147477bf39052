"""GRPO with process supervision: each step of an answer is paid where it ends.

DeepSeekMath (arXiv 2402.03300) section 4.1.3: the rewards of all steps of a group are normalised
together, and a token is credited with the sum of those of the steps that end at or after it
(`objective/process_supervision.py`, with what deviates). What pays the steps is named by
`step_rewards`: a rule, a reward model of kind "process", or a function of one's own. The reward
functions of the run are recorded beside and weigh nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.methods.base import Method, Scored
from workbench.methods.batch import Batch
from workbench.objective import process_advantages
from workbench.policy.policy import Policy
from workbench.rewards import Rewards
from workbench.rewards.functions import as_messages
from workbench.rewards.steps import StepScorer, step_tensors


class ProcessGRPO(Method):
    """Coefficient: the normalised rewards of the steps that the token leads to."""

    def __init__(self, policy: Policy, config: GRPOConfig, rewards: Rewards) -> None:
        super().__init__(policy, config, rewards)
        # The rule of the config has it that one is named.
        self.step_rewards = StepScorer(str(config.step_rewards))

    def credit(self, batch: Batch, scored: Scored, config: GRPOConfig) -> Tensor:
        prompts = scored.prompts()
        completion_ids = batch.rollout.completion_lists()
        steps = self.step_rewards.score(
            prompts,
            as_messages(scored.completions),
            step=scored.step,
            completion_ids=completion_ids,
            columns=scored.columns(),
            timeout=config.reward_timeout,
            should_stop=scored.should_stop,
            watch_file=scored.watch_file,
        )
        reward_BS, end_BS = step_tensors(self.policy, completion_ids, prompts, steps)
        compared = process_advantages(
            reward_BS,
            end_BS,
            batch.loss_mask_BT.cpu(),
            config.num_generations,
            advantage_std=config.advantage_std,
            scale_rewards=config.scale_rewards,
        )
        self.figures = {
            "step_reward": float(reward_BS.nanmean()),
            "steps_per_completion": float((~reward_BS.isnan()).sum(1).float().mean()),
            "dead_step_group_share": float(compared.dead_N.float().mean()),
        }
        return compared.advantage_BT.to(batch.advantages.device, torch.float32)
