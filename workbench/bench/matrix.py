"""Running the matrix: every row with every seed, each a run of its own with its record, so that a
broken-off matrix goes on where it was."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.bench.cases import REWARD_MODEL_RATE, Case, config_of
from workbench.config import ConfigWarning
from workbench.runs import Run, is_run_record

POLICY, TASK = "embedded", "arithmetic"
TEACHER, SCORER = "teacher", "reward-model"
"""Folders of what several rows need."""
SCORER_PROBLEMS, SCORER_SAMPLES = 200, 8
"""What the reward model is trained on: so many problems, with so many completions each."""


@dataclass(frozen=True)
class Job:
    """One run of the matrix."""

    case: Case
    seed: int
    out: Path
    """Folder of the matrix."""
    steps: int
    problems: int

    @property
    def folder(self) -> Path:
        """Of its run."""
        return self.out / f"{self.case.name}-seed{self.seed}-steps{self.steps}"

    @property
    def is_done(self) -> bool:
        """Whether its record is whole."""
        return is_done(self.folder)


def is_done(folder: Path) -> bool:
    """Whether a finished run lies in `folder`."""
    if not is_run_record(folder / "run.sqlite"):
        return False
    return Run.open(folder).meta.status == "finished"


def jobs_of(cases: Sequence[Case], seeds: int, out: Path, steps: int, problems: int) -> list[Job]:
    """All runs, the seeds of a row side by side."""
    return [Job(case, seed, out, steps, problems) for case in cases for seed in range(seeds)]


def run_matrix(
    jobs: Sequence[Job], processes: int, on_done: Callable[[int, int, str], None]
) -> None:
    """Make what is not done yet, in so many processes; `on_done` is told how many of how many runs
    are made, and which one just was. What a run raises ends the matrix; finished runs stay."""
    left = [job for job in jobs if not job.is_done]
    done = len(jobs) - len(left)
    on_done(done, len(jobs), "")
    for name in _made_in(left, processes):
        done += 1
        on_done(done, len(jobs), name)


def _made_in(jobs: Sequence[Job], processes: int) -> Iterator[str]:
    """The names of the runs as they end."""
    if not jobs:
        return
    make_what_is_shared(jobs)
    # Fresh processes: a forked one would inherit torch's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting: set[Future[str]] = {pool.submit(run_job, job) for job in jobs}
        try:
            while waiting:
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield future.result()
        finally:
            for future in waiting:
                future.cancel()


def run_job(job: Job) -> str:
    """Make one run, or go on with it; returns its folder's name."""
    _quiet()
    from workbench.policy import load_policy
    from workbench.rewards import Rewards, RewardSet, shuffled
    from workbench.tasks import load_task
    from workbench.training import start_run

    config = config_of(job.case, job.seed, job.steps, job.problems, job.out / TEACHER / "policy")
    rewards: Rewards = RewardSet(rewards_of(job.case, job.out))
    if job.case.shuffled:
        rewards = shuffled(rewards, job.seed)  # type: ignore[arg-type]
    trainer = start_run(
        job.folder,
        policy=load_policy(POLICY, config=config),
        task=load_task(TASK, job.seed),
        rewards=rewards,
        config=config,
        resume=is_run_record(job.folder / "run.sqlite"),
    )
    trainer.train()
    trainer.engine.free()
    return job.folder.name


def rewards_of(case: Case, out: Path) -> list[str]:
    """What pays, as on a command line."""
    if case.by_model:
        return [f"model:{out / SCORER}", "answer"]
    return ["format", "answer"]


def make_what_is_shared(jobs: Sequence[Job]) -> None:
    """The trained policy that teaches the untrained one, and the reward model, where a row needs
    them and they are not there yet."""
    out = jobs[0].out
    if (
        any(job.case.method == "distill" for job in jobs)
        and not (out / TEACHER / "policy").exists()
    ):
        make_teacher(out)
    if any(job.case.by_model for job in jobs) and not (out / SCORER).exists():
        make_scorer(out)


def make_teacher(out: Path) -> None:
    """The embedded policy after the default run."""
    _quiet()
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
    save_policy(trainer.policy, out / TEACHER / "policy")


def make_scorer(out: Path) -> None:
    """A reward model of kind "outcome" from what the untrained policy samples."""
    _quiet()
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


def _quiet() -> None:
    """One thread, since the embedded policy's matrices are too small to share; what a method means
    by its settings needs no warning here."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConfigWarning)


def results_of(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Of each finished run: case, seed, the steps that were evaluated, accuracy at each, problems,
    and seconds of a step."""
    return [_result(job) for job in jobs if job.is_done]


def _result(job: Job) -> dict[str, Any]:
    run = Run.open(job.folder)
    evaluations = run.evaluations()
    return {
        "case": job.case.name,
        "seed": job.seed,
        "steps": [int(step) for step in evaluations["step"]],
        "accuracy": [float(value) for value in evaluations["accuracy"]],
        "problems": int(evaluations["n"].iloc[-1]),
        "seconds_per_step": float(run.steps()["seconds/step"].median()),
    }
