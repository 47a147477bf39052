"""Rules on the single reward functions: one that dominates, one that never varies, one that does
not score."""

from __future__ import annotations

import numpy as np

from workbench.doctor import thresholds as t
from workbench.doctor.facts import Facts, StepSamples
from workbench.doctor.finding import Finding, figure, percent, quoted, span


def component_dominates(facts: Facts) -> Finding | None:
    """One function makes nearly all the differences inside the groups, because its scale is
    larger."""
    names, seen = facts.meta.reward_names, facts.recent_samples
    if len(names) < 2 or len(seen) < t.FEWEST_STEPS:
        return None
    share_K, range_K = _shares(seen, np.array([facts.weights[name] for name in names]))
    first = int(np.argmax(share_K))
    others = [k for k in range(len(names)) if k != first and range_K[k] > 0]
    if share_K[first] < t.DOMINATES or not others:
        return None
    second = max(others, key=lambda k: range_K[k])
    by_scale = range_K[first] >= t.SCALE_FACTOR * range_K[second]
    return Finding(
        "component_dominates",
        "warning" if by_scale else "note",
        f"{quoted(names[first])} decides the advantages nearly alone"
        + (
            f": its values range {figure(range_K[first] / range_K[second])} times as far as those of {quoted(names[second])}, which is "
            "drowned out."
            if by_scale
            else "; the other functions hardly differ within a group."
        ),
        ", ".join(f"{quoted(n)} {percent(s)}" for n, s in zip(names, share_K, strict=True))
        + f" of the reward's variance within groups in {span([s.step for s in seen])}",
        "Balance them with reward_weights, or set multi_objective_aggregation='normalize_then_sum'."
        if by_scale
        else "Nothing, when the others are learned already; else weigh them more (reward_weights).",
    )


def _shares(seen: list[StepSamples], weight_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each function its share of the variance of the total within groups (they add up to 1),
    and its weighted range."""
    rewards = np.concatenate([s.rewards_NGK for s in seen]) * weight_K
    centred = np.nan_to_num(rewards - _nanmean(rewards))
    total = centred.sum(-1, keepdims=True)
    shares = (centred * total).sum((0, 1)) / max((total**2).sum(), 1e-30)
    flat = rewards.reshape(-1, rewards.shape[-1])
    ranges = [
        np.ptp(column[~np.isnan(column)]) if (~np.isnan(column)).any() else 0.0 for column in flat.T
    ]
    return shares, np.array(ranges)


def _nanmean(rewards_NGK: np.ndarray) -> np.ndarray:
    """Mean over the group without the unscored; NaN where none is scored."""
    scored = ~np.isnan(rewards_NGK)
    count = scored.sum(1, keepdims=True)
    return np.where(
        count > 0, np.nansum(rewards_NGK, axis=1, keepdims=True) / np.maximum(count, 1), np.nan
    )


def component_flat(facts: Facts) -> Finding | None:
    """A function that pays every completion the same, while others differ."""
    columns = {
        name: facts.recent(f"rewards/{name}")
        for name in facts.meta.reward_names
        if facts.weights[name] != 0
    }
    still = [
        name
        for name, values in columns.items()
        if len(values) == t.WINDOW and np.ptp(values) < 1e-9
    ]
    still = [name for name in still if not _varies_in_samples(facts, name)]
    if not still or len(still) == len(columns):
        return None
    name = still[0]
    value, history = float(columns[name][-1]), facts.values(f"rewards/{name}")
    learned = value > 0 or (np.ptp(history) > 1e-9 and value >= history.max() - 1e-9)
    paid = (
        "as much as it ever paid"
        if learned and np.ptp(history) > 1e-9
        else "the same from the start"
        if np.ptp(history) < 1e-9
        else "nothing any more"
    )
    also = f" So do {', '.join(quoted(n) for n in still[1:])}." if still[1:] else ""
    return Finding(
        "component_flat",
        "note" if learned else "warning",
        f"{quoted(name)} pays every completion {figure(value)} ({paid}): a function that never varies teaches nothing.{also}",
        f"rewards/{quoted(name)} = {figure(value)} in {span(facts.recent_span())}",
        "Nothing, when it is learned."
        if learned
        else "Call it by hand on a completion that should be paid. If it is right and only too hard for this policy, give easier problems, "
        "or let it pay for part of the way.",
    )


def component_rare(facts: Facts) -> Finding | None:
    """A function that pays so seldom that most groups never see it."""
    seen, group = facts.recent_samples, facts.config.get("num_generations")
    if len(seen) < t.FEWEST_STEPS or not group:
        return None
    rewards = np.concatenate([s.rewards_NGK for s in seen])
    for k, name in enumerate(facts.meta.reward_names):
        values = rewards[..., k][~np.isnan(rewards[..., k])]
        count = int((values > values.min()).sum()) if len(values) else 0
        surely = count + 2 * np.sqrt(count + 1) <= t.RARE * len(
            values
        )  # two standard errors of a count
        if count and surely and facts.weights[name] != 0:
            paid = count / len(values)
            return Finding(
                "component_rare",
                "warning",
                f"{quoted(name)} pays only {percent(paid)} of the completions: hardly a group has one to learn from.",
                f"{count} of {len(values)} completions in {span([s.step for s in seen])}; a group of {group} then holds one in "
                f"{percent(1 - (1 - paid) ** group)} of the cases",
                f"Give easier problems first, raise num_generations (now {group}), let it pay for part of the way, or start from a policy "
                "that succeeds now and then.",
            )
    return None


def _varies_in_samples(facts: Facts, name: str) -> bool:
    """Whether a mean that stands still hides different rewards."""
    k = facts.meta.reward_names.index(name)
    values = np.concatenate(
        [s.rewards_NGK[..., k].ravel() for s in facts.recent_samples] or [np.zeros(0)]
    )
    values = values[~np.isnan(values)]
    return bool(len(values) and np.ptp(values) > 1e-9)


def not_scored(facts: Facts) -> Finding | None:
    """A function that answers None for many completions."""
    names, seen = facts.meta.reward_names, facts.recent_samples
    if not names or len(seen) < t.FEWEST_STEPS:
        return None
    missing_K = np.isnan(np.concatenate([s.rewards_NGK for s in seen])).mean((0, 1))
    worst = int(np.argmax(missing_K))
    if missing_K[worst] < t.NOT_SCORED:
        return None
    never = missing_K[worst] == 1
    return Finding(
        "not_scored",
        "problem" if never and len(names) == 1 else "warning",
        f"{quoted(names[worst])} gives no reward (None) for {percent(missing_K[worst])} of the completions"
        + (": it never scores." if never else "; those are compared without it."),
        ", ".join(f"{quoted(n)} {percent(m)}" for n, m in zip(names, missing_K, strict=True))
        + f" not scored in {span([s.step for s in seen])}",
        "If None is meant (the function is for some problems only), leave it. Else return 0 where an answer is wrong, and see that the "
        "column that the function reads is in the data.",
    )
