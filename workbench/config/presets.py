"""Published settings by name, each with its source and with what the workbench had to decide for
itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Values of `GRPOConfig` fields, and where they come from."""

    source: str
    values: dict[str, Any]

    takes: str = ""
    """What a run of it would take, where that is more than one GPU has; said by `workbench plan`
    and `workbench train`."""


_REAL: dict[str, Any] = dict(
    learning_rate=1e-6,
    max_completion_length=256,
    adam_beta2=0.999,
    prompts_per_step=8,
    max_steps=500,
    updates_per_rollout=2,
    num_eval_problems=100,
    lr_scheduler_type="constant",
    eval_steps=50,
)

PIECE = 3
"""Completions in one forward and backward of the preset "real". A whole update of 32 rows with
prompts of 512 and completions of 256 tokens takes 56 GB for Qwen2.5-0.5B with LoRA by `workbench
plan`, a whole group 15 GB, three rows 5 GB (13.9 GB with all weights trained, which leaves a tenth
of a T4's 15.7 free; four would not). Three rows also lie behind one shared prompt: 512 + 3 x 256
tokens stay under `LONGEST_ROW` of workbench/policy/packing.py, a whole group does not. So nothing
needs to be computed twice by gradient_checkpointing."""

_DEEPSEEKMATH: dict[str, Any] = _REAL | dict(
    beta=0.04,
    num_generations=64,
    prompts_per_step=16,
    max_completion_length=1024,
    max_prompt_length=1024,
    updates_per_rollout=1,
    loss_type="grpo",
    advantage_std="population",
    use_bias_correction_kl=False,
)

_STEERING: dict[str, Any] = dict(
    prompts_per_step=8,
    num_generations=8,
    learning_rate=2e-4,
    lr_scheduler_type="constant",
    updates_per_rollout=4,
    num_iterations=4,
    epsilon=0.05,
    beta=0.02,
    max_steps=40,
    eval_steps=10,
    num_eval_problems=300,
)
"""What makes the knobs bite, for the embedded policy. Sixteen updates from one batch of samples:
the ratio has room to leave the clip range. A narrow range to begin with, since the clipped share
falls with entropy and dragging it wider answers in the next step. A beta that weighs a few parts in
a hundred of the gradient, so that the slider has a way to go in both directions."""

PRESETS: dict[str, Preset] = {
    "real": Preset(
        "The workbench's starting point for a real model on one GPU: TRL's learning rate, small "
        "batches, two updates, in pieces for a T4.",
        _REAL | dict(beta=0.0, micro_batch_size=PIECE),
    ),
    "steering": Preset(
        "The workbench's setting for steering the embedded policy by hand: sixteen updates from "
        "each batch of samples, so that epsilon clips 2 to 5 % of the tokens. Over four seeds "
        "(benchmarks/steering.py): epsilon 0.05 -> 0.2 halves that share in the next step, beta "
        "0.02 -> 1 takes the KL to a fifth within ten.",
        _STEERING,
    ),
    "deepseekmath": Preset(
        "DeepSeekMath, arXiv 2402.03300, section 4.2: lr 1e-6, KL 0.04, 64 outputs per question, "
        "1024 tokens, 1,024 outputs per batch, one update per exploration stage. The paper "
        "prints std and does not say which: over the population is our reading. Loss averaged per "
        "sequence; KL without ratio.",
        _DEEPSEEKMATH,
    ),
    "deepseekmath_full": Preset(
        "DeepSeekMath's own run, arXiv 2402.03300, section 4.2: the setting of `deepseekmath` over "
        "144K questions of GSM8K and MATH, 9,000 steps of 16 questions, from DeepSeekMath-Instruct "
        "7B, all weights trained. One completion at a time goes through the loss here.",
        _DEEPSEEKMATH | dict(max_steps=9000, micro_batch_size=1, eval_steps=500, save_steps=100),
        takes="The paper's policy has 6.9 B parameters. By `workbench plan`, all of it trained in "
        "float32 on one device: 138 GB for weights, optimizer, gradients and reference, and "
        "1,558 GB for the keys and values of 1,024 completions sampled at once; no one GPU has "
        "that. Were there an H200 with the room, a step would take 11 to 43 minutes and 9,000 of "
        "them 68 to 271 days. Besides the paper rewards with a reward model of the same size, "
        "trained at 2e-5. What fits one GPU instead: the preset deepseekmath with a policy of 0.5 "
        "to 1.5 B, --lora, and fewer prompts or completions; --rollout vllm samples in turns.",
    ),
    "trl": Preset(
        "TRL 1.16.0's GRPOConfig defaults: beta 0, dapo loss, G=8, 512 tokens, one update per "
        "rollout, linear decay. With vLLM TRL also corrects the sampler by default: add "
        "importance_sampling_mode='sequence_mask' to rollout_engine='vllm'.",
        _REAL
        | dict(
            beta=0.0,
            loss_type="dapo",
            max_completion_length=512,
            updates_per_rollout=1,
            prompts_per_step=1,
            lr_scheduler_type="linear",
            max_prompt_length=None,
        ),
    ),
    "dapo": Preset(
        "DAPO, arXiv 2503.14476: no KL, clip 0.2 below and 0.28 above, token-level loss, G=16, "
        "overlong answers left out. The paper takes 512 prompts and 16 updates per rollout, so 32 "
        "groups an update; for one GPU it is 16 prompts and 4 updates here, since an update of one "
        "group would be momentum alone where that group is dead. Dynamic sampling draws four times "
        "at most, where the paper goes on until all groups are alive. What still differs: no soft "
        "overlong reward, and the tokens of the whole batch are averaged, as the common code does, "
        "where the printed formula averages within each prompt's group: that is "
        "loss_reduction='prompt_mean'.",
        _REAL
        | dict(
            beta=0.0,
            loss_type="dapo",
            epsilon=0.2,
            epsilon_high=0.28,
            num_generations=16,
            prompts_per_step=16,
            updates_per_rollout=4,
            max_resample=4,
            mask_truncated_completions=True,
            max_completion_length=2048,
        ),
    ),
    "dr_grpo": Preset(
        "Dr. GRPO, arXiv 2503.20783: no division by the std, no division by the length, no KL.",
        _REAL
        | dict(beta=0.0, loss_type="dr_grpo", scale_rewards="none", max_completion_length=1024),
    ),
    "gspo": Preset(
        "GSPO, arXiv 2507.18071, section 5.1: sequence-level ratio, clip 3e-4 below and 4e-4 "
        "above, four updates per rollout.",
        _REAL
        | dict(
            beta=0.0,
            loss_type="grpo",
            importance_sampling_level="sequence",
            epsilon=3e-4,
            epsilon_high=4e-4,
            updates_per_rollout=4,
        ),
    ),
    "cispo": Preset(
        "CISPO (MiniMax-M1, arXiv 2506.13585): the ratio is capped and detached, no KL. "
        "epsilon_high=5.0 follows ScaleRL, arXiv 2510.13786, since the paper prints no figure.",
        _REAL | dict(beta=0.0, loss_type="cispo", epsilon_high=5.0),
    ),
}
