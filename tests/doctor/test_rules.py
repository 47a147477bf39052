"""Every rule of the doctor: a constructed run that triggers it, and one close to it that must
not."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import in_one_test
from made_runs import evaluation_of, make_run

from workbench.config import METHODS, GRPOConfig
from workbench.doctor import Finding, diagnose, rules
from workbench.doctor.finding import ACCURACY, Branch
from workbench.doctor.rules import (
    RULES,
    Rule,
    completions,
    consistency,
    groups,
    imported,
    methods,
    objective,
    optimizer,
    over_optimisation,
    reward_parts,
    rewards,
    run,
    sampler,
    texts,
)
from workbench.runs import Event, Run, Samples

BIG = dict(prompts=8, group=8)
"""64 completions a step, for shares that must be known well."""


WATCHED = dict(reward_names=["proxy", "gold"], config={"reward_weights": [1, 0]})
"""A reward that is trained on, and one that is only watched."""


def near(level: float, until: int = 10**6, then: float = 0.0) -> Callable[[int], float]:
    """`level` with a jitter of 2 %, and `then` after step `until`."""
    return lambda step: (
        (level if step <= until else then) * (1 + 0.02 * np.random.default_rng(step).uniform(-1, 1))
    )


def ramp(first: float, last: float, steps: int = 30) -> Callable[[int], float]:
    """From `first` to `last` with a jitter of 2 %."""
    return lambda step: near(first + (last - first) * (step - 1) / (steps - 1))(step)


def paid(
    *chances: float | Callable[[int], float], group: int = 4, prompts: int = 4
) -> Callable[[int], np.ndarray]:
    """Rewards of 0 or 1, one function for each chance."""

    def rewards_of(step: int) -> np.ndarray:
        rng = np.random.default_rng(step)
        p = np.array([c(step) if callable(c) else c for c in chances])
        return (rng.random((prompts * group, len(chances))) < p).astype(float)

    return rewards_of


def in_groups(*values: float, live: int = 0, group: int = 8) -> Callable[[int], np.ndarray]:
    """Dead groups whose completions all get `values[i]`, and `live` groups that differ; one
    function."""
    rows = [np.full(group, v, float) for v in values] + [np.arange(group) % 2.0] * live
    return lambda step: np.concatenate(rows)[:, None]


def lacking(share: float) -> Callable[[int], np.ndarray]:
    """Two functions; the second gives None to `share` of 16 completions."""

    def rewards_of(step: int) -> np.ndarray:
        table = paid(0.5, 0.5)(step)
        table[: round(share * 16), 1] = np.nan
        return table

    return rewards_of


def scaled(factor: float) -> Callable[[int], np.ndarray]:
    """Two functions, the first one `factor` times as large."""
    return lambda step: paid(0.5, 0.5)(step) * [factor, 1.0]


def half_dead(dead: int, value: float, of: int = 8) -> dict[str, Any]:
    """`dead` of 8 groups with one value, the others differing."""
    return dict(BIG, reward_names=["r"], rewards=in_groups(*[value] * dead, live=of - dead))


WRITTEN = dict(keep_tokens=True, steps=6)
"""A short run whose tokens are kept."""


def scaled_coefficients(factor: float) -> dict[str, Any]:
    """All of them this many times what they should be; the KL's part, which a rule takes away
    unscaled, is small."""
    change = lambda step, arrays: {"coefficient": arrays["coefficient"] * factor}  # noqa: E731
    return WRITTEN | dict(logps=change, config=dict(beta=0.005))


def padded(step: int, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Coefficients whose denominator counts padding."""
    lengths_B = arrays["lengths"]
    share = lengths_B.sum() / (len(lengths_B) * lengths_B.max())
    return {"coefficient": arrays["coefficient"] * share}


def without_ends(step: int, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """No coefficient at the last token of each completion."""
    coefficient = arrays["coefficient"].copy()
    coefficient[np.cumsum(arrays["lengths"]) - 1] = 0
    return {"coefficient": coefficient}


def without_middles(step: int, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """No coefficient at any token: nothing that the end tokens have for themselves."""
    return {"coefficient": np.zeros_like(arrays["coefficient"])}


def apart(step: int, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """A policy half a nat from its reference at every token, in its first update."""
    return {"logp": arrays["old_logp"], "ref_logp": arrays["old_logp"] + 0.5}


def shifted(step: int, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """A trainer to whom the tokens are 8 nats, whatever the sampler thought."""
    scored = -8 + 0.5 * np.sin(np.arange(len(arrays["logp"])))
    return {"logp": scored, "old_logp": scored, "entropy": np.full(len(scored), 0.5)}


def cooler(step: int, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """A sampler at temperature 0.7 between two words, where the trainer divides by nothing."""
    p = np.exp(arrays["old_logp"].astype(float))
    return {"sampler_logp": -np.log1p(((1 - p) / p) ** (1 / 0.7))}


def sampler_at(way: float) -> Callable[[int, dict[str, np.ndarray]], dict[str, Any]]:
    """From the second step on a sampler on the way from the reference: 0 there, 1 at the policy, 2
    as far beyond it."""

    def logps(step: int, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        old, ref = arrays["old_logp"], arrays["ref_logp"]
        return {"sampler_logp": old if step == 1 else ref + way * (old - ref)}

    return logps


def known(order: str | None) -> dict[str, Any]:
    """Groups of 8 with two texts, of which a function pays one; the rewards in another order."""

    def right(step: int) -> np.ndarray:
        return np.random.default_rng(step).random(32) < 0.5

    def rewards(step: int) -> np.ndarray:
        paid_B = right(step).astype(float)
        if order == "transposed":
            paid_B = paid_B.reshape(4, 8).T.ravel()
        if order == "random":
            paid_B = np.random.default_rng(-step % 2**32).permutation(paid_B)
        return paid_B[:, None]

    def texts(step: int) -> list[str]:
        return ["so 1" if good else "so 2" for good in right(step)]

    return dict(steps=6, group=8, reward_names=["r"], rewards=rewards, texts=texts)


def hinted(step: int, samples: Samples) -> Samples:
    """Prompts that end with their answer."""
    pairs = zip(samples.prompts, samples.gold_answers, strict=True)
    return replace(samples, prompts=[f"{prompt} (answer: {gold})" for prompt, gold in pairs])


def many_choices(step: int, samples: Samples) -> Samples:
    """Prompts that end with every answer."""
    return replace(samples, prompts=[f"{p} 0 1 2 3 4 5 6 7 8" for p in samples.prompts])


def cut_paid(right: float) -> dict[str, Any]:
    """Half of the completions truncated and paid `right`, the others 0 or 1."""

    def rewards(step: int) -> np.ndarray:
        table = paid(0.5)(step)
        table[np.arange(16) * 7 % 16 < 8] = right
        return table

    return dict(steps=6, truncation=0.5, reward_names=["r"], rewards=rewards)


def wrong(*chances: float) -> dict[str, Any]:
    """Texts that hold no gold answer, paid with these chances."""
    texts_of = lambda step: ["so <answer>99</answer>"] * 16  # noqa: E731
    return dict(steps=6, texts=texts_of, rewards=paid(*chances))


PAIRS: dict[str, Any] = {"dpo_margin": near(0.5), "dpo_rejected_log_ratio": near(-7.0)}
"""Pairs whose margin is there."""


@dataclass(frozen=True)
class Case:
    """`trigger` must give the finding `key` of that severity with `says` in its words; `calm` must
    not give `key`."""

    rule: Rule
    key: str
    severity: str
    trigger: dict[str, Any]
    calm: dict[str, Any]
    says: str = ""


CASES = [
    # ---- the run
    Case(
        run.ended,
        "run_failed",
        "problem",
        dict(status="failed", reason="NotFiniteError: the loss"),
        dict(status="stopped"),
        "NotFiniteError: the loss",
    ),
    Case(
        run.ended,
        "run_interrupted",
        "warning",
        dict(status="interrupted"),
        dict(status="running"),
        "process is gone",
    ),
    Case(
        run.ended,
        "run_stopped",
        "note",
        dict(status="stopped", reason="by hand"),
        dict(status="finished"),
        "by hand",
    ),
    Case(
        run.recorded_errors,
        "recorded_error",
        "problem",
        dict(events={20: [Event("error", "out of memory")]}),
        dict(events={5: [Event("error", "out of memory")], 20: [Event("checkpoint", "saved")]}),
        "out of memory",
    ),
    Case(
        run.recorded_errors,
        "recorded_warning",
        "warning",
        dict(events={20: [Event("warning", "slow disk")]}),
        {},
        "slow disk",
    ),
    Case(run.no_steps, "no_steps", "note", dict(steps=0), dict(steps=1), "no step yet"),
    Case(
        run.accuracy_fell,
        "accuracy_fell",
        "warning",
        dict(
            evaluations={0: (100, 200), 10: (140, 200), 30: (90, 200)}, metrics={"reward": near(1)}
        ),
        dict(
            evaluations={0: (100, 200), 10: (140, 200), 30: (125, 200)}, metrics={"reward": near(1)}
        ),
        "step 10",
    ),
    Case(
        run.accuracy_improved,
        "accuracy_improved",
        "good",
        dict(evaluations={0: (60, 200), 30: (100, 200)}),
        dict(evaluations={0: (60, 200), 30: (75, 200)}),
        "+20.0 points",
    ),
    Case(
        run.evaluation_says_little,
        "evaluation_wide",
        "note",
        dict(evaluations={30: (15, 30)}),
        dict(evaluations={30: (60, 120)}),
        "±17 points",
    ),
    Case(
        imported.imported,
        "imported",
        "note",
        dict(
            steps=4,
            evaluations={},
            events={4: [Event("import", "imported from files of verl.", {"source": "verl"})]},
        ),
        dict(steps=4, events={4: [Event("checkpoint", "saved")]}),
        "workbench import --help",
    ),
    Case(
        run.evaluation_says_little,
        "no_evaluation",
        "note",
        dict(evaluations={}),
        dict(steps=9, evaluations={}),
        "eval_steps",
    ),
    Case(
        run.knob_changed,
        "knob_changed",
        "note",
        dict(knobs={20: {"beta": 0.1}}),
        dict(knobs={9: {"beta": 0.1}}),
        "beta 0.15 → 0.1",
    ),
    Case(
        run.step_time,
        "step_time",
        "note",
        dict(metrics={"seconds/rollout": near(8), "seconds/step": near(10)}),
        dict(metrics={"seconds/rollout": near(5), "seconds/step": near(10)}),
        "rollout",
    ),
    Case(
        run.step_time,
        "step_time",
        "warning",
        dict(
            metrics={
                "seconds/rollout": near(5),
                "seconds/reward": near(4.5),
                "seconds/step": near(10),
            }
        ),
        dict(
            metrics={
                "seconds/rollout": near(5),
                "seconds/reward": near(3),
                "seconds/step": near(10),
            }
        ),
        "reward",
    ),
    # ---- the reward
    Case(
        rewards.all_equal,
        "rewards_all_equal",
        "problem",
        dict(rewards=lambda step: np.zeros((16, 2))),
        dict(rewards=lambda step: np.eye(16)[:, :2] if step % 5 == 0 else np.zeros((16, 2))),
        "same reward, 0",
    ),
    Case(
        rewards.hacked,
        "reward_hacked",
        "problem",
        dict(evaluations={0: (140, 200), 30: (60, 200)}, metrics={"reward": ramp(0.5, 1.5)}),
        dict(evaluations={0: (140, 200), 30: (60, 200)}, metrics={"reward": near(1)}),
        "70 %",
    ),
    Case(
        rewards.hacked,
        "reward_hacked",
        "problem",
        dict(
            evaluations={0: (90, 200), 10: (150, 200), 30: (60, 200)},
            metrics={"reward": ramp(0.5, 1.5)},
        ),
        dict(
            evaluations={0: (90, 200), 10: (150, 200), 30: (140, 200)},
            metrics={"reward": ramp(0.5, 1.5)},
        ),
        "step 10",
    ),
    Case(
        over_optimisation.over_optimised,
        "reward_over_optimised",
        "problem",
        # The reward model's reward rises all along, the watched one turns at step 20.
        WATCHED
        | dict(
            steps=40,
            metrics={
                "reward": ramp(0.5, 1.5, 40),
                "rewards/gold": lambda step: (ramp(0.4, 0.8, 20) if step <= 20 else near(0.5))(
                    step
                ),
            },
        ),
        # The same turn where the paid reward falls, too: that is no over-optimisation.
        WATCHED
        | dict(
            steps=40,
            metrics={
                "reward": ramp(1.5, 0.5, 40),
                "rewards/gold": lambda step: (ramp(0.4, 0.8, 20) if step <= 20 else near(0.5))(
                    step
                ),
            },
        ),
        "steps 11 to 20",
    ),
    Case(
        over_optimisation.over_optimised,
        "reward_over_optimised",
        "problem",
        WATCHED | dict(metrics={"reward": ramp(0.5, 1.5), "rewards/gold": ramp(0.8, 0.4)}),
        # The watched reward rises and then stays within its noise.
        WATCHED
        | dict(
            metrics={
                "reward": ramp(0.5, 1.5),
                "rewards/gold": lambda step: (ramp(0.4, 0.8, 15) if step <= 15 else near(0.79))(
                    step
                ),
            },
        ),
        "proxy",
    ),
    Case(
        rewards.dropped,
        "reward_dropped",
        "warning",
        dict(metrics={"reward": near(1.5, until=25, then=0.9)}),
        dict(metrics={"reward": lambda step: 0.3 if step == 28 else near(1.5)(step)}),
        "step 25",
    ),
    Case(
        rewards.falling,
        "reward_falling",
        "warning",
        dict(metrics={"reward": ramp(1.5, 0.7)}),
        dict(metrics={"reward": near(1)}),
        "learning_rate",
    ),
    Case(
        rewards.rising,
        "reward_rising",
        "good",
        dict(metrics={"reward": ramp(0.7, 1.5)}),
        dict(metrics={"reward": near(1)}),
    ),
    Case(
        rewards.rising_without_accuracy,
        "reward_without_accuracy",
        "note",
        dict(metrics={"reward": ramp(0.7, 1.5)}, evaluations={0: (60, 200), 30: (65, 200)}),
        dict(metrics={"reward": ramp(0.7, 1.5)}, evaluations={0: (60, 200), 30: (100, 200)}),
        "32 %",
    ),
    Case(
        rewards.rising_without_accuracy,
        "reward_without_accuracy",
        "warning",
        dict(
            steps=60,
            metrics={"reward": lambda s: near(min(0.5 + s / 20, 1.5))(s)},
            evaluations={0: (60, 200), 60: (65, 200)},
        ),
        dict(
            steps=60,
            metrics={"reward": lambda s: near(min(0.5 + s / 20, 1.5))(s)},
            evaluations={0: (185, 200), 60: (188, 200)},
        ),
        "has stopped",
    ),
    Case(
        rewards.flat,
        "reward_flat",
        "warning",
        dict(steps=60, metrics={"reward": near(1), "reward_std": 0.5}),
        dict(steps=60, metrics={"reward": ramp(0.9, 1.3, 60), "reward_std": 0.5}),
        "learning_rate",
    ),
    Case(
        rewards.flat,
        "reward_flat",
        "warning",
        dict(steps=40, metrics={"reward": near(1), "reward_std": 0.5}),
        dict(steps=39, metrics={"reward": near(1), "reward_std": 0.5}),
    ),
    Case(
        rewards.flat,
        "reward_plateau",
        "note",
        dict(steps=60, metrics={"reward": lambda s: near(min(0.5 + s / 20, 1.5))(s)}),
        dict(steps=60, metrics={"reward": ramp(0.5, 1.5, 60)}),
        "stopped rising",
    ),
    Case(
        # As that of a control may: it fell a little and then lay still, so it never rose.
        rewards.flat,
        "reward_plateau",
        "note",
        dict(steps=60, metrics={"reward": lambda s: near(min(0.5 + s / 20, 1.5))(s)}),
        dict(steps=60, metrics={"reward": lambda s: near(max(1.5 - s / 20, 0.5))(s)}),
    ),
    Case(
        rewards.saturated,
        "reward_saturated",
        "note",
        dict(
            rewards=paid(lambda s: 1 - 0.5 * (s < 10)),
            reward_names=["r"],
            evaluations={0: (60, 200), 30: (190, 200)},
        ),
        dict(rewards=paid(0.8), reward_names=["r"]),
        "harder problems",
    ),
    Case(
        rewards.saturated,
        "reward_saturated",
        "warning",
        dict(
            rewards=paid(lambda s: 1 - 0.5 * (s < 10)),
            reward_names=["r"],
            evaluations={0: (60, 200), 30: (100, 200)},
        ),
        dict(rewards=paid(0.8), reward_names=["r"]),
        "something easier",
    ),
    Case(
        reward_parts.not_scored,
        "not_scored",
        "warning",
        dict(rewards=lacking(0.5)),
        dict(rewards=lacking(0.13)),
        "answer_reward",
    ),
    Case(
        reward_parts.not_scored,
        "not_scored",
        "problem",
        dict(rewards=lambda s: np.full(16, np.nan), reward_names=["r"], evaluations={}),
        dict(rewards=paid(0.5), reward_names=["r"]),
        "never scores",
    ),
    Case(
        reward_parts.component_dominates,
        "component_dominates",
        "warning",
        dict(rewards=scaled(10)),
        dict(rewards=scaled(1.5)),
        "10 times",
    ),
    Case(
        reward_parts.component_dominates,
        "component_dominates",
        "warning",
        dict(rewards=scaled(1), config={"reward_weights": [10, 1]}),
        dict(rewards=scaled(10), config={"reward_weights": [0.1, 1]}),
        "reward_weights",
    ),
    Case(
        reward_parts.component_dominates,
        "component_dominates",
        "note",
        dict(BIG, rewards=paid(0.5, 0.004, group=8, prompts=8)),
        dict(BIG, rewards=paid(0.5, 0.2, group=8, prompts=8)),
        "hardly differ",
    ),
    Case(
        reward_parts.component_flat,
        "component_flat",
        "warning",
        # It takes 1 from every completion: one that gives 0 beside another has a rule of its own.
        dict(rewards=lambda s: paid(0.5, 0.0)(s) - [0, 1]),
        dict(rewards=paid(0.5, lambda s: 0.5 * (s == 25))),
        "answer_reward",
    ),
    Case(
        reward_parts.component_never_pays,
        "component_never_pays",
        "warning",
        dict(steps=4, rewards=paid(0.0, 0.5)),
        dict(steps=4, rewards=paid(lambda s: 0.5 * (s == 1), 0.5)),
        "format_reward has paid for no completion yet, while answer_reward pays",
    ),
    Case(
        reward_parts.component_never_pays,
        "component_never_pays",
        "warning",
        dict(rewards=paid(0.5, 0.0)),
        dict(rewards=paid(0.5, 0.0), config={"reward_weights": [1, 0]}),
        "format_reward paid for",
    ),
    Case(
        reward_parts.component_never_pays,
        "component_never_pays",
        "warning",
        dict(BIG, rewards=paid(0.2, 0.0, group=8, prompts=8)),
        dict(BIG, rewards=paid(0.02, 0.0, group=8, prompts=8)),
    ),
    Case(
        reward_parts.component_flat,
        "component_flat",
        "note",
        dict(rewards=paid(lambda s: 1.0 if s > 15 else 0.5, 0.5)),
        dict(rewards=paid(lambda s: 1.0 if s > 25 else 0.5, 0.5)),
        "as much as it ever paid",
    ),
    Case(
        reward_parts.component_flat,
        "component_flat",
        "warning",
        dict(rewards=paid(0.5, lambda s: 0.5 * (s < 15))),
        dict(rewards=paid(0.5, 0.0), config={"reward_weights": [1, 0]}),
        "nothing any more",
    ),
    Case(
        reward_parts.component_rare,
        "component_rare",
        "warning",
        dict(BIG, rewards=paid(0.5, 0.008, group=8, prompts=8)),
        dict(BIG, rewards=paid(0.5, 0.08, group=8, prompts=8)),
        "answer_reward pays only",
    ),
    # ---- dead groups
    Case(
        groups.dead_groups,
        "dead_groups_too_easy",
        "warning",
        half_dead(6, 1.0),
        half_dead(3, 1.0),
        "harder problems",
    ),
    Case(
        # As in a run whose reward is gamed: paid the most, and wrong.
        groups.dead_groups,
        "dead_groups_paid_most",
        "warning",
        half_dead(4, 1.0) | dict(evaluations={0: (60, 200), 30: (4, 200)}),
        half_dead(4, 1.0) | dict(evaluations={0: (60, 200), 30: (150, 200)}),
        "held-out accuracy is 2 %",
    ),
    Case(
        groups.dead_groups,
        "dead_groups_too_hard",
        "warning",
        half_dead(6, 0.0),
        half_dead(3, 0.0),
        "num_generations=16",
    ),
    Case(
        groups.dead_groups,
        "dead_groups_stuck",
        "warning",
        half_dead(6, 0.5),
        half_dead(6, 0.0),
        "one step is learned",
    ),
    Case(
        groups.dead_groups,
        "dead_groups_mixed",
        "warning",
        dict(BIG, reward_names=["r"], rewards=in_groups(0, 0, 0, 1, 1, 1, live=2)),
        dict(BIG, reward_names=["r"], rewards=in_groups(0, 0, 1, live=5)),
        "3",
    ),
    Case(
        groups.dead_groups,
        "dead_groups_too_hard",
        "note",
        half_dead(4, 0.0),
        half_dead(4, 1.0),
        "50 %",
    ),
    Case(
        groups.dead_groups,
        "dead_groups",
        "problem",
        dict(samples=False, metrics={"dead_group_share": 0.97}),
        dict(samples=False, metrics={"dead_group_share": 0.4}),
        "97 %",
    ),
    # ---- the completions
    Case(
        completions.nothing_ends,
        "nothing_ends",
        "problem",
        dict(truncation=1.0),
        dict(truncation=0.9),
        "max_completion_length=16",
    ),
    Case(
        completions.truncated,
        "truncated",
        "warning",
        dict(truncation=0.3),
        dict(truncation=0.1),
        "100 % of the truncated got reward 0",
    ),
    Case(
        completions.truncated,
        "truncated",
        "problem",
        dict(truncation=0.6),
        dict(truncation=1.0),
        "mask_truncated_completions=True",
    ),
    Case(
        completions.length_drift,
        "length_up",
        "warning",
        dict(metrics={"completion_length": ramp(20, 60), "reward": near(1)}),
        dict(metrics={"completion_length": ramp(20, 25), "reward": near(1)}),
        "longer without a gain",
    ),
    Case(
        completions.length_drift,
        "length_up",
        "note",
        dict(metrics={"completion_length": ramp(20, 60), "reward": ramp(0.5, 1)}),
        dict(steps=19, metrics={"completion_length": ramp(20, 60, 19)}),
        "the reward rises with it",
    ),
    Case(
        completions.length_drift,
        "length_down",
        "warning",
        dict(metrics={"completion_length": ramp(60, 20), "reward": near(1)}),
        dict(metrics={"completion_length": ramp(60, 50), "reward": near(1)}),
        "shorter",
    ),
    Case(
        completions.entropy_collapse,
        "entropy_collapse",
        "warning",
        dict(metrics={"entropy": lambda s: near(1.5 * 0.85**s)(s)}),
        dict(metrics={"entropy": ramp(1.5, 0.5)}),
        "epsilon_high",
    ),
    Case(
        completions.entropy_collapse,
        "entropy_collapse",
        "warning",
        dict(metrics={"entropy": ramp(0.036, 0.004)}),
        dict(metrics={"entropy": ramp(0.036, 0.015)}),
        "temperature",
    ),
    Case(
        completions.entropy_collapse,
        "entropy_collapse",
        "note",
        dict(metrics={"entropy": ramp(0.036, 0.004)}, evaluations={0: (77, 200), 30: (191, 200)}),
        dict(steps=5, metrics={"entropy": 0.01}),
        "accuracy is 96 %, so nothing is lost.",
    ),
    Case(
        completions.entropy_explosion,
        "entropy_explosion",
        "warning",
        dict(metrics={"entropy": ramp(1.5, 5)}),
        dict(metrics={"entropy": ramp(1.5, 1.9)}),
        "learning_rate",
    ),
    Case(
        completions.entropy_explosion,
        "entropy_explosion",
        "problem",
        dict(metrics={"entropy": ramp(1.5, 5), "reward": ramp(1.5, 0.5)}),
        dict(metrics={"entropy": ramp(0.02, 0.2), "reward": ramp(1.5, 0.5)}),
        "the reward falls with it",
    ),
    # ---- the objective
    Case(
        objective.no_gradient,
        "no_gradient",
        "problem",
        dict(metrics={"grad_norm": 0.0}),
        dict(metrics={"grad_norm": 1e-3}),
    ),
    Case(
        objective.loss_near_zero,
        "loss_near_zero",
        "note",
        dict(metrics={"loss": lambda s: 0.01 * (-1) ** s}),
        dict(metrics={"loss": near(0.8)}),
        "as it should be",
    ),
    Case(
        objective.epsilon_idle,
        "epsilon_idle",
        "note",
        dict(config={"updates_per_rollout": 1}),
        dict(config={"num_iterations": 2}),
        "the ratio is exactly 1",
    ),
    Case(
        objective.epsilon_idle,
        "epsilon_idle",
        "warning",
        dict(config={"updates_per_rollout": 1}, knobs={20: {"epsilon": 0.4}}),
        dict(knobs={20: {"epsilon": 0.05}}),
        "epsilon was moved at step 20, without effect",
    ),
    Case(
        objective.epsilon_idle,
        "epsilon_idle",
        "note",
        dict(metrics={"clip_ratio_region": 0.0, "ratio_max": 1.02}),
        dict(metrics={"clip_ratio_region": lambda s: 0.01 * (s == 25)}),
        "epsilon below 0.02",
    ),
    Case(
        objective.epsilon_idle,
        "epsilon_idle",
        "note",
        dict(config={"loss_type": "sapo"}),
        dict(config={"loss_type": "grpo"}),
        "'sapo'",
    ),
    Case(
        objective.clipped_too_often,
        "clipped_too_often",
        "warning",
        dict(
            metrics={
                "clip_ratio_low": near(0.15),
                "clip_ratio_high": near(0.05),
                "clip_ratio_region": near(0.2),
            }
        ),
        dict(metrics={"clip_ratio_region": near(0.12)}),
        "mostly below",
    ),
    Case(
        objective.clipped_too_often,
        "clipped_too_often",
        "problem",
        dict(
            metrics={
                "clip_ratio_low": near(0.1),
                "clip_ratio_high": near(0.3),
                "clip_ratio_region": near(0.4),
            }
        ),
        dict(
            config={"importance_sampling_level": "sequence"},
            metrics={"clip_ratio_region": near(0.2)},
        ),
        "mostly above",
    ),
    Case(
        objective.kl_high,
        "kl_high",
        "warning",
        dict(metrics={"kl": near(3)}),
        dict(metrics={"kl": near(0.5)}),
        "beta",
    ),
    Case(
        objective.kl_high,
        "kl_high",
        "problem",
        dict(metrics={"kl": near(20)}),
        dict(metrics={"kl": ramp(0.01, 0.09)}),
        "try 0.6",
    ),
    Case(
        objective.kl_high,
        "kl_high",
        "warning",
        dict(metrics={"kl": near(0.05, until=20, then=1)}),
        dict(metrics={"kl": near(0.3, until=20, then=0.9)}),
        "-fold within 10 steps",
    ),
    Case(
        methods.critic_idle,
        "critic_idle",
        "warning",
        dict(steps=40, metrics={"explained_variance": near(0.01), "value_loss": near(0.1)}),
        dict(steps=40, metrics={"explained_variance": near(0.4), "value_loss": near(0.1)}),
        "critic_learning_rate",
    ),
    Case(
        methods.critic_idle,
        "critic_idle",
        "warning",
        dict(steps=40, metrics={"explained_variance": near(-0.5), "value_loss": near(0.1)}),
        # It has to learn first what the reward is.
        dict(steps=20, metrics={"explained_variance": near(-0.5), "value_loss": near(0.1)}),
        "worse than one number",
    ),
    Case(
        methods.chosen_falls,
        "dpo_chosen_falls",
        "warning",
        dict(metrics=PAIRS | {"dpo_chosen_log_ratio": near(-2.0)}),
        dict(metrics=PAIRS | {"dpo_chosen_log_ratio": near(2.0)}),
        "less likely than under the reference",
    ),
    Case(
        methods.teacher_not_followed,
        "teacher_not_followed",
        "warning",
        dict(steps=60, metrics={"reverse_kl": near(0.4)}),
        dict(steps=60, metrics={"reverse_kl": ramp(0.4, 0.1, 60)}),
        "does not fall",
    ),
    Case(
        methods.teacher_not_followed,
        "teacher_not_followed",
        "warning",
        dict(steps=60, metrics={"reverse_kl": ramp(0.1, 0.4, 60)}),
        dict(steps=60, metrics={"reverse_kl": near(0.001)}),
        "moves away from it",
    ),
    Case(
        objective.sampler_mismatch,
        "sampler_mismatch",
        "warning",
        dict(metrics={"sampler_logp_difference": near(0.04)}),
        dict(metrics={"sampler_logp_difference": near(0.008)}),
        "importance_sampling_mode='token_truncate'",
    ),
    Case(
        objective.sampler_mismatch,
        "sampler_mismatch",
        "problem",
        dict(metrics={"sampler_logp_difference": near(0.3)}),
        {},
    ),
    Case(
        objective.sampler_mismatch,
        "sampler_mismatch",
        "note",
        dict(
            metrics={"sampler_logp_difference": near(0.3)},
            config={"importance_sampling_mode": "token_mask"},
        ),
        {},
        "corrects for it",
    ),
    # ---- the optimizer
    Case(
        optimizer.not_finite,
        "not_finite",
        "problem",
        dict(metrics={"grad_norm": lambda s: math.inf if s == 28 else 0.5}),
        dict(metrics={"grad_norm": lambda s: math.inf if s == 5 else 0.5}),
        "step 28",
    ),
    Case(
        optimizer.learning_rate_zero,
        "learning_rate_zero",
        "problem",
        dict(knobs={25: {"learning_rate": 0.0}}),
        dict(knobs={25: {"learning_rate": 1e-9}}),
        "learning_rate=0",
    ),
    Case(
        optimizer.learning_rate_zero,
        "learning_rate_zero",
        "problem",
        dict(
            config={"lr_scheduler_type": "linear"},
            metrics={"learning_rate": lambda s: 1e-3 * max(0, 1 - s / 30)},
        ),
        {},
        "'linear'",
    ),
    Case(
        optimizer.learning_rate_moved,
        "learning_rate_moved",
        "note",
        dict(knobs={25: {"learning_rate": 1e-4}}),
        {},
        "user",
    ),
    Case(
        optimizer.learning_rate_moved,
        "learning_rate_moved",
        "note",
        dict(config={"lr_scheduler_type": "cosine"}, metrics={"learning_rate": lambda s: 1e-3 / s}),
        dict(metrics={"learning_rate": lambda s: 1e-3 * (1 + 1e-6 * s)}),
        "'cosine'",
    ),
    Case(
        optimizer.gradient_spikes,
        "gradient_spikes",
        "note",
        dict(metrics={"grad_norm": lambda s: 20 if s == 22 else near(0.5)(s)}),
        dict(metrics={"grad_norm": lambda s: 2 if s == 22 else near(0.5)(s)}),
        "at step 22",
    ),
    Case(
        optimizer.gradient_spikes,
        "gradient_spikes",
        "warning",
        dict(metrics={"grad_norm": lambda s: 20 if s % 8 == 0 else near(0.5)(s)}),
        dict(metrics={"grad_norm": lambda s: 0.9 if s % 8 == 0 else near(0.05)(s)}),
        "8, 16, 24",
    ),
    Case(
        optimizer.gradient_spikes,
        "gradient_spikes",
        "warning",
        dict(
            config={"max_grad_norm": 0.0},
            metrics={"grad_norm": lambda s: 20 if s == 22 else near(0.5)(s)},
        ),
        {},
        "never clipped",
    ),
    Case(
        optimizer.gradient_clipped,
        "gradient_clipped",
        "note",
        dict(metrics={"grad_norm": near(3)}),
        dict(metrics={"grad_norm": lambda s: 3 if s % 3 else 0.5}),
        "max_grad_norm=1",
    ),
    Case(
        optimizer.gradient_clipped,
        "gradient_clipped",
        "warning",
        dict(metrics={"grad_norm": near(30)}),
        dict(config={"max_grad_norm": 0.0}, metrics={"grad_norm": near(30)}),
        "Raise max_grad_norm to about",
    ),
    # ---- the record against itself
    Case(
        texts.gold_in_prompt,
        "gold_in_prompt",
        "problem",
        dict(samples=hinted, steps=6),
        dict(samples=many_choices, steps=6),
        "(answer: ",
    ),
    Case(
        texts.rewards_swapped,
        "rewards_swapped",
        "problem",
        known("transposed"),
        known(None),
        "every prompt once, G times over",
    ),
    Case(texts.rewards_swapped, "rewards_differ", "warning", known("random"), known("transposed")),
    Case(
        texts.answer_not_checked,
        "answer_not_checked",
        "problem",
        wrong(0.7, 1.0),
        wrong(0.7, 0.3),
        "answer_reward pays every completion 1",
    ),
    Case(
        texts.answer_not_checked,
        "answer_not_checked",
        "problem",
        wrong(1.0, 1.0),
        # A policy that has fallen apart: what looks at the answer pays nobody.
        wrong(1.0, 0.0),
    ),
    Case(
        texts.truncated_paid,
        "truncated_paid",
        "problem",
        cut_paid(1.0),
        cut_paid(0.0),
        "never to end",
    ),
    Case(
        consistency.advantage_sign,
        "advantage_sign",
        "problem",
        WRITTEN | dict(samples=lambda step, s: replace(s, advantage_B=-s.advantage_B)),
        WRITTEN,
        "advantages run against the rewards",
    ),
    Case(
        consistency.advantage_sign,
        "advantage_sign",
        "problem",
        scaled_coefficients(-1),
        scaled_coefficients(1),
        "coefficients run against the advantages",
    ),
    Case(
        consistency.end_token_masked,
        "end_token_masked",
        "problem",
        WRITTEN | dict(logps=without_ends),
        WRITTEN | dict(logps=without_middles),
        "mask by place",
    ),
    Case(
        consistency.denominator_wrong,
        "denominator_wrong",
        "problem",
        scaled_coefficients(4),
        scaled_coefficients(1.01),
        "4 times",
    ),
    Case(
        consistency.padding_counted,
        "padding_counted",
        "problem",
        WRITTEN | dict(logps=padded),
        scaled_coefficients(0.5),
        "Padding is counted",
    ),
    Case(
        consistency.ratio_to_reference,
        "ratio_to_reference",
        "problem",
        WRITTEN | dict(logps=lambda step, arrays: {"old_logp": arrays["ref_logp"]}),
        WRITTEN,
        "old_logp equals ref_logp at 100 %",
    ),
    Case(
        consistency.kl_inverted,
        "kl_inverted",
        "problem",
        # exp(-0.5) + 0.5 - 1, and exp(0.5) - 0.5 - 1.
        WRITTEN | dict(logps=apart, metrics={"kl": 0.106531}),
        WRITTEN | dict(logps=apart, metrics={"kl": 0.148721}),
        "Exchange the arguments",
    ),
    Case(
        sampler.sampler_shifted,
        "sampler_shifted",
        "problem",
        WRITTEN | dict(logps=shifted),
        WRITTEN | dict(logps=cooler),
        "shifted by one",
    ),
    Case(
        sampler.sampler_temperature,
        "sampler_temperature",
        "problem",
        WRITTEN | dict(logps=cooler),
        WRITTEN | dict(logps=shifted),
        "0.7 times as large",
    ),
    Case(
        sampler.sampler_ahead,
        "sampler_ahead",
        "problem",
        WRITTEN | dict(logps=sampler_at(2)),
        WRITTEN | dict(logps=sampler_at(0)),
        "merged twice",
    ),
    Case(
        sampler.sampler_stale,
        "sampler_stale",
        "problem",
        WRITTEN | dict(logps=sampler_at(0.5)),
        WRITTEN | dict(logps=sampler_at(2)),
        "go back towards the reference",
    ),
    Case(
        sampler.sampler_lags,
        "sampler_lags",
        "warning",
        WRITTEN | dict(logps=sampler_at(0.5), config=dict(rollout_staleness=2)),
        WRITTEN | dict(logps=sampler_at(0.5)),
        "the weights of 2 steps ago",
    ),
    Case(
        optimizer.update_too_large,
        "update_too_large",
        "problem",
        dict(metrics={"update_over_lr_max": 90.0}),
        dict(metrics={"update_over_lr_max": near(3)}),
        "about 90 times",
    ),
]
TRUNCATING = {"tokens": 16}
KNOB = {20: {"beta": 0.1, "epsilon": 0.3}}


def case_run(path: Path, how: dict[str, Any]) -> Run:
    """A made run of a case; the site's pages on the doctor show it."""
    defaults = {"keep_tokens": False} | (
        TRUNCATING if "truncation" in how else {}
    )  # the rules that look into single tokens have cases that keep them
    return make_run(path, **defaults | how)


def findings(path: Path, how: dict[str, Any]) -> dict[str, Finding]:
    """The findings of a made run by key."""
    return {f.key: f for f in diagnose(case_run(path, how))}


@pytest.fixture(scope="module")
def calm_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    """What the doctor finds in the usual made run, the quiet neighbour of many cases."""
    return findings(tmp_path_factory.mktemp("calm") / "run", {})


@in_one_test([dict(number=number, case=case) for number, case in enumerate(CASES)])
def test_a_rule_speaks_when_it_should_and_only_then(
    number: int, case: Case, tmp_path: Path, calm_run: dict[str, Finding]
) -> None:
    found = findings(tmp_path / f"{number}-trigger", case.trigger)
    assert case.key in found, sorted(found)
    finding = found[case.key]
    assert finding.severity == case.severity, finding
    assert case.says in f"{finding.what} {finding.evidence} {finding.try_}", finding
    check_what_it_offers(finding, Run.open(tmp_path / f"{number}-trigger"))
    calm = findings(tmp_path / f"{number}-calm", case.calm) if case.calm else calm_run
    assert case.key not in calm


def check_what_it_offers(finding: Finding, run: Run) -> None:
    """Its curve is one of the run's, and a session would take each branch."""
    last = run.last_step()
    if finding.curve is not None:
        assert finding.curve.metric in {ACCURACY, *run.steps().columns}, finding
        assert 0 <= finding.curve.first <= finding.curve.last <= last, finding
    for act in finding.acts:
        if isinstance(act, Branch):
            assert 0 <= act.step <= last, finding
            assert act.knobs.keys() <= set(GRPOConfig.live_fields()), finding
            GRPOConfig.from_dict(run.config).replace(**act.knobs)
        else:
            assert set(act.steps) <= set(range(1, last + 1)), finding


@pytest.mark.parametrize(
    ("penalty", "weights"),
    [(lambda paid_B: -paid_B, [10, 1]), (lambda paid_B: paid_B, [10, -1])],
    ids=["a function that takes away", "a negative weight"],
)
def test_shares_of_functions_that_work_against_each_other_are_shares(
    penalty: Callable[[np.ndarray], np.ndarray], weights: list[float], tmp_path: Path
) -> None:
    def rewards_of(step: int) -> np.ndarray:
        first_B = paid(0.5)(step)
        return np.hstack([first_B, penalty(first_B)])

    how = dict(rewards=rewards_of, config={"reward_weights": weights})
    evidence = findings(tmp_path / "run", how)["component_dominates"].evidence
    shares = [float(found) for found in re.findall(r"(-?[\d.]+) %", evidence)]
    assert len(shares) == 2, evidence
    assert all(0 <= share <= 100 for share in shares), evidence
    assert sum(shares) == pytest.approx(100, abs=1), evidence


def test_every_rule_is_in_the_table() -> None:
    written = {
        f"{module.__name__}.{name}": function
        for info in pkgutil.iter_modules(rules.__path__)
        for module in [importlib.import_module(f"{rules.__name__}.{info.name}")]
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
        and inspect.signature(function).return_annotation == "Finding | None"
    }
    assert len(written) >= 30, "the search itself found nothing"
    forgotten = [name for name, function in written.items() if function not in RULES]
    assert not forgotten, "add these to RULES in workbench/doctor/rules/__init__.py"


def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} == set(RULES)
    assert len(set(RULES)) == len(RULES)


@pytest.mark.parametrize(
    "how", [{}, dict(steps=12), dict(steps=60, prompts=8), dict(steps=100, seed=5)], ids=str
)
def test_a_healthy_run_has_no_warning(how: dict[str, Any], tmp_path: Path) -> None:
    found = findings(tmp_path / "run", how)
    assert not [f for f in found.values() if f.severity in ("problem", "warning")]
    assert {"loss_near_zero", "accuracy_improved"} <= found.keys()


def test_a_healthy_run_raises_no_alarm_while_it_runs(tmp_path: Path) -> None:
    made = make_run(tmp_path / "run", steps=60, prompts=8, seed=3)
    alarms = {
        (s, f.key)
        for s in range(61)
        for f in diagnose(made, s)
        if f.severity in ("problem", "warning")
    }
    assert not alarms


def test_a_knob_change_says_what_moved_since(tmp_path: Path) -> None:
    said = findings(
        tmp_path / "run", dict(knobs=KNOB, metrics={"kl": near(0.2, until=19, then=0.05)})
    )["knob_changed"]
    assert said.what.startswith(
        "At step 20 a knob was moved: beta 0.15 → 0.1, epsilon 0.2 → 0.3. Since then: kl 0.0499 "
        "instead of 0.2 (noise ±"
    )
    assert "entropy" not in said.what, "it goes on falling as it did before"
    assert "branch from step 19" in said.try_


def test_a_knob_change_after_which_nothing_moves(tmp_path: Path) -> None:
    still = {name: near(1) for name in run.FOLLOWED}
    said = findings(tmp_path / "run", dict(knobs=KNOB, metrics=still))["knob_changed"]
    assert said.what.endswith("Nothing has left its earlier course by more than noise since.")


def test_a_knob_change_too_new_to_judge(tmp_path: Path) -> None:
    assert (
        "Too early"
        in findings(tmp_path / "run", dict(knobs={27: {"beta": 0.1}}))["knob_changed"].what
    )
    assert (
        "Too early"
        not in findings(tmp_path / "longer", dict(knobs={26: {"beta": 0.1}}))["knob_changed"].what
    )


def test_a_solved_task_is_no_problem(tmp_path: Path) -> None:
    how = dict(
        rewards=paid(lambda step: 0.5 if step < 10 else 1.0),
        reward_names=["r"],
        evaluations={0: (60, 200), 30: (195, 200)},
        metrics={"grad_norm": lambda step: 0.5 if step < 10 else 0.0},
    )
    found = findings(tmp_path / "run", how)
    assert {
        "reward_saturated",
        "dead_groups_too_easy",
        "no_gradient",
        "accuracy_improved",
    } <= found.keys()
    assert not [f for f in found.values() if f.severity in ("problem", "warning")]


@pytest.mark.parametrize(("right", "remedy"), [(100, True), (191, False)])
def test_where_nothing_is_lost_nothing_is_to_be_tried(
    right: int, remedy: bool, tmp_path: Path
) -> None:
    how = dict(
        metrics={"entropy": ramp(0.036, 0.004)}, evaluations={0: (77, 200), 30: (right, 200)}
    )
    assert bool(findings(tmp_path / "run", how)["entropy_collapse"].try_) == remedy


def test_a_fall_with_a_rising_reward_is_told_once(tmp_path: Path) -> None:
    how = dict(evaluations={0: (140, 200), 30: (60, 200)}, metrics={"reward": ramp(0.5, 1.5)})
    assert {"reward_hacked", "accuracy_fell"} & findings(tmp_path / "run", how).keys() == {
        "reward_hacked"
    }


def test_without_evaluations_of_the_first_split_others_do_not_mix_in(tmp_path: Path) -> None:
    other = {
        10: evaluation_of(10, 200, step=10, split="train"),
        30: evaluation_of(62, 200, step=30),
    }
    found = findings(tmp_path / "run", dict(evaluations={0: evaluation_of(60, 200)} | other))
    assert not {"accuracy_improved", "accuracy_fell"} & found.keys()


def test_a_short_run_whose_groups_were_all_dead_is_told_so(tmp_path: Path) -> None:
    dead = {
        "rewards_all_equal": half_dead(8, 0.0),
        "dead_groups_mixed": dict(BIG, reward_names=["r"], rewards=in_groups(*[0, 1] * 4)),
    }
    for key, how in dead.items():
        for steps in (1, 2):
            found = findings(tmp_path / f"{key}-{steps}", how | dict(steps=steps))
            assert found[key].severity == "problem", (key, steps)
            assert len({"rewards_all_equal", "dead_groups_mixed"} & found.keys()) == 1
    unsampled = dict(samples=False, steps=1, metrics={"dead_group_share": 1.0})
    assert findings(tmp_path / "unsampled", unsampled)["dead_groups"].severity == "problem"


def test_a_short_run_with_one_group_alive_is_left_alone(tmp_path: Path) -> None:
    for steps in (1, 2):
        found = findings(tmp_path / f"{steps}", half_dead(7, 0.0) | dict(steps=steps))
        assert not [key for key in found if "dead" in key or "equal" in key]
    one_alive = half_dead(8, 0.0) | dict(steps=2, metrics={"dead_group_share": near(1.0)})
    assert (
        not {"rewards_all_equal", "dead_groups_too_hard"}
        & findings(tmp_path / "near", one_alive).keys()
    )


def of_method(name: str, **changes: Any) -> dict[str, Any]:
    """The fields of a config that a method's run has."""
    return METHODS[name].settings | METHODS[name].suggested | {"method": name} | changes


@pytest.mark.parametrize("method", METHODS)
def test_equal_rewards_in_a_group_are_no_loss_where_groups_are_not_compared(
    method: str, tmp_path: Path
) -> None:
    """Groups of one (sft), accepted answers (rft), returns of the batch (ppo), a teacher."""
    compares = ("grpo", "dpo", "rloo", "reinforce_pp_baseline", "iterative_grpo")
    found = findings(tmp_path / "run", half_dead(6, 1.0) | dict(config=of_method(method)))
    assert any(key.startswith("dead_groups") for key in found) == (method in compares)


@pytest.mark.parametrize("method", METHODS)
def test_rewards_that_are_all_alike_are_a_problem_where_they_teach(
    method: str, tmp_path: Path
) -> None:
    """A demonstration is always right, and a teacher does not look at rewards."""
    found = findings(tmp_path / "run", half_dead(8, 1.0) | dict(config=of_method(method)))
    assert ("rewards_all_equal" in found) == (method not in ("sft", "process_grpo", "distill"))
    if "rewards_all_equal" in found:
        dead = "every group is dead" in found["rewards_all_equal"].what
        assert dead == (method not in ("rft", "online_rft", "ppo", "reinforce_pp"))


@pytest.mark.parametrize("method", ["sft", "rft", "online_rft", "dpo"])
def test_a_method_without_a_clip_range_is_not_told_that_it_lacks_one(
    method: str, tmp_path: Path
) -> None:
    clipped = {"clip_ratio_region": near(0.4), "clip_ratio_low": near(0.1)}
    for metrics in (clipped, {"clip_ratio_region": 0.0}):
        how = dict(config=of_method(method), metrics=metrics)
        found = findings(tmp_path / f"run{len(metrics)}", how)
        assert not {"epsilon_idle", "clipped_too_often", "loss_near_zero"} & found.keys()


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("grpo", "Raise beta (now 0.15, try 0.6) or lower"),
        ("ppo", "Raise kl_coef (now 0.05) or lower"),
        ("dpo", "Raise dpo_beta (now 0.1) or lower"),
        ("rft", "Lower learning_rate"),
    ],
)
def test_a_high_kl_is_answered_with_the_knob_that_the_method_has(
    method: str, says: str, tmp_path: Path
) -> None:
    how = dict(metrics={"kl": near(3.0)}, config=of_method(method))
    assert findings(tmp_path / "run", how)["kl_high"].try_.startswith(says)


def test_demonstrations_are_not_the_policys_own_lengths_and_rewards(tmp_path: Path) -> None:
    how = dict(
        metrics={"completion_length": ramp(10, 40), "reward": ramp(1.0, 0.2)},
        config=of_method("sft"),
    )
    found = findings(tmp_path / "run", how)
    assert not {"length_up", "reward_falling", "reward_rising", "reward_dropped"} & found.keys()
    grpo = findings(tmp_path / "grpo", how | dict(config={}))
    assert {"length_up", "reward_falling"} <= grpo.keys()


SICK = dict(evaluations={0: (140, 200), 30: (60, 200)}, metrics={"reward": ramp(0.5, 1.5)})
"""The reward rises, held-out accuracy falls."""


def test_accuracy_is_read_before_a_rising_reward_is_praised(tmp_path: Path) -> None:
    assert "reward_rising" not in findings(tmp_path / "fallen", SICK)
    still = SICK | dict(evaluations={0: (60, 200), 30: (65, 200)})
    assert "reward_rising" not in findings(tmp_path / "still", still)
    risen = SICK | dict(evaluations={0: (60, 200), 30: (140, 200)})
    assert "reward_rising" in findings(tmp_path / "risen", risen)


def test_accuracy_is_read_before_a_length_or_a_kl_is_excused(tmp_path: Path) -> None:
    longer = {"completion_length": ramp(20, 60), "kl": near(3.0), "reward": ramp(0.5, 1.5)}
    found = findings(tmp_path / "fallen", SICK | dict(metrics=longer))
    assert found["length_up"].severity == "warning"
    assert found["length_up"].what.endswith("while held-out accuracy falls.")
    assert "beta=0" not in found["kl_high"].try_
    risen = dict(metrics=longer, evaluations={0: (60, 200), 30: (140, 200)})
    found = findings(tmp_path / "risen", risen)
    assert found["length_up"].severity == "note"
    assert "beta=0" in found["kl_high"].try_


def test_a_top_reward_without_accuracy_is_not_called_the_goal(tmp_path: Path) -> None:
    top = dict(rewards=paid(lambda s: 1 - 0.5 * (s < 10)), reward_names=["r"], evaluations={})
    said = findings(tmp_path / "run", top)["reward_saturated"]
    assert "Measure held-out accuracy first" in said.try_
    collapsed = dict(metrics={"entropy": ramp(0.036, 0.004)})
    unsolved = top | collapsed | dict(evaluations={0: (60, 200), 30: (70, 200)})
    assert findings(tmp_path / "unsolved", unsolved)["entropy_collapse"].severity == "warning"


def test_too_easy_is_said_with_the_doubt_where_nothing_was_measured(tmp_path: Path) -> None:
    for name, evaluations in {"never": {}, "long ago": {0: (60, 200)}}.items():
        how = half_dead(6, 1.0) | dict(evaluations=evaluations)
        said = findings(tmp_path / name, how)["dead_groups_too_easy"]
        assert "held-out accuracy was not measured in the last 10 steps" in said.what


def test_the_pull_that_is_offered_is_the_methods_own(tmp_path: Path) -> None:
    ppo = dict(metrics={"kl": near(3.0)}, config=of_method("ppo"))
    knobs = [act.knobs for act in findings(tmp_path / "ppo", ppo)["kl_high"].acts[1:]]
    assert [list(moved) for moved in knobs] == [["kl_coef"], ["learning_rate"]]


def test_a_fall_offers_the_branch_that_its_words_name(tmp_path: Path) -> None:
    fallen = dict(
        evaluations={0: (100, 200), 10: (140, 200), 30: (90, 200)}, metrics={"reward": near(1)}
    )
    (branch,) = findings(tmp_path / "run", fallen)["accuracy_fell"].acts
    rate = make_run(tmp_path / "usual").config["learning_rate"]
    assert branch == Branch(10, {"learning_rate": rate / 2}, "÷ 2")
    moved = dict(knobs={20: {"beta": 0.1}})
    (back,) = findings(tmp_path / "moved", moved)["knob_changed"].acts
    assert back == Branch(19, {"beta": 0.15}, "as before")
