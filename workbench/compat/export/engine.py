"""Which engine of ours the other trainers have, too."""

from __future__ import annotations

from workbench.config import GRPOConfig

IS_VLLM = {"native": False, "transformers": False, "vllm": True}
"""For every engine, so that a new one has to be answered for."""


def samples_by_vllm(config: GRPOConfig) -> bool:
    """Whether the run's completions come from vLLM, which TRL and verl call, too."""
    return IS_VLLM[config.rollout_engine]
