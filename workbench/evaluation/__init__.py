"""Evaluation: how good the policy is on problems that it was not trained on."""

from workbench.evaluation.accuracy import greedy_accuracy
from workbench.evaluation.answer_file import EvaluationError, KeptAnswers, read_answers
from workbench.evaluation.asking import NothingAskedError, evaluate
from workbench.evaluation.comparing import (
    Difference,
    Gain,
    gain,
    mean_difference,
    paired_differences,
)
from workbench.evaluation.contamination import Contamination, find_contamination
from workbench.evaluation.estimators import (
    Estimate,
    majority_at_k,
    majority_right,
    mean_over_problems,
    pass_at_k,
    wilson_interval,
)
from workbench.evaluation.recorded import answers_at, gain_of_run
from workbench.evaluation.result import EvaluationResult, result_at
from workbench.evaluation.reward_agreement import (
    AgreementError,
    StepAgreement,
    reward_model_agreement,
)
from workbench.evaluation.reward_quality import RewardQuality, judge

__all__ = [
    "AgreementError",
    "Contamination",
    "Difference",
    "Estimate",
    "EvaluationError",
    "EvaluationResult",
    "Gain",
    "KeptAnswers",
    "NothingAskedError",
    "RewardQuality",
    "StepAgreement",
    "answers_at",
    "evaluate",
    "find_contamination",
    "gain",
    "gain_of_run",
    "greedy_accuracy",
    "judge",
    "majority_at_k",
    "majority_right",
    "mean_difference",
    "mean_over_problems",
    "paired_differences",
    "pass_at_k",
    "read_answers",
    "result_at",
    "reward_model_agreement",
    "wilson_interval",
]
