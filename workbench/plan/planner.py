"""`plan`: what a run would take on a device, from the model's config alone."""

from __future__ import annotations

import functools
import warnings

from workbench.config import ConfigWarning, GRPOConfig
from workbench.errors import WorkbenchError
from workbench.plan import ledger, speed
from workbench.plan.advice import Change, Judged, advise, candidates
from workbench.plan.beside import Teacher, teacher_of, teacher_shape
from workbench.plan.devices import Device, PlanError
from workbench.plan.engine_share import least_share, obstacle
from workbench.plan.ledger import Phase
from workbench.plan.notes import notes_of
from workbench.plan.refusals import check_run
from workbench.plan.report import TIGHT, Plan, size
from workbench.plan.shapes import Shape, layers_are_alike, with_layers
from workbench.plan.trace.quantized import QuantizedLinear
from workbench.plan.trace.shared import shared_skeleton, skeletons_to_oneself
from workbench.plan.trace.skeleton import Skeleton

DEFAULT_PROMPT = 512
"""Tokens of a prompt where the config sets no limit."""
FEW = 3
"""Layers of the larger of the two models from which one with many like layers is reckoned."""


@skeletons_to_oneself()
def plan(
    config: GRPOConfig,
    shape: Shape,
    device: Device,
    *,
    advice: bool | None = None,
) -> Plan:
    """What a run of `config` with a model of `shape` would take on `device`. No weights are read,
    and none made.

    Every prompt is taken as `max_prompt_length` long (512 where that is None, less where the model
    has too few positions), every completion as `max_completion_length`: the most that a step can
    need. `advice`: True, False, or None for where it does not fit or leaves little. The seconds are
    an estimate; `workbench.trial.with_trial` puts measured ones in their place. Raises `PlanError`
    for a model whose positions are too few, or whose code cannot be run without weights, and with
    the words of `load_policy` for what loading refuses on such a device (`ConfigError`,
    `VLLMError`, `PlanError`).
    """
    check_run(shape, config, device)
    prompt_tokens = longest_prompt(shape, config)
    bare = skeleton_of(shape, config, device)
    phases = _followed(shape, config, device, bare)
    made = Plan(
        shape=shape,
        config=config,
        device=device,
        parameters=_parameters(bare),
        trained_parameters=sum(p.numel() for p in bare.trained),
        dtype=str(bare.dtype).removeprefix("torch."),
        phases=phases,
        seconds=speed.seconds_of(
            bare, config, prompt_tokens, device, read_teacher(config, shape, device)
        ),
        grpo_peak=_peak_of_grpo(shape, config, device),
        obstacle=obstacle(shape, config, device, bare.numbers, phases),
        notes=notes_of(shape, config, device, bare, prompt_tokens),
    )
    wanted = (
        advice
        if advice is not None
        else device.memory is not None
        and (made.obstacle is not None or (made.margin or 0) < TIGHT * device.memory)
    )
    if wanted and device.memory is not None:
        made.advice.extend(_advice(made, device.memory, bare.numbers))
    return made


def _advice(made: Plan, room: float, numbers: int) -> list[Change]:
    shape, config, device = made.shape, made.config, made.device
    table = candidates(config, device.kind, least_share(shape, config, device, numbers))
    if shape.stored is not None:
        table = [(settings, cost) for settings, cost in table if "quantization" not in settings]

    @functools.cache
    def judge(c: GRPOConfig) -> Judged:
        phases = _followed(shape, c, device)
        return Judged(
            max(p.bytes for p in phases), obstacle(shape, c, device, numbers, phases) is None
        )

    return advise(config, room, judge, Judged(made.peak, made.obstacle is None), table)


@skeletons_to_oneself()
def peak_of(shape: Shape, config: GRPOConfig, device: Device) -> float:
    """Bytes that a run needs, nothing else: not whether it can start."""
    return max(p.bytes for p in _followed(shape, config, device))


def _followed(
    shape: Shape, config: GRPOConfig, device: Device, whole: Skeleton | None = None
) -> list[Phase]:
    """The phases. Where all layers are alike every part of each moment grows by the same bytes with
    each of them, so two small models tell it. Which moment is the fullest is asked at the end: in a
    shallow model it may be another one than in the whole (the gradient of a large vocabulary's
    embedding, say)."""
    teacher = read_teacher(config, shape, device)
    layers = shape.config.get_text_config(decoder=True).num_hidden_layers
    if layers <= FEW or not layers_are_alike(shape.config):
        bare = whole or skeleton_of(shape, config, device)
        return ledger.fullest(_moments(bare, shape, config, device, teacher))
    few, more = (
        _moments(skeleton_of(with_layers(shape, n), config, device), shape, config, device, teacher)
        for n in (FEW - 1, FEW)
    )
    return ledger.fullest(
        [
            [_with_layers(a, b, layers) for a, b in zip(shallow, deeper, strict=True)]
            for shallow, deeper in zip(few, more, strict=True)
        ]
    )


def _with_layers(few: Phase, more: Phase, layers: int) -> Phase:
    """A moment of the whole model, from those with `FEW` - 1 and `FEW` layers."""
    further = layers - FEW + 1
    return Phase(
        few.name,
        {
            part: few.parts[part] + further * (more.parts[part] - few.parts[part])
            for part in few.parts
        },
    )


def skeleton_of(shape: Shape, config: GRPOConfig, device: Device) -> Skeleton:
    """The policy without memory; shared by all that ask for the same one."""
    from workbench.policy.loading.checks import check_architecture

    check_architecture(shape.config, shape.name, trust_remote_code=False)
    return shared_skeleton(shape, config, device)


def read_teacher(config: GRPOConfig, policy: Shape, device: Device) -> Teacher | None:
    """What the method's teacher takes; None without one that can be read, which a note says."""
    shape, _ = teacher_shape(config)
    if shape is None:
        return None
    return teacher_of(shape, config, longest_prompt(policy, config), device, FEW)


def _peak_of_grpo(shape: Shape, config: GRPOConfig, device: Device) -> float | None:
    """What the run would need with method='grpo', where this one has models beside the policy."""
    if not config.method_facts.models:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        grpo = config.with_method("grpo", teacher=None)
    return max(phase.bytes for phase in _followed(shape, grpo, device))


def _moments(
    bare: Skeleton, shape: Shape, config: GRPOConfig, device: Device, teacher: Teacher | None
) -> list[list[Phase]]:
    try:
        return ledger.moments_of(bare, config, longest_prompt(shape, config), device, teacher)
    except WorkbenchError:
        raise
    except Exception as e:
        # The code of an architecture may ask for a number that is not there, in any way it likes.
        raise PlanError(
            f"policy {shape.name!r}: the forward of {type(bare.model).__name__} cannot be "
            f"followed without weights ({str(e)[:160]}). Its "
            f"weights would take {size(bare.weights + bare.constants + bare.adapter)}; for the "
            "rest, try a step with micro_batch_size=1."
        ) from e


def longest_prompt(shape: Shape, config: GRPOConfig) -> int:
    """Tokens of the longest prompt that the config and the model's positions allow. Raises
    `PlanError` where there are none."""
    positions = getattr(shape.config.get_text_config(decoder=True), "max_position_embeddings", None)
    wanted = config.max_prompt_length or DEFAULT_PROMPT
    if positions is None:
        return wanted
    if positions <= config.max_completion_length:
        raise PlanError(
            f"max_completion_length={config.max_completion_length} leaves no room for a prompt "
            f"in the {positions} positions of policy "
            f"{shape.name!r}. Lower it."
        )
    return min(wanted, int(positions) - config.max_completion_length)


def _parameters(bare: Skeleton) -> int:
    """Parameters of the base and the adapter; a quantised weight counts once for each weight that
    it stands for."""
    quantised = [m for m in bare.model.modules() if isinstance(m, QuantizedLinear)]
    stored = sum(p.numel() for p in bare.model.parameters())
    packed = sum(m.out_features * m.in_features - m.weight.numel() for m in quantised)
    return int(stored + packed)
