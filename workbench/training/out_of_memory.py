"""Memory that does not suffice: foreseen before a run where that can be, explained where it
happens, and let go of afterwards."""

from __future__ import annotations

import shlex
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workbench.config import ConfigWarning, GRPOConfig
from workbench.config.engines import facts_of
from workbench.errors import WorkbenchError
from workbench.policy.policy import Policy

MARKS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""How a RuntimeError of torch reads where no memory was left: on a CPU, on Windows, in the CUDA
runtime, in cuBLAS."""


class OutOfMemoryError(WorkbenchError, MemoryError):
    """Memory ran out: says in which phase, what was being done there and which settings make it
    smaller."""


# ------------------------------------------------------------------------------------ explained


def ran_out(error: BaseException) -> bool:
    """Whether the error is torch's or Python's way to say that there is no memory left."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return not isinstance(error, OutOfMemoryError)
    return (
        isinstance(error, RuntimeError)
        and not isinstance(error, WorkbenchError)
        and any(mark in str(error) for mark in MARKS)
    )


@contextmanager
def explain_out_of_memory(phase: str, config: GRPOConfig, policy: str) -> Iterator[None]:
    """What runs out of memory inside raises `OutOfMemoryError` instead; `policy` is its name, for
    the command that plans."""
    try:
        yield
    except (RuntimeError, MemoryError) as e:
        if not ran_out(e):
            raise
        # The error outlives the step: the batch that was too large must not live with it.
        clear_frames(e)
        raise OutOfMemoryError(_words(phase, config, policy, e)) from e


def _words(phase: str, config: GRPOConfig, policy: str, error: BaseException) -> str:
    doing, remedy = _phase(phase, config)
    # torch goes on for lines about its allocator; what was asked for stands at the beginning.
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    said = ". ".join(said[max(said.find("DefaultCPUAllocator"), 0) :].split(". ")[:2])[:160].rstrip(
        ". "
    )
    return (
        f"out of memory in the phase {phase!r}: {doing} ({said}). {remedy} What a run needs, by "
        "phase and setting: "
        f"workbench plan --policy {shlex.quote(policy)}, with the run's other options."
    )


def _phase(phase: str, config: GRPOConfig) -> tuple[str, str]:
    """What a phase does, and the settings that make it smaller."""
    length = config.max_completion_length
    at_once = _at_once(config)
    smaller_batch = _smaller_batch(config)
    smaller_forwards = _smaller_forwards(config)
    table = {
        "rollout": (
            f"{config.completions_per_step} completions of up to {length} tokens were being "
            "sampled",
            smaller_batch,
        ),
        "evaluation": (
            f"held-out problems were being answered, {config.completions_per_step} at once, with "
            f"up to {length} tokens",
            smaller_batch,
        ),
        "reward": (
            "the reward functions were scoring the completions",
            "Let them need less, or do their work elsewhere.",
        ),
        "logprobs": (
            f"the log-probabilities of {at_once} were being computed",
            smaller_forwards,
        ),
        "update": (
            f"forward, backward or the optimizer's update, with {at_once}",
            smaller_forwards + _lighter(config),
        ),
        "reference": (
            "the reference's copy of the weights was being made",
            "Set beta=0 (no reference), or lora_rank=16 (--lora), which needs no copy."
            if config.beta > 0
            else f"method={config.method!r} needs it; lora_rank=16 (--lora) needs no copy.",
        ),
        "critic": (
            "the critic was being made, a copy of all weights that are trained",
            "Train an adapter (--lora), of which alone a copy is made, or take a method without a "
            "critic, such as 'rloo'.",
        ),
        "teacher": (
            f"the teacher {config.teacher!r} was being loaded",
            "Take a smaller teacher, or train an adapter (--lora), so that the policy leaves more "
            "room.",
        ),
    }
    otherwise = ("the tensors of a step were being put together or recorded", smaller_batch)
    return table.get(phase, otherwise)


def _at_once(config: GRPOConfig) -> str:
    rows = config.rows_at_once
    if config.micro_batch_size is not None:
        return f"{rows} completions at once"
    return f"up to {rows} completions or {config.micro_batch_tokens} tokens at once"


def _smaller_batch(config: GRPOConfig) -> str:
    """What makes all of a step smaller, and first what leaves an engine with memory of its own
    less."""
    batch = (
        f"Lower prompts_per_step={config.prompts_per_step}, "
        f"num_generations={config.num_generations} or "
        f"max_completion_length={config.max_completion_length}, "
        "which are fixed for a run: start a new one."
    )
    own = facts_of(config).own_memory
    if own is None:
        return batch
    return f"{own.words_when_full.format_map(config.to_dict())} {batch}"


def _smaller_forwards(config: GRPOConfig) -> str:
    """What computes fewer completions at once; the batch, where it is one already."""
    if config.rows_at_once <= 1:
        return _smaller_batch(config)
    return (
        f"Set micro_batch_size={max(config.longest_at_once // 2, 1)}: the result stays the same, "
        "and the run can be resumed with it."
    )


def _lighter(config: GRPOConfig) -> str:
    """What else makes an update smaller."""
    if not config.gradient_checkpointing:
        return " gradient_checkpointing=True needs less, too, for about a third more time."
    choices = [
        text
        for text, applies in (
            ("lora_rank=16 (--lora)", config.lora_rank == 0),
            ("optim='adamw_8bit'", config.optim == "adamw"),
            ("quantization='nf4'", config.lora_rank > 0 and config.quantization == "none"),
        )
        if applies
    ]
    return f" A new run with {' or '.join(choices)} needs less." if choices else ""


# ------------------------------------------------------------------------------- released again


def clear_frames(error: BaseException) -> None:
    """Drop the local variables that the frames of an error's traceback hold, and of the errors
    behind it: model, graph, activations.

    Line numbers and words stay; frames that still run keep what they have.
    """
    for one in error_chain(error):
        traceback.clear_frames(one.__traceback__)


def error_chain(error: BaseException) -> list[BaseException]:
    """The error, and all that it was raised from or in the handling of."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and not any(one is other for other in found):
            found.append(one)
            waiting += [one.__cause__, one.__context__]
    return found


# ------------------------------------------------------------------------------------- foreseen


def warn_where_too_small(policy: Policy, config: GRPOConfig) -> None:
    """A `ConfigWarning` with the plan's figure where it is above all the memory of the GPU that
    holds the policy.

    A warning and no error, since the plan takes every prompt and completion as long as it may be.
    """
    memory = gpu_memory(policy)
    if memory is None:
        return
    try:
        needed = planned_bytes(policy, config, memory)
    except (
        Exception
    ) as e:  # advice alone: it never ends a run that might work, but is not silent either
        warnings.warn(
            f"whether the run fits into the GPU's memory could not be planned: {type(e).__name__}: "
            f"{e}",
            ConfigWarning,
            stacklevel=4,
        )
        return
    if needed > memory:
        warnings.warn(
            f"the plan of this run needs {needed / 2**30:.1f} GiB at its peak, {policy.device} has "
            f"{memory / 2**30:.1f} GiB in all: it will probably run "
            f"out of memory. Set a smaller micro_batch_size (now {config.longest_at_once} of the "
            "longest completions at once) or gradient_checkpointing=True; "
            f"workbench plan --policy {shlex.quote(policy.source)} says what fits.",
            ConfigWarning,
            stacklevel=4,
        )


def gpu_memory(policy: Policy) -> int | None:
    """Bytes of the GPU that the policy lies on, used ones too; None on another device."""
    return torch.cuda.mem_get_info(policy.device)[1] if policy.device.type == "cuda" else None


def planned_bytes(policy: Policy, config: GRPOConfig, memory: int) -> float:
    """The peak that the planner gives for this policy as it was loaded, on a GPU with so much
    memory."""
    import copy

    from workbench.plan.devices import Device
    from workbench.plan.planner import peak_of
    from workbench.plan.shapes import Shape

    bare = copy.deepcopy(policy.model.config)
    if hasattr(bare, "quantization_config"):
        del bare.quantization_config  # the plan quantises by the setting
    loaded: dict[str, object] = {
        "quantization": policy.quantization,
        "gradient_checkpointing": policy.gradient_checkpointing,
    }
    if policy.has_adapter and config.lora_rank == 0:  # a saved adapter, which keeps its own rank
        loaded["lora_rank"] = max(c.r for c in policy.model.peft_config.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        as_loaded = config.replace(**loaded)
    device = Device(
        str(policy.device),
        "cuda",
        memory,
        has_bfloat16=torch.cuda.is_available()
        and torch.cuda.is_bf16_supported(including_emulation=False),
    )
    return peak_of(Shape(policy.source, bare, "the policy itself"), as_loaded, device)
