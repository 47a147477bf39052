"""`workbench train` and `plan`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from workbench.commands import options
from workbench.config import ConfigError


def train(
    policy: options.PolicyOrTheRuns = None,
    task: options.TaskOrTheRuns = None,
    column: options.Columns = None,
    question_key: options.QuestionKey = None,
    answer_key: options.AnswerKey = None,
    system_key: options.SystemKey = None,
    system_prompt: options.SystemPrompt = None,
    skip_unreadable: options.SkipUnreadable = False,
    reward: options.Rewards = None,
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    method: options.Method = None,
    teacher: options.Teacher = None,
    lora: options.Lora = None,
    quantization: options.Quantization = None,
    rollout: options.Rollout = None,
    dtype: options.Dtype = None,
    steps: options.Steps = None,
    eval_samples: options.EvalSamples = None,
    seed: options.Seed = None,
    out: options.Out = None,
    resume: options.Resume = False,
    set_: options.Settings = None,
    threads: options.Threads = None,
    processes: options.Processes = None,
    shuffle_rewards: options.ShuffleRewards = False,
    random_rewards: options.RandomRewards = False,
    fault: options.FaultName = None,
    as_json: options.JsonLines = False,
) -> None:
    """Train a policy by GRPO, or by another --method. Without options: the embedded policy learns
    arithmetic, in about a minute."""
    from workbench.commands.train import train_command

    changes = options.changes_of(
        set_,
        method=method,
        teacher=teacher,
        lora_rank=lora,
        quantization=quantization,
        rollout_engine=rollout,
        dtype=dtype,
        max_steps=steps,
        eval_samples=eval_samples,
        seed=seed,
        **options.keys_of(
            column,
            question_key=question_key,
            answer_key=answer_key,
            system_key=system_key,
        ),
        system_prompt=system_prompt,
        unreadable_golds="skip" if skip_unreadable else None,
    )
    if resume and out is None:
        raise ConfigError("--resume needs --out: name the folder of the run to go on with.")
    train_command(
        policy=policy,
        task=task,
        rewards=reward,
        preset=preset,
        config_file=config,
        changes=changes,
        out=out or Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S"),
        resume=resume,
        threads=threads,
        processes=processes,
        control=options.control_of(shuffle_rewards, random_rewards),
        fault=fault,
        as_json=as_json,
    )


def plan(
    policy: options.Policy = "embedded",
    preset: options.Preset = None,
    method: options.Method = None,
    teacher: options.Teacher = None,
    lora: options.Lora = None,
    quantization: options.Quantization = None,
    prompts_per_step: options.PromptsPerStep = None,
    num_generations: options.NumGenerations = None,
    max_prompt_length: options.MaxPromptLength = None,
    max_completion_length: options.MaxCompletionLength = None,
    micro_batch_size: options.MicroBatchSize = None,
    dtype: options.Dtype = None,
    gradient_checkpointing: options.GradientCheckpointing = None,
    optim: options.Optim = None,
    rollout: options.Rollout = None,
    set_: options.Settings = None,
    gpu: options.Gpu = None,
    processes: options.Processes = None,
    trial: options.Trial = True,
    as_json: options.JsonObject = False,
) -> None:
    """Whether a run will fit into memory, what takes it, how long a step will take, and what to
    change. Reads a config, no weights."""
    from workbench.commands.plan import plan_command

    changes = options.changes_of(
        set_,
        method=method,
        teacher=teacher,
        lora_rank=lora,
        quantization=quantization,
        prompts_per_step=prompts_per_step,
        num_generations=num_generations,
        max_prompt_length=max_prompt_length,
        max_completion_length=max_completion_length,
        micro_batch_size=micro_batch_size,
        dtype=dtype,
        gradient_checkpointing=gradient_checkpointing,
        optim=optim,
        rollout_engine=rollout,
    )
    plan_command(
        policy=policy,
        preset=preset,
        changes=changes,
        gpu=gpu,
        processes=processes,
        trial=trial,
        as_json=as_json,
    )
