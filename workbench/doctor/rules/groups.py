"""The rule on dead groups: equal rewards in a group, so that it teaches nothing."""

from __future__ import annotations

import numpy as np

from workbench.doctor import thresholds as t
from workbench.doctor.acts import show
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Curve, Finding, figure, percent, quoted, span
from workbench.doctor.rules.rewards import never_alive, no_spread, place_of, saturated

KINDS = {
    "too_easy": (
        "all paid the most: the problems are too easy",
        "Give harder problems, or raise temperature (now {temperature}) so that a group differs "
        "again. If held-out accuracy is where you want it, stop.",
    ),
    "paid_most": (
        "all paid the most, while held-out accuracy is {accuracy}: what is paid is not what is "
        "evaluated, or does not carry over to new problems",
        "Read a group that was paid the most, and see what for. Then mend that reward function or "
        "weigh the answer more (reward_weights): harder problems would change nothing.",
    ),
    "too_hard": (
        "all paid the least: the problems are too hard",
        "Give easier problems first, a reward that pays for part of the way, "
        "num_generations={more} (now {group}) so that one of "
        "them succeeds, or a policy that was fine-tuned on examples.",
    ),
    "stuck": (
        "all with the same part of the reward: one step is learned, the next is too hard",
        "The means by function show which one never pays. Give easier problems for it, let it "
        "pay for part of the way, or set "
        "num_generations={more} (now {group}).",
    ),
    "mixed": (
        "some all paid the most, some all the least",
        "Leave out problems that are always solved or never, or raise num_generations (now "
        "{group}, try {more}).",
    ),
    "": ("", "See Groups for whether they are paid the most (too easy) or the least (too hard)."),
}
UNKNOWN = (
    " (or the reward is had for less: held-out accuracy was not measured in the last {steps} steps)"
)
"""Beside "too easy" where nothing says that what is paid is right."""


def dead_groups(facts: Facts) -> Finding | None:
    """Many groups with equal rewards, and whether they are paid the most or the least."""
    dead = facts.recent("dead_group_share")
    too_few = len(dead) < t.FEWEST_STEPS and not never_alive(facts)
    # Where groups are not compared, equal rewards are no loss.
    if not facts.compares_groups or too_few:
        return None
    if np.median(dead) < t.DEAD_NOTED or no_spread(facts):
        return None
    share = float(np.median(dead))
    kind = _kind_of(facts)
    what, remedy = KINDS[kind]
    now = facts.accuracy_now
    if kind == "too_easy" and now is None:
        what += UNKNOWN
    group = facts.config.get("num_generations") or 8
    figures = {
        "group": group,
        "more": 2 * group,
        "temperature": facts.config.get("temperature"),
        "accuracy": now,
        "steps": t.WINDOW,
    }
    comma = f", {what.format(**figures)}" if what else ""
    return Finding(
        f"dead_groups_{kind}" if kind else "dead_groups",
        _severity(share, kind, facts),
        f"{percent(share)} of the groups are dead (all their rewards are equal, so every advantage "
        f"is 0){comma}. They cost as much as the others and teach nothing.",
        f"median dead_group_share {percent(share)} in {span(facts.recent_span())}{_counts(facts)}",
        remedy.format(**figures),
        curve=Curve.over("dead_group_share", facts.recent_span()),
        acts=show(facts, "dead"),
    )


def _severity(share: float, kind: str, facts: Facts) -> str:
    """How bad this share of dead groups is; where the reward is at its top, as bad as that."""
    # Whatever the share: the rewards and the accuracy contradict each other.
    if kind == "paid_most":
        return "problem" if share >= t.DEAD_TOO_HIGH else "warning"
    top = saturated(facts)
    if top is not None:
        return top.severity
    if share >= t.DEAD_TOO_HIGH:
        return "problem"
    return "warning" if share >= t.DEAD_HIGH else "note"


def _places(facts: Facts) -> np.ndarray:
    """Where the recent dead groups stand between the lowest reward seen (0) and the highest (1);
    empty when unknown."""
    low, high = facts.reward_range or (0.0, 0.0)
    if high == low:
        return np.zeros(0)
    places = [
        place_of(mean, facts)
        for s in facts.recent_samples
        for mean in s.reward_NG[s.dead_N].mean(1)
    ]
    return np.array([place for place in places if not np.isnan(place)])


def _kind_of(facts: Facts) -> str:
    """A key of `KINDS`."""
    place = _places(facts)
    if not len(place):
        return ""
    most = float((place >= 1 - t.NEAR_END).mean())
    least = float((place <= t.NEAR_END).mean())
    shares = {"too_easy": most, "too_hard": least, "stuck": 1 - most - least}
    kind = next((kind for kind, share in shares.items() if share >= t.MOST), "mixed")
    return "paid_most" if kind == "too_easy" and _is_no_merit(place, facts) else kind


def _is_no_merit(place: np.ndarray, facts: Facts) -> bool:
    """Whether held-out accuracy says that what is paid most is not right: if it were, at least so
    many answers would be right there too."""
    now = facts.accuracy_now
    groups = sum(len(samples.dead_N) for samples in facts.recent_samples)
    paid_most = float((place >= 1 - t.NEAR_END).sum()) / max(groups, 1)
    return now is not None and paid_most > now.high + t.PAID_BEYOND


def _counts(facts: Facts) -> str:
    """How many dead groups are paid the most or the least, and what each function pays in them."""
    place = _places(facts)
    if not len(place):
        return ""
    columns = np.concatenate(
        [
            samples.rewards_NGK[samples.dead_N].reshape(-1, samples.rewards_NGK.shape[-1])
            for samples in facts.recent_samples
        ]
    ).T
    scored = [column[~np.isnan(column)] for column in columns]
    means = [float(values.mean()) if len(values) else float("nan") for values in scored]
    paid = ", ".join(
        f"{quoted(name)} {figure(mean)}"
        for name, mean in zip(facts.meta.reward_names, means, strict=True)
    )
    most = int((place >= 1 - t.NEAR_END).sum())
    least = int((place <= t.NEAR_END).sum())
    steps = span([samples.step for samples in facts.recent_samples])
    return (
        f"; of {len(place)} dead groups in {steps}, {most} are paid the most and {least} the "
        f"least; mean reward in them: {paid}"
    )
