"""The exact oracle: all that a small policy can say to a prompt, and what follows from it.

`enumerate_completions` gives completions and tree, `oracle_of` with their rewards; everything else
here is arithmetic on those.
"""

from workbench.oracle.enumeration import Enumeration, EnumerationError, enumerate_completions
from workbench.oracle.logps import token_logps
from workbench.oracle.scored import (
    OracleError,
    ScoredCompletions,
    oracle_of,
    score_completions,
)
from workbench.oracle.tree import PrefixTree
from workbench.oracle.values import TokenValues, token_values

__all__ = [
    "Enumeration",
    "EnumerationError",
    "OracleError",
    "PrefixTree",
    "ScoredCompletions",
    "TokenValues",
    "enumerate_completions",
    "oracle_of",
    "score_completions",
    "token_logps",
    "token_values",
]
