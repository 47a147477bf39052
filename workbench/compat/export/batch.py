"""How a batch is cut where the other trainer wants whole parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.compat.export.report import Row
from workbench.config import GRPOConfig


def largest_micro_batch(config: GRPOConfig) -> int:
    """The most completions in one pass that an update's share is a whole number of, no more than
    the config has of the longest ones."""
    share = config.completions_per_step // config.updates_per_rollout
    return max(n for n in range(1, config.longest_at_once + 1) if share % n == 0)


def pass_rows(config: GRPOConfig, theirs: Mapping[str, Any], note: str) -> Iterator[Row]:
    """The two fields that bound one pass, both of which become `theirs`."""
    if config.micro_batch_size is None:
        note += " As many of the longest completions as the tokens hold."
    for name in ("micro_batch_size", "micro_batch_tokens"):
        yield Row(name, "mapped", getattr(config, name), theirs, note)
