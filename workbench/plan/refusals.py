"""What loading would refuse, refused by a plan with the same words: no such run can be made, so
nothing "fits"."""

from __future__ import annotations

import warnings

from workbench.config import ConfigWarning, GRPOConfig
from workbench.plan.devices import Device, PlanError
from workbench.plan.shapes import Shape


def check_run(shape: Shape, config: GRPOConfig, device: Device) -> None:
    """Raises `ConfigError`, `VLLMError` or `PlanError` for settings with which no policy is loaded
    on such a device."""
    from workbench.policy.dtype import no_bfloat16
    from workbench.policy.for_config import check_dtype
    from workbench.rollout.vllm_checks import check_settings, check_sleep

    if config.rollout_engine == "vllm":
        check_settings(config)
        check_sleep(
            config.vllm_mode == "colocate" and config.vllm_enable_sleep_mode, device.kind == "cpu"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)  # about learning, which nobody does here
        check_dtype(config)
    if config.dtype == "bfloat16" and device.kind == "cuda" and not device.has_bfloat16:
        raise PlanError(no_bfloat16(config.dtype, device.name))
    if shape.stored is not None:
        _check_stored(shape, config)


def _check_stored(shape: Shape, config: GRPOConfig) -> None:
    assert shape.stored is not None
    kind = shape.stored.kind
    if not shape.stored.followed:
        raise PlanError(
            f"policy {shape.name!r} is stored quantised by {kind!r}, whose layers a plan cannot follow. Its weights take what its files take; "
            "plan the unquantised model with quantization='nf4' for the rest, which is about the same."
        )
    if config.lora_rank == 0:
        raise PlanError(
            f"policy {shape.name!r} is quantised ({kind}), and quantised weights stand still. Add lora_rank=16 (--lora)."
        )
    if config.quantization not in ("none", kind):
        raise PlanError(
            f"policy {shape.name!r} is quantised already, as {kind!r}. Leave out quantization={config.quantization!r}."
        )
