"""How large a run's record gets."""

from __future__ import annotations

from workbench.config import GRPOConfig
from workbench.plan.beside import asks_old

FLOAT = 4 * 0.9
"""Bytes of a token's log-probability, entropy or coefficient, packed: what has no pattern gives up
a tenth, a trained policy's a third and more (`workbench.runs.store.arrays`)."""
TOKEN_ID = 3.0
TEXT = 4.5
"""Bytes of the text that a token of a usual vocabulary stands for."""
COMPLETION = 150.0
"""Bytes of a completion's row beside its text."""
STEP = 4000.0
"""Bytes of a step's figures, groups and pages."""


def record_bytes(config: GRPOConfig, has_reference: bool) -> float:
    """Bytes of `run.sqlite` after the last step, were every completion as long as the config
    allows. Prompts and evaluations, which are few, are left out."""
    tokens = config.completions_per_step * config.max_completion_length
    # sampler_logp, logp, entropy and coefficient are of every run.
    floats = 4 + asks_old(config) + has_reference
    of_step = STEP + config.completions_per_step * COMPLETION + tokens * TEXT
    kept = sum(config.keeps_tokens(step) for step in range(1, config.max_steps + 1))
    return config.max_steps * of_step + kept * tokens * (TOKEN_ID + floats * FLOAT)
