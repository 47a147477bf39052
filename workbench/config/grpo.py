"""`GRPOConfig`: every setting of a run in one flat, frozen dataclass.

Names and meanings are TRL's (1.16) where TRL has the field. What the workbench adds: how a batch is
cut (`prompts_per_step`, `updates_per_rollout`, `micro_batch_size`, `micro_batch_tokens`), the
`advantage_*`, `loss_reduction`, `measure_kl`, `kl_estimator`, `reward_timeout`,
`num_eval_problems`, `rollout_engine`, and the fields of "what is trained" and "how data is read".
TRL's `vllm_importance_sampling_*` are called `importance_sampling_*` here, because the correction
is the same for every sampler.

The defaults are the vetted setting of the embedded policy on arithmetic;
`GRPOConfig.preset("real")` is the starting point for a real model.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from workbench.config.advantages import ESTIMATORS
from workbench.config.engines import ENGINE_FACTS
from workbench.config.fields import (
    ConfigError,
    ConfigWarning,
    describe_field,
    field_problem,
    setting,
)
from workbench.config.losses import LEVELS, LOSS_REDUCTIONS, LOSS_TYPES
from workbench.config.methods import METHODS, MethodFacts
from workbench.config.presets import PRESETS
from workbench.config.rules import errors_of, warnings_of

SAMPLER_CORRECTIONS = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
PAPER = "DeepSeekMath, arXiv 2402.03300"


@dataclass(frozen=True, kw_only=True)
class GRPOConfig:
    """The settings of one run; `GRPOConfig.describe()` prints what each field means. Raises
    `ConfigError`."""

    # --- the method: what is sampled, from whom, and what coefficient each token gets
    method: str = setting(
        "grpo",
        "How completions become a gradient. Each method but grpo fixes some of the fields below: "
        "`GRPOConfig().with_method(NAME)` sets them.",
        choices=tuple(METHODS),
        source=PAPER + " section 5.2",
    )
    accept_reward: float | None = setting(
        None,
        "rft, online_rft: completions with at least this total reward are imitated. None: the sum "
        "of the positive weights, which is full marks where each function pays up to 1.",
        optional=True,
        live=True,
    )
    dpo_beta: float = setting(
        0.1,
        "dpo: how strongly a pair's margin over the reference is held to its preference.",
        above=0,
        high=100,
        source="DPO, arXiv 2305.18290, eq. 7",
        live=True,
    )
    kl_coef: float = setting(
        0.05,
        "ppo, reinforce_pp: weight of the KL to the reference in the reward of each token.",
        unit="1/nat",
        low=0,
        high=10,
        source="PPO of InstructGPT, arXiv 2203.02155; TRL's default",
        live=True,
    )
    lam: float = setting(
        0.95,
        "ppo: lambda of GAE; 1 trusts the reward that came, 0 the critic.",
        low=0,
        high=1,
        source="GAE, arXiv 1506.02438",
        live=True,
    )
    cliprange_value: float = setting(
        0.2,
        "ppo: how far a value may move from the one before the updates.",
        above=0,
        source="PPO as in OpenAI's baselines; TRL's default",
        live=True,
    )
    critic_learning_rate: float = setting(
        1e-3,
        "ppo: step size of the critic's AdamW, which follows lr_scheduler_type and warmup_steps as "
        "the policy's does. The default suits the embedded policy; for a real model about ten "
        "times the policy's.",
        low=0,
        high=1,
        live=True,
        log_scale=True,
    )
    step_rewards: str | None = setting(
        None,
        "process_grpo: what pays the steps of an answer: 'arithmetic_steps' (each equation, then "
        "the answer), model:FOLDER of a process reward model, or file.py:function.",
        optional=True,
    )
    replay_share: float = setting(
        0.1,
        "iterative_grpo: share of old data when the reward model is trained further.",
        unit="share",
        low=0,
        high=0.9,
        source=PAPER + " section 4.1.4",
        live=True,
    )
    reward_model_learning_rate: float = setting(
        2e-5,
        "iterative_grpo: step size of the reward model's AdamW. A copy of the embedded policy "
        "wants 5e-4.",
        low=0,
        high=1,
        source=PAPER + " section 4.2",
        live=True,
        log_scale=True,
    )
    teacher: str | None = setting(
        None,
        "distill: the policy that grades the tokens, a folder or a model id; it must have the "
        "policy's own vocabulary.",
        optional=True,
    )

    # --- the batch: B = prompts_per_step x num_generations completions per step
    prompts_per_step: int = setting(16, "Prompts drawn in one step.", unit="prompts", low=1)
    num_generations: int = setting(
        8,
        "Group size G: completions sampled for each prompt.",
        unit="completions",
        source=PAPER + " eq. 3",
        low=1,
    )
    updates_per_rollout: int = setting(
        4,
        "Optimizer updates made from one rollout batch, which is split by prompts into that many "
        "parts. With 1 (and num_iterations=1) the ratio is exactly 1 and epsilon does nothing.",
        unit="updates",
        low=1,
    )
    num_iterations: int = setting(
        1,
        "Passes over one rollout batch (mu).",
        unit="passes",
        source=PAPER + " algorithm 1",
        low=1,
    )
    micro_batch_size: int | None = setting(
        None,
        "Completions in one forward and backward, whatever their length; None = as many as "
        "micro_batch_tokens hold. Changes memory, not the result.",
        unit="completions",
        low=1,
        optional=True,
    )
    micro_batch_tokens: int = setting(
        4096,
        "Tokens in one forward and backward where micro_batch_size is None: an update with more "
        "goes through in pieces. Counted as they are computed: a prompt that its completions share "
        "once, padding too. Changes memory, not the result.",
        unit="tokens",
        low=1,
    )
    max_resample: int = setting(
        0,
        "Dynamic sampling: how many times in a step other prompts are drawn in the place of dead "
        "groups; 0 = never. What is dead after the last time stays.",
        unit="rounds",
        low=0,
        high=100,
        source="DAPO, arXiv 2503.14476, section 3.2",
        live=True,
    )
    curriculum: str = setting(
        "none",
        "How prompts are drawn: each once in an epoch, in shuffled order; or by pass_rate, those "
        "more often whose groups are likely to hold both right and wrong answers, by what the run "
        "has seen of them.",
        choices=("none", "pass_rate"),
    )
    curriculum_floor: float = setting(
        0.1,
        "Weight of a problem that is never or always solved, beside 1 of one whose group is sure "
        "to be alive.",
        above=0,
        high=1,
        live=True,
    )
    curriculum_pass_reward: float = setting(
        1.0,
        "Total reward from which on a completion counts as solved for the curriculum.",
        live=True,
    )
    max_steps: int = setting(60, "Steps of the run.", unit="steps", low=1)
    seed: int = setting(
        0, "Seed of the sampling, the order of the prompts and the task.", low=0, high=2**32 - 1
    )

    # --- how data is read, where the task comes from a file or a table
    question_key: str | None = setting(
        None,
        "Key of the question in each row; dots lead into nested objects. None: the first known "
        "one.",
        optional=True,
    )
    answer_key: str | None = setting(
        None,
        "Key of the gold answer in each row, such as reward_model.ground_truth. None: the first "
        "known one.",
        optional=True,
    )
    system_key: str | None = setting(
        None,
        "Key of the system message in each row. None: that of a message list, or a known one.",
        optional=True,
    )
    solution_key: str | None = setting(
        None,
        "Key of the worked solution in each row, which SFT imitates. None: the worked answer, or a "
        "known one.",
        optional=True,
    )
    subject_key: str | None = setting(
        None,
        "Key of what a problem is about, by which results are grouped. None: the first known one.",
        optional=True,
    )
    level_key: str | None = setting(
        None,
        "Key of how hard a problem is, by which results are grouped. None: the first known one.",
        optional=True,
    )
    system_prompt: str | None = setting(
        None,
        "System message of every prompt, in place of the data's own; empty for none at all. None: "
        "as in the data, else the workbench's.",
        optional=True,
    )
    unreadable_golds: str = setting(
        "refuse",
        "Gold answers that nothing can be compared with: end in an error, have their problems "
        "left out, or are compared as text in one spelling.",
        choices=("refuse", "skip", "text"),
    )

    # --- sampling
    temperature: float = setting(
        1.0,
        "Softmax temperature of the sampler; the loss divides the logits by it too.",
        above=0,
        high=10,
        live=True,
    )
    top_p: float = setting(
        1.0,
        "Nucleus: keep the smallest set of tokens with this probability.",
        above=0,
        high=1,
        live=True,
    )
    top_k: int = setting(
        0, "Keep the k likeliest tokens; 0 = all.", unit="tokens", low=0, live=True
    )
    max_prompt_length: int | None = setting(
        512,
        "Longest prompt accepted; a longer one is an error, never cut silently.",
        unit="tokens",
        low=1,
        optional=True,
    )
    max_completion_length: int = setting(
        48,
        "Longest completion; one that reaches it without an end token is truncated.",
        unit="tokens",
        low=1,
    )
    mask_truncated_completions: bool = setting(
        False,
        "Leave truncated completions out of the loss.",
        source="DAPO, arXiv 2503.14476",
        live=True,
    )
    rollout_engine: str = setting(
        "native",
        "Which engine samples the completions.",
        choices=tuple(ENGINE_FACTS),
    )
    rollout_staleness: int = setting(
        0,
        "The sampler has the weights of so many steps ago, as in a pipeline that samples beside "
        "the updates; 0 = those of now. Each step back is a copy of what is trained. "
        "importance_sampling_mode corrects for it.",
        unit="steps",
        low=0,
        high=64,
        source="async_grpo of TRL 1.16; one-step off-policy of verl",
    )
    vllm_mode: str = setting(
        "colocate",
        "vLLM in this process, beside the trainer, or a server that `vllm serve` started.",
        choices=("colocate", "server"),
    )
    vllm_server_base_url: str | None = setting(
        None,
        "Address of that server, for example http://localhost:8000; several with commas between "
        "them share the prompts.",
        optional=True,
    )
    vllm_gpu_memory_utilization: float = setting(
        0.3, "Part of the GPU's memory that a colocated vLLM may take.", above=0, high=0.95
    )
    vllm_enable_sleep_mode: bool = setting(
        False, "A colocated vLLM gives its memory back while the policy is updated (CUDA only)."
    )

    # --- rewards and advantages
    reward_weights: tuple[float, ...] | None = setting(
        None, "Weight of each reward function; None = 1 each.", live=True, optional=True
    )
    reward_timeout: float = setting(
        600.0,
        "Longest that one call of a reward function may take, for all completions of a step; async "
        "functions, which run at the same time, share it. After it the run stops at its last whole "
        "step, and the error names the function.",
        unit="seconds",
        above=0,
        high=1_000_000,
    )
    scale_rewards: str = setting(
        "group",
        "What divides the centred rewards: the group's std, the batch's std, or nothing.",
        choices=("group", "batch", "none"),
        source="Dr. GRPO, arXiv 2503.20783, for 'none'",
        live=True,
    )
    advantage_baseline: str = setting(
        "group",
        "What is subtracted from a reward: its group's mean, the mean of the others in the group "
        "(RLOO), the batch's mean, or nothing.",
        choices=("group", "leave_one_out", "batch", "none"),
        live=True,
    )
    advantage_std: str = setting(
        "sample",
        "Which std: 'sample' divides by G-1 (TRL), 'population' by G (the paper).",
        choices=("sample", "population"),
        live=True,
    )
    advantage_estimator: str = setting(
        "baseline",
        "What makes the advantage: the reward minus advantage_baseline over scale_rewards; MaxRL's "
        "(R - mean) / mean of the group; or the best of advantage_k completions with this one "
        "against the best of any (pass@k training).",
        choices=tuple(ESTIMATORS),
        source="MaxRL, arXiv 2602.02710; Pass@k Training, arXiv 2508.10751",
        live=True,
    )
    advantage_k: int = setting(
        4,
        "k of advantage_estimator='pass_at_k'; below num_generations.",
        unit="completions",
        low=1,
        live=True,
    )
    multi_objective_aggregation: str = setting(
        "sum_then_normalize",
        "With several reward functions: normalise the weighted sum, or each one first (GDPO).",
        choices=("sum_then_normalize", "normalize_then_sum"),
        source="GDPO, arXiv 2601.05242",
        live=True,
    )

    # --- the objective
    loss_type: str = setting(
        "dapo", "Per-token term of the loss, and its reduction.", choices=LOSS_TYPES, live=True
    )
    loss_reduction: str | None = setting(
        None,
        "How the terms of all tokens become one number, where it is not the loss type's own way "
        "(None). DAPO's printed formula is prompt_mean, the common code token_mean.",
        choices=tuple(LOSS_REDUCTIONS),
        optional=True,
        source="DAPO, arXiv 2503.14476, eq. 8, for 'prompt_mean'",
        live=True,
    )
    importance_sampling_level: str = setting(
        "token",
        "Ratio per token, per sequence (GSPO), or per sequence with each token's own gradient "
        "(GSPO-token).",
        choices=LEVELS,
        source="GSPO, arXiv 2507.18071",
        live=True,
    )
    beta: float = setting(
        0.15,
        "Weight of the KL to the reference in the loss; 0 = no KL in the loss. The default holds a "
        "control of the embedded policy where it began.",
        unit="1/nat",
        low=0,
        high=10,
        source=PAPER + " eq. 3",
        live=True,
        log_scale=True,
    )
    measure_kl: bool = setting(
        True,
        "Measure the KL to the reference also where beta=0 leaves it out of the loss: with an "
        "adapter, which is switched off for it, and for the embedded policy. Costs one pass of the "
        "reference per step, and one without gradient over the rows that an update skips. Another "
        "policy that is trained whole would need a second copy of itself and is not measured.",
        live=True,
    )
    epsilon: float = setting(
        0.2,
        "Lower clip distance: the ratio is clipped at 1 - epsilon; for gmpo at exp(-epsilon), and "
        "its paper has 0.4.",
        above=0,
        high=1,
        source="PPO, arXiv 1707.06347",
        live=True,
    )
    epsilon_high: float | None = setting(
        None,
        "Upper clip distance; None = epsilon. For cispo it is the absolute cap of the ratio.",
        above=0,
        high=1000,
        optional=True,
        source="DAPO, arXiv 2503.14476",
        live=True,
    )
    delta: float | None = setting(
        None,
        "Two-sided clipping: caps the ratio of the unclipped branch.",
        above=1,
        high=1000,
        optional=True,
        source="INTELLECT-2, arXiv 2505.07291",
        live=True,
    )
    divergence_threshold: float = setting(
        0.15,
        "Furthest that dppo_tv lets a token's probability, and dppo_kl its KL, move from the "
        "sampler's. Typical are 0.15 for dppo_tv and 0.05 for dppo_kl.",
        unit="probability, or nats",
        above=0,
        high=100,
        source="DPPO, arXiv 2602.04879",
        live=True,
    )
    kl_estimator: str = setting(
        "k3",
        "Estimator of KL(policy, reference) from one sample.",
        choices=("k1", "k2", "k3"),
        source="Schulman 2020, Approximating KL divergence",
        live=True,
    )
    use_bias_correction_kl: bool = setting(
        True,
        "Multiply the KL by the importance ratio, so that its gradient is right off-policy "
        "(TRL's default).",
        source="DeepSeek-V3.2, arXiv 2512.02556",
        live=True,
    )
    top_entropy_quantile: float = setting(
        1.0,
        "Share of the highest-entropy tokens of an update whose policy term is kept. With several "
        "micro-batches to an update, their common threshold costs one more forward pass.",
        unit="share",
        above=0,
        high=1,
        source="arXiv 2506.01939",
        live=True,
    )
    clip_cov_ratio: float = setting(
        2e-4,
        "Share of an update's tokens that clip_cov leaves out, at least one.",
        unit="share",
        above=0,
        high=1,
        source="Clip-Cov, arXiv 2505.22617",
        live=True,
    )
    clip_cov_min: float = setting(
        1.0, "Covariance above which clip_cov chooses them.", unit="nats", live=True
    )
    clip_cov_max: float = setting(
        5.0, "Covariance below which clip_cov chooses them.", unit="nats", live=True
    )
    kl_cov_ratio: float = setting(
        2e-4,
        "Share of an update's tokens that kl_cov holds with a KL, those of the highest covariance, "
        "at least one. The paper has 2e-3 for 7B and 2e-4 for 32B.",
        unit="share",
        above=0,
        high=1,
        source="KL-Cov, arXiv 2505.22617",
        live=True,
    )
    kl_cov_coef: float = setting(
        1.0,
        "Weight of that KL to the old policy.",
        low=0,
        high=1000,
        source="KL-Cov, arXiv 2505.22617",
        live=True,
    )
    entropy_coef: float = setting(
        0.0,
        "Weight of the policy's mean entropy per token, which is subtracted from the loss so that "
        "it stays open; 0 = none. With use_adaptive_entropy where it begins.",
        unit="1/nat",
        low=0,
        high=10,
        source="TRL 1.16",
        live=True,
    )
    use_adaptive_entropy: bool = setting(
        False,
        "Raise entropy_coef after each update whose entropy is at or below entropy_target, else "
        "lower it; the bonus acts only while the entropy is at or below the target.",
        source="Skywork-OR1, arXiv 2505.22312",
    )
    entropy_target: float = setting(
        0.2,
        "Entropy that use_adaptive_entropy holds.",
        unit="nats per token",
        low=0,
        high=100,
        live=True,
    )
    entropy_coef_delta: float = setting(
        0.005,
        "By how much it moves entropy_coef after an update.",
        unit="1/nat",
        above=0,
        high=10,
        live=True,
    )
    entropy_coef_min: float = setting(
        0.0, "Lowest entropy_coef that it comes to.", unit="1/nat", low=0, high=10, live=True
    )
    entropy_coef_max: float = setting(
        1.0, "Highest entropy_coef that it comes to.", unit="1/nat", low=0, high=10, live=True
    )
    off_policy_mask_threshold: float | None = setting(
        None,
        "Drop a sequence with negative advantage when its mean log(old/current) is above this.",
        unit="nats per token",
        above=0,
        optional=True,
        source="DeepSeek-V3.2, arXiv 2512.02556",
        live=True,
    )
    importance_sampling_mode: str | None = setting(
        None,
        "Correction for a sampler whose log-probabilities differ from the trainer's: per token or "
        "sequence, truncate or mask the ratio. None = only measured. A masked token stays in the "
        "loss's denominator, as in TRL.",
        choices=SAMPLER_CORRECTIONS,
        optional=True,
        live=True,
    )
    importance_sampling_clip_max: float | None = setting(
        3.0, "Largest trainer/sampler ratio of that correction.", above=0, optional=True, live=True
    )
    importance_sampling_clip_min: float | None = setting(
        None, "Smallest trainer/sampler ratio of that correction.", low=0, optional=True, live=True
    )
    sapo_temperature_pos: float = setting(
        1.0, "SAPO's tau for A > 0.", above=0, source="SAPO, arXiv 2511.20347", live=True
    )
    sapo_temperature_neg: float = setting(
        1.05, "SAPO's tau for A <= 0.", above=0, source="SAPO, arXiv 2511.20347", live=True
    )
    vespo_k_pos: float = setting(
        2.0, "VESPO's k for A >= 0.", low=0, source="VESPO, as in TRL 1.16", live=True
    )
    vespo_lambda_pos: float = setting(
        3.0, "VESPO's lambda for A >= 0.", low=0, source="VESPO, as in TRL 1.16", live=True
    )
    vespo_k_neg: float = setting(
        3.0, "VESPO's k for A < 0.", low=0, source="VESPO, as in TRL 1.16", live=True
    )
    vespo_lambda_neg: float = setting(
        2.0, "VESPO's lambda for A < 0.", low=0, source="VESPO, as in TRL 1.16", live=True
    )

    # --- the reference
    sync_ref_model: bool = setting(
        False,
        "Mix the policy into the reference now and then.",
        source="TR-DPO, arXiv 2404.09656",
        live=True,
    )
    ref_model_mixup_alpha: float = setting(
        0.6,
        "reference := alpha x policy + (1 - alpha) x reference; 1 = DeepSeekMath's refresh.",
        above=0,
        high=1,
        live=True,
    )
    ref_model_sync_steps: int = setting(
        512, "Steps between two such mixes.", unit="steps", low=1, live=True
    )

    # --- what is trained
    lora_rank: int = setting(
        0,
        "Rank of a LoRA adapter; 0 = all weights are trained.",
        low=0,
        source="LoRA, arXiv 2106.09685",
    )
    lora_alpha: float | None = setting(
        None,
        "The adapter's product is scaled by lora_alpha / lora_rank; None = twice the rank.",
        above=0,
        optional=True,
    )
    lora_target_modules: str = setting(
        "all-linear", "Layers that get an adapter: all linear ones, or names such as q_proj,v_proj."
    )
    use_rslora: bool = setting(
        False, "Scale by lora_alpha / sqrt(lora_rank).", source="rsLoRA, arXiv 2312.03732"
    )
    use_dora: bool = setting(
        False,
        "Train each column's length apart from its direction.",
        source="DoRA, arXiv 2402.09353",
    )
    quantization: str = setting(
        "none",
        "How the frozen weights under an adapter are kept: as they are, in 4 bits (NF4, double "
        "quantisation) or in 8.",
        choices=("none", "nf4", "int8"),
        source="QLoRA, arXiv 2305.14314; LLM.int8(), arXiv 2208.07339",
    )
    dtype: str = setting(
        "auto",
        "Number format of the weights. auto: float32 on a CPU and for full fine-tuning, else "
        "bfloat16, or float16 on a GPU without it.",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    gradient_checkpointing: bool = setting(
        False,
        "Compute activations a second time instead of keeping them: less memory, about a third "
        "more training time.",
    )
    optim: str = setting(
        "adamw",
        "AdamW, or AdamW with its moments in 8 bits.",
        choices=("adamw", "adamw_8bit"),
        source="8-bit optimizers, arXiv 2110.02861",
    )

    # --- the optimizer
    learning_rate: float = setting(
        2e-4,
        "Step size of AdamW. The default suits the embedded policy of 1M parameters; real models "
        "want 1e-6 (full) to 1e-5 (LoRA).",
        low=0,
        high=1,
        live=True,
        log_scale=True,
    )
    lr_scheduler_type: str = setting(
        "cosine",
        "Course of the learning rate over max_steps.",
        choices=("constant", "linear", "cosine"),
    )
    warmup_steps: int = setting(
        0, "Steps over which the learning rate rises from 0.", unit="steps", low=0
    )
    weight_decay: float = setting(0.0, "Decoupled weight decay.", low=0, high=1, live=True)
    adam_beta1: float = setting(0.9, "Decay of the first moment.", low=0, high=0.9999)
    adam_beta2: float = setting(0.99, "Decay of the second moment.", low=0, high=0.99999)
    max_grad_norm: float = setting(
        1.0, "The gradient's norm is clipped here; 0 = never.", low=0, live=True
    )

    # --- evaluation and checkpoints
    eval_steps: int = setting(
        20,
        "Steps between two held-out evaluations; 0 = only before and after.",
        unit="steps",
        low=0,
    )
    num_eval_problems: int = setting(
        1000,
        "Held-out problems of an evaluation, the first ones of the split.",
        unit="problems",
        low=1,
    )
    eval_samples: int = setting(
        0,
        "K: answers sampled for each problem in evaluations that give mean@K, maj@k and pass@k "
        "beside greedy, before the first step and after the last; 0 = none. Each costs "
        "eval_samples_problems x (K + 1) completions.",
        unit="answers",
        source="pass@k: Chen et al. 2021, arXiv 2107.03374; maj@k: arXiv 2203.11171",
        low=0,
    )
    eval_samples_problems: int = setting(
        100,
        "Held-out problems of such an evaluation, the first ones of the split.",
        unit="problems",
        low=1,
    )
    eval_samples_steps: int = setting(
        0,
        "Steps between two such evaluations; 0 = only before and after.",
        unit="steps",
        low=0,
    )
    save_steps: int = setting(20, "Steps between two checkpoints.", unit="steps", low=1)
    save_total_limit: int = setting(
        3, "Checkpoints kept, the newest ones; the first (step 0) stays.", unit="checkpoints", low=1
    )
    record_tokens_every: int = setting(
        1,
        "Steps between two whose tokens stay in the record with their log-probabilities, which are "
        "most of a long run's; those of the first and the last step stay. Texts, rewards and "
        "figures are kept of every step.",
        unit="steps",
        low=1,
    )

    def __post_init__(self) -> None:
        if isinstance(self.reward_weights, list):
            object.__setattr__(self, "reward_weights", tuple(self.reward_weights))
        values = [(field, getattr(self, field.name)) for field in fields(self)]
        problems = [problem for pair in values if (problem := field_problem(*pair))]
        # Rules compare values with one another, which only values of the right kind can bear.
        problems = problems or errors_of(self)
        if problems:
            raise ConfigError("\n".join(problems))
        for text in warnings_of(self):
            warnings.warn(text, ConfigWarning, stacklevel=3)

    @property
    def completions_per_step(self) -> int:
        """B, the completions sampled in one step."""
        return self.prompts_per_step * self.num_generations

    def evaluates_samples_at(self, step: int) -> bool:
        """Whether an evaluation with samples follows `step` (0: before the first)."""
        every = self.eval_samples_steps
        is_due = step in (0, self.max_steps) or (every > 0 and step % every == 0)
        return self.eval_samples > 0 and is_due

    def keeps_tokens(self, step: int) -> bool:
        """Whether the record keeps the tokens of this step (`record_tokens_every`)."""
        return step in (1, self.max_steps) or step % self.record_tokens_every == 0

    @property
    def rows_at_once(self) -> int:
        """Completions in one forward (and backward) of the policy, at most: a micro-batch, or a
        whole update where its tokens allow it."""
        share = self.completions_per_step // self.updates_per_rollout
        return min(self.micro_batch_size or share, share)

    @property
    def longest_at_once(self) -> int:
        """The same of completions of the greatest length, of which `micro_batch_tokens` hold no
        more, prompts apart."""
        if self.micro_batch_size is not None:
            return self.rows_at_once
        return min(self.rows_at_once, max(self.micro_batch_tokens // self.max_completion_length, 1))

    @property
    def asks_reference(self) -> bool:
        """True where each step has a pass of the reference: for the loss, or to measure the KL with
        the adapter switched off. (The embedded policy is measured without an adapter too.)"""
        wanted = self.beta > 0 or self.method_facts.asks_reference
        return wanted or (self.measure_kl and self.lora_rank > 0)

    @property
    def has_entropy_bonus(self) -> bool:
        """True where an entropy bonus may be in the loss; one that adapts is 0 at times."""
        return self.entropy_coef > 0 or self.use_adaptive_entropy

    @property
    def on_policy(self) -> bool:
        """True when each rollout batch serves exactly one update: the ratio is 1 and no clipping
        can happen."""
        return self.updates_per_rollout * self.num_iterations == 1

    def replace(self, **changes: Any) -> GRPOConfig:
        """A copy with `changes`, validated like a new one. Raises `ConfigError`, also for an
        unknown name."""
        _check_names(changes)
        return replace(self, **changes)

    @property
    def method_facts(self) -> MethodFacts:
        """What is known about the method."""
        return METHODS[self.method]

    def with_method(self, name: str, **changes: Any) -> GRPOConfig:
        """This config with another method, the settings that make that method, and `changes` on
        top; what the method before it had fixed goes back to its default. Raises `ConfigError` for
        a name that is none."""
        if name not in METHODS:
            raise ConfigError(f"method={name!r} is unknown. Choose one of {', '.join(METHODS)}.")
        before = self.method_facts
        undone = {field.name: field.default for field in fields(self) if field.name in before.sets}
        chosen = METHODS[name]
        made = undone | chosen.sets
        return self.replace(**made | {"method": name} | changes)

    @classmethod
    def live_fields(cls) -> tuple[str, ...]:
        """The names of the fields that may change between two steps."""
        return tuple(field.name for field in fields(cls) if field.metadata["live"])

    @classmethod
    def describe(cls, name: str | None = None) -> str:
        """What a field means, or all of them, a line each."""
        if name is not None:
            _check_names([name])
        return "\n".join(
            describe_field(field) for field in fields(cls) if name in (None, field.name)
        )

    @classmethod
    def preset(cls, name: str, **changes: Any) -> GRPOConfig:
        """A published setting by name (see `workbench.config.presets`), with `changes` on top.
        Raises `ConfigError`."""
        if name not in PRESETS:
            raise ConfigError(f"preset {name!r} is unknown. Choose one of {', '.join(PRESETS)}.")
        return cls.from_dict(PRESETS[name].values | changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GRPOConfig:
        """A config from plain values. Raises `ConfigError` for a name that is no field."""
        _check_names(values)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON and YAML can hold."""
        weights = list(self.reward_weights) if self.reward_weights else None
        return asdict(self) | {"reward_weights": weights}

    def save(self, path: str | Path) -> None:
        """Write to `path`, as JSON when it ends in .json, else as YAML."""
        path = Path(path)
        values = self.to_dict()
        if path.suffix == ".json":
            path.write_text(json.dumps(values, indent=2) + "\n")
        else:
            path.write_text(yaml.safe_dump(values, sort_keys=False))

    @classmethod
    def load(cls, path: str | Path) -> GRPOConfig:
        """Read a YAML or JSON file that `save` wrote, or that holds any part of the fields. Raises
        `ConfigError`."""
        text = Path(path).read_text()
        parse = json.loads if Path(path).suffix == ".json" else yaml.safe_load
        try:
            values = parse(text) or {}
        # A text of brackets alone ends the reader by its depth.
        except (ValueError, yaml.YAMLError, RecursionError) as e:
            raise ConfigError(f"{path} cannot be read: {e}") from e
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: expected names and values, found {type(values).__name__}.")
        return cls.from_dict(
            {
                name: value_of(name, value) if isinstance(value, str) else value
                for name, value in values.items()
            }
        )


KEY_FIELDS = tuple(field.name for field in fields(GRPOConfig) if field.name.endswith("_key"))
"""The fields that name what is read from a row; --column names them without their ending."""


def value_of(name: str, text: str) -> Any:
    """The value of field `name` that a person wrote as `text`; a choice such as 'none' stays the
    word that it is."""
    field = next((field for field in fields(GRPOConfig) if field.name == name), None)
    word = text.strip()
    if field is None:
        return plain_value(text)
    if word in (field.metadata["choices"] or ()):
        return word
    # A text is kept as it was written: a key may be called 1, a prompt may be empty.
    if field.type in ("str", "str | None") and not field.metadata["choices"]:
        return None if word.lower() in ("none", "null") else text
    return plain_value(text)


def plain_value(text: str) -> Any:
    """A value as a person writes it: true, none, 3, 1e-6 (which YAML 1.1 takes for text), [1, 0.5],
    or a word."""
    if text.strip().lower() in ("none", "null", ""):
        return None
    try:
        value = yaml.safe_load(text)
        if isinstance(value, list):
            return [float(part) if isinstance(part, str) else part for part in value]
        return float(value) if isinstance(value, str) else value
    except (ValueError, yaml.YAMLError, RecursionError):
        return text


def _check_names(names: Any) -> None:
    known = [field.name for field in fields(GRPOConfig)]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = " `GRPOConfig.describe()` lists the fields."
            if near:
                hint = f" Did you mean {near[0]!r}?"
            raise ConfigError(f"{name!r} is not a field of GRPOConfig.{hint}")
