"""The default run beside TRL 1.16: seconds per rollout batch and peak memory, measured in turns.

Same weights, prompts, G, lengths, updates per rollout, beta, optimizer, dtype and thread count.
Each measurement is a process of its own; the contenders take turns (A B A B ...) and the order is
turned round half-way, so that whatever else the machine does hits both. A contender's figure is the
median of its steps after the warm-up; the ratio is paired.

    python benchmarks/against_trl.py [--rounds 4] [--steps 8] [--threads 1]
        [--policy embedded] [--out results/FILE.json]

On a machine with a CUDA GPU both contenders run there, float32 weights with bfloat16 arithmetic
(autocast) on either side, and the peak is that of torch's allocator.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from itertools import pairwise
from pathlib import Path

WARM_UP = 2
PROMPTS, GROUP, LENGTH, UPDATES, BETA, RATE = 16, 8, 48, 4, 0.005, 2e-4


def device_name() -> str:
    """The GPU that both contenders use, or what the CPU calls itself."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    return platform.processor() or platform.machine()


def peak_mb() -> float:
    """torch's highest allocation on the GPU, else VmHWM of this process, in MB."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    return int(line.split()[1]) / 1024


def run_workbench(policy_name: str, steps: int) -> dict:
    """Seconds of each step of the workbench's trainer."""
    from workbench.config import GRPOConfig
    from workbench.policy import load_policy
    from workbench.tasks import load_task
    from workbench.training import start_run

    config = GRPOConfig(
        prompts_per_step=PROMPTS,
        num_generations=GROUP,
        max_completion_length=LENGTH,
        updates_per_rollout=UPDATES,
        beta=BETA,
        learning_rate=RATE,
        max_steps=steps + 1,
        eval_steps=0,
        num_eval_problems=1,
        save_steps=10_000,
    )
    with tempfile.TemporaryDirectory() as out:
        trainer = start_run(
            out, policy=load_policy(policy_name), task=load_task("arithmetic"), config=config
        )
        seconds, rewards, tokens, phases = [], [], [], []
        for _ in range(steps):
            start = time.perf_counter()
            record = trainer.step()
            seconds.append(time.perf_counter() - start)
            rewards.append(record.metrics["reward"])
            tokens.append(record.metrics["tokens"])
            phases.append({k: v for k, v in record.metrics.items() if k.startswith("seconds/")})
    return {"seconds": seconds, "reward": rewards, "tokens": tokens, "phases": phases[-1]}


def run_trl(policy_name: str, steps: int) -> dict:
    """Seconds between two rollout batches of TRL's trainer, everything of a batch included."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from workbench.policy import load_policy
    from workbench.rewards import answer_reward, format_reward
    from workbench.tasks import load_task

    policy, task = load_policy(policy_name), load_task("arithmetic")
    rows = [
        {"prompt": task.messages(p), "answer": p.answer}
        for p in (task.train[i] for i in task.draw(0, PROMPTS * (steps + 2), 0))
    ]
    policy.tokenizer.padding_side = "left"
    on_gpu = torch.cuda.is_available()
    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step % UPDATES == 0:
                marks.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as out:
        args = GRPOConfig(
            output_dir=out,
            use_cpu=not on_gpu,
            bf16=on_gpu,
            per_device_train_batch_size=PROMPTS * GROUP // UPDATES,
            gradient_accumulation_steps=1,
            steps_per_generation=UPDATES,
            num_generations=GROUP,
            max_completion_length=LENGTH,
            beta=BETA,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            adam_beta2=0.99,
            max_steps=UPDATES * steps,
            temperature=1.0,
            report_to=[],
            logging_steps=UPDATES,
            save_strategy="no",
            gradient_checkpointing=False,
            disable_tqdm=True,
            shuffle_dataset=False,
            dataloader_pin_memory=False,
        )
        trainer = GRPOTrainer(
            model=policy.model,
            reward_funcs=[format_reward, answer_reward],
            args=args,
            train_dataset=Dataset.from_list(rows),
            processing_class=policy.tokenizer,
            callbacks=[Clock()],
        )
        marks.append(time.perf_counter())
        trainer.train()
    rewards = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    return {"seconds": [b - a for a, b in pairwise(marks)], "reward": rewards}


def child(contender: str, policy: str, steps: int, threads: int) -> None:
    """One measurement, printed as the last line."""
    import torch

    torch.set_num_threads(threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    result = (run_workbench if contender == "workbench" else run_trl)(policy, steps)
    print(json.dumps(result | {"peak_mb": peak_mb()}))


def measure(contender: str, args: argparse.Namespace) -> dict:
    """A child process of its own."""
    command = [
        sys.executable,
        __file__,
        "--child",
        contender,
        "--policy",
        args.policy,
        "--steps",
        str(args.steps),
        "--threads",
        str(args.threads),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{contender} failed:\n{done.stderr[-3000:]}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    result["median"] = statistics.median(result["seconds"][WARM_UP:])
    print(
        f"{contender:10} {result['median']:.3f} s a batch, peak {result['peak_mb']:.0f} MB, "
        f"reward {statistics.mean(result['reward']):.3f}",
        flush=True,
    )
    return result


def versions() -> dict[str, str]:
    """What was measured, on what."""
    from importlib.metadata import version

    names = ("torch", "transformers", "trl")
    return {n: version(n) for n in names} | {
        "python": platform.python_version(),
        "machine": device_name(),
    }


def main() -> None:
    """Measure in turns, print and keep the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--policy", default="embedded")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", choices=("workbench", "trl"))
    args = parser.parse_args()
    if args.child:
        child(args.child, args.policy, args.steps, args.threads)
        return
    load_before = os.getloadavg()
    pairs = []
    for i in range(args.rounds):
        order = ("workbench", "trl") if i < args.rounds / 2 else ("trl", "workbench")
        pairs.append({name: measure(name, args) for name in order})
    ratios = sorted(p["trl"]["median"] / p["workbench"]["median"] for p in pairs)
    memory = sorted(p["trl"]["peak_mb"] / p["workbench"]["peak_mb"] for p in pairs)
    print(
        f"TRL / workbench: time {statistics.median(ratios):.2f} ({ratios[0]:.2f} to "
        f"{ratios[-1]:.2f}), peak memory {statistics.median(memory):.2f}; {args.threads} "
        f"thread(s), load before {load_before[0]:.2f}"
    )
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        result = {
            "date": date.today().isoformat(),
            "threads": args.threads,
            "load_before": load_before,
            "versions": versions(),
            "policy": args.policy,
            "time_ratio": ratios,
            "memory_ratio": memory,
            "pairs": pairs,
        }
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
