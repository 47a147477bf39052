"""The fields that become something else in verl (0.9.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.compat.export.batch import largest_micro_batch, pass_rows
from workbench.compat.export.engine import samples_by_vllm
from workbench.compat.export.report import Row
from workbench.config import LOSSES, GRPOConfig

ACTOR, ROLLOUT, MODEL = (f"actor_rollout_ref.{part}" for part in ("actor", "rollout", "model"))
NEVER = 1e9
"""A bound that nothing reaches."""

LOSS_MODES = {
    "grpo": "vanilla",
    "bnpo": "vanilla",
    "dr_grpo": "vanilla",
    "dapo": "vanilla",
    "luspo": "vanilla",
    "sapo": "sapo",
    "clip_cov": "clip_cov",
    "kl_cov": "kl_cov",
}
"""loss_type -> policy_loss.loss_mode."""

AGGREGATIONS = {
    "sequence_mean": "seq-mean-token-mean",
    "update_token_mean": "token-mean",
    "token_mean": "token-mean",
    "constant_length": "seq-mean-token-sum-norm",
    "sequence_sum": "seq-mean-token-sum",
}
"""What the terms become one number by -> loss_agg_mode."""

OF_LOSS = {
    "sapo_temperature_pos": f"{ACTOR}.tau_pos",
    "sapo_temperature_neg": f"{ACTOR}.tau_neg",
    "clip_cov_ratio": f"{ACTOR}.policy_loss.clip_cov_ratio",
    "clip_cov_min": f"{ACTOR}.policy_loss.clip_cov_lb",
    "clip_cov_max": f"{ACTOR}.policy_loss.clip_cov_ub",
    "kl_cov_ratio": f"{ACTOR}.policy_loss.kl_cov_ratio",
    "kl_cov_coef": f"{ACTOR}.policy_loss.ppo_kl_coef",
}
"""Fields of one loss alone, and verl's name."""


def _plainly(config: GRPOConfig, names: Mapping[str, str]) -> Iterator[Row]:
    """Fields that verl has by another name."""
    for name, theirs in names.items():
        yield Row(name, "mapped", getattr(config, name), {theirs: getattr(config, name)})


def batch_rows(config: GRPOConfig) -> Iterator[Row]:
    """The batch of a rollout, of an update and of one pass, and the lengths."""
    at_once = largest_micro_batch(config)
    yield from _plainly(
        config,
        {
            "prompts_per_step": "data.train_batch_size",
            "num_generations": f"{ROLLOUT}.n",
            "num_iterations": f"{ACTOR}.ppo_epochs",
            "max_completion_length": "data.max_response_length",
        },
    )
    mini = config.prompts_per_step // config.updates_per_rollout
    yield Row(
        "updates_per_rollout",
        "mapped",
        config.updates_per_rollout,
        {f"{ACTOR}.ppo_mini_batch_size": mini},
        "Prompts of an update.",
    )
    names = [f"{ACTOR}.ppo_micro_batch_size_per_gpu"]
    names += [
        f"actor_rollout_ref.{p}.log_prob_micro_batch_size_per_gpu" for p in ("rollout", "ref")
    ]
    yield from pass_rows(config, dict.fromkeys(names, at_once), "On each GPU.")
    longest = config.max_prompt_length
    yield Row(
        "max_prompt_length",
        "differs" if longest is None else "mapped",
        longest,
        {"data.max_prompt_length": longest or 2048},
        "verl wants a limit; a longer prompt is an error there too."
        if longest is None
        else "A longer prompt is an error there too.",
    )


def counts_rows(config: GRPOConfig) -> Iterator[Row]:
    """Steps, which are rollouts in both, and the evaluation."""
    yield from _plainly(
        config,
        {
            "max_steps": "trainer.total_training_steps",
            "save_steps": "trainer.save_freq",
            "save_total_limit": "trainer.max_actor_ckpt_to_keep",
        },
    )
    yield Row(
        "warmup_steps",
        "differs" if config.warmup_steps else "mapped",
        config.warmup_steps,
        {f"{ACTOR}.optim.lr_warmup_steps": config.warmup_steps},
        "Its first step has the learning rate 0." if config.warmup_steps else "",
    )
    known = config.lr_scheduler_type in ("constant", "cosine")
    yield Row(
        "lr_scheduler_type",
        "mapped" if known else "none",
        config.lr_scheduler_type,
        {f"{ACTOR}.optim.lr_scheduler_type": config.lr_scheduler_type if known else "constant"},
        "" if known else "Its FSDP optimizer has constant and cosine; constant is set.",
    )
    yield Row(
        "eval_steps",
        "differs",
        config.eval_steps,
        {
            "trainer.test_freq": config.eval_steps or config.max_steps,
            "trainer.val_before_train": True,
        },
        "verl answers greedily, too, and reports the mean score, not accuracy.",
    )
    yield Row("num_eval_problems", "mapped", config.num_eval_problems, note="Rows of eval.jsonl.")


def advantage_rows(config: GRPOConfig) -> Iterator[Row]:
    """Rewards and what is made of them."""
    yield Row(
        "reward_weights",
        "mapped",
        config.reward_weights,
        note="WEIGHTS in rewards.py; score.py adds the scores up.",
    )
    scale = config.scale_rewards
    yield Row(
        "scale_rewards",
        "none" if scale == "batch" else "mapped",
        scale,
        {"algorithm.norm_adv_by_std_in_grpo": scale != "none"},
        "verl divides by the group's std, or not at all; the group's is set."
        if scale == "batch"
        else "",
    )
    is_rloo = config.advantage_baseline == "leave_one_out" and scale == "none"
    known = is_rloo or config.advantage_baseline == "group"
    yield Row(
        "advantage_baseline",
        "mapped" if known else "none",
        config.advantage_baseline,
        {"algorithm.adv_estimator": "rloo" if is_rloo else "grpo"},
        "" if known else "verl's grpo subtracts the group's mean.",
    )


def loss_rows(config: GRPOConfig) -> Iterator[Row]:
    """The term of a token, its clip, and how the terms become one number."""
    reduction = config.loss_reduction or LOSSES[config.loss_type].reduction
    by_sequence = config.importance_sampling_level != "token"
    own = reduction == "token_mean" and config.updates_per_rollout > 1
    yield Row(
        "loss_type",
        "differs" if own else "mapped",
        config.loss_type,
        {
            f"{ACTOR}.policy_loss.loss_mode": "gspo"
            if by_sequence
            else LOSS_MODES[config.loss_type],
            f"{ACTOR}.loss_agg_mode": AGGREGATIONS.get(reduction, "token-mean"),
        }
        | (
            {f"{ACTOR}.loss_scale_factor": config.max_completion_length}
            if reduction == "constant_length"
            else {}
        ),
        "verl divides by the tokens of the update; in the workbench all updates divide by the "
        "same number."
        if own
        else "",
    )
    known = reduction in AGGREGATIONS
    yield Row(
        "loss_reduction",
        "mapped" if known else "none",
        config.loss_reduction,
        note="" if known else "verl has no mean by prompts; token-mean is set.",
    )
    level = config.importance_sampling_level
    yield Row(
        "importance_sampling_level",
        "differs" if level == "sequence" else "mapped",
        level,
        note="verl's gspo has the sequence's ratio with each token's own gradient (GSPO-token)."
        if by_sequence
        else "",
    )
    high = config.epsilon if config.epsilon_high is None else config.epsilon_high
    yield Row("epsilon", "mapped", config.epsilon, {f"{ACTOR}.clip_ratio_low": config.epsilon})
    yield Row("epsilon_high", "mapped", config.epsilon_high, {f"{ACTOR}.clip_ratio_high": high})
    yield Row(
        "delta",
        "mapped",
        config.delta,
        {f"{ACTOR}.clip_ratio_c": config.delta or NEVER},
        "verl caps the ratio at 3 by itself where the advantage is negative.",
    )
    yield from _plainly(config, OF_LOSS)
    yield from _plainly(config, {"entropy_coef": f"{ACTOR}.entropy_coeff"})


def kl_rows(config: GRPOConfig) -> Iterator[Row]:
    """The KL to the reference in the loss."""
    yield Row(
        "beta",
        "mapped",
        config.beta,
        {f"{ACTOR}.use_kl_loss": config.beta > 0, f"{ACTOR}.kl_loss_coef": config.beta},
        "Reduced as the loss is." if config.beta else "",
    )
    names = {"k1": "kl", "k2": "mse", "k3": "low_var_kl"}
    yield Row(
        "kl_estimator",
        "mapped",
        config.kl_estimator,
        {f"{ACTOR}.kl_loss_type": names[config.kl_estimator]},
        "verl clamps it at 10 nats." if config.kl_estimator == "k3" else "",
    )
    corrected = config.use_bias_correction_kl
    yield Row(
        "use_bias_correction_kl",
        "none" if corrected else "mapped",
        corrected,
        note="verl's KL is not multiplied by the importance ratio.",
    )


def sampler_rows(config: GRPOConfig) -> Iterator[Row]:
    """Who samples, and what is corrected for."""
    is_vllm = samples_by_vllm(config)
    yield from _plainly(
        config,
        {
            "temperature": f"{ROLLOUT}.temperature",
            "top_p": f"{ROLLOUT}.top_p",
            "vllm_gpu_memory_utilization": f"{ROLLOUT}.gpu_memory_utilization",
            "vllm_enable_sleep_mode": f"{ROLLOUT}.free_cache_engine",
        },
    )
    yield Row("top_k", "mapped", config.top_k, {f"{ROLLOUT}.top_k": config.top_k or -1})
    yield Row(
        "rollout_engine",
        "mapped" if is_vllm else "differs",
        config.rollout_engine,
        {f"{ROLLOUT}.name": "vllm"},
        "" if is_vllm else "verl samples by vLLM.",
    )
    mode = config.importance_sampling_mode
    truncates = mode is not None and mode.endswith("_truncate")
    theirs: dict[str, Any] = {"algorithm.rollout_correction.rollout_is": None}
    if mode is not None and truncates:
        theirs = {"algorithm.rollout_correction.rollout_is": mode.removesuffix("_truncate")}
    yield Row(
        "importance_sampling_mode",
        "mapped" if mode is None or truncates else "none",
        mode,
        theirs,
        "" if mode is None or truncates else "Of its corrections the truncations are mapped.",
    )
    most = config.importance_sampling_clip_max
    yield Row(
        "importance_sampling_clip_max",
        "mapped" if truncates else "none",
        most,
        {"algorithm.rollout_correction.rollout_is_threshold": most or NEVER} if truncates else {},
        "" if truncates else "Belongs to the correction.",
    )
    least = config.importance_sampling_clip_min
    kind = "mapped" if least is None else "none"
    yield Row("importance_sampling_clip_min", kind, least, note="verl has no smallest ratio.")


def optimizer_rows(config: GRPOConfig) -> Iterator[Row]:
    """The optimizer, and the seeds."""
    of_bits = config.optim == "adamw_8bit"
    theirs = {
        f"{ACTOR}.optim.optimizer": "AdamW8bit" if of_bits else "AdamW",
        f"{ACTOR}.optim.optimizer_impl": "bitsandbytes.optim" if of_bits else "torch.optim",
    }
    yield Row("optim", "mapped", config.optim, theirs)
    yield from _plainly(
        config,
        {
            "learning_rate": f"{ACTOR}.optim.lr",
            "weight_decay": f"{ACTOR}.optim.weight_decay",
        },
    )
    betas = [config.adam_beta1, config.adam_beta2]
    yield Row("adam_beta1", "mapped", config.adam_beta1, {f"{ACTOR}.optim.betas": betas})
    yield Row("adam_beta2", "mapped", config.adam_beta2, note="In the same list.")
    most = config.max_grad_norm or NEVER
    names = (f"{ACTOR}.grad_clip", f"{ACTOR}.optim.clip_grad")
    yield Row("max_grad_norm", "mapped", config.max_grad_norm, dict.fromkeys(names, most))
    yield Row(
        "seed",
        "differs",
        config.seed,
        {"data.seed": config.seed, f"{ROLLOUT}.seed": config.seed},
        "The prompts come in the same order; what is sampled is other numbers.",
    )


def weights_rows(config: GRPOConfig) -> Iterator[Row]:
    """What is trained."""
    yield Row(
        "lora_rank",
        "differs" if config.lora_rank else "mapped",
        config.lora_rank,
        {f"{MODEL}.lora_rank": config.lora_rank},
        "The adapter's first weights are other random numbers." if config.lora_rank else "",
    )
    alpha = 2 * config.lora_rank if config.lora_alpha is None else config.lora_alpha
    whole = int(alpha) == alpha
    yield Row(
        "lora_alpha",
        "mapped" if whole else "differs",
        config.lora_alpha,
        {f"{MODEL}.lora_alpha": round(alpha)},
        "" if whole else "verl takes a whole number.",
    )
    named = config.lora_target_modules
    modules: Any = named if named == "all-linear" else [n.strip() for n in named.split(",")]
    yield Row("lora_target_modules", "mapped", named, {f"{MODEL}.target_modules": modules})
    checkpoints = {f"{MODEL}.enable_gradient_checkpointing": config.gradient_checkpointing}
    yield Row("gradient_checkpointing", "mapped", config.gradient_checkpointing, checkpoints)
    dtype = "bfloat16" if config.dtype == "auto" else config.dtype
    reference = "actor_rollout_ref.ref.fsdp_config.dtype"
    names = (f"{ACTOR}.fsdp_config.dtype", reference, f"{ROLLOUT}.dtype")
    yield Row(
        "dtype",
        "mapped",
        config.dtype,
        dict.fromkeys(names, dtype),
        "The weights are float32 and computed with in this format.",
    )
