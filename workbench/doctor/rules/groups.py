"""The rule on dead groups: equal rewards in a group, so that it teaches nothing."""

from __future__ import annotations

import numpy as np

from workbench.doctor import thresholds as t
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Finding, figure, percent, quoted, span
from workbench.doctor.rules.rewards import never_alive, no_spread, place_of, saturated

KINDS = {
    "too_easy": (
        "all right: the problems are too easy",
        "Give harder problems, or raise temperature (now {temperature}) so that a group differs "
        "again. If held-out accuracy is where you want it, stop.",
    ),
    "too_hard": (
        "all wrong: the problems are too hard",
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
        "some all right, some all wrong",
        "Leave out problems that are always solved or never, or raise num_generations (now "
        "{group}, try {more}).",
    ),
    "": ("", "See Groups for whether they are all right (too easy) or all wrong (too hard)."),
}


def dead_groups(facts: Facts) -> Finding | None:
    """Many groups with equal rewards, and whether they are all right or all wrong."""
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
    comma = f", {what}" if what else ""
    group = facts.config.get("num_generations") or 8
    return Finding(
        f"dead_groups_{kind}" if kind else "dead_groups",
        _severity(share, facts),
        f"{percent(share)} of the groups are dead (all their rewards are equal, so every advantage "
        f"is 0){comma}. They cost as much as the others and teach nothing.",
        f"median dead_group_share {percent(share)} in {span(facts.recent_span())}{_counts(facts)}",
        remedy.format(group=group, more=2 * group, temperature=facts.config.get("temperature")),
    )


def _severity(share: float, facts: Facts) -> str:
    """How bad this share of dead groups is; where the reward is at its top, as bad as that."""
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
    right = float((place >= 1 - t.NEAR_END).mean())
    wrong = float((place <= t.NEAR_END).mean())
    shares = {"too_easy": right, "too_hard": wrong, "stuck": 1 - right - wrong}
    return next((kind for kind, share in shares.items() if share >= t.MOST), "mixed")


def _counts(facts: Facts) -> str:
    """How many dead groups are right or wrong, and what each function pays in them."""
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
    right = int((place >= 1 - t.NEAR_END).sum())
    wrong = int((place <= t.NEAR_END).sum())
    steps = span([samples.step for samples in facts.recent_samples])
    return (
        f"; of {len(place)} dead groups in {steps}, {right} are all right and {wrong} all wrong; "
        f"mean reward in them: {paid}"
    )
