"""A config of ours in TRL's words (1.16): what each field becomes.

The other direction of `workbench.compat.trl.config`, whose tables of names and defaults it reads;
`tests/compat/test_export_trl.py` holds the two against each other, and both against TRL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from workbench.compat.export.idle import idle_rows
from workbench.compat.export.report import Report, Row
from workbench.compat.export.source import Exported, ExportFolderError, check_exportable
from workbench.compat.export.trl_habits import habits
from workbench.compat.export.trl_parts import (
    batch_rows,
    counts_rows,
    loss_rows,
    optimizer_rows,
    sampler_rows,
    weights_rows,
)
from workbench.compat.trl.config import GRPOConfig as TheirConfig
from workbench.config import LOSSES, GRPOConfig

OTHER_DEFAULTS = {
    "ddp_find_unused_parameters": None,
    "eval_on_start": False,
    "gradient_checkpointing": True,
    "num_generations_eval": None,
    "per_device_eval_batch_size": 8,
    "shuffle_dataset": True,
}
"""TRL's defaults of arguments that a script of TRL's may give here without effect."""

KNOWN_LOSSES = tuple(name for name, facts in LOSSES.items() if facts.in_trl)

SAME = (
    "num_generations",
    "num_iterations",
    "temperature",
    "top_p",
    "top_k",
    "max_completion_length",
    "mask_truncated_completions",
    "vllm_mode",
    "vllm_server_base_url",
    "vllm_gpu_memory_utilization",
    "vllm_enable_sleep_mode",
    "reward_weights",
    "scale_rewards",
    "multi_objective_aggregation",
    "importance_sampling_level",
    "beta",
    "epsilon",
    "epsilon_high",
    "delta",
    "use_bias_correction_kl",
    "entropy_coef",
    "use_adaptive_entropy",
    "entropy_target",
    "entropy_coef_delta",
    "entropy_coef_min",
    "entropy_coef_max",
    "off_policy_mask_threshold",
    "sapo_temperature_pos",
    "sapo_temperature_neg",
    "vespo_k_pos",
    "vespo_lambda_pos",
    "vespo_k_neg",
    "vespo_lambda_neg",
    "sync_ref_model",
    "ref_model_mixup_alpha",
    "gradient_checkpointing",
    "learning_rate",
    "adam_beta1",
    "adam_beta2",
    "max_grad_norm",
)
"""Fields that TRL has by the same name, with the same meaning."""

FIXED: dict[str, tuple[Any, str]] = {
    "max_resample": (0, "TRL draws no other prompts in place of dead groups"),
    "rollout_staleness": (0, "TRL's GRPOTrainer samples with the weights of now"),
    "curriculum": ("none", "TRL draws the prompts in order"),
    "advantage_baseline": ("group", "TRL always subtracts the group's mean"),
    "advantage_std": ("sample", "TRL's std always divides by G-1"),
    "advantage_estimator": ("baseline", "TRL has (reward - mean) / std alone"),
    "loss_reduction": (None, "TRL reduces by the loss_type's own way"),
    "kl_estimator": ("k3", "TRL's KL is always k3"),
    "eval_samples": (0, "TRL reports no mean@K, maj@k or pass@k"),
    "eval_samples_problems": (None, "TRL reports no mean@K, maj@k or pass@k"),
    "eval_samples_steps": (None, "TRL reports no mean@K, maj@k or pass@k"),
    "curriculum_floor": (None, "TRL draws the prompts in order"),
    "curriculum_pass_reward": (None, "TRL draws the prompts in order"),
    "advantage_k": (None, "TRL has (reward - mean) / std alone"),
    "reward_timeout": (None, "TRL waits for a reward function as long as it takes"),
    "measure_kl": (None, "TRL measures no KL where beta=0"),
    "max_prompt_length": (None, "TRL takes prompts of any length"),
}
"""Fields that TRL has not: the value which is what it always does, and what that is."""


def trl_report(exported: Exported) -> Report:
    """What each field becomes. Raises `ExportFolderError` for what GRPOTrainer cannot do."""
    config = exported.config
    check_exportable(exported, "TRL", KNOWN_LOSSES)
    if config.importance_sampling_level == "sequence_token":
        raise ExportFolderError(
            "importance_sampling_level='sequence_token' (GSPO-token) has no counterpart in TRL. "
            "Choose another one: --set importance_sampling_level=sequence."
        )
    if config.num_generations < 2:
        raise ExportFolderError("num_generations=1: TRL wants a group of at least 2.")
    idle = idle_rows(config)
    rows = [row for row in _rows(config) if row.name not in idle]
    known = {row.name: row for row in [*rows, *idle.values()]}
    ordered = [known[field.name] for field in fields(config) if field.name in known]
    usual = TheirConfig()
    ordered += [*habits(exported), *_set_beside()]
    found = Report(tuple(ordered), {})
    named = {name: getattr(usual, name, None) for name in found.settings}
    named |= OTHER_DEFAULTS
    return Report(tuple(ordered), {n: v for n, v in named.items() if n in found.settings})


def _set_beside() -> Iterator[Row]:
    """What no field of ours says, and is set all the same."""
    yield Row(
        "a row of figures for each update",
        "mapped",
        theirs={"logging_steps": 1, "report_to": "none"},
        note="Nothing is sent anywhere; name another one in config.json to change that.",
        is_field=False,
    )
    yield Row(
        "several processes",
        "mapped",
        theirs={"ddp_find_unused_parameters": False},
        note="A pass of the policy uses all that is trained.",
        is_field=False,
    )


def _rows(config: GRPOConfig) -> Iterator[Row]:
    yield Row("method", "mapped", config.method, note="TRL's GRPOTrainer.")
    for name in SAME:
        value = getattr(config, name)
        # JSON has no tuples.
        yield Row(
            name,
            "mapped",
            value,
            {name: list(value) if name == "reward_weights" and value else value},
        )
    for name, (always, words) in FIXED.items():
        value = getattr(config, name)
        yield Row(name, "mapped" if value == always else "none", value, note=f"{words}.")
    for special in (batch_rows, counts_rows, loss_rows, sampler_rows, optimizer_rows, weights_rows):
        yield from special(config)
