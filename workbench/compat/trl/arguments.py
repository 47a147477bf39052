"""The arguments of TRL's `GRPOConfig` (1.16, on transformers 5) that are no field of ours by the
same name: what is made of them.

An argument that TRL has and no table here holds fails in `tests/compat/test_trl_config.py`.
"""

from __future__ import annotations

from typing import Any

READ: dict[str, Any] = {
    "output_dir": None,
    "run_name": None,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "steps_per_generation": None,
    "generation_batch_size": None,
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "warmup_steps": 0,
    "warmup_ratio": None,
    "save_strategy": "steps",
    "save_steps": 500,
    "save_total_limit": None,
    "eval_strategy": "no",
    "eval_steps": None,
    "logging_steps": 10,
    "ref_model_sync_steps": 512,
    "learning_rate": 1e-6,
    "lr_scheduler_type": "linear",
    "optim": "adamw_torch_fused",
    "scale_rewards": "group",
    "top_k": 0,
    "bf16": None,
    "fp16": False,
    "use_cpu": False,
    "model_init_kwargs": None,
    "trust_remote_code": False,
    "report_to": "none",
    "use_vllm": False,
    "vllm_server_host": "0.0.0.0",
    "vllm_server_port": 8000,
    "vllm_importance_sampling_correction": True,
    "vllm_importance_sampling_mode": "sequence_mask",
    "vllm_importance_sampling_clip_max": 3.0,
    "vllm_importance_sampling_clip_min": None,
    "vllm_importance_sampling_cap": None,
}
"""Arguments that the translation reads, with TRL's defaults."""

OURS_WITH_TRLS_DEFAULT: dict[str, Any] = {
    "num_generations": 8,
    "max_completion_length": 512,
    "max_prompt_length": None,
    "beta": 0.0,
    "adam_beta2": 0.999,
    "seed": 42,
    "advantage_std": "sample",
}
"""Fields of ours whose default is another one in TRL; every other field of the same name has TRL's
value."""

_SENT_NOWHERE = "all figures are in the run's record, and nothing is sent anywhere"
_ONE_DEVICE = "the workbench trains on one device"
_HUB = "nothing is uploaded; trainer.save_model(folder) writes the policy, to be uploaded by hand"
_DATA = "prompts are held in memory, and drawn by the run's own order"

WITHOUT_EFFECT: dict[str, str] = {
    **dict.fromkeys(
        (
            "logging_dir",
            "logging_strategy",
            "logging_first_step",
            "logging_nan_inf_filter",
            "log_level",
            "log_level_replica",
            "log_on_each_node",
            "log_completions",
            "log_multimodal",
            "num_completions_to_print",
            "log_unique_prompts",
            "disable_tqdm",
            "project",
            "trackio_space_id",
            "trackio_static_space_id",
            "trackio_bucket_id",
            "skip_memory_metrics",
            "include_num_input_tokens_seen",
            "include_for_metrics",
            "debug",
        ),
        _SENT_NOWHERE,
    ),
    **dict.fromkeys(
        (
            "dataloader_num_workers",
            "dataloader_pin_memory",
            "dataloader_prefetch_factor",
            "dataloader_persistent_workers",
            "dataloader_in_order",
            "dataloader_drop_last",
            "dataloader_multiprocessing_context",
            "remove_unused_columns",
            "pad_to_multiple_of",
            "length_column_name",
            "train_sampling_strategy",
            "ignore_data_skip",
        ),
        _DATA,
    ),
    **dict.fromkeys(
        (
            "local_rank",
            "ddp_backend",
            "ddp_broadcast_buffers",
            "ddp_bucket_cap_mb",
            "ddp_find_unused_parameters",
            "ddp_static_graph",
            "ddp_timeout",
            "accelerator_config",
            "average_tokens_across_devices",
            "ds3_gather_for_generation",
            "save_on_each_node",
            "vllm_group_port",
            "vllm_server_timeout",
        ),
        _ONE_DEVICE,
    ),
    **dict.fromkeys(
        (
            "per_device_eval_batch_size",
            "eval_accumulation_steps",
            "eval_do_concat_batches",
            "eval_use_gather_object",
            "eval_delay",
            "eval_on_start",
            "batch_eval_metrics",
            "prediction_loss_only",
            "bf16_full_eval",
            "fp16_full_eval",
            "do_train",
            "do_eval",
            "do_predict",
            "num_generations_eval",
            "label_names",
            "metric_for_best_model",
            "greater_is_better",
        ),
        "held-out problems are answered greedily, before and after the run and every eval_steps",
    ),
    "disable_dropout": "dropout is always off",
    "use_liger_kernel": "the head's logits are made in blocks already",
    "liger_kernel_config": "the head's logits are made in blocks already",
    "gradient_checkpointing_kwargs": "how it is done changes no number",
    "use_cache": "the sampler keeps its own cache",
    "cast_lm_head_to_fp32": "log-probabilities are made in float32",
    "tf32": "set torch.backends.cuda.matmul.fp32_precision where it is wanted",
    "torch_empty_cache_steps": "memory is given back by the engine",
    "full_determinism": "a run on a CPU is the same again; so is a resumed one",
    "vllm_model_impl": "vLLM chooses",
    "enable_jit_checkpoint": "Ctrl-C ends a run at a whole step",
    "hub_strategy": _HUB,
    "hub_always_push": _HUB,
    "hub_private_repo": _HUB,
    "hub_revision": _HUB,
    "restore_callback_states_from_checkpoint": "there are no callbacks",
    "save_only_model": "a checkpoint holds all that a resumed run needs",
    "use_transformers_continuous_batching": "choose the sampler with use_vllm",
    "transformers_continuous_batching_config": "choose the sampler with use_vllm",
    "use_transformers_paged": "choose the sampler with use_vllm",
}
"""Arguments that change nothing of what is learnt here, whatever they say, and why."""

_TRUNCATED = "samples of a distribution that the loss does not know make its ratios wrong"

REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "push_to_hub": ((False, None), _HUB),
    "hub_model_id": ((None,), _HUB),
    "hub_token": ((None,), _HUB),
    "log_completions_hub_repo": ((None,), "completions are in the run's record; remove it"),
    "min_p": ((None,), f"{_TRUNCATED}; use temperature"),
    "repetition_penalty": ((1.0, None), f"{_TRUNCATED}; give a reward for less repetition"),
    "generation_kwargs": ((None, {}), f"{_TRUNCATED}; use temperature, top_p and top_k"),
    "cache_implementation": ((None,), "the sampler has a cache of its own; remove it"),
    "chat_template_kwargs": ((None, {}), "write them into the tokenizer's chat template"),
    "vllm_structured_outputs_regex": ((None,), f"{_TRUNCATED}; give a reward for the form"),
    "vllm_max_model_length": ((None,), "the lengths of prompt and completion say it; remove it"),
    "vllm_tensor_parallel_size": ((1,), f"{_ONE_DEVICE}; remove it"),
    "deepspeed": ((None,), f"{_ONE_DEVICE}; remove it"),
    "fsdp": ((None, "", []), f"{_ONE_DEVICE}; remove it"),
    "fsdp_config": ((None,), f"{_ONE_DEVICE}; remove it"),
    "parallelism_config": ((None,), f"{_ONE_DEVICE}; remove it"),
    "torch_compile": ((False, None), "the model is not compiled; remove it"),
    "torch_compile_backend": ((None,), "the model is not compiled; remove it"),
    "torch_compile_mode": ((None,), "the model is not compiled; remove it"),
    "activation_checkpointing": ((None,), "use gradient_checkpointing"),
    "activation_checkpointing_kwargs": ((None,), "use gradient_checkpointing"),
    "auto_find_batch_size": ((False,), "a group must stay whole; lower the batch size"),
    "neftune_noise_alpha": ((None,), "no noise is put on the embeddings; remove it"),
    "label_smoothing_factor": ((0.0,), "there are no labels; remove it"),
    "lr_scheduler_kwargs": ((None, {}), "use learning_rate, warmup_steps, lr_scheduler_type"),
    "optim_args": ((None,), "use weight_decay, adam_beta1 and adam_beta2"),
    "optim_target_modules": ((None,), "all that is trained has one optimizer; remove it"),
    "adam_epsilon": ((1e-8,), "AdamW's eps is 1e-8 here; remove it"),
    "router_aux_loss_coef": ((None, 0.0), "no router's loss is added; remove it"),
    "load_best_model_at_end": ((False,), "checkpoints are kept; load_policy(folder) reads one"),
    "data_seed": ((None,), "the order of the prompts goes by `seed`; set that"),
    "shuffle_dataset": ((True,), "prompts are always drawn in a new order; remove it"),
    "resume_from_checkpoint": ((None,), "give it to trainer.train(resume_from_checkpoint=True)"),
    "max_tool_calling_iterations": ((None,), "there are no tools here; remove it"),
}
"""Arguments that would change what is learnt and have no counterpart: the values with which they do
nothing, and what to do about any other."""

SCHEDULES = {"constant_with_warmup": "constant"}
"""lr_scheduler_type in TRL's words where it differs from ours, which begins every course with the
warm-up."""

OPTIMIZERS = {
    **dict.fromkeys(("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw"), "adamw"),
    **dict.fromkeys(("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit"), "adamw_8bit"),
}
"""optim in TRL's words -> ours."""
