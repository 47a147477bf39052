"""What a finding offers to do at once: branches with other knobs, and completions to read. A knob
that the run's method does not leave free is not offered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.config import LOSSES, METHODS, GRPOConfig
from workbench.config.methods import foreign_fields
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Branch, Show

PULLED_HARDER = 4.0
"""Times as large as now that the weight of the KL is tried, as the findings say."""

DAPO_EPSILON_HIGH = 0.28
"""Of arXiv 2503.14476."""


def branch_from(facts: Facts, step: int, how: str = "", **knobs: Any) -> tuple[Branch, ...]:
    """A branch from `step` (at least 0); nothing where a knob is not free, or no step was made."""
    method = str(facts.config.get("method", "grpo"))
    if facts.step < 1 or method not in METHODS:
        return ()
    held = foreign_fields(method) | set(facts.method.settings)
    if set(knobs) - set(GRPOConfig.live_fields()) or set(knobs) & held:
        return ()
    return (Branch(max(int(step), 0), knobs, how),)


def slower(facts: Facts, step: int, divisor: int = 2) -> tuple[Branch, ...]:
    """A branch with a smaller learning rate."""
    rate = facts.config.get("learning_rate")
    if not rate:
        return ()
    return branch_from(facts, step, f"÷ {divisor}", learning_rate=_rounded(rate / divisor))


def faster(facts: Facts, step: int, factor: int) -> tuple[Branch, ...]:
    """A branch with a larger learning rate."""
    rate = facts.config.get("learning_rate")
    if not rate:
        return ()
    return branch_from(facts, step, f"× {factor}", learning_rate=_rounded(rate * factor))


def held_nearer(facts: Facts, step: int) -> tuple[Branch, ...]:
    """A branch that is pulled to its reference harder. At beta = 0 there is none to pull to."""
    for name in ("kl_coef", "dpo_beta", "beta"):
        now = facts.config.get(name)
        is_read = name == "beta" or name in facts.method.reads
        if is_read and now:
            how = f"× {PULLED_HARDER:.0f}"
            return branch_from(facts, step, how, **{name: _rounded(PULLED_HARDER * now)})
    return ()


def clipped_higher(facts: Facts) -> tuple[Branch, ...]:
    """A branch from now in which likelier tokens may rise further: what DAPO does against a
    collapse of the entropy."""
    loss = LOSSES.get(str(facts.config.get("loss_type")))
    now = facts.config.get("epsilon_high") or facts.config.get("epsilon") or 0.0
    if loss is None or not loss.uses_epsilon or now >= DAPO_EPSILON_HIGH:
        return ()
    return branch_from(facts, facts.step, epsilon_high=DAPO_EPSILON_HIGH)


def show(facts: Facts, which: str, steps: Sequence[int] | None = None) -> tuple[Show, ...]:
    """Completions of `steps`, or of the last few; nothing where none were kept."""
    if steps is None:
        steps = [samples.step for samples in facts.recent_samples]
    if not len(steps):
        return ()
    return (Show(which, tuple(int(step) for step in steps)),)


def last_at_most(facts: Facts, metric: str, bound: float) -> int:
    """The last step at which a metric was not above `bound`; 0 where there is none."""
    below = facts.steps[facts.column(metric) <= bound]
    return int(below[-1]) if len(below) else 0


def best_step(facts: Facts, metric: str, size: int) -> int:
    """The end of the window of so many steps in which a metric was highest."""
    values = facts.column(metric)
    if len(values) < size:
        return 0
    means = np.convolve(np.nan_to_num(values, nan=-np.inf), np.ones(size) / size, mode="valid")
    return int(facts.steps[int(np.argmax(means)) + size - 1])


def _rounded(value: float) -> float:
    """Without the digits that only float64 has."""
    return float(f"{value:.6g}")
