"""Rules on the completions: do they end, how long are they, how varied?"""

from __future__ import annotations

import numpy as np

from workbench.doctor import thresholds as t
from workbench.doctor.acts import clipped_higher, last_at_most, show, slower
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Curve, Finding, figure, percent, span
from workbench.doctor.rules.rewards import saturated


def nothing_ends(facts: Facts) -> Finding | None:
    """No completion ever ends: the end token is missing."""
    if facts.imitates:
        return None
    cut = facts.recent("truncated_share")
    if len(cut) < t.FEWEST_STEPS or np.median(cut) < t.NOTHING_ENDS:
        return None
    return Finding(
        "nothing_ends",
        "problem",
        "No completion ends: the policy never writes its end token, so that every completion is "
        "cut off.",
        f"median truncated_share {percent(float(np.median(cut)))} at {_limit(facts)} in "
        f"{span(facts.recent_span())}",
        "See that the tokenizer's end token is the one that the chat template closes a turn with, "
        "and that the policy is an instruct model or was fine-tuned on completions with an end "
        f"token. If the texts are merely long, start a run with {_room(facts)}.",
        curve=Curve.over("truncated_share", facts.recent_span()),
        acts=show(facts, "cut off"),
    )


def truncated(facts: Facts) -> Finding | None:
    """Many completions are cut off, and what that costs them."""
    if facts.imitates:
        return None
    cut = facts.recent("truncated_share")
    if len(cut) < t.FEWEST_STEPS or not t.TRUNCATED_HIGH <= np.median(cut) < t.NOTHING_ENDS:
        return None

    share = float(np.median(cut))
    what = f"{percent(share)} of the completions are cut off at {_limit(facts)}."
    remedy = f"Start a run with {_room(facts)}, or ask for shorter answers in the prompt"
    if facts.config.get("mask_truncated_completions"):
        what += " They are left out of the loss (mask_truncated_completions=True)."
        remedy += "."
    else:
        what += (
            " A completion that is cut off before its answer is taught to be bad, whatever its "
            "merit."
        )
        remedy += "; mask_truncated_completions=True leaves them out of the loss at once."
    return Finding(
        "truncated",
        "problem" if share >= t.TRUNCATED_TOO_HIGH else "warning",
        what,
        f"median truncated_share {percent(share)} in "
        f"{span(facts.recent_span())}{_cost_of_truncation(facts)}",
        remedy,
        curve=Curve.over("truncated_share", facts.recent_span()),
        acts=show(facts, "cut off"),
    )


def _cost_of_truncation(facts: Facts) -> str:
    """How truncated completions are paid, against those that ended."""
    if not facts.recent_samples:
        return ""
    reward = np.concatenate([samples.reward_NG.ravel() for samples in facts.recent_samples])
    cut = np.concatenate([samples.truncated_NG.ravel() for samples in facts.recent_samples])
    scored = ~np.isnan(reward)
    cut_rewards = reward[cut & scored]
    other_rewards = reward[~cut & scored]
    if not len(cut_rewards) or not len(other_rewards):
        return ""
    return (
        f"; {percent(float((cut_rewards == 0).mean()))} of the truncated got reward 0, of those "
        f"that ended {percent(float((other_rewards == 0).mean()))}"
    )


def length_drift(facts: Facts) -> Finding | None:
    """Completions grow or shrink."""
    if facts.imitates:
        return None
    drift = facts.drift("completion_length")
    if drift is None or facts.median("truncated_share") >= t.NOTHING_ENDS:
        return None
    longer = drift.up and drift.factor >= t.LENGTH_FACTOR
    shorter = drift.down and drift.factor <= 1 / t.LENGTH_FACTOR
    if not longer and not shorter:
        return None

    key, what, remedy = _longer(facts) if longer else _shorter(facts)
    # A length that is paid for is worth a word, no more; unless it costs right answers.
    reward = facts.drift("reward")
    earned = reward is not None and reward.up
    fall = facts.accuracy_fall
    paid = "" if reward is None else f"; reward {reward}"
    gain = "without a gain in reward."
    if earned:
        gain = "and the reward rises with it"
        gain += "." if fall is None else ", while held-out accuracy falls."
        what += ","
    if fall is not None:
        paid += f"; accuracy {fall[0]}, then {fall[1]}"
    return Finding(
        key,
        "note" if earned and fall is None else "warning",
        f"{what} {gain}",
        f"completion_length {drift} tokens, the first {t.WINDOW} of {span(facts.steps)} against "
        f"the last{paid}",
        remedy,
        curve=Curve.over("completion_length", facts.recent_span()),
        acts=show(facts, "any"),
    )


def _longer(facts: Facts) -> tuple[str, str, str]:
    """(key, what, remedy)."""
    return (
        "length_up",
        "The completions get longer",
        "Read some: if they ramble, use loss_type='dr_grpo' or 'dapo' (now "
        f"{facts.config.get('loss_type')!r}), which do not favour long wrong answers, or add "
        "a reward for brevity.",
    )


def _shorter(facts: Facts) -> tuple[str, str, str]:
    """(key, what, remedy)."""
    return (
        "length_down",
        "The completions get shorter",
        "Read some: if the thinking is gone, the reward pays without it; pay for it, or raise "
        f"{facts.pull}.",
    )


def entropy_collapse(facts: Facts) -> Finding | None:
    """The policy has become deterministic."""
    drift = facts.drift("entropy")
    level = facts.median("entropy")
    if drift is None or not len(facts.recent("entropy")):
        return None
    # Fallen to a tenth, or, for a policy that began low, close to nothing.
    fallen = drift.down and drift.factor <= t.ENTROPY_COLLAPSED
    start = float(np.median(facts.values("entropy")[: t.WINDOW]))
    if not fallen and level > min(t.ENTROPY_NONE, t.ENTROPY_FELL * start):
        return None

    what = (
        "The entropy has collapsed: the completions of a group are nearly the same, so that there "
        "is little to compare"
    )
    evidence = (
        f"median entropy {figure(level)} nats per token in {span(facts.recent_span())}; {drift} "
        "since the start"
    )
    nothing_lost = _nothing_lost(facts)
    if nothing_lost:
        return Finding(
            "entropy_collapse",
            "note",
            f"{what}. {nothing_lost}",
            evidence,
            curve=Curve.over("entropy", facts.recent_span()),
        )
    return Finding(
        "entropy_collapse",
        "warning",
        f"{what} and hardly anything new is tried.",
        evidence,
        f"Raise epsilon_high above epsilon (now {facts.config.get('epsilon')}, DAPO uses 0.28 with "
        f"epsilon=0.2), temperature (now {facts.config.get('temperature')}) or beta, or go back to "
        "a checkpoint before the fall.",
        curve=Curve.over("entropy", facts.recent_span()),
        acts=clipped_higher(facts),
    )


def _nothing_lost(facts: Facts) -> str:
    """Why a policy may have stopped trying new things; empty where it should not have."""
    top = saturated(facts)
    if top is not None and top.severity == "note":
        return "The reward is at its top, so nothing is lost."
    last = facts.held_out[-1] if facts.held_out else None
    if last is not None and last.accuracy >= t.SOLVED and facts.accuracy_fall is None:
        return f"Held-out accuracy is {percent(last.accuracy)}, so nothing is lost."
    return ""


def entropy_explosion(facts: Facts) -> Finding | None:
    """The policy becomes random."""
    drift = facts.drift("entropy")
    if (
        drift is None
        or not drift.up
        or drift.factor < t.ENTROPY_EXPLODED
        or drift.difference < t.ENTROPY_NOTICED
    ):
        return None

    severity = "warning"
    what = "The entropy grows: the policy becomes random"
    evidence = (
        f"entropy {drift} nats per token, the first {t.WINDOW} of {span(facts.steps)} against the "
        "last"
    )
    reward = facts.drift("reward")
    if reward is not None and reward.down:
        severity = "problem"
        what += ", and the reward falls with it."
        evidence += f"; reward {reward}"
    else:
        what += "."
    rate = facts.config.get("learning_rate")
    lower = f", try {figure(rate / 3)}" if rate else ""
    return Finding(
        "entropy_explosion",
        severity,
        what,
        evidence,
        f"Lower learning_rate (now {rate}{lower}), raise {facts.pull}, "
        "and go back to a checkpoint before it began. Clipping negative advantages harder (a "
        "smaller epsilon) or delta=2 helps against updates that only push away.",
        curve=Curve.over("entropy", facts.recent_span()),
        acts=slower(facts, last_at_most(facts, "entropy", t.ENTROPY_EXPLODED * drift.before), 3),
    )


def _limit(facts: Facts) -> str:
    """What cut the completions off; an imported run does not know the number."""
    limit = facts.config.get("max_completion_length")
    return "max_completion_length" if limit is None else f"max_completion_length={limit}"


def _room(facts: Facts) -> str:
    """The setting that lets them end."""
    limit = facts.config.get("max_completion_length")
    if limit is None:
        return "a larger max_completion_length"
    return f"max_completion_length={2 * int(limit)}"
