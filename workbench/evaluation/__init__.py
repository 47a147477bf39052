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
from workbench.evaluation.reward_agreement import (
    AgreementError,
    StepAgreement,
    reward_model_agreement,
)
from workbench.evaluation.reward_quality import RewardQuality, judge

__all__ = [
    "AgreementError",
    "Estimate",
    "RewardQuality",
    "StepAgreement",
    "evaluate",
    "judge",
    "majority_at_k",
    "majority_right",
    "mean_over_problems",
    "pass_at_k",
    "reward_model_agreement",
    "wilson_interval",
]
