"""AReaL configs of three releases, with the names and the structure that those had."""

from __future__ import annotations

from pathlib import Path

SHARED = """
experiment_name: ours
trial_name: first
seed: 7
total_train_epochs: 2
tokenizer_path: ${actor.path}
cluster: {n_nodes: 1, n_gpus_per_node: 8, fileroot: /data}
gconfig: {n_samples: 4, min_new_tokens: 0, max_new_tokens: 512, greedy: false, temperature: 1.0}
train_dataset: {batch_size: 256, shuffle: true, path: openai/gsm8k, max_length: 512}
valid_dataset: {batch_size: 256, path: openai/gsm8k}
saver: {fileroot: "${cluster.fileroot}", freq_epochs: 1, freq_steps: null, freq_secs: null}
evaluator: {fileroot: "${cluster.fileroot}", freq_epochs: null, freq_steps: 10, freq_secs: null}
stats_logger: {wandb: {mode: disabled}}
"""

ACTOR = """
actor:
  experiment_name: ${experiment_name}
  path: Qwen/Qwen2.5-1.5B-Instruct
  init_from_scratch: false
  disable_dropout: true
  gradient_checkpointing: true
  dtype: bfloat16
  optimizer:
    type: adam
    lr: 1e-5
    weight_decay: 0.02
    beta1: 0.9
    beta2: 0.95
    eps: 1e-8
    lr_scheduler_type: constant
    gradient_clipping: 0.5
    warmup_steps_proportion: 0.1
  eps_clip: 0.4
  temperature: ${gconfig.temperature}
  reward_scaling: 10.0
  reward_bias: -0.5
  kl_ctl: 0.0
  ppo_n_minibatches: 4
  recompute_logprob: true
  use_decoupled_loss: true
"""

NORMS = """
  reward_norm:
    mean_level: group
    std_level: group
    group_size: ${gconfig.n_samples}
  adv_norm:
    mean_level: batch
    std_level: batch
"""

RELEASES = {
    "0.3.1": SHARED
    + "async_training: true\nallocation_mode: sglang.d4p1t1+d4p1t1\n"
    + "rollout: {max_head_offpolicyness: 4, consumer_batch_size: '${train_dataset.batch_size}'}\n"
    + ACTOR
    + "  mb_spec: {max_tokens_per_gpu: 10240}\n"
    + "  group_size: ${gconfig.n_samples}\n  group_adv_norm: false\n  behav_imp_weight_cap: 5.0\n",
    "0.3.4": SHARED
    + "rollout: {max_head_offpolicyness: 2}\n"
    + ACTOR
    + "  mb_spec: {max_tokens_per_mb: 10240}\n"
    + "  group_size: ${gconfig.n_samples}\n  dynamic_sampling: false\n  behav_imp_weight_cap: 5.0\n"
    + NORMS,
    "1.0.4": SHARED
    + "rollout: {backend: 'sglang:d4p1t1', max_head_offpolicyness: 2}\n"
    + "ref: {path: '${actor.path}', dtype: '${actor.dtype}', optimizer: null}\n"
    + "sglang: {model_path: '${actor.path}', mem_fraction_static: 0.8}\n"
    + ACTOR
    + "  mb_spec: {max_tokens_per_mb: 10240, packing_algorithm: ffd}\n"
    + "  rejection_sampling: {metric: ratio, upper: 5.0}\n"
    + "  scheduling_spec: [{task_type: worker, gpu: 1}]\n"
    + NORMS,
}
"""Release -> a config as it wrote them."""


def write(folder: Path, text: str) -> Path:
    """The text as a file."""
    path = folder / "gsm8k_grpo.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def of_release(folder: Path, release: str, *lines: str) -> Path:
    """The config of a release, with more lines in its section `actor`, which stand above the
    others."""
    more = "".join(f"\n  {line}" for line in lines)
    return write(folder, RELEASES[release].replace("\nactor:", f"\nactor:{more}"))
