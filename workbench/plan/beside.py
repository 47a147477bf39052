"""What a method needs beside the policy, in bytes and operations: a critic, a teacher.

The critic is a copy of what training changes with a head of one number (`methods/critic.py`), so
everything about it is read off the policy's own skeleton. The teacher is another model, of which
the config alone is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from workbench.config import GRPOConfig
from workbench.plan.devices import Device, PlanError
from workbench.plan.shapes import Shape, layers_are_alike, shape_of, with_layers
from workbench.plan.trace import passes
from workbench.plan.trace.allocations import Peak
from workbench.plan.trace.shared import skeleton_by
from workbench.plan.trace.skeleton import Skeleton, blueprint, dtype_for
from workbench.policy.policy import PolicyError

HEAD_ITEMSIZE = 4
"""The critic's head and its moments are float32."""


def has_critic(config: GRPOConfig) -> bool:
    """Whether the method trains a critic."""
    return "critic" in config.method_facts.models


def samples(config: GRPOConfig) -> bool:
    """Whether a step samples completions; imitated ones are given."""
    return config.method_facts.sampled_from != "demonstrations"


def asks_old(config: GRPOConfig) -> bool:
    """Whether a step has a pass for the log-probabilities before its first update."""
    return not config.on_policy or config.method_facts.asks_old


def asks_reference(skeleton: Skeleton, config: GRPOConfig) -> bool:
    """Whether a step has a pass of the reference: as the trainer, which measures the KL of the
    embedded policy, too."""
    measured = config.measure_kl and skeleton.source == "embedded"
    return config.asks_reference or measured


def copies_reference(skeleton: Skeleton, config: GRPOConfig) -> bool:
    """Whether the reference holds weights of its own: an adapter is switched off instead, until a
    refresh makes it a copy."""
    refreshed = config.lora_rank == 0 or config.sync_ref_model
    return refreshed and asks_reference(skeleton, config)


@dataclass(frozen=True)
class CriticBytes:
    """What a critic holds."""

    standing: float
    """Its own weights and the two moments of each number that it moves."""
    gradients: float
    """While it learns."""


def critic_bytes(skeleton: Skeleton) -> CriticBytes:
    """Frozen weights are the policy's own. An output head of its own is copied and never moved."""
    unused = skeleton.model.get_output_embeddings().weight
    tied = skeleton.model.get_input_embeddings().weight is unused
    moved = [p for p in skeleton.trained if tied or p is not unused]
    head = HEAD_ITEMSIZE * (int(unused.shape[1]) + 1)
    learning = _bytes(moved) + head
    return CriticBytes(
        standing=_bytes(skeleton.trained) + head + 2 * learning,
        gradients=learning,
    )


@dataclass(frozen=True)
class Teacher:
    """What a teacher takes."""

    weights: float
    """Bytes; all of them stand still."""
    forward: Peak
    """Its pass over a micro-batch."""
    skeleton: Skeleton
    """The whole model, for its operations."""


def teacher_shape(config: GRPOConfig) -> tuple[Shape | None, str]:
    """The teacher's shape, or None and why it cannot be read; (None, "") where there is none."""
    if config.teacher is None:
        return None, ""
    try:
        return shape_of(config.teacher), ""
    except (PlanError, PolicyError) as error:
        return None, str(error)


def teacher_of(
    shape: Shape, config: GRPOConfig, prompt_tokens: int, device: Device, few: int
) -> Teacher:
    """What the teacher takes. Its pass keeps nothing from layer to layer, so that where all of them
    are alike one of `few` layers tells how much it needs."""
    whole = _frozen(shape, config, device)
    layers = shape.config.get_text_config(decoder=True).num_hidden_layers
    followed = whole
    if layers > few and layers_are_alike(shape.config):
        followed = _frozen(with_layers(shape, few), config, device)
    return Teacher(
        weights=whole.weights + whole.constants,
        forward=passes.logprobs_peak(followed, config, prompt_tokens),
        skeleton=whole,
    )


def _frozen(shape: Shape, config: GRPOConfig, device: Device) -> Skeleton:
    """A model that is not trained, loaded as `methods/distill.py` loads it."""
    as_policy = blueprint(shape, config, device)
    return skeleton_by(
        replace(
            as_policy,
            dtype=dtype_for(config, device, frozen=True),
            adapter=None,
            adapter_words="",
            quantized=None if shape.stored is None else as_policy.quantized,
            autocast=False,
            checkpointed=False,
        )
    )


def _bytes(tensors: list[Tensor]) -> float:
    return float(sum(t.numel() * t.element_size() for t in tensors))
