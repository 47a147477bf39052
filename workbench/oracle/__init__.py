"""The exact oracle: all that a small policy can say to a prompt, and what follows from it.

`enumerate_completions` gives completions and tree, `oracle_of` with their rewards. From there:
`token_values` along a completion; `policy_gradient` and gradients of single completions;
`sample_space` and what an objective weighs each token with, exactly (`expected_coefficients`) or in
drawn batches; `GradientGram`, in which estimators are held against the truth without a model.
"""

from workbench.oracle.coefficients import drawn_coefficients, expected_coefficients
from workbench.oracle.enumeration import Enumeration, EnumerationError
from workbench.oracle.estimators import EstimatorQuality, estimator_quality
from workbench.oracle.gradients import (
    completion_gradients,
    gradient_of,
    gram_matrix,
    policy_gradient,
    token_gradients,
)
from workbench.oracle.gram import GradientGram, gradient_gram
from workbench.oracle.logps import token_logps
from workbench.oracle.samples import SampleSpace, sample_space
from workbench.oracle.scored import (
    OracleError,
    ScoredCompletions,
    oracle_of,
    score_completions,
)
from workbench.oracle.search import enumerate_completions
from workbench.oracle.tree import PrefixTree
from workbench.oracle.values import TokenValues, token_values

__all__ = [
    "Enumeration",
    "EnumerationError",
    "EstimatorQuality",
    "GradientGram",
    "OracleError",
    "PrefixTree",
    "SampleSpace",
    "ScoredCompletions",
    "TokenValues",
    "completion_gradients",
    "drawn_coefficients",
    "enumerate_completions",
    "estimator_quality",
    "expected_coefficients",
    "gradient_gram",
    "gradient_of",
    "gram_matrix",
    "oracle_of",
    "policy_gradient",
    "sample_space",
    "score_completions",
    "token_gradients",
    "token_logps",
    "token_values",
]
