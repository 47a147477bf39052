"""`ENGINES`: how each rollout engine is made and checked. What is known of it without loading it
stands in `workbench.config.engines`, whose docstring is the recipe for one more.

Nothing heavy is imported here: an engine's own module, and with it vLLM, is imported when it is
made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from workbench.config import GRPOConfig
from workbench.config.engines import ENGINE_FACTS, EngineFacts
from workbench.rollout.types import RolloutEngine

ShouldStop = Callable[[], bool] | None
"""Asked before every token whether the rollout is to be broken off."""


class MakeEngine(Protocol):
    """Makes an engine for `model`. Raises ValueError for a model or ids that it cannot serve."""

    def __call__(
        self,
        model: Any,
        eos_token_ids: Sequence[int],
        pad_token_id: int,
        config: GRPOConfig,
        should_stop: ShouldStop,
    ) -> RolloutEngine: ...


class ShareNeed(Protocol):
    """What an engine's own share of a GPU must hold."""

    @property
    def usual(self) -> float:
        """Bytes, its work space included."""
        ...

    def least_share(self, total: float) -> float | None:
        """The smallest share of a GPU of `total` bytes that holds it; None where none does."""
        ...

    def problem(
        self, share: float, total: float, *, least: float, room: float, quantized: bool
    ) -> str | None:
        """Why a share is too small for `least` bytes, and what would do; None where it is not."""
        ...


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One row of `ENGINES`. Raises ValueError where a fact and what serves it do not go
    together."""

    facts: EngineFacts
    """What the rest of the package knows of it."""
    make: MakeEngine
    """Makes one."""
    check: Callable[[GRPOConfig], None]
    """Raises for what the config, on this machine, cannot have; before any weights are read."""
    check_for_device: Callable[[GRPOConfig, str], None]
    """The same for a device of that kind ("cuda" or "cpu"), wherever it is: a plan asks."""
    reason_against: Callable[[Any], str | None]
    """Why it cannot serve a model, as a clause, or None; asked where it has a stand-in."""
    share_need: Callable[[Any, GRPOConfig, int, str], ShareNeed] | None
    """What its share of a GPU must hold, from the text model's config, the run's, the number of
    weights and their format. None where it has no memory of its own."""

    def __post_init__(self) -> None:
        if (self.facts.own_memory is None) != (self.share_need is None):
            raise ValueError(
                f"engine {self.facts.name!r}: own_memory and share_need go together, and one is "
                "None."
            )


def _nothing_to_check(config: GRPOConfig, device: str = "") -> None:
    """An engine that serves every config."""


def _serves(model: Any) -> None:
    """An engine that serves every model, or says itself what it refuses."""
    return None


def _native(
    model: Any,
    eos_token_ids: Sequence[int],
    pad_token_id: int,
    config: GRPOConfig,
    should_stop: ShouldStop,
) -> RolloutEngine:
    from workbench.rollout.native import NativeEngine

    return NativeEngine(model, eos_token_ids, pad_token_id, should_stop=should_stop)


def _native_reason_against(model: Any) -> str | None:
    from workbench.libraries.hf_transformers import unsupported_reason

    return unsupported_reason(model)


def _transformers(
    model: Any,
    eos_token_ids: Sequence[int],
    pad_token_id: int,
    config: GRPOConfig,
    should_stop: ShouldStop,
) -> RolloutEngine:
    from workbench.rollout.transformers_engine import TransformersEngine

    return TransformersEngine(model, eos_token_ids, pad_token_id, should_stop=should_stop)


def _vllm(
    model: Any,
    eos_token_ids: Sequence[int],
    pad_token_id: int,
    config: GRPOConfig,
    should_stop: ShouldStop,
) -> RolloutEngine:
    from workbench.rollout.vllm.checks import check_device
    from workbench.rollout.vllm.engine import VLLMEngine

    check_device(config, model.get_input_embeddings().weight.device.type)
    return VLLMEngine(model, eos_token_ids, pad_token_id, config, should_stop=should_stop)


def _check_vllm(config: GRPOConfig) -> None:
    from workbench.rollout.vllm.checks import check_config

    check_config(config)


def _check_vllm_for_device(config: GRPOConfig, device: str) -> None:
    from workbench.rollout.vllm.checks import check_device, check_settings, check_sleep

    check_settings(config)
    check_device(config, device)
    check_sleep(
        config.vllm_mode == "colocate" and config.vllm_enable_sleep_mode, on_cpu=device == "cpu"
    )


def _vllm_share_need(text_config: Any, config: GRPOConfig, numbers: int, dtype: str) -> ShareNeed:
    from workbench.rollout.vllm.needs import need_of_run

    return need_of_run(text_config, config, numbers, dtype)


_ROWS = (
    Engine(
        facts=ENGINE_FACTS["native"],
        make=_native,
        check=_nothing_to_check,
        check_for_device=_nothing_to_check,
        reason_against=_native_reason_against,
        share_need=None,
    ),
    Engine(
        facts=ENGINE_FACTS["transformers"],
        make=_transformers,
        check=_nothing_to_check,
        check_for_device=_nothing_to_check,
        reason_against=_serves,
        share_need=None,
    ),
    Engine(
        facts=ENGINE_FACTS["vllm"],
        make=_vllm,
        check=_check_vllm,
        check_for_device=_check_vllm_for_device,
        reason_against=_serves,
        share_need=_vllm_share_need,
    ),
)
ENGINES = {row.facts.name: row for row in _ROWS}
"""Name -> the engine, as `rollout_engine` has it."""


def check_complete(engines: dict[str, Engine], facts: dict[str, EngineFacts]) -> None:
    """Raises ValueError unless the two tables name the same engines."""
    odd = sorted(engines.keys() ^ facts.keys())
    if odd:
        raise ValueError(
            f"engine(s) {', '.join(odd)} stand in one of two tables only: every engine has a row "
            "in workbench.config.engines.ENGINE_FACTS and one in workbench.rollout.engines.ENGINES."
        )


check_complete(ENGINES, ENGINE_FACTS)
