"""The fields that become something else in TRL (1.16): the batch, what counts steps, the loss, the
sampler, the optimizer, and the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workbench.compat.export.batch import largest_micro_batch, pass_rows
from workbench.compat.export.engine import samples_by_vllm
from workbench.compat.export.report import Row
from workbench.compat.trl.arguments import SCHEDULES
from workbench.config import GRPOConfig
from workbench.policy.for_config import lora_of

# ------------------------------------------------------------------------ the batch and the counts


def updates_per_step(config: GRPOConfig) -> int:
    """TRL counts updates of the weights, and a step of ours is one rollout with so many of them."""
    return config.updates_per_rollout * config.num_iterations


def batch_rows(config: GRPOConfig) -> Iterator[Row]:
    """The batch of a rollout, of an update and of one pass."""
    share = config.completions_per_step // config.updates_per_rollout
    at_once = largest_micro_batch(config)
    accumulated = share // at_once
    per_rollout = {"steps_per_generation": accumulated * config.updates_per_rollout}
    yield Row(
        "prompts_per_step",
        "mapped",
        config.prompts_per_step,
        per_rollout,
        "A rollout has per_device_train_batch_size x steps_per_generation completions.",
    )
    several = config.updates_per_rollout > 1
    yield Row(
        "updates_per_rollout",
        "differs" if several else "mapped",
        config.updates_per_rollout,
        {"gradient_accumulation_steps": accumulated},
        "TRL deals the completions of a rollout to its updates at random; in the workbench an "
        "update gets whole groups."
        if several
        else "",
    )
    yield from pass_rows(
        config,
        {"per_device_train_batch_size": at_once},
        "For one process; train.py shares the batch where there are several.",
    )


def counts_rows(config: GRPOConfig) -> Iterator[Row]:
    """What counts steps: ours are rollouts, TRL's updates."""
    updates = updates_per_step(config)
    note = f"TRL counts updates, and a step has {updates}." if updates > 1 else ""

    def counted(name: str, kind: str = "mapped", more: str = "", **beside: Any) -> Row:
        value = getattr(config, name)
        theirs = {name: value * updates} | beside
        said = note if value else ""
        return Row(name, kind, value, theirs, f"{said} {more}".strip())

    yield counted("max_steps")
    yield counted("save_steps", save_strategy="steps")
    yield Row(
        "save_total_limit",
        "mapped",
        config.save_total_limit,
        {"save_total_limit": config.save_total_limit},
        "The checkpoint of step 0 is not kept beside.",
    )
    if config.sync_ref_model:
        yield counted("ref_model_sync_steps")
    yield counted(
        "warmup_steps",
        "differs" if config.warmup_steps else "mapped",
        "TRL's first update has the learning rate 0." if config.warmup_steps else "",
    )
    constant = config.lr_scheduler_type == "constant"
    with_warmup = {ours: theirs for theirs, ours in SCHEDULES.items()}
    name = config.lr_scheduler_type
    yield Row(
        "lr_scheduler_type",
        "mapped" if constant else "differs",
        name,
        {"lr_scheduler_type": with_warmup.get(name, name) if config.warmup_steps else name},
        "" if constant else "TRL's rate falls with each update, the workbench's with each step.",
    )
    yield _evaluation(config, updates)
    yield Row("num_eval_problems", "mapped", config.num_eval_problems, note="Rows of eval.jsonl.")


def _evaluation(config: GRPOConfig, updates: int) -> Row:
    every = config.eval_steps or config.max_steps
    return Row(
        "eval_steps",
        "differs",
        config.eval_steps,
        {
            "eval_strategy": "steps",
            "eval_steps": every * updates,
            "eval_on_start": True,
            "num_generations_eval": 1,
            "per_device_eval_batch_size": min(64, config.completions_per_step),
        },
        "TRL samples one answer to each held-out prompt at the run's temperature and reports the "
        "mean reward (eval_reward), not greedy accuracy.",
    )


# -------------------------------------------------------------------------------- the rest of them


def loss_rows(config: GRPOConfig) -> Iterator[Row]:
    """The loss, where micro-batches change it."""
    micro = config.longest_at_once < config.completions_per_step // config.updates_per_rollout
    by_micro_batch = config.loss_type == "bnpo" and micro
    yield Row(
        "loss_type",
        "differs" if by_micro_batch else "mapped",
        config.loss_type,
        {"loss_type": config.loss_type},
        "TRL divides by the tokens of each micro-batch, not by those of the update."
        if by_micro_batch
        else "",
    )
    share = config.top_entropy_quantile
    differs = share < 1 and micro
    yield Row(
        "top_entropy_quantile",
        "differs" if differs else "mapped",
        share,
        {"top_entropy_quantile": share},
        "TRL has a threshold for each micro-batch, not one for the update." if differs else "",
    )


def sampler_rows(config: GRPOConfig) -> Iterator[Row]:
    """Who samples, and what is corrected for."""
    is_vllm = samples_by_vllm(config)
    yield Row(
        "rollout_engine",
        "mapped" if is_vllm else "differs",
        config.rollout_engine,
        {"use_vllm": is_vllm},
        "" if is_vllm else "TRL samples with transformers' generate.",
    )
    mode = config.importance_sampling_mode
    fields_of_it = {
        "importance_sampling_mode": mode or "sequence_mask",
        "importance_sampling_clip_max": config.importance_sampling_clip_max,
        "importance_sampling_clip_min": config.importance_sampling_clip_min,
    }
    for name, value in fields_of_it.items():
        own = getattr(config, name)
        if not is_vllm:
            kind = "mapped" if own is None else "none"
            yield Row(name, kind, own, note="TRL corrects for vLLM alone.")
            continue
        theirs = {f"vllm_{name}": value}
        if name == "importance_sampling_mode":
            theirs = {"vllm_importance_sampling_correction": mode is not None} | (
                theirs if mode else {}
            )
        yield Row(name, "mapped", own, theirs)


def optimizer_rows(config: GRPOConfig) -> Iterator[Row]:
    """The optimizer, and the seed."""
    names = {"adamw": "adamw_torch_fused", "adamw_8bit": "adamw_8bit"}
    yield Row("optim", "mapped", config.optim, {"optim": names[config.optim]})
    decay = config.weight_decay
    yield Row(
        "weight_decay",
        "differs" if decay else "mapped",
        decay,
        {"weight_decay": decay},
        "TRL leaves biases and norms undecayed." if decay else "",
    )
    yield Row(
        "seed",
        "differs",
        config.seed,
        {"seed": config.seed},
        "The prompts come in the same order; what is sampled is other numbers.",
    )


def weights_rows(config: GRPOConfig) -> Iterator[Row]:
    """What stands in config.json beside the arguments of GRPOConfig."""
    for name in ("lora_rank", "lora_alpha", "lora_target_modules", "use_rslora", "use_dora"):
        kind = "differs" if config.lora_rank and name == "lora_rank" else "mapped"
        note = "In config.json: LoraConfig."
        if kind == "differs":
            note += " Its first weights are other random numbers."
        if not config.lora_rank:
            note = "All weights are trained."
        yield Row(name, kind, getattr(config, name), note=note)
    yield Row(
        "quantization",
        "mapped" if config.quantization == "none" else "differs",
        config.quantization,
        note="As they are."
        if config.quantization == "none"
        else "In config.json: BitsAndBytesConfig. TRL trains the adapter over it in bfloat16, the "
        "workbench in float32.",
    )
    is_half = config.dtype == "float16"
    yield Row(
        "dtype",
        "differs" if is_half else "mapped",
        config.dtype,
        note="In config.json: dtype. The workbench scales the loss, train.py does not."
        if is_half
        else "In config.json: dtype. auto is float32 without a GPU; on one bfloat16 for an "
        "adapter's base, else float32 weights that are computed with in bfloat16.",
    )


def adapter_of(config: GRPOConfig) -> dict[str, Any] | None:
    """The arguments of `peft.LoraConfig`; None where all weights are trained."""
    lora = lora_of(config)
    if lora is None:
        return None
    modules = lora.target_modules
    return {
        "task_type": "CAUSAL_LM",
        "r": lora.r,
        "lora_alpha": lora.lora_alpha,
        "lora_dropout": lora.lora_dropout,
        "target_modules": modules if isinstance(modules, str) else sorted(modules),
        "use_rslora": lora.use_rslora,
        "use_dora": lora.use_dora,
    }


QUANTIZED: dict[str, dict[str, Any] | None] = {
    "none": None,
    "nf4": {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
    },
    "int8": {"load_in_8bit": True},
}
"""quantization -> the arguments of transformers' `BitsAndBytesConfig`."""
