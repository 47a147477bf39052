"""The mathematics of GRPO: pure functions on tensors, no model, no trainer, no input or output.

`group_advantages` turns rewards into advantages, `policy_loss` turns advantages and
log-probabilities into a loss. Every name of the config's objective section means here what it means
in TRL 1.16; each module lists where it deviates.
"""

from workbench.objective.advantage_rule import AdvantageRule
from workbench.objective.advantages import Advantages, group_advantages
from workbench.objective.batch import LossBatch
from workbench.objective.diagnostics import PerToken, merge_metrics, update_metrics
from workbench.objective.entropy import EntropyControl, next_entropy_coef
from workbench.objective.kl import KL_ESTIMATORS, kl_per_token
from workbench.objective.loss import PolicyLoss, policy_loss
from workbench.objective.masks import entropy_threshold
from workbench.objective.process_supervision import ProcessAdvantages, process_advantages
from workbench.objective.reductions import REDUCTIONS, BatchTotals, tokens_of_groups
from workbench.objective.terms import TERMS
from workbench.objective.updates import rows_with_gradient, totals_of, updates_of

__all__ = [
    "KL_ESTIMATORS",
    "REDUCTIONS",
    "TERMS",
    "AdvantageRule",
    "Advantages",
    "BatchTotals",
    "EntropyControl",
    "LossBatch",
    "PerToken",
    "PolicyLoss",
    "ProcessAdvantages",
    "entropy_threshold",
    "group_advantages",
    "kl_per_token",
    "merge_metrics",
    "next_entropy_coef",
    "policy_loss",
    "process_advantages",
    "rows_with_gradient",
    "tokens_of_groups",
    "totals_of",
    "update_metrics",
    "updates_of",
]
