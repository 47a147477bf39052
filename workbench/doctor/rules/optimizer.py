"""Rules on the optimizer: gradient norm and learning rate, and numbers that are none."""

from __future__ import annotations

import numpy as np

from workbench.doctor import thresholds as t
from workbench.doctor.acts import show
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Curve, Finding, figure, percent, quoted, span


def not_finite(facts: Facts) -> Finding | None:
    """A metric became infinite in one of the recent steps."""
    recent = facts.metrics.tail(t.WINDOW)
    infinite = np.isinf(recent.to_numpy(float))
    if not infinite.any():
        return None
    row, column = (int(index) for index in np.argwhere(infinite)[0])
    return Finding(
        "not_finite",
        "problem",
        f"{quoted(recent.columns[column])} became infinite: the run's numbers overflow.",
        f"first at step {recent['step'].iloc[row]}, at {int(infinite[:, column].sum())} of the "
        f"last {len(recent)} steps",
        f"Lower learning_rate (now {facts.config.get('learning_rate')}), set delta=2 against huge "
        "ratios, and look at that step's tokens.",
        curve=Curve.over(str(recent.columns[column]), recent["step"].to_numpy()),
    )


def gradient_spikes(facts: Facts) -> Finding | None:
    """Single steps with a gradient far above the usual."""
    norms = facts.recent("grad_norm", t.SPIKE_STEPS)
    norms = norms[norms > t.NO_GRADIENT]
    if len(norms) < t.WINDOW:
        return None
    usual = float(np.median(norms))
    limit = facts.config.get("max_grad_norm") or 0.0
    # What max_grad_norm lets through does no harm.
    bound = max(t.SPIKE_FACTOR * usual, limit)
    spikes = norms[norms > bound]
    if not len(spikes):
        return None

    column = facts.metrics["grad_norm"].to_numpy(float)
    where = facts.steps[(column > bound) & (facts.steps > facts.step - t.SPIKE_STEPS)]
    if limit:
        remedy = f"max_grad_norm={figure(limit)} bounds the harm."
    else:
        remedy = f"Set max_grad_norm (now 0: never clipped) to about {figure(2 * usual)}."
    return Finding(
        "gradient_spikes",
        "warning" if len(spikes) >= t.SPIKES_MANY or not limit else "note",
        f"The gradient spikes: {len(spikes)} of {len(norms)} steps are more than "
        f"{t.SPIKE_FACTOR:.0f} times the usual.",
        f"grad_norm up to {figure(float(spikes.max()))}, median {figure(usual)}; at step "
        f"{', '.join(str(step) for step in where[-5:])}",
        f"{remedy} Look at the tokens of such a step: single huge ratios call for delta=2, many "
        "negative advantages for a lower learning_rate.",
        curve=Curve.over("grad_norm", facts.recent_span(t.SPIKE_STEPS)),
        acts=show(facts, "any", where[-5:]),
    )


def gradient_clipped(facts: Facts) -> Finding | None:
    """The gradient is cut at nearly every step."""
    norms = facts.recent("grad_norm")
    limit = facts.config.get("max_grad_norm")
    if len(norms) < t.FEWEST_VALUES or not limit:
        return None
    share = float((norms > limit).mean())
    usual = float(np.median(norms))
    if share < t.ALWAYS_CLIPPED:
        return None
    return Finding(
        "gradient_clipped",
        "warning" if usual > t.FAR_ABOVE * limit else "note",
        "The gradient is clipped at nearly every step: max_grad_norm, not the gradient's size, "
        "sets the length of an update.",
        f"grad_norm above max_grad_norm={figure(limit)} at {percent(share)} of "
        f"{span(facts.recent_span())}, median {figure(usual)}",
        f"Raise max_grad_norm to about {figure(2 * usual)}, or leave it and treat learning_rate "
        f"(now {facts.config.get('learning_rate')}) as what it is: the only step size.",
        curve=Curve.over("grad_norm", facts.recent_span()),
    )


def update_too_large(facts: Facts) -> Finding | None:
    """The weights go further in one update than Adam can take them at the recorded rate."""
    moved = facts.recent("update_over_lr_max")
    if not len(moved) or not str(facts.config.get("optim", "adamw")).startswith("adamw"):
        return None
    beta1 = float(facts.config.get("adam_beta1", 0.9))
    beta2 = float(facts.config.get("adam_beta2", 0.999))
    largest = max(1.0, (1 - beta1) / max(1 - beta2, 1e-12) ** 0.5)
    usual = float(np.median(moved))
    if usual <= t.ADAM_SLACK * largest:
        return None
    return Finding(
        "update_too_large",
        "problem",
        "The optimizer works with another learning rate than the recorded one, about "
        f"{figure(usual / largest)} times as large: weights go further in one update than AdamW "
        "can take them.",
        f"a weight moves by up to {figure(usual)} learning rates (median of "
        f"{span(facts.recent_span())}), where Adam's rule allows {figure(largest)}",
        "Print the optimizer's param_groups right before its step: a scaled rate, a parameter "
        "group of its own, a schedule that multiplies what was multiplied already. Then go back to "
        "a checkpoint before it.",
        curve=Curve.over("update_over_lr_max", facts.recent_span()),
    )


def learning_rate_zero(facts: Facts) -> Finding | None:
    """Nothing can change."""
    rate = facts.recent("learning_rate", 1)
    if not len(rate) or rate[0] != 0:
        return None
    if facts.config.get("learning_rate"):
        reason = f"lr_scheduler_type={facts.config.get('lr_scheduler_type')!r} has run out"
        remedy = "Start a run with more max_steps or lr_scheduler_type='constant'."
    else:
        reason = "learning_rate=0"
        remedy = "Set learning_rate; 1e-6 suits a real model, 1e-3 the embedded policy."
    return Finding(
        "learning_rate_zero",
        "problem",
        f"The learning rate is 0 ({reason}): the policy does not change.",
        f"learning_rate 0 at step {facts.step} of max_steps={facts.config.get('max_steps')}",
        remedy,
        curve=Curve.over("learning_rate", facts.steps[-1:]),
    )


def learning_rate_moved(facts: Facts) -> Finding | None:
    """It is not what it was: by the schedule or by hand."""
    rates = facts.values("learning_rate")
    if len(rates) < 2 or rates[-1] == 0:
        return None
    if abs(rates[-1] - rates[0]) <= t.LEARNING_RATE_MOVED * rates[0]:
        return None
    hands = facts.knobs[facts.knobs["name"] == "learning_rate"]
    if len(hands):
        reason = f"set by {quoted(hands['who'].iloc[-1])} at step {hands['step'].iloc[-1]}"
    else:
        reason = (
            f"lr_scheduler_type={facts.config.get('lr_scheduler_type')!r}, "
            f"warmup_steps={facts.config.get('warmup_steps')}"
        )
    return Finding(
        "learning_rate_moved",
        "note",
        "The learning rate is not what it was at the start.",
        f"learning_rate {figure(float(rates[0]))} at step {int(facts.steps[0])}, "
        f"{figure(float(rates[-1]))} at step {facts.step} ({reason})",
        "Keep it in mind when you compare early steps with late ones.",
        curve=Curve.over("learning_rate", facts.steps),
    )
