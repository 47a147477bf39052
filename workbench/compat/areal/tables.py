"""The settings of AReaL that mean the same as a field of ours, and those that say nothing about
what is learnt.

Read from AReaL's `cli_args.py` and `ppo/actor.py`, releases 0.3.1 to 1.0.4. To add a setting that
is a field by another name, add its row to `RENAMED`; what takes several settings together stands in
`rules.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Renamed:
    """A setting that is one of our fields."""

    field: str
    """The field of `GRPOConfig`."""

    default: Any
    """AReaL's value where the section is there and does not say it; `NO_DEFAULT` where our own
    setting stays."""

    note: str = ""
    """The difference, where there is one."""

    convert: Callable[[Any], Any] | None = None
    """From AReaL's value to ours."""


NO_DEFAULT = object()


def _whole(value: Any) -> Any:
    """A number that was written as 8.0 counts as the whole number it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _top_k(value: Any) -> Any:
    """AReaL's usual 1e8 stands for no limit, which is 0 here."""
    return 0 if isinstance(value, (int, float)) and value >= 1e8 else _whole(value)


RENAMED = {
    "seed": Renamed("seed", 1, convert=_whole),
    "gconfig.n_samples": Renamed("num_generations", 1, convert=_whole),
    "gconfig.max_new_tokens": Renamed("max_completion_length", 16384, convert=_whole),
    "gconfig.temperature": Renamed("temperature", 1.0),
    "gconfig.top_p": Renamed("top_p", 1.0),
    "gconfig.top_k": Renamed("top_k", 10**8, convert=_top_k),
    "train_dataset.batch_size": Renamed("prompts_per_step", 1, convert=_whole),
    "train_dataset.max_length": Renamed(
        "max_prompt_length",
        None,
        "AReaL leaves longer prompts out; here one of them is an error that names it",
        _whole,
    ),
    "actor.ppo_n_minibatches": Renamed("updates_per_rollout", 4, convert=_whole),
    "actor.eps_clip_higher": Renamed("epsilon_high", None),
    "actor.c_clip": Renamed("delta", None),
    "actor.importance_sampling_level": Renamed("importance_sampling_level", "token"),
    "actor.dtype": Renamed("dtype", "bfloat16"),
    "actor.gradient_checkpointing": Renamed("gradient_checkpointing", False),
    "actor.optimizer.lr": Renamed("learning_rate", 1e-3),
    "actor.optimizer.weight_decay": Renamed("weight_decay", 0.01),
    "actor.optimizer.beta1": Renamed("adam_beta1", 0.9),
    "actor.optimizer.beta2": Renamed("adam_beta2", 0.999),
    "actor.optimizer.gradient_clipping": Renamed("max_grad_norm", 1.0),
    "actor.optimizer.lr_scheduler_type": Renamed("lr_scheduler_type", "constant"),
}
"""AReaL's name -> the field that it is. A section's default stands only where the section does."""

NEUTRAL: dict[str, tuple[tuple[Any, ...], str]] = {
    "gconfig.min_new_tokens": ((0,), "the workbench forbids no early end"),
    "gconfig.greedy": ((False,), "a group of greedy completions has no spread; always sampled"),
    "gconfig.frequency_penalty": ((0, 0.0), "the loss could not see such a sampler"),
    "gconfig.stop": ((None,), "a completion ends at the end token alone"),
    "gconfig.stop_token_ids": (([], None), "a completion ends at the end token alone"),
    "gconfig.ignore_eos": ((False,), "a completion ends at the end token"),
    "gconfig.use_beam_search": ((False,), "completions are sampled"),
    "actor.init_from_scratch": ((False,), "training starts from a policy's weights"),
    "actor.disable_dropout": ((True,), "dropout is always off"),
    "actor.discount": ((1, 1.0), "the reward of a completion counts undiscounted at each token"),
    "actor.gae_lambda": ((1, 1.0), "without a critic the advantage is the completion's"),
    "actor.dynamic_sampling": ((False,), "no group is drawn again"),
    "actor.m2_threshold": ((None,), "M2PO's mask by the second moment is not offered"),
    "actor.overlong_reward_penalty": ((False,), "give such a penalty as a reward function"),
    "actor.overlong_tokens": ((None,), "give such a penalty as a reward function"),
    "actor.overlong_penalty_factor": ((None,), "give such a penalty as a reward function"),
    "actor.optimizer.eps": ((1e-8,), "AdamW's eps is 1e-8"),
    "actor.optimizer.min_lr_ratio": ((0, 0.0), "the learning rate falls to 0"),
    "actor.prox_logp_method": (("recompute",), "the old policy's log-probabilities are computed"),
    "dynamic_bs": ((False,), "a step has the prompts that the config says"),
    "train_dataset.shuffle": ((True,), "the prompts come in a new order each epoch"),
    "train_dataset.drop_last": ((True,), "the order goes on into the next epoch"),
    "total_train_n_seqs": ((None,), "a run ends after max_steps"),
    "rollout.max_head_offpolicyness": (
        (0,),
        "the workbench samples from the weights of now, so that no completion is older than its "
        "step; AReaL trains on some that are",
    ),
    "async_training": ((False,), "rollout and training take turns here"),
}
"""Settings without a field: the values with which they change nothing, and what holds here."""

IDLE = {
    "cluster": "one machine",
    "scheduler": "one process",
    "launcher": "one process",
    "allocation_mode": "one device",
    "enable_offload": "one process",
    "server_only": "one process",
    "experiment_name": "name the run with --out",
    "trial_name": "name the run with --out",
    "tokenizer_path": "the policy's own tokenizer",
    "stats_logger": "all figures are in the run's record; nothing is sent anywhere",
    "perf_tracer": "seconds of each phase are in the record",
    "memory_profiler": "`workbench plan` says what takes memory",
    "recover": "checkpoints come every save_steps, and --resume goes on",
    "checkpointer": "checkpoints come every save_steps, and --resume goes on",
    "saver": "checkpoints come every save_steps",
    "evaluator": "evaluations come every eval_steps",
    "sglang": "the engine here: --rollout native, transformers or vllm",
    "vllm": "the engine here: --rollout native, transformers or vllm",
    "rollout": "the engine here: --rollout native, transformers or vllm",
    "ref": "the reference is the policy's first weights",
    "valid_dataset": "the task's held-out split",
    "train_dataset": "how data is loaded",
    "gconfig.max_tokens": "max_prompt_length and max_completion_length say it",
    "gconfig.skip_special_tokens": "how text is shown",
    "gconfig.lora_name": "a name inside the engine",
    "actor.max_new_tokens": "gconfig.max_new_tokens again",
    "actor.experiment_name": "name the run with --out",
    "actor.trial_name": "name the run with --out",
    "actor.backend": "one device",
    "actor.fsdp": "one device",
    "actor.megatron": "one device",
    "actor.archon": "one device",
    "actor.attn_impl": "torch's own attention",
    "actor.scheduling_spec": "one process",
    "actor.scheduling_strategy": "one process",
    "actor.weight_update_mode": "the engine here shares the weights or is sent them",
    "actor.mb_spec": "how the work is split changes memory, not the result",
    "actor.log_agent_stats": "all completions are in the record",
    "actor.optimizer.initial_loss_scale": "the workbench scales by itself, in float16 alone",
    "actor.optimizer.min_loss_scale": "the workbench scales by itself, in float16 alone",
    "actor.optimizer.loss_scale_window": "the workbench scales by itself, in float16 alone",
    "actor.optimizer.hysteresis": "the workbench scales by itself, in float16 alone",
}
"""Settings and whole sections that change nothing about what is learnt; the longest name counts."""

ELSEWHERE = {
    "critic": "a critic is PPO's",
    "teacher": "a teacher is distillation's",
    "workflow": "an agent's workflow is a script of its own",
    "agent_run_args": "an agent's workflow is a script of its own",
    "export_style": "an agent's workflow is a script of its own",
}
"""Sections that belong to another method."""
