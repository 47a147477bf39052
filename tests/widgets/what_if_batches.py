"""Kept batches for the tests of the what-if: made by hand, or by a real trainer on a tiny
policy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from workbench.config import GRPOConfig


def by_hand(**changes: Any) -> dict[str, Any]:
    """What `Run.batch` gives, for one group of two completions of 2 and 1 tokens, one update, no
    KL.

    Ratios: 1.5 and 1.0 in the first row (A = +1/sqrt(2) up to the 1e-4 of the std), 0.5 in the
    second (A negative).
    """
    config = GRPOConfig(
        loss_type="grpo",
        beta=0.0,
        num_generations=4,
        prompts_per_step=1,
        updates_per_rollout=1,
        num_iterations=2,
        max_completion_length=4,
    )
    old_BT = np.array([[-1.0, -2.0], [-1.5, 0.0]], np.float32)
    log_ratio_BT = np.array([[math.log(1.5), 0.0], [math.log(0.5), 0.0]], np.float32)
    stored = {
        "ids_BT": np.array([[5, 6], [7, 0]], np.int32),
        "mask_BT": np.array([[True, True], [True, False]]),
        "lengths_B": np.array([2, 1], np.int32),
        "old_logp_BT": old_BT,
        "logp_BT": old_BT + log_ratio_BT,
        "rewards_BK": np.array([[1.0], [0.0]]),
        "reward_B": np.array([1.0, 0.0]),
        "advantages_B": np.array([A, -A]),
        "baseline_B": np.array([0.5, 0.5]),
        "truncated_B": np.array([False, False]),
        "num_generations": 2,
        "reward_names": ["r"],
        "config": config.to_dict() | {"num_generations": 2},
    }
    settings = stored["config"] | changes.pop("config", {})
    return {
        name: v for name, v in (stored | changes | {"config": settings}).items() if v is not None
    }


A = 0.5 / (math.sqrt(0.5) + 1e-4)


def trained(tiny_folder: Path, out: Path, steps: int = 1, **changes: Any) -> Any:
    """A run made by the real trainer on a tiny random policy, and the records that its steps
    returned."""
    from workbench.policy import load_policy
    from workbench.rewards import RewardSet
    from workbench.runs import Run
    from workbench.tasks.arithmetic import arithmetic_task
    from workbench.training import start_run

    small = dict(
        prompts_per_step=4,
        num_generations=4,
        max_completion_length=8,
        max_steps=6,
        eval_steps=0,
        save_steps=6,
        num_eval_problems=2,
        learning_rate=3e-3,
    )
    config = GRPOConfig(**(small | changes))
    trainer = start_run(
        out,
        policy=load_policy(tiny_folder, seed=0),
        task=arithmetic_task(0, 64, 16),
        rewards=RewardSet(length_reward),
        config=config,
    )
    records = [trainer.step() for _ in range(steps)]
    return Run.open(out), records


def length_reward(completions: Any, **columns: Any) -> list[float]:
    """The length of the text modulo 5: with a random policy hardly a group is dead."""
    return [len(c[0]["content"]) % 5 / 5 for c in completions]
