"""The preset "steering": its knobs bite within a few steps, which those of the default run do not.

How far, over seeds and with intervals, says `benchmarks/steering.py`; here the direction, on one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.tasks import load_task
from workbench.training import start_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
MOVED_BEFORE, STEPS = 3, 7
MOVES: dict[str, dict[str, float]] = {
    "left alone": {},
    "wide": {"epsilon": 0.2},
    "held": {"beta": 5.0},
}


def steps_of(folder: Path, moved: dict[str, float]) -> list[dict[str, Any]]:
    config = GRPOConfig.preset("steering", max_steps=STEPS, eval_steps=0, num_eval_problems=8)
    trainer = start_run(
        folder,
        policy=load_policy("embedded", config=config, device="cpu"),
        task=load_task("arithmetic", seed=0),
        config=config,
    )
    found = []
    for step in range(1, STEPS + 1):
        if step == MOVED_BEFORE and moved:
            trainer.knobs.set(**moved)
        found.append(dict(trainer.step().metrics))
    return found


def mean(steps: list[dict[str, Any]], figure: str) -> float:
    return sum(step[figure] for step in steps) / len(steps)


def test_epsilon_shows_in_the_next_step_and_beta_within_five(tmp_path: Path) -> None:
    runs = {name: steps_of(tmp_path / name, moved) for name, moved in MOVES.items()}
    before = {name: [step["kl"] for step in run[: MOVED_BEFORE - 1]] for name, run in runs.items()}
    assert before["left alone"] == before["wide"] == before["held"]

    alone = runs["left alone"]
    assert 0.02 <= mean(alone[:3], "clip_ratio_region") <= 0.06
    moved = MOVED_BEFORE - 1
    assert runs["wide"][moved]["clip_ratio_region"] < 0.8 * alone[moved]["clip_ratio_region"]
    assert mean(runs["held"][moved:], "kl") < 0.5 * mean(alone[moved:], "kl")
    # How hard beta pulls is seen at once; how far the policy has gone only in time.
    shares = {name: run[moved]["kl_gradient_share"] for name, run in runs.items()}
    assert shares["held"] > 10 * shares["left alone"] > 0
    assert mean(alone[-3:], "reward") > mean(alone[:3], "reward"), "and it still learns"
