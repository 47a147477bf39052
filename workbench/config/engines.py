"""What is known of each rollout engine without loading it: data alone, without torch or vLLM.

Everything that must treat engines differently (the planner, the checks before a run, the words
after one) reads these facts and never asks for an engine by its name. To add an engine:

1. a row here, with every fact (a missing one is an error at import);
2. a class that answers `workbench.rollout.types.RolloutEngine`;
3. a row in `workbench.rollout.engines.ENGINES` that makes and checks it (the two tables must name
   the same engines, or importing fails);
4. a case in `tests/rollout/test_rollout_engines.py`, which runs every engine of the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OwnMemory:
    """How an engine with weights of its own takes memory beside the trainer: the names of the
    `GRPOConfig` fields that say so, and what it holds where no field does."""

    mode_field: str
    """The field that says where the engine runs ..."""
    beside_mode: str
    """... and its value for "in this process"; with any other it takes memory elsewhere."""
    address_field: str
    """The field with the address that it is asked at where it runs elsewhere ..."""
    address_missing: str
    """... and what is said where that is empty."""
    share_field: str
    """The field with the part of the whole GPU that it takes."""
    sleep_field: str
    """The field that is True where it gives its memory back between two rollouts."""
    fields_prefix: str
    """How the fields of this engine begin: they mean nothing to another one."""
    cpu_cache_bytes: int
    """Bytes of its keys and values on a CPU, where it has no share of a GPU."""
    cpu_library_bytes: int
    """Bytes of its libraries and work space on a CPU."""
    words_when_full: str
    """What to change where memory ran out, with the config's fields in braces."""

    def has_settings(self, settings: Iterable[str]) -> bool:
        """Whether any of these fields is the engine's own."""
        return any(name.startswith(self.fields_prefix) for name in settings)

    def is_beside(self, config: Any) -> bool:
        """True where it runs in the trainer's process."""
        return bool(getattr(config, self.mode_field) == self.beside_mode)

    def share(self, config: Any) -> float:
        """The part of the whole GPU that it takes."""
        return float(getattr(config, self.share_field))

    def sleeps(self, config: Any) -> bool:
        """Whether its memory is free between two rollouts."""
        return bool(getattr(config, self.sleep_field))


@dataclass(frozen=True)
class Package:
    """What must be installed for an engine."""

    module: str
    """The name that is imported."""
    install: str
    """The command that installs it."""
    tried: str
    """The version that it was tried with: its first two numbers."""
    without: str
    """What one goes without, in words."""


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What the rest of the package must know of an engine. No fact has a default: a new engine
    answers every question."""

    name: str
    """As `rollout_engine` has it."""
    title: str
    """As a sentence has it."""
    own_memory: OwnMemory | None
    """None: it samples with the policy's own weights, and its keys and values lie beside them."""
    shares_prompt: bool
    """A prompt is computed once for all its completions; else once for each."""
    shares_cache: bool
    """A prompt's keys and values stand there once for all its completions, where model and device
    allow it; else once for each."""
    in_place_cache: bool
    """The cache has its full size from the start; else each layer's is copied when it grows."""
    samples_in_pieces: bool
    """On a CPU the next tokens are drawn a few rows at a time; else from all rows' logits."""
    draws_by_row: bool
    """Each process of several can sample some of the rows, on its own weights, and gets what one
    process would: a row is told which numbers it draws."""
    launches_per_token: bool
    """Python launches each layer's kernels for every token; False where graphs are replayed."""
    can_be_tried: bool
    """A few layers with random weights tell how long it takes."""
    serves_every_model: bool
    """Any causal language model; else some are refused, and `stand_in` takes its place."""
    stand_in: str | None
    """The engine that takes its place, with a warning, where it cannot serve the model."""
    lighter: tuple[str, str] | None
    """The engine that takes less memory, and what it costs to change to that one."""
    package: Package | None
    """What must be installed beside the workbench's own dependencies."""
    plan_note: str
    """What a plan's reader should know of its figures; empty where there is nothing."""


VLLM_MEMORY = OwnMemory(
    mode_field="vllm_mode",
    beside_mode="colocate",
    address_field="vllm_server_base_url",
    address_missing=(
        "vllm_mode='server' needs vllm_server_base_url, the address of a running "
        "`vllm serve`, for example http://localhost:8000."
    ),
    share_field="vllm_gpu_memory_utilization",
    sleep_field="vllm_enable_sleep_mode",
    fields_prefix="vllm_",
    cpu_cache_bytes=2**30,
    # Fitted to the three cases of `benchmarks/plan_against_peaks.py --vllm`.
    cpu_library_bytes=400 * 2**20,
    words_when_full=(
        "vllm_gpu_memory_utilization={vllm_gpu_memory_utilization} is vLLM's share, "
        "vllm_enable_sleep_mode=True lends it out."
    ),
)
VLLM_PACKAGE = Package(
    module="vllm",
    install="pip install 'grpo-workbench[vllm]'",
    tried="0.32",
    without=("no vLLM rollouts in this process (a `vllm serve` elsewhere can be used)"),
)

_ROWS = (
    EngineFacts(
        name="native",
        title="the native engine",
        own_memory=None,
        shares_prompt=True,
        shares_cache=True,
        in_place_cache=True,
        samples_in_pieces=True,
        draws_by_row=True,
        launches_per_token=True,
        can_be_tried=True,
        serves_every_model=False,
        stand_in="transformers",
        lighter=None,
        package=None,
        plan_note="",
    ),
    EngineFacts(
        name="transformers",
        title="the transformers engine",
        own_memory=None,
        shares_prompt=False,
        shares_cache=False,
        in_place_cache=False,
        samples_in_pieces=False,
        draws_by_row=False,
        launches_per_token=True,
        can_be_tried=True,
        serves_every_model=True,
        stand_in=None,
        lighter=("native", "nothing, where the native engine serves the model"),
        package=None,
        plan_note="",
    ),
    EngineFacts(
        name="vllm",
        title="vLLM",
        own_memory=VLLM_MEMORY,
        shares_prompt=True,
        shares_cache=True,
        in_place_cache=True,
        samples_in_pieces=False,
        draws_by_row=False,
        launches_per_token=False,
        can_be_tried=False,
        serves_every_model=False,
        # Nothing ever takes vLLM's place: who asks for it is told what it cannot do.
        stand_in=None,
        lighter=("native", "slower rollouts"),
        package=VLLM_PACKAGE,
        plan_note=(
            "vLLM: its own figures, by its settings; compared with a measurement on a CPU only."
        ),
    ),
)
ENGINE_FACTS = {row.name: row for row in _ROWS}
"""Name -> what is known of that engine, in the order in which they are offered."""


def facts_of(config: Any) -> EngineFacts:
    """The facts of the engine that a config asks for."""
    return ENGINE_FACTS[config.rollout_engine]


def runs_here(config: Any) -> bool:
    """True where the config's engine runs in the trainer's process."""
    memory = facts_of(config).own_memory
    return memory is None or memory.is_beside(config)


def beside_trainer(config: Any) -> OwnMemory | None:
    """How the config's engine takes memory of its own in the trainer's process; None where it
    takes none there."""
    return facts_of(config).own_memory if runs_here(config) else None
