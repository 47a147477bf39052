"""REINFORCE++ (arXiv 2501.03262): no critic and no group; each token is compared with the batch.

Eq. 5: a token's return is the answer's reward less kl_coef x the KL of this token and all that come
after it, the KL estimated by log pi_old - log pi_ref (k1). Eq. 7: returns are whitened over the
tokens of the batch. The loss is the clipped surrogate that `loss_type` names.
"""

from __future__ import annotations

from torch import Tensor

from workbench.config import GRPOConfig
from workbench.methods.base import Method, Scored
from workbench.methods.batch import Batch
from workbench.methods.returns import reward_per_token, sum_to_come, whitened


class ReinforcePP(Method):
    """Coefficient: the whitened reward to come."""

    def credit(self, batch: Batch, scored: Scored, config: GRPOConfig) -> Tensor:
        reward_BT = reward_per_token(batch, scored, config.kl_coef)
        return whitened(sum_to_come(reward_BT), batch.loss_mask_BT)
