"""Proximal policy optimisation: a critic says what was to be expected, and each token is credited
with what came of it beyond that.

PPO (arXiv 1707.06347) with GAE (arXiv 1506.02438 eq. 16, gamma 1), the KL to the reference as a
price per token in the reward (DeepSeekMath, arXiv 2402.03300, eq. 2 and 16 to 18), the clipped
surrogate that `loss_type` names, and a clipped value loss. Deviations: the critic is a model of its
own with its own optimizer, as in the paper and other than TRL, which adds both losses up;
advantages are whitened over the tokens of the batch (as TRL does).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.methods.base import Method, Scored
from workbench.methods.batch import Batch
from workbench.methods.critic import Critic
from workbench.methods.returns import generalized_advantages, reward_per_token, whitened
from workbench.policy.optim import load_optimizer, optimizer_tensors
from workbench.policy.policy import Policy
from workbench.rewards import Rewards


class PPO(Method):
    """Coefficient: the whitened advantage over the critic."""

    def __init__(self, policy: Policy, config: GRPOConfig, rewards: Rewards) -> None:
        super().__init__(policy, config, rewards)
        self.critic = Critic(policy, config)

    def credit(self, batch: Batch, scored: Scored, config: GRPOConfig) -> Tensor:
        reward_BT = reward_per_token(batch, scored, config.kl_coef)
        self._value_BT = self.critic.values_in_parts(batch.rollout, config)
        advantage_BT = generalized_advantages(
            reward_BT, self._value_BT, batch.loss_mask_BT, config.lam
        )
        # What the critic should have said: GAE's own estimate of the return.
        self._return_BT = advantage_BT + self._value_BT
        self._step = scored.step
        self.figures = explained(self._value_BT, self._return_BT, batch.loss_mask_BT)
        return whitened(advantage_BT, batch.loss_mask_BT)

    def learn(self, batch: Batch, rows_R: Tensor, config: GRPOConfig) -> dict[str, float]:
        loss = self.critic.learn(
            batch.rollout,
            rows_R,
            batch.loss_mask_BT,
            self._value_BT,
            self._return_BT,
            config,
            self._step,
        )
        counted_RT = batch.loss_mask_BT[rows_R]
        value_RT = torch.where(counted_RT, self._value_BT[rows_R], 0.0)
        tokens = counted_RT.sum().clamp(min=1)
        return {"value_loss": loss, "value_mean": float(value_RT.sum() / tokens)}

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        return {
            "critic": dict(self.critic.state()),
            "critic_optimizer": optimizer_tensors(self.critic.optimizer),
        }

    def load(self, files: Mapping[str, dict[str, Tensor]]) -> None:
        own = self.critic.state()
        with torch.no_grad():
            for name, kept in files["critic"].items():
                own[name].copy_(kept)
        load_optimizer(self.critic.optimizer, files["critic_optimizer"])


def explained(value_BT: Tensor, return_BT: Tensor, mask_BT: Tensor) -> dict[str, float]:
    """The share of the returns' variance that the critic explains, 1 - Var(return - value) /
    Var(return), over the tokens of the mask: 1 = all of it, 0 = no better than one number for all,
    below 0 worse (as OpenAI's baselines measure it). Empty where all returns are equal."""
    returns = return_BT[mask_BT]
    if len(returns) < 2 or returns.max() == returns.min():
        return {}
    left = (returns - value_BT[mask_BT]).var() / returns.var()
    return {"explained_variance": float(1 - left)}
