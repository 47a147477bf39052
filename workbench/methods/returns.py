"""From the reward of an answer to what each of its tokens is worth: the KL in the reward, sums over
what is still to come, GAE, whitening. Pure functions.

Sources: the KL as a price per token, InstructGPT (arXiv 2203.02155) section 3.5; GAE, arXiv
1506.02438 eq. 16. Suffixes: B completions, T tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.methods.base import Scored
from workbench.methods.batch import Batch

EPS = 1e-8
"""Added to the variance of what is whitened, as in TRL's PPO."""


def reward_per_token(batch: Batch, scored: Scored, kl_coef: float) -> Tensor:
    """(B, T) the answer's total reward at its last token, less kl_coef x (log pi_old - log pi_ref)
    at each. An answer that nothing scored has the KL alone. Raises ValueError where one of the two
    is missing."""
    if batch.old_logp_BT is None or batch.ref_logp_BT is None:
        raise ValueError(
            "the KL in the reward needs the log-probabilities of policy and reference before the "
            "updates."
        )
    mask_BT = batch.loss_mask_BT
    kl_BT = torch.where(mask_BT, batch.old_logp_BT - batch.ref_logp_BT, 0.0)
    total_B = scored.advantages.total_B.nan_to_num(nan=0.0).to(kl_BT)
    return at_last_token(total_B, mask_BT) - kl_coef * kl_BT


def at_last_token(value_B: Tensor, mask_BT: Tensor) -> Tensor:
    """(B, T) each value at the last token of its row, 0 elsewhere; a row without tokens has
    none."""
    place_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    is_last_BT = mask_BT & (place_T == mask_BT.sum(1, keepdim=True) - 1)
    return torch.where(is_last_BT, value_B[:, None], 0.0)


def sum_to_come(value_BT: Tensor) -> Tensor:
    """(B, T) at each token the sum from it on to the end."""
    return value_BT.flip(1).cumsum(1).flip(1)


def generalized_advantages(
    reward_BT: Tensor, value_BT: Tensor, mask_BT: Tensor, lam: float
) -> Tensor:
    """(B, T) GAE with gamma 1: A_t = delta_t + lam A_(t+1), delta_t = r_t + V_(t+1) - V_t; behind
    the last token the value is 0. 0 on padding."""
    value_BT = torch.where(mask_BT, value_BT, 0.0)
    advantage_BT = torch.zeros_like(value_BT)
    after_B = value_BT.new_zeros(len(value_BT))
    next_value_B = after_B
    for t in reversed(range(value_BT.shape[1])):
        delta_B = reward_BT[:, t] + next_value_B - value_BT[:, t]
        # Padding lies behind the last token, so what has been summed up there is 0.
        after_B = torch.where(mask_BT[:, t], delta_B + lam * after_B, 0.0)
        advantage_BT[:, t] = after_B
        next_value_B = value_BT[:, t]
    return advantage_BT


def whitened(value_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Minus their mean, over their std (n - 1), both over the tokens of the mask; 0 on padding and
    where all are equal."""
    counted = value_BT[mask_BT]
    if len(counted) < 2 or counted.max() == counted.min():
        return torch.zeros_like(value_BT)
    white_BT = (value_BT - counted.mean()) * (counted.var() + EPS).rsqrt()
    return torch.where(mask_BT, white_BT, 0.0)
