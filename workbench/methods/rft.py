"""Rejection sampling fine-tuning: right answers are imitated, wrong ones left out.

DeepSeekMath (arXiv 2402.03300) eq. 10 (RFT: answers of the first policy) and eq. 12 (Online RFT:
answers of the policy of now): gradient coefficient 1 where the answer is right, else 0. The two
differ in who samples alone. Deviations: RFT draws new answers of the first policy in each step,
where the paper draws one set before the training; the mean is over all tokens of the batch, so that
a batch with few right answers takes a small step; "right" is a total reward of at least
`accept_reward`.
"""

from __future__ import annotations

from torch import Tensor

from workbench.config import GRPOConfig
from workbench.methods.base import Method, Scored
from workbench.methods.batch import Batch


class RFT(Method):
    """Coefficient 1 on every token of an accepted answer."""

    def credit(self, batch: Batch, scored: Scored, config: GRPOConfig) -> Tensor:
        total_B = scored.advantages.total_B.to(batch.advantages.device)
        # An answer that nothing scored is NaN, which is no acceptance.
        accepted_B = total_B >= full_marks(config, scored.functions)
        return accepted_B.to(batch.advantages.dtype)


def full_marks(config: GRPOConfig, functions: int) -> float:
    """The total reward from which on an answer is accepted."""
    if config.accept_reward is not None:
        return config.accept_reward
    weights = config.reward_weights or (1.0,) * functions
    # A hair below: the sum of weights such as 0.1 rounds otherwise than that of the rewards.
    return sum(weight for weight in weights if weight > 0) - 1e-6
