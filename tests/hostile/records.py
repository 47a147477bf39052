"""Records with a hostile text in every field that holds one, as an attacker would send them.

Written through the record's own writer, so what it refuses is known; `tests/runs/crafted.py` has
those that nobody's writer makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from workbench.config import GRPOConfig
from workbench.runs import (
    Answered,
    Evaluation,
    Event,
    Figure,
    KnobChange,
    Run,
    RunWriter,
    SampledEvaluation,
    Samples,
    StepRecord,
    TokenArrays,
)

FIELDS = (
    *("name", "policy", "task", "reward_name", "setting", "environment", "piece", "knob", "who"),
    *("knob_value", "metric", "split", "event_kind", "event", "event_data", "problem_id"),
    *("prompt", "gold", "completion", "sampled_split", "judge", "grouping", "label", "figure"),
    *("question", "answer", "kind", "greedy", "sample", "subject", "level", "asked", "reason"),
)
"""Every text of a record."""
GROUP = 4
PROMPTS = 2


def utf8(text: str) -> str:
    """The text without lone surrogates: a record takes them in texts of a policy or of data alone,
    and its writer refuses them elsewhere."""
    return text.encode("utf-8", "ignore").decode()


def hostile_run(folder: Path, texts: Sequence[str], steps: int = 3) -> Run:
    """A finished run whose every field holds texts of `texts`, in turn; each step has others."""
    turn = cycle(texts)

    def one() -> str:
        return next(turn)

    config = GRPOConfig(
        prompts_per_step=PROMPTS,
        num_generations=GROUP,
        updates_per_rollout=2,
        max_steps=steps,
        max_completion_length=8,
    )
    vocabulary = [one() for _ in range(64)]
    names = _different([utf8(one()) for _ in range(2)])
    with RunWriter.create(
        folder,
        config=config.to_dict() | {"own": utf8(one()), utf8(one()): 1},
        name=utf8(one()),
        policy=utf8(one()),
        task=utf8(one()),
        reward_names=names,
        pieces=lambda ids: [vocabulary[i] for i in ids],
    ) as writer:
        writer.add_to_environment(device=utf8(one()), fault=utf8(one()), host=utf8(one()))
        for step in range(1, steps + 1):
            writer.write_step(_step(step, one, names))
        writer.write_sampled_evaluation(steps, _sampled(one))
        writer.finish("failed", utf8(one()))
    return Run.open(folder)


def _different(names: list[str]) -> list[str]:
    return [f"{name}{i}" for i, name in enumerate(names)]


def _step(step: int, one, names: Sequence[str]) -> StepRecord:
    size = PROMPTS * GROUP
    lengths = np.full(size, 8)
    ids = (np.arange(size * 8) + step) % 64
    logp = -np.linspace(0.1, 3, size * 8)
    rewards = np.random.default_rng(step).integers(0, 2, (size, len(names))).astype(float)
    total = rewards.sum(1)
    advantage = total - total.reshape(PROMPTS, GROUP).mean(1).repeat(GROUP)
    metrics = {"reward": float(total.mean()), "kl": 0.1 * step, "reward_std": 0.5}
    metrics |= {f"rewards/{name}/mean": 0.5 for name in names}
    return StepRecord(
        step=step,
        metrics=metrics | {utf8(one()): 1.0},
        samples=Samples(
            num_generations=GROUP,
            problem_ids=[one() for _ in range(PROMPTS)],
            prompts=[one() for _ in range(PROMPTS)],
            gold_answers=[one() for _ in range(PROMPTS)],
            completions=[one() for _ in range(size)],
            rewards_BK=rewards,
            reward_B=total,
            advantage_B=advantage,
            baseline_B=total - advantage,
            length_B=lengths,
            truncated_B=np.zeros(size, bool),
            dead_N=np.zeros(PROMPTS, bool),
        ),
        tokens=TokenArrays(
            lengths, ids, {"old_logp": logp, "logp": logp * 1.01, "ref_logp": logp * 0.99}
        ),
        knobs=[KnobChange(utf8(one()), utf8(one()), utf8(one()), who=utf8(one()))],
        evaluations=[Evaluation(utf8(one()), 10, 5, 0.2, 0.8, {utf8(one()): utf8(one())})],
        events=[Event(utf8(one()), utf8(one()), {utf8(one()): utf8(one())})],
    )


def _sampled(one) -> SampledEvaluation:
    figures = [
        Figure(judge, grouping, label, figure, 0.5, 0.3, 0.7, 4)
        for judge in ("strict", "lenient")
        for grouping, label in (("all", ""), ("kind", utf8(one())), ("subject", utf8(one())))
        for figure in ("greedy", "mean@2", "maj@2", "pass@2")
    ]
    figures.append(Figure(utf8(one()), utf8(one()), utf8(one()), utf8(one()), 0.5, 0.3, 0.7, 4))
    answers = [
        Answered(i, one(), one(), utf8(one()), one(), [one(), one()], utf8(one()), utf8(one()))
        for i in range(3)
    ]
    asked = {"samples": 2, "temperature": 1.0, utf8(one()): utf8(one())}
    return SampledEvaluation(utf8(one()), figures, answers, asked)
