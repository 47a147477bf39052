"""A plan: its figures, in words, and as plain values for a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workbench.config import GRPOConfig
from workbench.plan.advice import Change
from workbench.plan.devices import Device
from workbench.plan.ledger import PARTS, Phase
from workbench.plan.shapes import Shape
from workbench.plan.speed import Seconds

SHOWN = (
    "method",
    "lora_rank",
    "quantization",
    "dtype",
    "gradient_checkpointing",
    "optim",
    "rollout_engine",
    "prompts_per_step",
    "num_generations",
    "updates_per_rollout",
    "micro_batch_size",
    "micro_batch_tokens",
    "max_prompt_length",
    "max_completion_length",
    "beta",
)
"""The settings that decide over memory and time."""


TIGHT = 0.1
"""Share of the memory that should stay free; a plan that leaves less is called tight."""


@dataclass(frozen=True)
class Plan:
    """What a run would take."""

    shape: Shape
    config: GRPOConfig
    device: Device
    parameters: int
    """Of the base and the adapter; a quantised weight counts once for each that it stands for."""
    trained_parameters: int
    dtype: str
    """The format of the weights that are not quantised."""
    phases: list[Phase]
    """Bytes by part in rollout, logprobs and update."""
    seconds: Seconds | None
    """The estimate for a step; None where the device's rates are unknown and nothing was timed."""
    obstacle: str | None = None
    """Why the run could not start although its phases are counted: an engine's share is too small
    for it."""
    grpo_peak: float | None = None
    """Bytes of the same run with method='grpo'; None where the method has no model beside the
    policy."""
    advice: list[Change] = field(default_factory=list)
    """Changes that would lower the peak, or let it start, where it does not fit or is tight."""
    notes: list[str] = field(default_factory=list)
    """What the figures leave out."""

    @property
    def peak_phase(self) -> Phase:
        """The phase that needs the most; its bytes are what the run needs."""
        return max(self.phases, key=lambda p: p.bytes)

    @property
    def peak(self) -> float:
        """Bytes that the run needs."""
        return self.peak_phase.bytes

    @property
    def margin(self) -> float | None:
        """Bytes left over on the device, negative where it does not fit; None where its memory is
        unknown."""
        return None if self.device.memory is None else self.device.memory - self.peak

    @property
    def fits(self) -> bool | None:
        """Whether it fits and can start; None where the device's memory is unknown."""
        if self.obstacle is not None:
            return False
        return None if self.margin is None else self.margin >= 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values: bytes, seconds, counts."""
        return as_dict(self)

    def __str__(self) -> str:
        return as_text(self)


def size(count: float) -> str:
    """Bytes with three figures: GB = 10^9, MB = 10^6."""
    return f"{count / 1e9:.2f} GB" if abs(count) >= 1e9 else f"{count / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """Seconds with two figures, or minutes."""
    return (
        f"{seconds / 60:.0f} min"
        if seconds >= 600
        else f"{seconds:.0f} s"
        if seconds >= 10
        else f"{seconds:.2g} s"
    )


def as_dict(plan: Plan) -> dict[str, Any]:
    """One JSON object."""
    return {
        "policy": plan.shape.name,
        "config_from": plan.shape.source,
        "parameters": plan.parameters,
        "trained_parameters": plan.trained_parameters,
        "dtype": plan.dtype,
        "settings": {name: getattr(plan.config, name) for name in SHOWN},
        "device": _device_dict(plan.device),
        "phases": [_phase_dict(phase) for phase in plan.phases],
        "peak_phase": plan.peak_phase.name,
        "peak_bytes": round(plan.peak),
        "fits": plan.fits,
        "obstacle": plan.obstacle,
        "grpo_peak_bytes": None if plan.grpo_peak is None else round(plan.grpo_peak),
        "margin_bytes": None if plan.margin is None else round(plan.margin),
        "seconds": None if plan.seconds is None else _seconds_dict(plan.seconds),
        "advice": [_change_dict(change) for change in plan.advice],
        "notes": plan.notes,
    }


def _device_dict(device: Device) -> dict[str, Any]:
    return {
        "name": device.name,
        "kind": device.kind,
        "memory_bytes": device.memory,
        "rates_from": device.source,
        "rates_measured": device.measured,
    }


def _phase_dict(phase: Phase) -> dict[str, Any]:
    return {
        "name": phase.name,
        "bytes": round(phase.bytes),
        "parts": {name: round(part_bytes) for name, part_bytes in phase.parts.items()},
    }


def _seconds_dict(seconds: Seconds) -> dict[str, Any]:
    return {
        "limit": seconds.limit,
        "low": seconds.low,
        "high": seconds.high,
        "step": dict(zip(("limit", "low", "high"), seconds.step, strict=True)),
        "trial": seconds.trial,
        "source": seconds.source,
        "is_estimate": True,
    }


def _change_dict(change: Change) -> dict[str, Any]:
    return {
        "settings": change.settings,
        "peak_bytes": round(change.peak),
        "fits": change.fits,
        "together": change.together,
        "cost": change.cost,
    }


def verdict(plan: Plan) -> str:
    """Whether it fits, in a sentence."""
    need = f"needs {size(plan.peak)} at its peak, in the phase '{plan.peak_phase.name}'"
    if plan.device.memory is None or plan.margin is None:
        return f"{plan.shape.name} {need}; how much memory {plan.device.name} has is not known."
    has = (
        f"{plan.device.name} has "
        f"{size(plan.device.memory)}{' free' if plan.device.measured else ''}"
    )
    if plan.margin < 0:
        also = "" if plan.obstacle is None else f" And {plan.obstacle}"
        return (
            f"Does not fit: {plan.shape.name} {need}; {has}, {size(-plan.margin)} too little.{also}"
        )
    if plan.obstacle is not None:
        return f"Does not fit: {plan.obstacle}"
    tight = " That is tight." if plan.margin < TIGHT * plan.device.memory else ""
    return (
        f"Fits: {plan.shape.name} {need}; {has}, {size(plan.margin)} "
        f"({plan.margin / plan.device.memory:.0%}) stay free.{tight}"
    )


def method_words(plan: Plan) -> str:
    """What the models beside the policy take, and how many times GRPO's memory that makes; "" for a
    method without any."""
    if plan.grpo_peak is None:
        return ""
    parts = plan.peak_phase.parts
    taken = [
        f"the {name} takes {size(parts[name])}"
        for name in ("critic", "teacher", "reference")
        if parts[name]
    ]
    models = " and ".join(taken) or "the reference is the adapter switched off, no copy"
    return (
        f"method={plan.config.method!r}: {models}, of {size(plan.peak)} in all: "
        f"{plan.peak / plan.grpo_peak:.2g} times the {size(plan.grpo_peak)} that grpo takes."
    )


def seconds_words(plan: Plan) -> str:
    """The estimate of a step, in a sentence or two."""
    if plan.seconds is None:
        return f"Seconds per step: no estimate ({plan.device.source})."
    s = plan.seconds
    limit, low, high = s.step
    at = "without the reward functions, at full lengths"
    if s.trial is None:
        least = "" if limit is None else f" The device's limit is {duration(limit)}."
        parts = ", ".join(
            f"{name} {duration(s.low[name])} to {duration(s.high[name])}" for name in s.low
        )
        return (
            f"Seconds per step, an estimate: {duration(low)} to {duration(high)} ({parts}; "
            f"{at}).{least} From: {s.source}."
        )
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in s.trial.items())
    return (
        f"Seconds per step: about {duration(sum(s.trial.values()))}, {duration(low)} to "
        f"{duration(high)} ({parts}; {at}). From {s.source}."
    )


def advice_words(plan: Plan) -> list[str]:
    """A line for each change."""
    lines = []
    for c in plan.advice:
        lead = "together: " if c.together else ""
        lines.append(f"{lead}{c.words}: {size(c.peak)}{', fits' if c.fits else ''} ({c.cost})")
    return lines


def rows(plan: Plan) -> list[tuple[str, list[str]]]:
    """The parts that are not zero everywhere, with their size in each phase, and the sum."""
    shown = [name for name in PARTS if any(p.parts[name] for p in plan.phases)]
    table = [
        (PARTS[name], [size(p.parts[name]) if p.parts[name] else "" for p in plan.phases])
        for name in shown
    ]
    return [*table, ("together", [size(p.bytes) for p in plan.phases])]


def headline(plan: Plan) -> str:
    """What is planned."""
    return (
        f"{plan.shape.name}: {plan.parameters / 1e6:,.1f}M parameters "
        f"({plan.trained_parameters / 1e6:,.1f}M trained), {plan.dtype}, from "
        f"{plan.shape.source}"
    )


def as_text(plan: Plan) -> str:
    """The plan for a terminal."""
    width = max(len(label) for label, _ in rows(plan)) + 2
    lines = [headline(plan), "", " " * width + "".join(f"{p.name:>12}" for p in plan.phases)]
    lines += [
        f"{label:<{width}}" + "".join(f"{cell:>12}" for cell in cells)
        for label, cells in rows(plan)
    ]
    lines += ["", verdict(plan)]
    lines += [words for words in (method_words(plan), seconds_words(plan)) if words]
    if plan.advice:
        lines += [
            "",
            "What to change, strongest first (each alone, with the peak that it gives):",
            *(f"  {t}" for t in advice_words(plan)),
        ]
    return "\n".join([*lines, *(f"note: {n}" for n in plan.notes)])
