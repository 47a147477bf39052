"""How a batch is cut where the other trainer wants whole parts."""

from __future__ import annotations

from workbench.config import GRPOConfig


def largest_micro_batch(config: GRPOConfig) -> int:
    """The most completions in one pass that an update's share is a whole number of, no more than
    the config has of the longest ones."""
    share = config.completions_per_step // config.updates_per_rollout
    return max(n for n in range(1, config.longest_at_once + 1) if share % n == 0)
