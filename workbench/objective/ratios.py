"""Importance ratios between the current and the old policy, and where they are clipped.

Sources: the ratio and the clip, PPO (arXiv 1707.06347) and DeepSeekMath (arXiv 2402.03300) eq. 3;
one ratio per sequence, GSPO (arXiv 2507.18071) eq. 7; a higher upper bound, DAPO (arXiv
2503.14476); a cap of the ratio alone, CISPO (arXiv 2506.13585).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from workbench.config.losses import LOSSES
from workbench.objective.inputs import LossInputs

if TYPE_CHECKING:
    from workbench.config import GRPOConfig


def importance_ratio(x: LossInputs, level: str) -> Tensor:
    """r, (B, T), with gradient. Padding is 1.

    "token": exp(log pi - log pi_old) of each token. "sequence": exp of the mean of these log ratios
    over the completion, the same number at each of its tokens. A log ratio beyond the dtype's exp
    (88.7 nats in float32) gives inf.
    """
    if level == "token":
        return x.log_ratio_BT.exp()
    if level == "sequence":
        # The mean and not the sum: a product of hundreds of ratios would leave any clip range, and
        # earlier for a longer completion.
        mean_log_ratio_B1 = (x.mask_BT * x.log_ratio_BT).sum(1, keepdim=True) / x.length_B1
        return mean_log_ratio_B1.exp().expand_as(x.logp_BT)
    raise ValueError(
        f"importance_sampling_level={level!r} is unknown. Choose 'token' or 'sequence'."
    )


def clip_bounds(config: GRPOConfig) -> tuple[float, float]:
    """The ratios between which nothing is clipped; infinite where the loss type has no such bound.

    The clipped surrogates: (1 - epsilon, 1 + epsilon_high), and epsilon_high=None means epsilon.
    cispo: (-inf, epsilon_high), an absolute cap. sapo and vespo weigh smoothly and clip nothing.
    Raises ValueError for cispo without epsilon_high.
    """
    loss = LOSSES[config.loss_type]
    if loss.clips:
        high = config.epsilon if config.epsilon_high is None else config.epsilon_high
        # Two bounds, since raising an unlikely token needs more room than lowering a likely one.
        return 1 - config.epsilon, 1 + high
    if loss.caps:
        if config.epsilon_high is None:
            raise ValueError(
                f"epsilon_high=None with loss_type={config.loss_type!r}: it is the absolute cap of "
                "the ratio there. Set it to 5.0."
            )
        return -math.inf, config.epsilon_high
    return -math.inf, math.inf


def clipped_tokens(ratio_BT: Tensor, x: LossInputs, config: GRPOConfig) -> tuple[Tensor, Tensor]:
    """Which tokens are clipped (low, high), bool (B, T), False on padding.

    Clipping bites on one side only, which the advantage's sign decides: below with A < 0, above
    with A > 0; elsewhere the minimum of the surrogate chooses the unclipped branch. `ratio_BT` is
    the ratio before `delta`.
    """
    low, high = clip_bounds(config)
    below = (ratio_BT < low) & (x.advantage_BT < 0)
    above = (ratio_BT > high) & (x.advantage_BT > 0)
    return below & x.valid_BT, above & x.valid_BT
