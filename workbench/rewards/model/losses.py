"""The losses of a reward model, pure functions of its logits.

Bradley-Terry on pairs: -log sigmoid(r_chosen - r_rejected), the mean over pairs (InstructGPT, arXiv
2203.02155, eq. 1; TRL's RewardTrainer). Labels of outcomes (Cobbe et al., arXiv 2110.14168) and of
steps (Math-Shepherd, arXiv 2312.08935, eq. 2): binary cross-entropy, whose label may be a share.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def bradley_terry_loss(chosen_B: Tensor, rejected_B: Tensor, centre: float = 0.0) -> Tensor:
    """Mean negative log-likelihood, in nats, that each chosen completion is preferred.

    The likelihood says nothing of the level of the rewards. `centre` > 0 adds centre · mean of
    (r_chosen + r_rejected)², which holds it near 0 (arXiv 2312.09244; TRL's
    `center_rewards_coefficient`).
    """
    loss = -F.logsigmoid(chosen_B - rejected_B).mean()
    if centre:
        loss = loss + centre * ((chosen_B + rejected_B) ** 2).mean()
    return loss


def label_loss(logit_B: Tensor, label_B: Tensor) -> Tensor:
    """Mean cross-entropy, in nats, between the labels, shares in [0, 1], and sigmoid(logit)."""
    return F.binary_cross_entropy_with_logits(logit_B, label_B)
