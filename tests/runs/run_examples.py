"""Step records for the tests: everything in them follows from the step, so that a record read back
can be checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from workbench.runs import (
    Evaluation,
    Event,
    KnobChange,
    Run,
    RunWriter,
    Samples,
    StepRecord,
    TokenArrays,
)

REWARDS = ["format_reward", "answer_reward"]
CONFIG = {
    "beta": 0.005,
    "epsilon": 0.2,
    "loss_type": "dapo",
    "num_generations": 3,
    "seed": 7,
    "advantage_std": "sample",
}
HOSTILE = [
    "plain",
    "",
    "NUL \x00 inside",
    "lone \ud800 surrogate \udfff",
    "bidi ‮evil‬ zero​width",
    "<script>alert(1)</script> & \x1b[31mansi\x1b[0m",
    "x" * 100_000,
    "😀 👩‍👩‍👧 é",
    "'; DROP TABLE steps; --",
]


def lengths_of(step: int, rows: int = 6) -> np.ndarray:
    """Row lengths that change with the step; some are 0."""
    return ((np.arange(rows) * 7 + step * 3) % 11).astype(np.int32)


def flat_floats(step: int, size: int) -> np.ndarray:
    """Log-probabilities of a step, with a NaN and an infinity."""
    values = -np.random.default_rng(step).exponential(size=size).astype(np.float32)
    values[:2] = [np.nan, -np.inf][: min(2, size)]
    return values


def example_samples(step: int, groups: int = 2, generations: int = 3) -> Samples:
    """Two groups of three, the second one dead; one reward is not scored."""
    rows = groups * generations
    rewards_BK = np.stack([np.arange(rows) % 2, np.arange(rows) / 4 + step], axis=1)
    rewards_BK[1, 0] = np.nan
    return Samples(
        num_generations=generations,
        problem_ids=[f"problem-{step}-{i}" for i in range(groups)],
        prompts=[f"What is {i} + {step}?" for i in range(groups)],
        gold_answers=[str(step), *[None] * (groups - 1)],
        completions=[HOSTILE[(step + i) % len(HOSTILE)] for i in range(rows)],
        rewards_BK=rewards_BK,
        reward_B=np.nansum(rewards_BK, axis=1),
        advantage_B=np.linspace(-1, 1, rows) * step,
        baseline_B=np.repeat([0.5, np.nan], generations)[:rows],
        length_B=lengths_of(step, rows),
        truncated_B=np.arange(rows) % 3 == 0,
        dead_N=[i == groups - 1 for i in range(groups)],
    )


def example_tokens(step: int, rows: int = 6) -> TokenArrays:
    """Ids and two float arrays for the rows of `example_samples`."""
    lengths_B = lengths_of(step, rows)
    size = int(lengths_B.sum())
    ids = (np.arange(size) * 5 + step) % 97
    return TokenArrays(
        lengths_B, ids, {"old_logp": flat_floats(step, size), "logp": flat_floats(-step % 97, size)}
    )


def example_step(step: int) -> StepRecord:
    """A step with one of everything."""
    return StepRecord(
        step=step,
        metrics={
            "reward": step / 10,
            "kl": float("nan"),
            "grad_norm": float("inf"),
            "seconds/rollout": 0.25,
        },
        samples=example_samples(step),
        tokens=example_tokens(step),
        knobs=[KnobChange("beta", 0.005, step / 100, who="slider", time=5.0)] if step % 2 else [],
        evaluations=[Evaluation("heldout", 200, step % 200, 0.1, 0.9, {"pass@8": 0.5}, 6.0)]
        if step % 5 == 0
        else [],
        events=[Event("checkpoint", f"saved {step}", {"bytes": step}, 7.0)],
        time=1000.0 + step,
    )


def pieces(ids: Any) -> list[str]:
    """Token texts, some of them hostile."""
    return [f"t{i}" if i % 2 else HOSTILE[i % 6] for i in ids]


def new_run(path: Path, steps: int = 0, **changes: Any) -> RunWriter:
    """A writer of a run that has so many example steps."""
    facts: dict[str, Any] = {
        "config": CONFIG,
        "name": "example",
        "policy": "embedded",
        "task": "arithmetic",
    }
    writer = RunWriter.create(
        path, **(facts | {"reward_names": REWARDS, "pieces": pieces} | changes)
    )
    for step in range(1, steps + 1):
        writer.write_step(example_step(step))
    return writer


def stored_run(path: Path, steps: int = 3, **changes: Any) -> Run:
    """A finished run with so many example steps."""
    new_run(path, steps, **changes).finish()
    return Run.open(path)


def assert_whole(run: Run, last: int) -> None:
    """The run has exactly the example steps 1 to `last`, each complete and right."""
    assert run.steps()["step"].tolist() == list(range(1, last + 1))
    assert run.knobs()["step"].tolist() == [s for s in range(1, last + 1) if s % 2]
    assert run.evaluations()["step"].tolist() == [s for s in range(1, last + 1) if s % 5 == 0]
    events = run.events()
    assert events[events["kind"] == "checkpoint"]["step"].tolist() == list(range(1, last + 1))
    for step in range(1, last + 1):
        batch, expected = run.batch(step), example_tokens(step)
        assert (batch["lengths_B"] == expected.lengths).all()
        assert (batch["ids_BT"][batch["mask_BT"]] == expected.ids).all()
        for name, values in expected.floats.items():
            assert batch[f"{name}_BT"][batch["mask_BT"]].tobytes() == values.tobytes()
        assert run.samples(step)["completion"].tolist() == example_samples(step).completions
