"""Evaluation: how good the policy is on problems that it was not trained on."""

from workbench.evaluation.accuracy import evaluate
from workbench.evaluation.estimators import (
    Estimate,
    majority_at_k,
    majority_right,
    mean_over_problems,
    pass_at_k,
    wilson_interval,
)

__all__ = [
    "Estimate",
    "evaluate",
    "majority_at_k",
    "majority_right",
    "mean_over_problems",
    "pass_at_k",
    "wilson_interval",
]
