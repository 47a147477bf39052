"""Tokens that lower the policy's entropy most, chosen by their covariance: Clip-Cov and KL-Cov.

Source: The Entropy Mechanism of RL (arXiv 2505.22617) section 4: the entropy falls by the
covariance of log-probability and advantage, and a few tokens make most of it. The covariance of a
token is (log pi - mean log pi) (A - mean A), the means over the tokens of the update. Deviations
from the paper, as in its code: Clip-Cov keeps PPO's clip beside its own, and at least one token is
chosen in each update, since 2e-4 of a small batch is none.

Nothing here has a gradient. The choice is over a whole update: its micro-batches must share it.
It is a function of what a record holds (float32), taken in float64 on the CPU, ties to the earlier
token: a view of the record chooses the tokens that the trainer chose, on whatever device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.objective.diagnostics import token_average
from workbench.objective.inputs import LossInputs
from workbench.objective.ratios import clipped_tokens

if TYPE_CHECKING:
    from workbench.config import GRPOConfig


def covariance(x: LossInputs) -> Tensor:
    """(log pi - mean log pi) (A - mean A) of each token, float64 (B, T) on the CPU, 0 on padding;
    its mean over the tokens is their covariance."""
    valid_BT = x.valid_BT.cpu()
    logp_BT = _from_mean(x.logp_BT, valid_BT)
    advantage_BT = _from_mean(x.advantage_BT, valid_BT)
    return torch.where(valid_BT, logp_BT * advantage_BT, 0.0)


def tokens_to_clip(x: LossInputs, config: GRPOConfig) -> Tensor:
    """Clip-Cov's tokens, bool (B, T): a share `clip_cov_ratio` of all, drawn among those whose
    covariance lies between `clip_cov_min` and `clip_cov_max` and that PPO's clip has left alone.

    The draw gives each token of the update a random priority, by config.seed and the number of
    tokens, not by a generator's state: it is the same after a resume, and one eligible token more
    changes one token of the choice, not all of them.
    """
    covariance_BT = covariance(x)
    within_BT = (covariance_BT > config.clip_cov_min) & (covariance_BT < config.clip_cov_max)
    clipped_low, clipped_high = clipped_tokens(x.log_ratio_BT.detach().exp(), x, config)
    eligible_BT = within_BT & ~(clipped_low | clipped_high).cpu() & x.valid_BT.cpu()
    priority_BT = torch.full(eligible_BT.shape, -torch.inf, dtype=torch.float64)
    priority_BT[x.valid_BT.cpu()] = _priorities(int(x.valid_BT.sum()), config.seed)
    priority_BT[~eligible_BT] = -torch.inf
    return _highest(priority_BT, eligible_BT, config.clip_cov_ratio, x)


def tokens_to_hold(x: LossInputs, config: GRPOConfig) -> Tensor:
    """KL-Cov's tokens, bool (B, T): the share `kl_cov_ratio` with the highest covariance."""
    valid_BT = x.valid_BT.cpu()
    covariance_BT = torch.where(valid_BT, covariance(x), -torch.inf)
    return _highest(covariance_BT, valid_BT, config.kl_cov_ratio, x)


SELECTIONS: dict[str, Callable[[LossInputs, GRPOConfig], Tensor]] = {
    "clip_cov": tokens_to_clip,
    "kl_cov": tokens_to_hold,
}
"""loss_type -> the tokens that it treats in another way."""


def _from_mean(values_BT: Tensor, valid_BT: Tensor) -> Tensor:
    """Less their mean over the tokens, in float64. Of float32 numbers, as a record has them: equal
    ones then have themselves as mean, and no rounding is taken for a covariance."""
    recorded_BT = values_BT.detach().float().cpu().double()
    return recorded_BT - token_average(recorded_BT, valid_BT)


def _highest(score_BT: Tensor, among_BT: Tensor, share: float, x: LossInputs) -> Tensor:
    """The tokens of the highest score, bool (B, T) on the device of `x`: a share of all tokens, at
    least one, and none that is not `among_BT`."""
    count = max(int(share * int(x.valid_BT.sum())), 1)
    # Stable, so that of equal scores the earlier token is taken everywhere.
    order = score_BT.flatten().argsort(descending=True, stable=True)
    chosen_BT = torch.zeros_like(among_BT)
    chosen_BT.view(-1)[order[:count]] = True
    return (chosen_BT & among_BT).to(x.valid_BT.device)


def _priorities(tokens: int, seed: int) -> Tensor:
    """A random number for each token of an update in its order, padding left out."""
    # The generator looks at 32 bits of a seed.
    generator = torch.Generator().manual_seed((seed * 1_000_003 + tokens) % 2**32)
    return torch.rand(tokens, generator=generator, dtype=torch.float64)
