"""Rules on the single reward functions: one that dominates, one that never pays or never varies,
one that does not score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.doctor import thresholds as t
from workbench.doctor.acts import show
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Curve, Finding, figure, percent, quoted, span


def component_dominates(facts: Facts) -> Finding | None:
    """One function makes nearly all the differences inside the groups, because its scale is
    larger."""
    if not facts.rewards_teach:
        return None
    names = facts.meta.reward_names
    seen = facts.recent_samples
    if len(names) < 2 or len(seen) < t.FEWEST_STEPS:
        return None

    weight_K = np.array([facts.weights[name] for name in names])
    weighted_NGK = np.concatenate([samples.rewards_NGK for samples in seen]) * weight_K
    share_K = _variance_shares(weighted_NGK)
    range_K = _ranges(weighted_NGK)
    first = int(np.argmax(share_K))
    others = [k for k in range(len(names)) if k != first and range_K[k] > 0]
    if share_K[first] < t.DOMINATES or not others:
        return None

    second = max(others, key=lambda k: range_K[k])
    severity, reason, remedy = _why_it_dominates(range_K[first], range_K[second], names[second])
    return Finding(
        "component_dominates",
        severity,
        f"{quoted(names[first])} decides the advantages nearly alone{reason}",
        f"{_each_share(names, share_K)} of the reward's variance within groups in "
        f"{span([samples.step for samples in seen])}",
        remedy,
        curve=Curve.over(
            f"rewards/{names[first]}", [samples.step for samples in facts.recent_samples]
        ),
        acts=show(facts, "best paid"),
    )


def _why_it_dominates(
    first_range: float, second_range: float, second_name: str
) -> tuple[str, str, str]:
    """(severity, reason, remedy). A function may win because its numbers are larger, which weights
    cure, or because the others hardly differ, which they do not."""
    if first_range >= t.SCALE_FACTOR * second_range:
        return (
            "warning",
            f": its values range {figure(first_range / second_range)} times as far as those "
            f"of {quoted(second_name)}, which is drowned out.",
            "Balance them with reward_weights, or set "
            "multi_objective_aggregation='normalize_then_sum'.",
        )
    return (
        "note",
        "; the other functions hardly differ within a group.",
        "Nothing, when the others are learned already; else weigh them more (reward_weights).",
    )


def _each_share(names: Sequence[str], share_K: np.ndarray) -> str:
    """Every function with its share, as a sentence lists them."""
    return ", ".join(
        f"{quoted(name)} {percent(share)}" for name, share in zip(names, share_K, strict=True)
    )


def _variance_shares(weighted_NGK: np.ndarray) -> np.ndarray:
    """For each function its share (K,) of the variance of the total within groups.

    A function that takes away what another gives (a negative weight, a penalty) lessens that
    variance: it has no share in it, and what the others make of it is shared among them.
    """
    centred_NGK = np.nan_to_num(weighted_NGK - _nanmean(weighted_NGK))
    total_NG1 = centred_NGK.sum(-1, keepdims=True)
    made_K = (centred_NGK * total_NG1).sum((0, 1)).clip(min=0)
    shares_K: np.ndarray = made_K / max(made_K.sum(), 1e-30)
    return shares_K


def _ranges(weighted_NGK: np.ndarray) -> np.ndarray:
    """How far the values (K,) of each function range over all completions; 0 where it never
    scored."""
    columns = weighted_NGK.reshape(-1, weighted_NGK.shape[-1]).T
    scored = [column[~np.isnan(column)] for column in columns]
    return np.array([np.ptp(values) if len(values) else 0.0 for values in scored])


def _nanmean(rewards_NGK: np.ndarray) -> np.ndarray:
    """Mean over the group without the unscored; NaN where none is scored."""
    scored = ~np.isnan(rewards_NGK)
    count = scored.sum(1, keepdims=True)
    total = np.nansum(rewards_NGK, axis=1, keepdims=True)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def component_never_pays(facts: Facts) -> Finding | None:
    """A function that has paid nothing so far, while another pays for the same texts."""
    if not facts.rewards_teach:
        return None
    seen = facts.recent_samples
    if len(seen) < t.FEWEST_STEPS:
        return None
    idle = [name for name in facts.meta.reward_names if _has_never_paid(facts, name)]
    paying = _most_paid(facts)
    if not idle or paying is None:
        return None

    other, count, size = paying
    return Finding(
        "component_never_pays",
        "warning",
        f"{', '.join(quoted(name) for name in idle)} has paid for no completion yet, while "
        f"{quoted(other)} pays for the same texts.",
        f"{quoted(other)} paid for {count} of {size} completions in "
        f"{span([samples.step for samples in seen])}, {quoted(idle[0])} for none",
        f"Look at such a text on the Groups page and give it to {quoted(idle[0])} by hand. If it "
        "should be paid, the function asks for letters that it never sees: then mend it. If the "
        "policy only does not write what it asks for, ask for that in the prompt, show it in "
        "examples first (SFT), or let it pay for part of the way.",
        curve=Curve.over(f"rewards/{idle[0]}", [samples.step for samples in facts.recent_samples]),
        acts=show(facts, "best paid"),
    )


def _has_never_paid(facts: Facts, name: str) -> bool:
    """Whether the function, which counts, has given 0 and nothing else."""
    values = facts.values(f"rewards/{name}")
    always_zero = len(values) > 0 and not values.any()
    return always_zero and facts.weights[name] != 0 and not _varies_in_samples(facts, name)


def _most_paid(facts: Facts) -> tuple[str, int, int] | None:
    """The function that pays for most of the last completions, for how many, and of how many; None
    where none pays for enough of them."""
    rewards_NGK = np.concatenate([samples.rewards_NGK for samples in facts.recent_samples])
    paid_K = (rewards_NGK > 0).sum((0, 1))
    k = int(np.argmax(paid_K))
    size = rewards_NGK[..., k].size
    if paid_K[k] < t.PAID_BESIDE * size:
        return None
    return facts.meta.reward_names[k], int(paid_K[k]), size


def component_flat(facts: Facts) -> Finding | None:
    """A function that pays every completion the same, while others differ."""
    if not facts.rewards_teach:
        return None
    weighted = [name for name in facts.meta.reward_names if facts.weights[name] != 0]
    # One that never paid while another does is told by the rule above, and with more to go by.
    told = component_never_pays(facts) is not None
    still = [
        name
        for name in weighted
        if _stands_still(facts, name) and not (told and _has_never_paid(facts, name))
    ]
    if not still or len(still) == len(weighted):
        return None

    name = still[0]
    value = float(facts.recent(f"rewards/{name}")[-1])
    paid, learned = _paid_so_far(facts, name, value)
    also = f" So do {', '.join(quoted(other) for other in still[1:])}." if still[1:] else ""
    if learned:
        remedy = "Nothing, when it is learned."
    else:
        remedy = (
            "Call it by hand on a completion that should be paid. If it is right and only too hard "
            "for this policy, give easier problems, or let it pay for part of the way."
        )
    return Finding(
        "component_flat",
        "note" if learned else "warning",
        f"{quoted(name)} pays every completion {figure(value)} ({paid}): a function that never "
        f"varies teaches nothing.{also}",
        f"rewards/{quoted(name)} = {figure(value)} in {span(facts.recent_span())}",
        remedy,
        curve=Curve.over(f"rewards/{name}", facts.recent_span()),
    )


def _stands_still(facts: Facts, name: str) -> bool:
    """Whether the function paid the same throughout the last steps: on the mean, and each
    completion."""
    values = facts.recent(f"rewards/{name}")
    if len(values) != t.WINDOW or np.ptp(values) >= 1e-9:
        return False
    return not _varies_in_samples(facts, name)


def _paid_so_far(facts: Facts, name: str, value: float) -> tuple[str, bool]:
    """What the `value` that it pays now is beside all that it paid, in words, and whether it is
    learned: a function that stands still at its best is; one that stands still below it pays
    nothing, and nobody learns from it."""
    history = facts.values(f"rewards/{name}")
    has_moved = np.ptp(history) > 1e-9
    learned = bool(value > 0 or (has_moved and value >= history.max() - 1e-9))
    if learned and has_moved:
        return "as much as it ever paid", learned
    if np.ptp(history) < 1e-9:
        return "the same from the start", learned
    return "nothing any more", learned


def component_rare(facts: Facts) -> Finding | None:
    """A function that pays so seldom that most groups never see it."""
    if not facts.rewards_teach:
        return None
    seen = facts.recent_samples
    group = facts.config.get("num_generations")
    if len(seen) < t.FEWEST_STEPS or not group:
        return None
    rewards_NGK = np.concatenate([samples.rewards_NGK for samples in seen])
    for k, name in enumerate(facts.meta.reward_names):
        values = rewards_NGK[..., k][~np.isnan(rewards_NGK[..., k])]
        count = int((values > values.min()).sum()) if len(values) else 0
        # Two standard errors of a count: rare beyond what chance explains.
        surely_rare = count + 2 * np.sqrt(count + 1) <= t.RARE * len(values)
        if not count or not surely_rare or facts.weights[name] == 0:
            continue
        paid = count / len(values)
        in_groups = 1 - (1 - paid) ** group
        return Finding(
            "component_rare",
            "warning",
            f"{quoted(name)} pays only {percent(paid)} of the completions: hardly a group has one "
            "to learn from.",
            f"{count} of {len(values)} completions in {span([samples.step for samples in seen])}; "
            f"a group of {group} then holds one in {percent(in_groups)} of the cases",
            f"Give easier problems first, raise num_generations (now {group}), let it pay for part "
            "of the way, or start from a policy that succeeds now and then.",
            curve=Curve.over(f"rewards/{name}", [samples.step for samples in facts.recent_samples]),
            acts=show(facts, "best paid"),
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
    names = facts.meta.reward_names
    seen = facts.recent_samples
    if not names or len(seen) < t.FEWEST_STEPS:
        return None
    rewards_NGK = np.concatenate([samples.rewards_NGK for samples in seen])
    missing_K = np.isnan(rewards_NGK).mean((0, 1))
    worst = int(np.argmax(missing_K))
    if missing_K[worst] < t.NOT_SCORED:
        return None

    never = missing_K[worst] == 1
    consequence = ": it never scores." if never else "; those are compared without it."
    return Finding(
        "not_scored",
        "problem" if never and len(names) == 1 else "warning",
        f"{quoted(names[worst])} gives no reward (None) for {percent(missing_K[worst])} of the "
        f"completions{consequence}",
        f"{_each_share(names, missing_K)} not scored in {span([samples.step for samples in seen])}",
        "If None is meant (the function is for some problems only), leave it. Else return 0 where "
        "an answer is wrong, and see that the column that the function reads is in the data.",
        curve=Curve.over(
            f"rewards/{names[worst]}", [samples.step for samples in facts.recent_samples]
        ),
        acts=show(facts, "not scored"),
    )
