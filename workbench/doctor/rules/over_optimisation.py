"""The rule on a reward that is only watched (weight 0) beside the one that is trained on: the paid
one, a reward model as a rule, may be optimised too far (Gao et al., arXiv 2210.10760)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.doctor import thresholds as t
from workbench.doctor.acts import held_nearer, show
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Curve, Finding, quoted, span
from workbench.doctor.statistics import Change, change


@dataclass(frozen=True)
class _Fall:
    """A watched reward that has come down from its best."""

    name: str
    best: np.ndarray
    """The steps at which it was highest."""
    watched: Change
    """Its course from there to the last steps."""
    paid: Change
    """The course of what is trained on, over the same steps."""


def over_optimised(facts: Facts) -> Finding | None:
    """The reward that is trained on rises while one that is only watched falls."""
    if not facts.rewards_teach:
        return None
    falls = [fall for name in _watched(facts) if (fall := _fall(facts, name)) is not None]
    if not falls:
        return None
    worst = min(falls, key=lambda fall: fall.watched.difference)
    first = int(worst.best[0])
    paid = [name for name, weight in facts.weights.items() if weight != 0]
    return Finding(
        "reward_over_optimised",
        "problem",
        f"The reward is over-optimised: what is paid ({', '.join(map(quoted, paid))}) still rises, "
        f"while {quoted(worst.name)}, which is only watched, falls.",
        f"reward {worst.paid}, {quoted(worst.name)} {worst.watched}, {span(worst.best)} against "
        f"{span(facts.recent_span())}",
        f"Branch from step {max(first, 1)}, or stop there. Then hold the policy nearer to where "
        f"the reward is right: a higher {facts.pull}, or a reward model "
        "that is trained further on what the policy samples now (method='iterative_grpo').",
        curve=Curve(f"rewards/{worst.name}", first, facts.step),
        acts=(*show(facts, "best paid"), *held_nearer(facts, max(first, 1))),
    )


def _watched(facts: Facts) -> list[str]:
    """The functions of weight 0, where another is paid."""
    some_paid = any(weight != 0 for weight in facts.weights.values())
    return [name for name, weight in facts.weights.items() if weight == 0 and some_paid]


def _fall(facts: Facts, name: str) -> _Fall | None:
    """None where it has not surely fallen, or the paid reward has not surely risen since."""
    watched = facts.column(f"rewards/{name}")
    windows = len(watched) // t.WINDOW
    if windows < 2:
        return None
    # Windows side by side, counted from the last one: of windows at every step the best would be
    # the luckiest of so many.
    parts = [
        slice(len(watched) - (i + 1) * t.WINDOW, len(watched) - i * t.WINDOW)
        for i in range(windows)
    ]
    means = [
        np.nanmean(watched[part]) if np.isfinite(watched[part]).any() else -np.inf for part in parts
    ]
    best = parts[int(np.argmax(means))]
    last = parts[0]
    if best == last:
        return None
    course = change(facts.values(f"rewards/{name}", best), facts.values(f"rewards/{name}", last))
    paid = change(facts.values("reward", best), facts.values("reward", last))
    if course is None or paid is None or not course.down or not paid.up:
        return None
    least = t.OVER_OPTIMISED * float(np.nanmax(watched) - np.nanmin(watched))
    if -course.difference < least:
        return None
    return _Fall(name, facts.steps[best], course, paid)
