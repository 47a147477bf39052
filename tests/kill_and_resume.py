"""Kills small training runs with SIGKILL at random moments, resumes them, and compares with the
uninterrupted run.

    python tests/kill_and_resume.py --kills 200 [--seed 0]

Every run must come to its end, with each step in the record once, and with weights that are bitwise
those of the same run left alone. A child is forked after the imports, so that a life is short and
kills fall everywhere: into the first evaluation, between record and checkpoint, into the middle of
a file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from helpers import digits_reward
from safetensors.torch import load_file

from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.runs import Run
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import checkpoints, start_run

STEPS = 12


def life(policy_folder: Path, out: Path, seed: int) -> None:
    """One process: go on from wherever the run is, to its end."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    config = GRPOConfig(
        prompts_per_step=4,
        num_generations=4,
        max_completion_length=8,
        max_steps=STEPS,
        eval_steps=4,
        save_steps=2,
        num_eval_problems=8,
        learning_rate=1e-3,
        beta=0.05,
        seed=seed,
    )
    trainer = start_run(
        out,
        policy=load_policy(policy_folder),
        task=arithmetic_task(seed, 64, 16),
        rewards=RewardSet(digits_reward),
        config=config,
        resume=True,
    )
    trainer.train()


def start(*args: object) -> multiprocessing.process.BaseProcess:
    """A life in a forked child."""
    process = multiprocessing.get_context("fork").Process(target=life, args=args)
    process.start()
    return process


def killed_run(
    policy_folder: Path, out: Path, seed: int, longest: float, budget: int, dice: random.Random
) -> int:
    """Live and kill until the run is done; returns the number of kills."""
    kills = 0
    while True:
        process = start(policy_folder, out, seed)
        process.join(dice.uniform(0, longest) if kills < budget else 300)
        if not process.is_alive():
            if process.exitcode != 0:
                raise SystemExit(
                    f"seed {seed}: a resumed run ended with exit code {process.exitcode} "
                    f"after {kills} kills"
                )
            return kills
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1


def final_weights(out: Path) -> dict[str, torch.Tensor]:
    """The weights of the last checkpoint."""
    return load_file(checkpoints.folder_of(out / "checkpoints", STEPS) / "weights.safetensors")


def check(alone: Path, killed: Path, seed: int) -> None:
    """Exits with a message when the killed run is not the uninterrupted one."""
    steps = Run.open(killed).steps().step.tolist()
    if steps != list(range(1, STEPS + 1)):
        raise SystemExit(f"seed {seed}: the record holds the steps {steps}")
    a, b = final_weights(alone), final_weights(killed)
    if a.keys() != b.keys() or not all(torch.equal(a[name], b[name]) for name in a):
        raise SystemExit(f"seed {seed}: the final weights differ")
    left, right = Run.open(alone), Run.open(killed)
    for step in steps:
        if left.samples(step).completion.tolist() != right.samples(step).completion.tolist():
            raise SystemExit(f"seed {seed}: the completions of step {step} differ")


def campaign(policy_folder: Path, kills: int, seed: int) -> tuple[int, int]:
    """Kill until `kills` are spent; returns kills and runs."""
    dice, done, runs = random.Random(seed), 0, 0
    while done < kills:
        with tempfile.TemporaryDirectory() as place:
            alone, killed = Path(place, "alone"), Path(place, "killed")
            began = time.monotonic()
            process = start(policy_folder, alone, runs)
            process.join()
            longest = (time.monotonic() - began) * 0.8
            done += killed_run(policy_folder, killed, runs, longest, kills - done, dice)
            check(alone, killed, runs)
        runs += 1
    return done, runs


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--policy", type=Path, required=True, help="folder of a tiny policy")
    args = parser.parse_args()
    began = time.monotonic()
    done, runs = campaign(args.policy, args.kills, args.seed)
    print(
        f"{done} kills, {runs} runs, all resumed to the uninterrupted run's weights, "
        f"{time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
