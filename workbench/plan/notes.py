"""What a plan's figures leave out, a sentence or two each. A note is a function of this file that
gives its text, or "" where it does not apply; `notes_of` lists them as they are read."""

from __future__ import annotations

from importlib.util import find_spec

from workbench.config import GRPOConfig
from workbench.config.engines import ENGINE_FACTS, facts_of, runs_here
from workbench.plan.beside import asks_reference, samples, teacher_shape
from workbench.plan.devices import Device
from workbench.plan.engine_share import own_share
from workbench.plan.record_size import record_bytes
from workbench.plan.report import size
from workbench.plan.shapes import Shape
from workbench.plan.trace.skeleton import Skeleton
from workbench.rollout.engines import ENGINES

HELD_AGAINST = (
    "Held against one GPU so far: three peaks of Qwen2.5-0.5B on an H100, within 3 %. The "
    "context and the allocator's share are estimates; a step took 1.3 to 4 times the "
    "upper end of the seconds there."
)
AUTOCAST = (
    "The weights are float32, computed with in bfloat16; each forward makes a bfloat16 "
    "copy of them."
)
DORA = "DoRA's extra products are counted as torch makes them on unquantised weights."


def notes_of(
    shape: Shape, config: GRPOConfig, device: Device, bare: Skeleton, prompt_tokens: int
) -> list[str]:
    """The notes that apply to this run."""
    notes = (
        HELD_AGAINST if device.kind == "cuda" else "",
        _stand_in(config, bare),
        _lengths(config, prompt_tokens),
        _nothing_sampled(config),
        _unread_teacher(config),
        _reward_models(config),
        _stored_quantised(shape),
        _plain_float32(config, device),
        _copy_of_the_base(config, device),
        facts_of(config).plan_note,
        _evaluations_with_samples(config),
        _record(config, bare),
        _not_installed(config, device),
        AUTOCAST if bare.autocast else "",
        DORA if config.use_dora else "",
    )
    return [note for note in notes if note]


def _stand_in(config: GRPOConfig, bare: Skeleton) -> str:
    """The engine cannot serve this model, and another takes its place."""
    engine = facts_of(config)
    if engine.stand_in is None:
        return ""
    reason = ENGINES[engine.name].reason_against(bare.model)
    if reason is None:
        return ""
    return (
        f"{engine.title[0].upper() + engine.title[1:]} cannot serve this model ({reason}); "
        f"rollouts would use {ENGINE_FACTS[engine.stand_in].title}, which needs more."
    )


def _lengths(config: GRPOConfig, prompt_tokens: int) -> str:
    """The lengths that every prompt and completion is taken to have."""
    taken = (
        f"Prompts of {prompt_tokens} and completions of {config.max_completion_length} "
        "tokens are taken throughout."
    )
    if config.max_prompt_length is None:
        return f"{taken} Set max_prompt_length to what yours have."
    return taken


def _nothing_sampled(config: GRPOConfig) -> str:
    """A step has no rollout."""
    if samples(config):
        return ""
    return (
        f"method={config.method!r} samples nothing: the column 'rollout' is that of the "
        "evaluations, and the seconds of a step have none."
    )


def _unread_teacher(config: GRPOConfig) -> str:
    """Its config is not to be had, so its weights are missing from the figures."""
    shape, reason = teacher_shape(config)
    if shape is not None or not reason:
        return ""
    return f"The teacher is left out of all figures, because it could not be read: {reason}"


def _reward_models(config: GRPOConfig) -> str:
    """The method has models that score, which the config does not name, or not by their size."""
    if config.method == "iterative_grpo":
        return (
            "Reward models are left out: each takes its weights, and while it is retrained twice "
            "as much again for the moments and once for the gradients."
        )
    if str(config.step_rewards).startswith("model:"):
        return f"The reward model of step_rewards={config.step_rewards!r} is left out."
    return ""


def _record(config: GRPOConfig, bare: Skeleton) -> str:
    """What the run leaves on the disk beside its checkpoints."""
    has_reference = asks_reference(bare, config)
    whole = size(record_bytes(config, has_reference))
    said = f"The record (run.sqlite) of {config.max_steps} steps takes up to {whole}"
    if config.record_tokens_every > 1:
        return f"{said}, with record_tokens_every={config.record_tokens_every}."
    fewer = size(record_bytes(config.replace(record_tokens_every=10), has_reference))
    return f"{said}; with record_tokens_every=10 up to {fewer}."


def _evaluations_with_samples(config: GRPOConfig) -> str:
    """They are asked for, and stand outside the steps that the seconds are of."""
    if config.eval_samples == 0:
        return ""
    between = ""
    if config.eval_samples_steps:
        between = f", and one every {config.eval_samples_steps} steps"
    completions = config.eval_samples_problems * (config.eval_samples + 1)
    steps = completions / config.completions_per_step
    return (
        f"Each evaluation with samples (eval_samples={config.eval_samples}, "
        f"eval_samples_problems={config.eval_samples_problems}) is {completions} completions more, "
        f"as many as the rollouts of {steps:.1f} steps; the seconds leave it out. There is one "
        f"before the first step and one after the last{between}."
    )


def _stored_quantised(shape: Shape) -> str:
    """The weights are quantised in their files."""
    if shape.stored is None:
        return ""
    return (
        f"The model's files are quantised already ({shape.stored.kind}), and are planned so: "
        "leave quantization out, and train an adapter."
    )


def _plain_float32(config: GRPOConfig, device: Device) -> str:
    """All weights in plain float32 on a GPU without bfloat16, where 16 bits are left to an
    adapter's base."""
    if config.lora_rank > 0 or device.kind != "cuda" or device.has_bfloat16:
        return ""
    plain = device.flops_of("float32")
    half = device.flops_of("float16")
    rates = ""
    if plain and half:
        rates = f" ({plain / 1e12:.0f} instead of {half / 1e12:.0f} TFLOP/s)"
    return (
        f"{device.name} has no bfloat16, so all weights are trained in plain float32, without "
        f"its tensor cores{rates}. An adapter (--lora, "
        "lora_rank=16) computes in float16 there."
    )


def _copy_of_the_base(config: GRPOConfig, device: Device) -> str:
    """The engine holds weights of its own."""
    if own_share(config, device) is None:
        return ""
    return (
        f"{facts_of(config).title}'s copy of the base is not quantised; what else it needs to "
        "start is an estimate."
    )


def _not_installed(config: GRPOConfig, device: Device) -> str:
    """The engine's package is missing on this machine, where the run is to be made."""
    engine = facts_of(config)
    if engine.package is None or not runs_here(config) or not device.measured:
        return ""
    if find_spec(engine.package.module) is not None:
        return ""
    return (
        f"{engine.title} is not installed here, so this run could not start. Run: "
        f"{engine.package.install}"
    )
