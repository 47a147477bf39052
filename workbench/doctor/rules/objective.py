"""Rules on the objective: loss, ratio and clipping, KL, sampler mismatch."""

from __future__ import annotations

import numpy as np

from workbench.config import LOSSES
from workbench.doctor import thresholds as t
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Finding, figure, percent, span
from workbench.doctor.rules.rewards import saturated

CLIP_FIELDS = ("epsilon", "epsilon_high", "delta")


def no_gradient(facts: Facts) -> Finding | None:
    """The policy does not move at all."""
    norms = facts.recent("grad_norm")
    if (
        len(norms) < t.FEWEST_STEPS
        or np.median(norms) > t.NO_GRADIENT
        or facts.median("learning_rate") == 0
    ):
        return None
    dead, top = facts.median("dead_group_share"), saturated(facts)
    why = (
        f" Of the groups {percent(dead)} are dead: equal rewards, advantage 0." if dead > 0 else ""
    )
    return Finding(
        "no_gradient",
        top.severity if top else "problem",
        "There is no gradient: the policy does not change." + why,
        f"median grad_norm {figure(float(np.median(norms)))} in {span(facts.recent_span())}",
        "Give the groups different rewards (see the findings on rewards and dead groups), or check that the policy has "
        "trainable parameters.",
    )


def loss_near_zero(facts: Facts) -> Finding | None:
    """The most asked question of the field: is it learning at all, when the loss is 0?"""
    loss, norm = facts.recent("loss"), facts.median("grad_norm")
    if (
        len(loss) < t.FEWEST_STEPS
        or abs(np.median(loss)) > t.LOSS_NEAR_ZERO
        or not norm > t.NO_GRADIENT
    ):
        return None
    if facts.config.get("advantage_baseline") == "none":
        return None
    return Finding(
        "loss_near_zero",
        "note",
        "The loss is near 0, and that is as it should be: the advantages of a group add up to 0 and the ratio is near 1, so that "
        "the loss's value cancels out while its gradient does not. It is no measure of progress.",
        f"median loss {figure(float(np.median(loss)))} with grad_norm {figure(norm)} in {span(facts.recent_span())}",
        "Watch reward and held-out accuracy instead.",
    )


def epsilon_idle(facts: Facts) -> Finding | None:
    """epsilon does nothing: no later update, no clipping in this loss, or ratios that stay
    inside."""
    why = _why_idle(facts)
    if why is None or facts.step == 0:
        return None
    moved = [
        row
        for row in facts.knobs.itertuples()
        if row.name in CLIP_FIELDS and row.step > facts.step - t.KNOB_STEPS
    ]
    steered = (
        f" {moved[-1].name} was moved at step {moved[-1].step}, without effect." if moved else ""
    )
    return Finding("epsilon_idle", "warning" if moved else "note", why[0] + steered, why[1], why[2])


def _why_idle(facts: Facts) -> tuple[str, str, str] | None:
    """What, evidence and remedy of an idle epsilon; None when it works."""
    loss_type, updates, high = (
        facts.config.get("loss_type"),
        facts.updates,
        facts.median("ratio_max"),
    )
    extremes = (
        f"ratio from {figure(facts.median('ratio_min'))} to {figure(high)}, "
        if np.isfinite(high)
        else ""
    )
    clipped = facts.recent("clip_ratio_region")
    seen = f"{extremes}clip_ratio_region {figure(float(clipped.max(initial=0)))} in {span(facts.recent_span())}"
    loss = LOSSES.get(loss_type)
    if loss is None or not (loss.clips or loss.caps):
        return (
            (
                f"loss_type={loss_type!r} has no clip range: epsilon is not used.",
                seen,
                "Choose loss_type='dapo' to see clipping.",
            )
            if loss_type
            else None
        )
    if updates == 1:
        return (
            "On-policy: each rollout batch serves one update, so the ratio is exactly 1, nothing can be clipped and epsilon "
            "has no effect. That is right, not a fault.",
            f"updates_per_rollout x num_iterations = 1; {seen}",
            "For clipping to act, start a run with updates_per_rollout=2 or num_iterations=2.",
        )
    if updates is None or len(clipped) < t.FEWEST_STEPS or clipped.max() > 0:
        return None
    return (
        "epsilon is idle: the ratios stay inside the clip range, so that nothing is clipped.",
        seen,
        f"Nothing needs to be done. epsilon below {figure(max(abs(high - 1), 1e-4))} would begin to clip."
        if np.isfinite(high)
        else "Nothing needs to be done.",
    )


def clipped_too_often(facts: Facts) -> Finding | None:
    """Most of the later updates is thrown away by clipping."""
    updates, clipped = facts.updates, facts.recent("clip_ratio_region")
    if updates is None or updates < 2 or len(clipped) < t.FEWEST_STEPS:
        return None
    share = (
        float(np.median(clipped)) * updates / (updates - 1)
    )  # the first update has ratio 1 and cannot clip
    sequence = facts.config.get("importance_sampling_level") == "sequence"
    if share < (t.CLIPPED_HIGH_SEQUENCE if sequence else t.CLIPPED_HIGH):
        return None
    low, high = facts.median("clip_ratio_low"), facts.median("clip_ratio_high")
    side = (
        "mostly below (tokens that were to become rarer)"
        if low > high
        else "mostly above (tokens that were to become likelier)"
    )
    return Finding(
        "clipped_too_often",
        "problem" if share >= t.CLIPPED_TOO_HIGH and not sequence else "warning",
        f"Clipping stops {percent(share)} of the tokens of the later updates, {side}: the policy moves too far within one rollout "
        "batch, and what is clipped teaches nothing.",
        f"median clip_ratio_low {figure(low)}, clip_ratio_high {figure(high)} over all {updates} updates of a step, in "
        f"{span(facts.recent_span())}",
        f"Lower learning_rate ({_halved(facts)}) or make fewer updates_per_rollout (now {facts.config.get('updates_per_rollout')}); a "
        f"wider epsilon (now {facts.config.get('epsilon')}) lets more through, at the price of larger steps.",
    )


def kl_high(facts: Facts) -> Finding | None:
    """The policy is far from the reference, or runs away from it."""
    recent, before = facts.recent("kl"), facts.values("kl", slice(-2 * t.WINDOW, -t.WINDOW))
    if len(recent) < t.FEWEST_STEPS:
        return None
    level, earlier = (
        float(np.median(recent)),
        float(np.median(before)) if len(before) >= t.FEWEST_VALUES else float("nan"),
    )
    runs_away = level > t.KL_NOTICED and level > t.KL_GROWTH * earlier
    if level < t.KL_HIGH and not runs_away:
        return None
    course = f"{figure(level / max(earlier, 1e-9))}-fold within {t.WINDOW} steps"
    beta = facts.config.get("beta")
    return Finding(
        "kl_high",
        "problem" if level >= t.KL_TOO_HIGH else "warning",
        f"The KL to the reference blows up ({course}): the policy is leaving the language that it started with."
        if runs_away
        else "The KL to the reference is high: the policy writes what the reference would hardly ever write.",
        f"median kl {figure(level)} nats per token in {span(facts.recent_span())}"
        + (f", {figure(earlier)} in the {t.WINDOW} steps before" if np.isfinite(earlier) else ""),
        f"Raise beta (now {beta}, try {figure(4 * beta) if beta else 0.01}) or lower learning_rate ({_halved(facts)}), and read some "
        "completions: if they are good, the reference has served its time and beta=0 or sync_ref_model=True is an option.",
    )


def sampler_mismatch(facts: Facts) -> Finding | None:
    """The engine that samples and the trainer that scores disagree on log-probabilities."""
    difference = facts.recent("sampler_logp_difference")
    if len(difference) < t.FEWEST_STEPS or np.median(difference) < t.MISMATCH_HIGH:
        return None
    mean, largest, mode = (
        float(np.median(difference)),
        facts.median("sampler_logp_difference_max"),
        facts.config.get("importance_sampling_mode"),
    )
    severity = "note" if mode else "problem" if mean >= t.MISMATCH_TOO_HIGH else "warning"
    corrected = f" importance_sampling_mode={mode!r} corrects for it." if mode else ""
    return Finding(
        "sampler_mismatch",
        severity,
        "Sampler and trainer disagree: the completions were drawn from another distribution than the one that the loss assumes, "
        "which biases the gradient." + corrected,
        f"mean |log-probability difference| {figure(mean)} nats, largest {figure(largest)}, in {span(facts.recent_span())}",
        f"Check that the engine (rollout_engine={facts.config.get('rollout_engine')!r}) has the newest weights, the same precision "
        "and temperature"
        + ("." if mode else "; importance_sampling_mode='token_truncate' bounds the harm."),
    )


def _halved(facts: Facts) -> str:
    rate = facts.config.get("learning_rate")
    return f"now {figure(rate)}, try {figure(rate / 2)}" if rate else "try half"
