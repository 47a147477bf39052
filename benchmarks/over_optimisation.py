"""A policy trained on a reward model for too long, with and without retraining it: the proxy's
reward, and the gold one that is only watched.

    python benchmarks/over_optimisation.py [--seeds 3] [--steps 40] [--learning-rate 2e-4]
        [--temperature 1] [--out FILE.json]

The reward model is trained on pairs of 24 problems, which is too few on purpose; there is no KL.
grpo: the model stays as it is. iterative_grpo: it is trained further
every five steps on what the policy has sampled since, with a tenth of older answers (Algorithm 1 of
DeepSeekMath), its labels from the gold answers. One thread, one run after another.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import torch

from workbench.config import ConfigWarning, GRPOConfig
from workbench.doctor import diagnose
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.rewards.model import (
    EMBEDDED_LEARNING_RATE,
    Collecting,
    RewardModel,
    RewardTraining,
    reward_model,
    reward_model_of,
    sample_examples,
    train_reward_model,
)
from workbench.rollout import make_engine
from workbench.runs import Run
from workbench.runs.environment import describe_environment
from workbench.tasks import load_task
from workbench.training import start_run

PROBLEMS = 24
WINDOW = 10
"""Steps of the means at the beginning and at the end."""
ITERATION = 5
"""Steps between two retrainings."""


def make_proxy(seed: int) -> RewardModel:
    """A reward model from pairs of few problems."""
    policy = load_policy("embedded")
    task = load_task("arithmetic", seed)
    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
    how = Collecting(samples=8, temperature=1.3, seed=seed)
    problems = task.train[:PROBLEMS]
    pairs = sample_examples("pairs", policy, engine, task, problems, RewardSet(["answer"]), how)
    made = reward_model_of(policy, "pairs", seed=seed)
    training = RewardTraining(learning_rate=EMBEDDED_LEARNING_RATE, seed=seed)
    train_reward_model(made, pairs, training)
    return made


def run(method: str, proxy: RewardModel, seed: int, args: argparse.Namespace) -> dict:
    """One training; its curves, and what the doctor says of it."""
    config = GRPOConfig(
        seed=seed,
        max_steps=args.steps,
        beta=0.0,
        temperature=args.temperature,
        learning_rate=args.learning_rate,
        lr_scheduler_type="constant",
        reward_weights=(1.0, 0.0),
        num_eval_problems=200,
        eval_steps=0,
    )
    changes = {}
    if method == "iterative_grpo":
        changes = dict(ref_model_sync_steps=ITERATION, reward_model_learning_rate=5e-4)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        trainer = start_run(
            Path(place) / "run",
            policy=load_policy("embedded"),
            task=load_task("arithmetic", seed),
            # Each run has its own copy, which retraining changes.
            rewards=RewardSet([reward_model(copy.deepcopy(proxy), name="proxy"), "answer"]),
            config=config.with_method(method, **changes),
        )
        trainer.train()
        record = Run.open(Path(place) / "run")
        curves = record.steps()
        accuracy = record.evaluations()["accuracy"].tolist()
        findings = [finding.key for finding in diagnose(record)]
    gold = curves["rewards/answer_reward"]
    proxy_reward = curves["rewards/proxy"]
    result = {
        "method": method,
        "seed": seed,
        "gold_first": float(gold.iloc[:WINDOW].mean()),
        "gold_last": float(gold.iloc[-WINDOW:].mean()),
        "proxy_first": float(proxy_reward.iloc[:WINDOW].mean()),
        "proxy_last": float(proxy_reward.iloc[-WINDOW:].mean()),
        "gold": [round(float(value), 4) for value in gold],
        "proxy": [round(float(value), 4) for value in proxy_reward],
        "accuracy": accuracy,
        "findings": findings,
        "seconds": round(time.monotonic() - started, 1),
    }
    print(
        f"seed {seed} {method}: gold {result['gold_first']:.2f} -> {result['gold_last']:.2f}, "
        f"proxy {result['proxy_first']:.2f} -> {result['proxy_last']:.2f}, held-out accuracy "
        f"{accuracy[0]:.1%} -> {accuracy[-1]:.1%}, doctor: {', '.join(findings)}",
        flush=True,
    )
    return result


def main() -> None:
    """Run, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConfigWarning)
    results = []
    for seed in range(args.seeds):
        proxy = make_proxy(seed)
        results += [run(name, proxy, seed, args) for name in ("grpo", "iterative_grpo")]
    if args.out:
        asked = {name: value for name, value in vars(args).items() if name != "out"}
        about = asked | {
            "date": datetime.now(UTC).date().isoformat(),
            "cpu": describe_environment()["cpu"],
        }
        args.out.write_text(json.dumps(about | {"runs": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
