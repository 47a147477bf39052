"""The exact oracle: all that a small policy can say to a prompt, and what follows from it."""

from workbench.oracle.enumeration import Enumeration, EnumerationError, enumerate_completions
from workbench.oracle.tree import PrefixTree

__all__ = ["Enumeration", "EnumerationError", "PrefixTree", "enumerate_completions"]
