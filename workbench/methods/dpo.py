"""Direct preference optimisation on pairs of the policy's own answers.

DPO (arXiv 2305.18290) eq. 7: -log sigmoid(margin), margin = dpo_beta x (log pi/pi_ref of the chosen
answer less that of the rejected one), summed over their tokens. Its gradient coefficient is
dpo_beta x sigmoid(-margin), plus for each token of the chosen answer and minus for the rejected one
(DeepSeekMath, arXiv 2402.03300, eq. 14). Pairs are made within each group: the best answer with the
worst, the second best with the second worst, as long as one was paid more; an answer that the loss
leaves out (truncated, with `mask_truncated_completions`) is in none. Deviations: answers are
the policy's of now ("online DPO", arXiv 2402.04792), so a step with several updates uses pairs that
are some updates old, as GRPO does; the mean is over the pairs of the update.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.config import GRPOConfig
from workbench.methods.base import Method, Scored
from workbench.methods.batch import Batch
from workbench.objective import BatchTotals, LossBatch, PolicyLoss


class DPO(Method):
    """+1 marks a chosen answer, -1 a rejected one, 0 one without a partner."""

    def credit(self, batch: Batch, scored: Scored, config: GRPOConfig) -> Tensor:
        total_B = scored.advantages.total_B.to(batch.advantages.device)
        # What has no tokens in the loss has no likelihood to compare, and its partner none either.
        total_B = torch.where(batch.loss_mask_BT.any(1), total_B, torch.nan)
        self._pairs_M2 = preference_pairs(total_B, config.num_generations)
        sign_B = torch.zeros_like(batch.advantages)
        sign_B[self._pairs_M2[:, 0]] = 1.0
        sign_B[self._pairs_M2[:, 1]] = -1.0
        return sign_B

    def rows(self, batch: Batch, rows_R: Tensor, config: GRPOConfig) -> Tensor:
        # Whole groups are in an update, so the chosen answer's place tells where its pair is.
        own_M = torch.isin(self._pairs_M2[:, 0], rows_R)
        # Chosen and rejected side by side: micro-batches of even size never part them.
        return self._pairs_M2[own_M].flatten()

    def loss(self, part: LossBatch, config: GRPOConfig, totals: BatchTotals) -> PolicyLoss:
        if part.ref_logp is None:
            raise ValueError("DPO needs `ref_logp`, the reference's log-probabilities.")
        # The rows have no ratio and no clip: GRPO's loss is asked for its measurements alone.
        measured = replace(part, logp=part.logp.detach()).loss(config, totals)
        if not part.advantages.any():
            return measured
        log_ratio_R = log_ratios(part.logp, part.ref_logp, part.mask)
        margin_M = dpo_margins(log_ratio_R, config.dpo_beta)
        loss = -F.logsigmoid(margin_M).sum() / pairs_of_update(totals)
        figures = {
            # A margin can grow while both answers become rarer: only these two tell.
            "dpo_chosen_log_ratio": log_ratio_R[0::2].detach().mean(),
            "dpo_rejected_log_ratio": log_ratio_R[1::2].detach().mean(),
            "dpo_margin": margin_M.detach().mean(),
            "dpo_accuracy": (margin_M > 0).to(margin_M.dtype).mean(),
        }
        return replace(measured, loss=loss, metrics=measured.metrics | figures)


def preference_pairs(total_B: Tensor, num_generations: int) -> Tensor:
    """(M, 2) rows of the chosen and the rejected answer of each pair; NaN totals stay without
    one. Equal totals keep the order of their rows."""
    pairs = []
    for first in range(0, len(total_B), num_generations):
        group = [i for i in range(first, first + num_generations) if not total_B[i].isnan()]
        best_first = sorted(group, key=lambda i: (-float(total_B[i]), i))
        for k in range(len(best_first) // 2):
            chosen, rejected = best_first[k], best_first[-1 - k]
            if total_B[chosen] > total_B[rejected]:
                pairs.append((chosen, rejected))
    return torch.tensor(pairs, dtype=torch.long, device=total_B.device).reshape(-1, 2)


def log_ratios(logp_RT: Tensor, ref_logp_RT: Tensor, mask_RT: Tensor) -> Tensor:
    """(R,) log pi/pi_ref of each whole answer, in nats."""
    return torch.where(mask_RT != 0, logp_RT - ref_logp_RT, 0.0).sum(1)


def dpo_margins(log_ratio_R: Tensor, beta: float) -> Tensor:
    """The margin of each pair, (R / 2,), from `log_ratios`; rows 2m and 2m + 1 are its chosen and
    rejected answer."""
    return beta * (log_ratio_R[0::2] - log_ratio_R[1::2])


def pairs_of_update(totals: BatchTotals) -> float:
    """What the sum over the pairs is divided by: half the update's answers, paired or not, so that
    dead groups do not make the others heavier."""
    return float(totals.sequences) / 2
