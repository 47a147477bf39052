"""What goes wrong in one process ends the step in all of them, at once and with its name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import digits_reward, weights_of
from safetensors.torch import load_file

from workbench.config import GRPOConfig
from workbench.distributed.team import HelperError, TeamLostError
from workbench.policy import PolicyError, load_policy
from workbench.runs import Run
from workbench.tasks.for_config import load_task_for
from workbench.training import Trainer, start_run
from workbench.training.guard import NotFiniteError
from workbench.training.shared.trainer import HELPER

Make = Callable[..., Trainer]
AT_ONCE = 10
"""Seconds; under load a process needs some to go."""


def flat(weights: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([weights[name].flatten().double() for name in sorted(weights)])


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return float((flat(a) - flat(b)).norm() / flat(a).norm()) < 1e-5


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + AT_ONCE
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat")
            if state.is_file() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_an_error_in_any_process_is_named_and_the_run_goes_on(make: Make) -> None:
    told: list[str] = []

    def reward(completions: Any, **columns: Any) -> list[float]:
        if told:
            raise ValueError(told.pop())
        return digits_reward(completions, **columns)

    one, two = make(1, "one", reward), make(2, "two", reward)
    told.append("the reward has no opinion")
    with pytest.raises(Exception, match="the reward has no opinion"):
        two.step()
    seen = set()
    credit = two.method.credit
    for group in range(3):  # those of the first update

        def poisoned(batch: Any, scored: Any, config: Any, group: int = group) -> torch.Tensor:
            coefficient = credit(batch, scored, config).clone()
            coefficient[group * 4 : group * 4 + 4] = float("nan")
            return coefficient

        two.method.credit = poisoned
        with pytest.raises((NotFiniteError, HelperError)) as found:
            two.step()
        seen.add(type(found.value))
        assert "the loss term is nan" in str(found.value)
        if isinstance(found.value, HelperError):
            assert "process 2 of 2: NotFiniteError: step 1:" in str(found.value)
    assert seen == {NotFiniteError, HelperError}, "each process had one of the groups"
    # Nothing of it is left: the same step is made as if nothing had been.
    two.method.credit = credit
    one.step()
    two.step()
    assert same(weights_of(one), weights_of(two))


def test_a_helper_that_dies_ends_the_step_and_the_next_try_starts_another(make: Make) -> None:
    kill: list[int] = []

    def reward(completions: Any, **columns: Any) -> list[float]:
        if kill:
            os.kill(kill.pop(), signal.SIGKILL)
        return digits_reward(completions, **columns)

    one, two = make(1, "one"), make(2, "two", reward)
    one.train()
    two.train(1)
    kill += helpers_of(os.getpid())
    began = time.monotonic()
    with pytest.raises(TeamLostError, match=r"process 2 of 2 is gone \(exit code -9"):
        two.step()
    assert time.monotonic() - began < AT_ONCE
    two.train()
    assert same(weights_of(one), weights_of(two))
    assert Run.open(two.out).meta.status == "finished"


def test_a_stop_breaks_off_the_rollout_of_all(make: Make) -> None:
    two = make(2, "two", max_completion_length=80, prompts_per_step=64, num_generations=16)
    timer = threading.Timer(0.5, two.cancel)
    began = time.monotonic()
    timer.start()
    two.train()
    assert two.steps_done == 0
    assert time.monotonic() - began < AT_ONCE


def arguments(out: Path, *more: str) -> list[str]:
    settings = ["prompts_per_step=4", "updates_per_rollout=2", "max_completion_length=24"]
    settings += ["num_eval_problems=4"]
    settings += ["save_steps=1", "eval_steps=0"]
    return [
        *("-m", "workbench", "train", "--out", str(out), *more),
        *(word for setting in settings for word in ("--set", setting)),
    ]


def steps_of(out: Path) -> int:
    return Run.open(out).last_step() if (out / "run.sqlite").is_file() else -1


def until_step(out: Path, step: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while steps_of(out) < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def helpers_of(pid: int) -> list[int]:
    command = ["pgrep", "-P", str(pid), "-f", HELPER]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def test_killed_with_two_processes_and_resumed_with_one(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, *arguments(killed, "--steps", "5", "--processes", "2")]
    own_temporary = tmp_path / "temporary"
    own_temporary.mkdir()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"TMPDIR": str(own_temporary)},
    )
    # Its first checkpoint stands when the second step is recorded.
    until_step(killed, 2, process)
    helpers = helpers_of(process.pid)
    assert helpers
    process.kill()
    process.wait()
    assert all(is_gone(pid) for pid in helpers)
    assert not list(own_temporary.glob("workbench-team-*")), "what they met in is gone too"
    config = GRPOConfig.from_dict(Run.open(killed).config)
    for out in (killed, whole):
        trainer = start_run(
            out,
            policy=load_policy("embedded", config=config),
            task=load_task_for(config, "arithmetic"),
            config=config,
            resume=out == killed,
        )
        assert (trainer.steps_done > 0) == (out == killed)
        trainer.train()
    last = "checkpoints/step-000005/weights.safetensors"
    assert same(load_file(whole / last), load_file(killed / last))
    for step in range(1, 6):
        texts = [Run.open(out).samples(step)["completion"].tolist() for out in (whole, killed)]
        assert texts[0] == texts[1], f"step {step}"


def test_torchrun_starts_them_and_a_signal_stops_all(tmp_path: Path) -> None:
    out = tmp_path / "run"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *torchrun, *arguments(out, "--steps", "400")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until_step(out, 2, process)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.communicate(timeout=60)
    assert time.monotonic() - began < 25, "torchrun kills after 30 s"
    run = Run.open(out)
    assert run.meta.status == "stopped"
    assert run.meta.environment["processes"] == 2
    assert (out / "checkpoints" / f"step-{run.last_step():06d}").is_dir()


def test_a_base_that_the_others_cannot_read_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    config = GRPOConfig(lora_rank=4, num_eval_problems=2, max_completion_length=8)
    policy = load_policy(tiny_folder, config=config)
    frozen = next(p for p in policy.model.parameters() if not p.requires_grad)
    frozen.data.mul_(1.01)
    out = tmp_path / "run"
    with pytest.raises(PolicyError, match="read other weights from"):
        start_run(
            out,
            policy=policy,
            task=load_task_for(config, "arithmetic"),
            config=config,
            processes=2,
        )
    assert not out.exists()
    assert not helpers_of(os.getpid())
