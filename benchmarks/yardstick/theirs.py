"""TRL's trainer under the meter: as it comes, and tuned."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from workbench.config import GRPOConfig
from workbench.policy import Policy
from yardstick.cases import DEFAULT, Case
from yardstick.meter import STEP, Meter, memory_now
from yardstick.ours import Numbers, config_of, policy_of
from yardstick.prompts import arbitrary, in_order, task_of

TRLS_MICRO_BATCH = 8
"""Rows in one pass where nobody says."""


def run(contender: str, source: str, case: Case, numbers: Numbers) -> dict[str, Any]:
    """Train `numbers.steps` rollout batches; what each spent."""
    policy = policy_of(source, case, numbers)
    meter = Meter(policy.model)
    with tempfile.TemporaryDirectory() as out:
        trainer, steps = metered_trainer(contender, policy, case, numbers, meter, out)
        loaded = memory_now(numbers.device)
        trainer.train()
    served = {"engine": "transformers", "micro_batch": trainer.args.per_device_train_batch_size}
    return {"steps": steps, "served": served, "loaded_mb": loaded}


def metered_trainer(
    contender: str, policy: Policy, case: Case, numbers: Numbers, meter: Meter, out: str
) -> tuple[Any, list[dict[str, Any]]]:
    """The trainer, and the list that its steps come into."""
    config = config_of(case, numbers)
    task = task_of(case, policy, numbers.steps + 1)
    problems = in_order(task, config.prompts_per_step * numbers.steps, config.seed)
    rows = [{"prompt": task.messages(p), "answer": p.answer} for p in problems]
    trainer = plain_trainer(contender, policy, config, numbers, rows, out)
    per_batch = config.updates_per_rollout
    callback, steps = step_clock(meter, per_batch)
    trainer.add_callback(callback)
    put_under(meter, trainer)
    return trainer, steps


def plain_trainer(
    contender: str,
    policy: Policy,
    config: GRPOConfig,
    numbers: Numbers,
    rows: list[dict[str, Any]],
    out: str,
) -> Any:
    """TRL's trainer on our model with our settings. Tuned: nothing is computed twice, the format
    of the arithmetic is ours, and the rows in one pass were tried out before."""
    from datasets import Dataset
    from trl import GRPOTrainer

    # TRL cuts prompts on the left, as generation needs them.
    policy.tokenizer.padding_side = "left"
    return GRPOTrainer(
        model=policy.model,
        reward_funcs=[arbitrary],
        args=arguments(contender, config, numbers, out),
        train_dataset=Dataset.from_list(rows),
        processing_class=policy.tokenizer,
    )


def arguments(contender: str, config: GRPOConfig, numbers: Numbers, out: str) -> Any:
    """TRL's config with the values of ours."""
    from trl import GRPOConfig as TRLConfig

    completions, updates = config.completions_per_step, config.updates_per_rollout
    micro_batch = min(numbers.micro_batch or TRLS_MICRO_BATCH, completions // updates)
    passes = completions // micro_batch
    tuned = dict(gradient_checkpointing=False, bf16=numbers.dtype == "bfloat16")
    return TRLConfig(
        output_dir=out,
        use_cpu=numbers.device == "cpu",
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=passes // updates,
        steps_per_generation=passes,
        num_generations=config.num_generations,
        max_completion_length=config.max_completion_length,
        beta=config.beta,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant",
        adam_beta2=config.adam_beta2,
        max_grad_norm=config.max_grad_norm,
        max_steps=updates * numbers.steps,
        temperature=config.temperature,
        report_to=[],
        save_strategy="no",
        logging_steps=updates,
        disable_tqdm=True,
        shuffle_dataset=False,
        dataloader_pin_memory=False,
        **({} if contender == DEFAULT else tuned),
    )


def step_clock(meter: Meter, per_batch: int) -> tuple[Any, list[dict[str, Any]]]:
    """A callback that ends a step where a rollout batch has been used up. Everything between two
    of them is the step's."""
    from transformers import TrainerCallback

    steps: list[dict[str, Any]] = []
    opened: list[Any] = []

    def begin() -> None:
        opened.append(meter(STEP))
        opened[-1].__enter__()

    class Clock(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            begin()

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            opened.append(meter("update"))
            opened[-1].__enter__()

        def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            opened.pop().__exit__(None, None, None)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step % per_batch == 0:
                opened.pop().__exit__(None, None, None)
                steps.append(meter.take())
                begin()

    return Clock(), steps


def put_under(meter: Meter, trainer: Any) -> None:
    """Meter the trainer's own calls; those inside a phase belong to it."""
    if trainer.ref_model is not None:
        meter.watch(trainer.ref_model)
    generate, scores = trainer._generate, trainer._get_per_token_logps_and_entropies

    def generated(prompts: list[Any]) -> Any:
        with meter("rollout"):
            found = generate(prompts)
        group = trainer.num_generations
        meter.prompts += [len(ids) for ids in found[0][::group]]
        meter.lengths += [len(ids) for ids in found[1]]
        return found

    def scored(*args: Any, **kwargs: Any) -> Any:
        import torch

        # With a gradient it is part of the update, whose seconds are counted outside.
        if torch.is_grad_enabled():
            return scores(*args, **kwargs)
        with meter("logprobs"):
            return scores(*args, **kwargs)

    trainer._generate = generated
    trainer._get_per_token_logps_and_entropies = scored
    trainer._calculate_rewards = under(meter, "reward", trainer._calculate_rewards)
    trainer.compute_loss = under(meter, "update", trainer.compute_loss)
    accelerator = trainer.accelerator
    accelerator.backward = under(meter, "update", accelerator.backward)
    accelerator.clip_grad_norm_ = under(meter, "update", accelerator.clip_grad_norm_)


def under(meter: Meter, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, metered."""

    def metered(*args: Any, **kwargs: Any) -> Any:
        with meter(phase):
            return call(*args, **kwargs)

    return metered
