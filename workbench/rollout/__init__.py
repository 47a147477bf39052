"""Rollouts: completions sampled from the current policy. `make_engine` gives the engine that a
config names."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from workbench.config import GRPOConfig
from workbench.rollout.request import RolloutCancelledError
from workbench.rollout.types import Rollout, RolloutEngine, Sampling

__all__ = [
    "Rollout",
    "RolloutCancelledError",
    "RolloutEngine",
    "Sampling",
    "check_engine",
    "free",
    "make_engine",
    "rest",
]


def make_engine(
    name: str,
    model: Any,
    eos_token_ids: Sequence[int],
    pad_token_id: int,
    *,
    config: GRPOConfig | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> RolloutEngine:
    """The engine `name` ("native", "transformers" or "vllm") for `model`; `config` holds vLLM's
    settings.

    Where the native engine cannot serve the model, the transformers engine takes its place and a
    warning says why; nothing ever takes vLLM's place. Raises ValueError for an unknown name, for
    ids that the model does not have, and as
    `VLLMError` for what vLLM lacks or cannot do.
    """
    from workbench.libraries.hf_transformers import unsupported_reason
    from workbench.rollout.native import NativeEngine
    from workbench.rollout.transformers_engine import TransformersEngine

    if name == "vllm":
        from workbench.rollout.vllm_engine import VLLMEngine

        return VLLMEngine(
            model,
            eos_token_ids,
            pad_token_id,
            config or GRPOConfig(rollout_engine="vllm"),
            should_stop=should_stop,
        )
    if name not in ("native", "transformers"):
        raise ValueError(
            f"rollout_engine={name!r} is unknown. Use 'native', 'transformers' or 'vllm'."
        )
    reason = unsupported_reason(model) if name == "native" else None
    if reason is not None:
        warnings.warn(
            f"rollouts use the transformers engine, slower than the native one: {reason}.",
            stacklevel=2,
        )
    if name == "native" and reason is None:
        return NativeEngine(model, eos_token_ids, pad_token_id, should_stop=should_stop)
    return TransformersEngine(model, eos_token_ids, pad_token_id, should_stop=should_stop)


def check_engine(config: GRPOConfig) -> None:
    """Raise `VLLMError` when the config asks for vLLM and it is not installed or cannot do it. Call
    it before weights are loaded."""
    if config.rollout_engine == "vllm":
        from workbench.rollout.vllm_checks import check_config

        check_config(config)


def rest(engine: RolloutEngine) -> None:
    """The rollouts of a step are over: an engine that holds memory of its own may give it back
    until the next one."""
    if engine.name == "vllm":
        engine.rest()  # type: ignore[attr-defined]


def free(engine: RolloutEngine) -> None:
    """The engine is needed no longer: what it holds beside the policy is given back. Its next
    rollout would start it again."""
    if engine.name == "vllm":
        engine.free()  # type: ignore[attr-defined]
