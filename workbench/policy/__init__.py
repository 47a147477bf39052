"""The policy: loading it, its log-probabilities, and the reference that it is held against."""

from workbench.policy.load import load_policy
from workbench.policy.policy import Policy, PolicyError
from workbench.policy.save import save_policy

__all__ = ["Policy", "PolicyError", "load_policy", "save_policy"]
