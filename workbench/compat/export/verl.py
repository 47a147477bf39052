"""A config of ours in verl's words (0.9.1): what each field becomes.

The names are those of verl's `ppo_trainer` with FSDP and vLLM, as its overrides on a command line
write them; `tests/compat/test_export_verl.py` has Hydra compose them on verl's own files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from workbench.compat.export.idle import idle_rows
from workbench.compat.export.report import Report, Row
from workbench.compat.export.source import Exported, check_exportable
from workbench.compat.export.verl_habits import verl_habits
from workbench.compat.export.verl_parts import (
    LOSS_MODES,
    advantage_rows,
    batch_rows,
    counts_rows,
    kl_rows,
    loss_rows,
    optimizer_rows,
    sampler_rows,
    weights_rows,
)
from workbench.config import GRPOConfig

FIXED: dict[str, tuple[Any, str]] = {
    "curriculum": ("none", "verl draws the prompts in order"),
    "curriculum_floor": (None, "verl draws the prompts in order"),
    "curriculum_pass_reward": (None, "verl draws the prompts in order"),
    "max_resample": (0, "Its algorithm.filter_groups draws until all groups are alive"),
    "rollout_staleness": (0, "Its main loop samples with the weights of now"),
    "mask_truncated_completions": (False, "verl counts them all"),
    "advantage_std": ("sample", "verl's std always divides by G-1"),
    "advantage_estimator": ("baseline", "Its grpo has (reward - mean) / std alone"),
    "advantage_k": (None, "Its grpo has (reward - mean) / std alone"),
    "multi_objective_aggregation": ("sum_then_normalize", "The scores of score.py are one sum"),
    "top_entropy_quantile": (1.0, "verl keeps the policy term of every token"),
    "use_adaptive_entropy": (False, "verl's entropy_coeff stays as it is"),
    "entropy_target": (None, "verl's entropy_coeff stays as it is"),
    "entropy_coef_delta": (None, "verl's entropy_coeff stays as it is"),
    "entropy_coef_min": (None, "verl's entropy_coeff stays as it is"),
    "entropy_coef_max": (None, "verl's entropy_coeff stays as it is"),
    "off_policy_mask_threshold": (None, "verl drops no such sequence"),
    "measure_kl": (None, "verl measures no KL to a reference that is not in the loss"),
    "sync_ref_model": (False, "verl's reference stays the policy of the start"),
    "ref_model_mixup_alpha": (None, "verl's reference stays the policy of the start"),
    "ref_model_sync_steps": (None, "verl's reference stays the policy of the start"),
    "reward_timeout": (None, "verl waits for a reward function as long as it takes"),
    "eval_samples": (0, "See actor_rollout_ref.rollout.val_kwargs for samples in a validation"),
    "eval_samples_problems": (None, "A validation takes all of eval.jsonl"),
    "eval_samples_steps": (None, "A validation comes every trainer.test_freq"),
    "quantization": ("none", "verl trains on weights of 16 or 32 bits"),
    "use_rslora": (False, "verl scales by lora_alpha / lora_rank"),
    "use_dora": (False, "verl trains plain LoRA"),
    "vllm_mode": ("colocate", "verl runs vLLM by itself, on the trainer's GPUs"),
    "vllm_server_base_url": (None, "verl runs vLLM by itself, on the trainer's GPUs"),
}
"""Fields that verl has not: the value which is what it always does, and what that is."""

DEFAULTS: dict[str, Any] = {
    "actor_rollout_ref.actor.clip_ratio_c": 3.0,
    "actor_rollout_ref.actor.clip_ratio_high": 0.2,
    "actor_rollout_ref.actor.clip_ratio_low": 0.2,
    "actor_rollout_ref.actor.entropy_coeff": 0,
    "actor_rollout_ref.actor.fsdp_config.dtype": "bfloat16",
    "actor_rollout_ref.actor.grad_clip": 1.0,
    "actor_rollout_ref.actor.kl_loss_coef": 0.001,
    "actor_rollout_ref.actor.kl_loss_type": "low_var_kl",
    "actor_rollout_ref.actor.loss_agg_mode": "token-mean",
    "actor_rollout_ref.actor.loss_scale_factor": None,
    "actor_rollout_ref.actor.optim.betas": [0.9, 0.999],
    "actor_rollout_ref.actor.optim.clip_grad": 1.0,
    "actor_rollout_ref.actor.optim.lr": 1e-6,
    "actor_rollout_ref.actor.optim.lr_scheduler_type": "constant",
    "actor_rollout_ref.actor.optim.lr_warmup_steps": -1,
    "actor_rollout_ref.actor.optim.optimizer": "AdamW",
    "actor_rollout_ref.actor.optim.optimizer_impl": "torch.optim",
    "actor_rollout_ref.actor.optim.weight_decay": 0.01,
    "actor_rollout_ref.actor.policy_loss.clip_cov_lb": 1.0,
    "actor_rollout_ref.actor.policy_loss.clip_cov_ratio": 0.0002,
    "actor_rollout_ref.actor.policy_loss.clip_cov_ub": 5.0,
    "actor_rollout_ref.actor.policy_loss.kl_cov_ratio": 0.0002,
    "actor_rollout_ref.actor.policy_loss.loss_mode": "vanilla",
    "actor_rollout_ref.actor.policy_loss.ppo_kl_coef": 0.1,
    "actor_rollout_ref.actor.ppo_epochs": 1,
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": None,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 256,
    "actor_rollout_ref.actor.tau_neg": 1.05,
    "actor_rollout_ref.actor.tau_pos": 1.0,
    "actor_rollout_ref.actor.use_kl_loss": False,
    "actor_rollout_ref.model.enable_gradient_checkpointing": True,
    "actor_rollout_ref.model.lora_alpha": 16,
    "actor_rollout_ref.model.lora_rank": 0,
    "actor_rollout_ref.model.target_modules": "all-linear",
    "actor_rollout_ref.ref.fsdp_config.dtype": "bfloat16",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": None,
    "actor_rollout_ref.rollout.dtype": "bfloat16",
    "actor_rollout_ref.rollout.free_cache_engine": True,
    "actor_rollout_ref.rollout.gpu_memory_utilization": 0.5,
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": None,
    "actor_rollout_ref.rollout.n": 1,
    "actor_rollout_ref.rollout.name": None,
    "actor_rollout_ref.rollout.seed": 42,
    "actor_rollout_ref.rollout.temperature": 1.0,
    "actor_rollout_ref.rollout.tensor_model_parallel_size": 2,
    "actor_rollout_ref.rollout.top_k": -1,
    "actor_rollout_ref.rollout.top_p": 1,
    "algorithm.adv_estimator": "gae",
    "algorithm.norm_adv_by_std_in_grpo": True,
    "algorithm.rollout_correction.rollout_is": None,
    "algorithm.rollout_correction.rollout_is_threshold": 2.0,
    "data.max_prompt_length": 512,
    "data.max_response_length": 512,
    "data.seed": None,
    "data.shuffle": True,
    "data.train_batch_size": 1024,
    "trainer.logger": ["console", "wandb"],
    "trainer.max_actor_ckpt_to_keep": None,
    "trainer.n_gpus_per_node": 8,
    "trainer.save_freq": -1,
    "trainer.test_freq": -1,
    "trainer.total_epochs": 30,
    "trainer.total_training_steps": None,
    "trainer.val_before_train": True,
}
"""All of verl's settings that an export may write, with their defaults."""


def verl_report(exported: Exported) -> Report:
    """What each field becomes. Raises `ExportFolderError` for what verl's GRPO cannot do."""
    config = exported.config
    check_exportable(exported, "verl", tuple(LOSS_MODES))
    idle = idle_rows(config)
    # verl samples by vLLM whoever sampled here, and how much memory that takes has to be said.
    idle.pop("vllm_gpu_memory_utilization", None)
    rows = [row for row in _rows(config) if row.name not in idle]
    known = {row.name: row for row in [*rows, *idle.values()]}
    ordered = [known[field.name] for field in fields(config) if field.name in known]
    return Report((*ordered, *verl_habits(exported), *_beside(exported)), DEFAULTS)


def _rows(config: GRPOConfig) -> Iterator[Row]:
    yield Row("method", "mapped", config.method, note="verl's main_ppo, without a critic.")
    for name, (always, words) in FIXED.items():
        value = getattr(config, name)
        yield Row(name, "mapped" if value == always else "none", value, note=f"{words}.")
    for part in (
        batch_rows,
        counts_rows,
        advantage_rows,
        loss_rows,
        kl_rows,
        sampler_rows,
        optimizer_rows,
        weights_rows,
    ):
        yield from part(config)


def _beside(exported: Exported) -> Iterator[Row]:
    """What no field of ours says, and has to be set."""
    config = exported.config
    drawn = config.max_steps * config.prompts_per_step
    # The last batch of an epoch is left out where it is not whole.
    whole = len(exported.task.train) // config.prompts_per_step * config.prompts_per_step
    yield Row(
        "one GPU",
        "mapped",
        theirs={
            "trainer.n_gpus_per_node": 1,
            "actor_rollout_ref.rollout.tensor_model_parallel_size": 1,
        },
        note="bash train.sh trainer.n_gpus_per_node=4 takes four.",
        is_field=False,
    )
    yield Row(
        "figures on the terminal",
        "mapped",
        theirs={"trainer.logger": ["console"]},
        note="Nothing is sent anywhere.",
        is_field=False,
    )
    yield Row(
        "epochs that hold all steps",
        "mapped",
        theirs={"trainer.total_epochs": max(1, math.ceil(drawn / max(1, whole)))},
        note="trainer.total_training_steps ends it.",
        is_field=False,
    )
