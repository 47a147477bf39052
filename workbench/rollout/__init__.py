"""Rollouts: completions sampled from the current policy. `make_engine` gives the engine that a
config names."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from workbench.config import GRPOConfig
from workbench.rollout.engines import ENGINES
from workbench.rollout.request import RolloutCancelledError
from workbench.rollout.types import Rollout, RolloutEngine, Sampling

__all__ = [
    "ENGINES",
    "Rollout",
    "RolloutCancelledError",
    "RolloutEngine",
    "Sampling",
    "check_engine",
    "make_engine",
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
    """The engine `name` of `ENGINES` for `model`; `config` holds the settings of those that have
    some.

    Where an engine cannot serve the model and has a stand-in (the native one has), that takes its
    place and a warning says why; `engine.name` says which one serves. Raises ValueError for an
    unknown name and for ids that the model does not have, and the engine's own errors.
    """
    if name not in ENGINES:
        *others, last = map(repr, ENGINES)
        raise ValueError(f"rollout_engine={name!r} is unknown. Use {', '.join(others)} or {last}.")
    engine = ENGINES[name]
    stand_in = engine.facts.stand_in
    reason = None if stand_in is None else engine.reason_against(model)
    if stand_in is not None and reason is not None:
        served_by = ENGINES[stand_in]
        warnings.warn(
            f"rollouts use {served_by.facts.title}, slower than the {name} one: {reason}.",
            stacklevel=2,
        )
        engine = served_by
    settings = config if config is not None else GRPOConfig(rollout_engine=name)
    return engine.make(model, eos_token_ids, pad_token_id, settings, should_stop)


def check_engine(config: GRPOConfig) -> None:
    """Raise what the config's engine says where it is not installed or cannot do what is asked
    (`VLLMError`). Call it before weights are loaded."""
    ENGINES[config.rollout_engine].check(config)
