"""Fields that do nothing in a run, whatever they say: those of other methods, losses and engines,
and those of what is switched off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

from workbench.compat.export.engine import samples_by_vllm
from workbench.compat.export.report import Row
from workbench.config import KEY_FIELDS, LOSSES, METHODS, GRPOConfig

READ = "the data are written out as they were read"
OTHER_METHOD = "belongs to another method"
OTHER_LOSS = "belongs to another loss_type"
OFF = "what it belongs to is switched off"

Switch = Callable[[GRPOConfig], bool]


def _loss_is(*names: str) -> Switch:
    return lambda c: c.loss_type in names


SWITCHES: Sequence[tuple[str, Switch, str]] = (
    ("sapo_", _loss_is("sapo"), OTHER_LOSS),
    ("vespo_", _loss_is("vespo"), OTHER_LOSS),
    ("clip_cov_", _loss_is("clip_cov"), OTHER_LOSS),
    ("kl_cov_", _loss_is("kl_cov"), OTHER_LOSS),
    ("divergence_threshold", lambda c: LOSSES[c.loss_type].bound == "divergence", OTHER_LOSS),
    ("epsilon", lambda c: LOSSES[c.loss_type].uses_epsilon, OTHER_LOSS),
    ("delta", lambda c: LOSSES[c.loss_type].has_delta, OTHER_LOSS),
    ("kl_estimator", lambda c: c.asks_reference, OFF),
    ("use_bias_correction_kl", lambda c: c.beta > 0, OFF),
    ("measure_kl", lambda c: c.beta == 0 and c.measure_kl, OFF),
    ("entropy_target", lambda c: c.use_adaptive_entropy, OFF),
    ("entropy_coef_", lambda c: c.use_adaptive_entropy, OFF),
    ("ref_model_", lambda c: c.sync_ref_model, OFF),
    ("lora_alpha", lambda c: c.lora_rank > 0, OFF),
    ("lora_target_modules", lambda c: c.lora_rank > 0, OFF),
    ("use_rslora", lambda c: c.lora_rank > 0, OFF),
    ("use_dora", lambda c: c.lora_rank > 0, OFF),
    ("curriculum_", lambda c: c.curriculum != "none", OFF),
    ("advantage_k", lambda c: c.advantage_estimator == "pass_at_k", OFF),
    ("eval_samples_", lambda c: c.eval_samples > 0, OFF),
    ("importance_sampling_clip_", lambda c: c.importance_sampling_mode is not None, OFF),
    ("record_", lambda c: False, "the workbench's own record"),
    ("micro_batch_tokens", lambda c: c.micro_batch_size is None, "micro_batch_size is given"),
    ("vllm_", samples_by_vllm, "belongs to another engine"),
    ("vllm_server_base_url", lambda c: c.vllm_mode == "server", OFF),
)
"""How the name begins, when the field does something, and what is said where it does not."""


def idle_rows(config: GRPOConfig) -> dict[str, Row]:
    """The fields that do nothing, by name."""
    read = (*KEY_FIELDS, "system_prompt", "unreadable_golds")
    foreign = {name for facts in METHODS.values() for name in facts.reads}
    foreign -= set(METHODS[config.method].reads)
    found = dict.fromkeys(read, READ) | dict.fromkeys(foreign, OTHER_METHOD)
    for field in fields(config):
        for beginning, acts, why in SWITCHES:
            if field.name.startswith(beginning) and not acts(config):
                found.setdefault(field.name, why)
    return {name: Row(name, "idle", getattr(config, name), note=why) for name, why in found.items()}
