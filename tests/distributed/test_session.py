"""A session with two processes is steered, paused, branched and freed as any other."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import digits_reward, weights_of

from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training.session import Session


def session(folder: Path, out: Path, processes: int) -> Session:
    config = GRPOConfig(
        prompts_per_step=4,
        num_generations=4,
        max_completion_length=8,
        max_steps=4,
        eval_steps=0,
        save_steps=2,
        num_eval_problems=4,
        learning_rate=1e-5,
    )
    task = arithmetic_task(0, 64, 16)
    policy = load_policy(folder)
    return Session(policy, task, RewardSet(digits_reward), config, out=out, processes=processes)


def test_a_session_of_two_processes(tiny_folder: Path, tmp_path: Path) -> None:
    one, two = (session(tiny_folder, tmp_path / f"run-{n}", n) for n in (1, 2))
    for each in (one, two):
        each.step(2).wait()
        each.set(beta=0.1, epsilon=0.3)
        each.step().wait()
    branches = [each.branch("branch", from_step=2, temperature=0.9) for each in (one, two)]
    for each in branches:
        each.wait()
        each.start().wait()
        assert each.status == "finished"
    for each in (one, two):
        # Its model has the weights of the branch now, in both processes.
        each.start().wait()
        assert each.status == "finished"
    for a, b in ((one, two), tuple(branches)):
        for step in range(1, 5):
            texts = [each.run.samples(step)["completion"].tolist() for each in (a, b)]
            assert texts[0] == texts[1], f"step {step}"
        assert list(a.run.steps()["kl"]) == pytest.approx(list(b.run.steps()["kl"]), rel=1e-2)
    mine, theirs = weights_of(one.trainer), weights_of(two.trainer)
    for name, weights in mine.items():
        assert float((weights - theirs[name]).abs().max()) < 1e-5
    two.free()
    assert two.trainer is None
