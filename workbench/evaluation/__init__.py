"""Evaluation: how good the policy is on problems that it was not trained on."""

from workbench.evaluation.accuracy import evaluate, wilson_interval

__all__ = ["evaluate", "wilson_interval"]
