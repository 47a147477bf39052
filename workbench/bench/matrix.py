"""The matrix of methods as an experiment: every row a variant, over seeds, and what several rows
need beside."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.bench.cases import REWARD_MODEL_RATE, Case, config_of
from workbench.config import ConfigWarning
from workbench.experiment import Experiment, Result, Variant
from workbench.rewards import DEFAULT_REWARDS
from workbench.runs import is_run_record
from workbench.runs.whole_folder import whole_folder

POLICY, TASK = "embedded", "arithmetic"
TEACHER, SCORER = "teacher", "reward-model"
"""Folders of what several rows need."""
SCORER_PROBLEMS, SCORER_SAMPLES = 200, 8
"""What the reward model is trained on: so many problems, with so many completions each."""


def experiment_of(
    cases: Sequence[Case], seeds: int, out: Path, steps: int, problems: int
) -> Experiment:
    """The rows as variants. The control is one of them: what it gains stands in the table."""
    with warnings.catch_warnings():
        # What a method means by its settings needs no warning here.
        warnings.simplefilter("ignore", ConfigWarning)
        variants = {
            case.name: Variant(
                name=case.name,
                config=config_of(case, 0, steps, problems, out / TEACHER / "policy"),
                policy=POLICY,
                task=TASK,
                rewards=tuple(rewards_of(case, out)),
                control="shuffled" if case.shuffled else None,
                control_of="grpo" if case.shuffled else "",
            )
            for case in cases
        }
    return Experiment(variants, seeds, controls=(), out=out)


def rewards_of(case: Case, out: Path) -> list[str]:
    """What pays, as on a command line."""
    if case.by_model:
        return [f"model:{out / SCORER}", "answer"]
    return list(DEFAULT_REWARDS)


def make_what_is_shared(cases: Sequence[Case], out: Path) -> None:
    """The trained policy that teaches the untrained one, and the reward model, where a row needs
    them and they are not there yet."""
    out.mkdir(parents=True, exist_ok=True)
    if any(case.method == "distill" for case in cases) and not (out / TEACHER / "policy").exists():
        make_teacher(out)
    if any(case.by_model for case in cases) and not (out / SCORER).exists():
        make_scorer(out)


def make_teacher(out: Path) -> None:
    """The embedded policy after the default run."""
    _one_thread()
    from workbench.config import GRPOConfig
    from workbench.policy import load_policy, save_policy
    from workbench.tasks import load_task
    from workbench.training import start_run

    config = GRPOConfig(seed=100, eval_steps=0, num_eval_problems=200)
    trainer = start_run(
        out / TEACHER,
        policy=load_policy(POLICY, config=config),
        task=load_task(TASK, config.seed),
        config=config,
        resume=is_run_record(out / TEACHER / "run.sqlite"),
    )
    trainer.train()
    # Whole or not at all: what is there is not made again.
    with whole_folder(out / TEACHER / "policy") as draft:
        save_policy(trainer.policy, draft)


def make_scorer(out: Path) -> None:
    """A reward model of kind "outcome" from what the untrained policy samples."""
    _one_thread()
    from workbench.policy import load_policy
    from workbench.rewards import RewardSet
    from workbench.rewards.model import (
        Collecting,
        RewardTraining,
        reward_model_of,
        sample_examples,
        train_reward_model,
    )
    from workbench.rollout import make_engine
    from workbench.tasks import load_task

    policy = load_policy(POLICY)
    task = load_task(TASK, 100)
    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
    how = Collecting(samples=SCORER_SAMPLES, max_completion_length=48, seed=0)
    problems = task.train[:SCORER_PROBLEMS]
    gold = RewardSet(["answer"])
    examples = sample_examples("outcome", policy, engine, task, problems, gold, how)
    model = reward_model_of(policy, "outcome")
    train_reward_model(model, examples, RewardTraining(learning_rate=REWARD_MODEL_RATE))
    model.save(out / SCORER)


def _one_thread() -> None:
    """The embedded policy's matrices are too small to share."""
    import torch

    torch.set_num_threads(1)


def results_of(result: Result) -> list[dict[str, Any]]:
    """Of each finished run: case, seed, the steps that were evaluated, accuracy at each, problems,
    and seconds of a step."""
    return [
        {
            "case": run.variant,
            "seed": run.seed,
            "steps": list(run.steps),
            "accuracy": list(run.curve),
            "problems": run.problems,
            "seconds_per_step": run.seconds_per_step,
        }
        for row in result.rows
        for run in row.outcomes
        if run.value is not None
    ]
