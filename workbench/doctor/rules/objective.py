"""Rules on the objective: loss, ratio and clipping, KL, sampler mismatch."""

from __future__ import annotations

import numpy as np

from workbench.config import LOSSES
from workbench.config.losses import SEQUENCE_LEVELS
from workbench.doctor import thresholds as t
from workbench.doctor.acts import held_nearer, last_at_most, show, slower
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Curve, Finding, figure, percent, span
from workbench.doctor.rules.rewards import saturated

CLIP_FIELDS = ("epsilon", "epsilon_high", "delta")
KL_IS_HIGH = (
    "The KL to the reference is high: the policy writes what the reference would hardly ever write."
)


def no_gradient(facts: Facts) -> Finding | None:
    """The policy does not move at all."""
    norms = facts.recent("grad_norm")
    if (
        len(norms) < t.FEWEST_STEPS
        or np.median(norms) > t.NO_GRADIENT
        or facts.median("learning_rate") == 0
    ):
        return None
    what = "There is no gradient: the policy does not change."
    dead = facts.median("dead_group_share")
    if dead > 0 and facts.compares_groups:
        what += f" Of the groups {percent(dead)} are dead: equal rewards, advantage 0."
    # Where everything is solved, nothing is left to learn from, and that is no fault.
    top = saturated(facts)
    return Finding(
        "no_gradient",
        top.severity if top else "problem",
        what,
        f"median grad_norm {figure(float(np.median(norms)))} in {span(facts.recent_span())}",
        "Give the groups different rewards (see the findings on rewards and dead groups), or check "
        "that the policy has trainable parameters."
        if facts.compares_groups
        else "See which coefficients the tokens got (the token page), and that the policy has "
        "trainable parameters.",
        curve=Curve.over("grad_norm", facts.recent_span()),
    )


def loss_near_zero(facts: Facts) -> Finding | None:
    """The most asked question of the field: is it learning at all, when the loss is 0?"""
    loss = facts.recent("loss")
    norm = facts.median("grad_norm")
    if (
        len(loss) < t.FEWEST_STEPS
        or abs(np.median(loss)) > t.LOSS_NEAR_ZERO
        or not norm > t.NO_GRADIENT
    ):
        return None
    # Without a baseline the advantages do not add up to 0, so that the reason would be another one;
    # the same holds where the loss is of pairs, or of steps.
    grouped = facts.compares_groups and not facts.method.of_pairs
    if facts.config.get("advantage_baseline") == "none" or not grouped:
        return None
    return Finding(
        "loss_near_zero",
        "note",
        "The loss is near 0, and that is as it should be: the advantages of a group add up to 0 "
        "and the ratio is near 1, so that the loss's value cancels out while its gradient does "
        "not. It is no measure of progress.",
        f"median loss {figure(float(np.median(loss)))} with grad_norm {figure(norm)} in "
        f"{span(facts.recent_span())}",
        "Watch reward and held-out accuracy instead.",
        curve=Curve.over("loss", facts.recent_span()),
    )


def epsilon_idle(facts: Facts) -> Finding | None:
    """epsilon does nothing: no later update, no clipping in this loss, or ratios that stay
    inside."""
    idle = _why_idle(facts)
    if idle is None or facts.step == 0 or _clips_by_no_choice(facts):
        return None
    what, evidence, remedy = idle
    moved = [
        row
        for row in facts.knobs.itertuples()
        if row.name in CLIP_FIELDS and row.step > facts.step - t.KNOB_STEPS
    ]
    if not moved:
        return Finding(
            "epsilon_idle",
            "note",
            what,
            evidence,
            remedy,
            curve=Curve.over("clip_ratio_region", facts.recent_span()),
        )
    # Somebody has just turned what does nothing: they should know.
    steered = f" {moved[-1].name} was moved at step {moved[-1].step}, without effect."
    return Finding(
        "epsilon_idle",
        "warning",
        what + steered,
        evidence,
        remedy,
        curve=Curve.over("clip_ratio_region", facts.recent_span()),
    )


def _clips_by_no_choice(facts: Facts) -> bool:
    """Whether the method leaves no room for a clip range, so that none is missing."""
    return facts.method.of_pairs or "loss_type" in facts.method.settings


def _why_idle(facts: Facts) -> tuple[str, str, str] | None:
    """What, evidence and remedy of an idle epsilon; None when it works."""
    loss_type = facts.config.get("loss_type")
    if not loss_type:
        return None
    clipped = facts.recent("clip_ratio_region")
    seen = _seen_of_the_ratio(facts, clipped)
    loss = LOSSES.get(loss_type)
    if loss is None or not loss.uses_epsilon:
        return (
            f"loss_type={loss_type!r} has no clip range: epsilon is not used.",
            seen,
            "Choose loss_type='dapo' to see clipping.",
        )
    if facts.updates == 1:
        return (
            "On-policy: each rollout batch serves one update, so the ratio is exactly 1, nothing "
            "can be clipped and epsilon has no effect. That is right, not a fault.",
            f"updates_per_rollout x num_iterations = 1; {seen}",
            "For clipping to act, start a run with updates_per_rollout=2 or num_iterations=2.",
        )
    if facts.updates is None or len(clipped) < t.FEWEST_STEPS or clipped.max() > 0:
        return None
    high = facts.median("ratio_max")
    remedy = "Nothing needs to be done."
    if np.isfinite(high):
        bound = figure(max(abs(high - 1), 1e-4))
        remedy += f" epsilon below {bound} would begin to clip."
    return (
        "epsilon is idle: the ratios stay inside the clip range, so that nothing is clipped.",
        seen,
        remedy,
    )


def _seen_of_the_ratio(facts: Facts, clipped: np.ndarray) -> str:
    """How far the ratios went, where that was measured, and how many of them were clipped."""
    high = facts.median("ratio_max")
    extremes = ""
    if np.isfinite(high):
        extremes = f"ratio from {figure(facts.median('ratio_min'))} to {figure(high)}, "
    return (
        f"{extremes}clip_ratio_region {figure(float(clipped.max(initial=0)))} in "
        f"{span(facts.recent_span())}"
    )


def clipped_too_often(facts: Facts) -> Finding | None:
    """Most of the later updates is thrown away by clipping."""
    updates = facts.updates
    clipped = facts.recent("clip_ratio_region")
    measured = updates is not None and len(clipped) >= t.FEWEST_STEPS
    if updates is None or updates < 2 or not measured or _clips_by_no_choice(facts):
        return None
    # The record's share is that of all updates; the first one has ratio 1 and cannot clip.
    share = float(np.median(clipped)) * updates / (updates - 1)
    per_sequence = facts.config.get("importance_sampling_level") in SEQUENCE_LEVELS
    if share < (t.CLIPPED_HIGH_SEQUENCE if per_sequence else t.CLIPPED_HIGH):
        return None

    low = facts.median("clip_ratio_low")
    high = facts.median("clip_ratio_high")
    if low > high:
        side = "mostly below (tokens that were to become rarer)"
    else:
        side = "mostly above (tokens that were to become likelier)"
    updates_now = facts.config.get("updates_per_rollout")
    return Finding(
        "clipped_too_often",
        "problem" if share >= t.CLIPPED_TOO_HIGH and not per_sequence else "warning",
        f"Clipping stops {percent(share)} of the tokens of the later updates, {side}: the policy "
        "moves too far within one rollout batch. What is clipped teaches nothing, and since it is "
        "the tokens that moved, what is left can point another way.",
        f"median clip_ratio_low {figure(low)}, clip_ratio_high {figure(high)} over all {updates} "
        f"updates of a step, in {span(facts.recent_span())}",
        f"Lower learning_rate ({_halved(facts)}) or make fewer updates_per_rollout (now "
        f"{updates_now}); a wider epsilon (now {facts.config.get('epsilon')}) lets more through, "
        "at the price of larger steps.",
        curve=Curve.over("clip_ratio_region", facts.recent_span()),
        acts=slower(facts, facts.step),
    )


def kl_high(facts: Facts) -> Finding | None:
    """The policy is far from the reference, or runs away from it."""
    recent = facts.recent("kl")
    before = facts.values("kl", slice(-2 * t.WINDOW, -t.WINDOW))
    if len(recent) < t.FEWEST_STEPS:
        return None
    level = float(np.median(recent))
    earlier = float(np.median(before)) if len(before) >= t.FEWEST_VALUES else float("nan")
    runs_away = level > t.KL_NOTICED and level > t.KL_GROWTH * earlier
    if level < t.KL_HIGH and not runs_away:
        return None

    # Where it began: the last step that was not far yet.
    start = facts.step - t.WINDOW if runs_away else last_at_most(facts, "kl", t.KL_HIGH)
    evidence = f"median kl {figure(level)} nats per token in {span(facts.recent_span())}"
    if np.isfinite(earlier):
        evidence += f", {figure(earlier)} in the {t.WINDOW} steps before"
    return Finding(
        "kl_high",
        "problem" if level >= t.KL_TOO_HIGH else "warning",
        _blows_up(level, earlier) if runs_away else KL_IS_HIGH,
        evidence,
        f"{_more_pull(facts)}ower learning_rate ({_halved(facts)}), and read some completions: if "
        f"they are good, the reference has served its time{_less_pull(facts)}.",
        curve=Curve.over("kl", facts.recent_span()),
        acts=(*show(facts, "any"), *held_nearer(facts, start), *slower(facts, start)),
    )


def _more_pull(facts: Facts) -> str:
    """The beginning of a sentence that goes on with "ower learning_rate"."""
    if "beta" not in facts.method.settings:
        beta = facts.config.get("beta")
        larger = figure(4 * beta) if beta else 0.01
        return f"Raise beta (now {beta}, try {larger}) or l"
    if {"kl_coef", "dpo_beta"} & set(facts.method.reads):
        return f"Raise {facts.pull} or l"
    # Nothing pulls to the reference in this method.
    return "L"


def _less_pull(facts: Facts) -> str:
    if "beta" in facts.method.settings:
        return ""
    # The worse the answers, the less there is to be said for letting go of the reference.
    if facts.accuracy_fall is not None:
        return "; held-out accuracy says that they are not"
    return " and beta=0 or sync_ref_model=True is an option"


def _blows_up(level: float, earlier: float) -> str:
    growth = f"{figure(level / max(earlier, 1e-9))}-fold within {t.WINDOW} steps"
    return (
        f"The KL to the reference blows up ({growth}): the policy is leaving the language that "
        "it started with."
    )


def sampler_mismatch(facts: Facts) -> Finding | None:
    """The engine that samples and the trainer that scores disagree on log-probabilities."""
    difference = facts.recent("sampler_logp_difference")
    # Where the sampler is to lag, `sampler_lags` says so.
    if facts.config.get("rollout_staleness"):
        return None
    if len(difference) < t.FEWEST_STEPS or np.median(difference) < t.MISMATCH_HIGH:
        return None
    mean = float(np.median(difference))
    largest = facts.median("sampler_logp_difference_max")
    correction = facts.config.get("importance_sampling_mode")

    what = (
        "Sampler and trainer disagree: the completions were drawn from another distribution than "
        "the one that the loss assumes, which biases the gradient."
    )
    remedy = (
        f"Check that the engine (rollout_engine={facts.engine!r}) has the newest weights, the same "
        "precision and temperature"
    )
    if correction:
        severity = "note"
        what += f" importance_sampling_mode={correction!r} corrects for it."
        remedy += "."
    else:
        severity = "problem" if mean >= t.MISMATCH_TOO_HIGH else "warning"
        remedy += "; importance_sampling_mode='token_truncate' bounds the harm."
    return Finding(
        "sampler_mismatch",
        severity,
        what,
        f"mean |log-probability difference| {figure(mean)} nats, largest {figure(largest)}, in "
        f"{span(facts.recent_span())}",
        remedy,
        curve=Curve.over("sampler_logp_difference", facts.recent_span()),
    )


def _halved(facts: Facts) -> str:
    rate = facts.config.get("learning_rate")
    return f"now {figure(rate)}, try {figure(rate / 2)}" if rate else "try half"
