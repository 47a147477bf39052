"""Rollouts: completions sampled from the current policy. `make_engine` gives the engine that a config names."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from workbench.rollout.request import RolloutCancelled
from workbench.rollout.types import Rollout, RolloutEngine, Sampling

__all__ = ["Rollout", "RolloutCancelled", "RolloutEngine", "Sampling", "make_engine"]


def make_engine(
    name: str,
    model: Any,
    eos_token_ids: Sequence[int],
    pad_token_id: int,
    *,
    should_stop: Callable[[], bool] | None = None,
) -> RolloutEngine:
    """The engine `name` ("native" or "transformers") for `model`.

    Where the native engine cannot serve the model, the transformers engine takes its place and a warning says why.
    Raises ValueError for an unknown name, for "vllm", which is not part of this version, and for ids that the model
    does not have.
    """
    from workbench.rollout.cache import unsupported_reason
    from workbench.rollout.native import NativeEngine
    from workbench.rollout.transformers_engine import TransformersEngine

    if name == "vllm":
        raise ValueError("rollout_engine='vllm': vLLM rollouts are not part of this version. Use 'native'.")
    if name not in ("native", "transformers"):
        raise ValueError(f"rollout_engine={name!r} is unknown. Use 'native' or 'transformers'.")
    reason = unsupported_reason(model) if name == "native" else None
    if reason is not None:
        warnings.warn(f"rollouts use the transformers engine, slower than the native one: {reason}.", stacklevel=2)
    if name == "native" and reason is None:
        return NativeEngine(model, eos_token_ids, pad_token_id, should_stop=should_stop)
    return TransformersEngine(model, eos_token_ids, pad_token_id, should_stop=should_stop)
