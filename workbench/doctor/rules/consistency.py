"""Rules on whether a step's record agrees with itself: rewards, advantages, coefficients, ratio and
KL follow from one another by the settings, and a figure that does not come out names a mistake in
the code that made it."""

from __future__ import annotations

import numpy as np

from workbench.doctor import thresholds as t
from workbench.doctor.audit import StepAudit
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Curve, Finding, figure, percent, span


def advantage_sign(facts: Facts) -> Finding | None:
    """What was paid more is pushed down."""
    turned = _advantages_turned(facts)
    where = "the advantages run against the rewards that they are made of"
    if turned is None:
        turned = _coefficients_turned(facts)
        where = "the tokens' coefficients run against the advantages that they are made of"
    if turned is None:
        return None
    return Finding(
        "advantage_sign",
        "problem",
        f"The sign is turned: {where}, so that what was paid more is made rarer.",
        turned,
        "Look for a minus too many or too few between the reward and the loss: the loss is minus "
        "advantage times ratio, and the advantage is reward minus baseline.",
    )


def _advantages_turned(facts: Facts) -> str | None:
    """The evidence that advantages and rewards have opposite orders within the groups."""
    if not facts.compares_groups or facts.method.of_pairs:
        return None
    opposite = 0
    live = 0
    for audit in facts.audits:
        group = audit.batch["num_generations"]
        reward_NG = np.asarray(audit.batch["reward_B"], float).reshape(-1, group)
        advantage_NG = np.asarray(audit.batch["advantages_B"], float).reshape(-1, group)
        scored_N = np.isfinite(reward_NG).all(1)
        spread_N = np.ptp(np.where(scored_N[:, None], reward_NG, 0.0), axis=1) > 1e-9
        centred_NG = reward_NG - reward_NG.mean(1, keepdims=True)
        together_N = (centred_NG * advantage_NG).sum(1)
        counted_N = scored_N & spread_N & (together_N != 0)
        live += int(counted_N.sum())
        opposite += int((together_N[counted_N] < 0).sum())
    if live < t.FEWEST_STEPS or opposite < t.SURELY * live:
        return None
    return (
        f"in {opposite} of {live} groups whose rewards differ, a higher reward has the lower "
        f"advantage ({_steps(facts)})"
    )


def _coefficients_turned(facts: Facts) -> str | None:
    scale = _scales(facts)
    negative = float((scale < 0).mean()) if len(scale) else 0.0
    if len(scale) < t.FEWEST_ROWS or negative < t.SURELY:
        return None
    return (
        f"{percent(negative)} of {len(scale)} tokens have a coefficient of the other sign than "
        f"advantage times ratio ({_steps(facts)})"
    )


def end_token_masked(facts: Facts) -> Finding | None:
    """The end tokens have no gradient, the others have."""
    audits = _plain(facts)
    last = np.concatenate([audit.last_coefficient_B for audit in audits] or [np.zeros(0)])
    if len(last) < t.FEWEST_ROWS or (last == 0).mean() < t.SURELY:
        return None
    inner = [_inner_coefficients(audit) for audit in audits]
    others = float((np.concatenate(inner) != 0).mean())
    # Where hardly any token has a gradient, it is not the end token's own lot.
    if others < 0.5:
        return None
    return Finding(
        "end_token_masked",
        "problem",
        "The end token is masked out of the loss: nothing teaches the policy when to stop, and "
        "completions will grow.",
        f"of {len(last)} completions that ended by themselves, {int((last == 0).sum())} have a "
        f"coefficient of exactly 0 at their end token; of the tokens before it {percent(others)} "
        f"have another one ({_steps(facts)})",
        "Where the pad token is the end token, a mask by token id drops both: mask by place, the "
        "end token included.",
    )


def _inner_coefficients(audit: StepAudit) -> np.ndarray:
    """Of all tokens but the last of the completions that ended."""
    coefficient_BT = audit.array("coefficient")
    assert coefficient_BT is not None
    inner_BT = audit.mask_BT & audit.ended_B[:, None]
    inner_BT[:, :-1] &= audit.sampled_BT[:, 1:]
    inner_BT[:, -1] = False
    found: np.ndarray = coefficient_BT[inner_BT]
    return found


def denominator_wrong(facts: Facts) -> Finding | None:
    """Every coefficient is off by a factor that is not padding's."""
    found = _factor(facts)
    if found is None or _is_padding(facts):
        return None
    factor, count = found
    pieces = facts.config.get("micro_batch_size")
    return Finding(
        "denominator_wrong",
        "problem",
        f"The loss is divided by the wrong number: the tokens' coefficients are "
        f"{figure(factor)} times what loss_type={facts.config.get('loss_type')!r} gives. AdamW "
        "hides it, clipping by max_grad_norm and beta do not.",
        f"median of {count} tokens ({_steps(facts)}); micro_batch_size={pieces}",
        "Check what each micro-batch's sum is divided by: the tokens or completions of the whole "
        "update, not its own, and once only where gradients are accumulated.",
    )


def padding_counted(facts: Facts) -> Finding | None:
    """Every coefficient is too small by the share of padding."""
    found = _factor(facts)
    if found is None or not _is_padding(facts):
        return None
    factor, count = found
    filled = float(np.mean([audit.padded_scale for audit in facts.audits]))
    return Finding(
        "padding_counted",
        "problem",
        "Padding is counted as tokens in the loss's denominator, and in the means over tokens: the "
        "gradient shrinks with the longest completion of a batch, entropy and kl look too small.",
        f"the coefficients are {figure(factor)} times what they should be (median of {count} "
        f"tokens, {_steps(facts)}), and {percent(filled)} of the padded batch are tokens",
        "Multiply by the completion mask before every sum, and divide by the mask's sum.",
    )


def _factor(facts: Facts) -> tuple[float, int] | None:
    """By what factor the coefficients are off, and over how many tokens; None where they are not,
    or where no one factor says it."""
    if advantage_sign(facts) is not None or end_token_masked(facts) is not None:
        return None
    scale = _scales(facts)
    if len(scale) < t.FEWEST_TEXTS:
        return None
    factor = float(np.median(scale))
    off = np.abs(scale - 1) > t.SCALE_OFF
    if abs(factor - 1) <= t.SCALE_OFF or off.mean() < t.SURELY or factor <= 0:
        return None
    return factor, len(scale)


def _is_padding(facts: Facts) -> bool:
    """Whether each step's factor is its share of padding. One step alone could be a coincidence,
    but for the third digit."""
    near = [
        abs(float(np.nanmedian(audit.scale_BT)) / audit.padded_scale - 1) < t.SCALE_OFF
        for audit in _plain(facts)
        if audit.pushed_BT.any()
    ]
    return bool(near) and all(near)


def ratio_to_reference(facts: Facts) -> Finding | None:
    """The old policy's log-probabilities are the reference's, though the policy has moved."""
    same = []
    sampled = []
    for audit in facts.audits:
        ref_BT = audit.array("ref_logp")
        old_BT = audit.array("old_logp")
        sampler_BT = audit.array("sampler_logp")
        if ref_BT is None or old_BT is None or sampler_BT is None:
            continue
        mask_BT = audit.sampled_BT
        same.append(np.abs(ref_BT - old_BT)[mask_BT])
        sampled.append(np.abs(sampler_BT - old_BT)[mask_BT])
    if not same:
        return None
    equal = float((np.concatenate(same) < 1e-6).mean())
    away = float(np.concatenate(sampled).mean())
    # In the first steps, and with a learning rate of 0, the policy is the reference.
    if equal < t.SURELY or away < t.MISMATCH_IN_FLOAT32:
        return None
    return Finding(
        "ratio_to_reference",
        "problem",
        "The importance ratio is taken to the reference: what is recorded as the old policy's "
        "log-probabilities are the reference's, though the policy that sampled has moved on. "
        "Clipping then holds the policy where it began.",
        f"old_logp equals ref_logp at {percent(equal)} of the tokens, and is "
        f"{figure(away)} nats from the sampler's on average ({_steps(facts)})",
        "Take the log-probabilities before the first update of a rollout as old_logp; the "
        "reference belongs into the KL alone.",
        curve=Curve.over("kl", [audit.step for audit in facts.audits]),
    )


def kl_inverted(facts: Facts) -> Finding | None:
    """The recorded KL is that of k3 with its arguments exchanged."""
    if facts.config.get("kl_estimator", "k3") != "k3":
        return None
    recorded = dict(zip(facts.steps, facts.column("kl"), strict=True))
    rows = []
    for audit in facts.audits:
        means = audit.kl_means()
        measured = recorded.get(audit.step, np.nan)
        # With several passes over a rollout the mean is over all, and the record has the last.
        if means is None or not np.isfinite(measured) or audit.config.get("num_iterations", 1) != 1:
            continue
        # The figure may be over other tokens than those that are kept, as where padding counts.
        if abs(means[0] - means[1]) > t.KL_TOLD_APART:
            rows.append((measured, *means))
    inverted = [abs(kl - wrong) < t.KL_OFF * abs(kl - right) for kl, right, wrong in rows]
    if not rows or not all(inverted):
        return None
    kl, right, wrong = rows[-1]
    return Finding(
        "kl_inverted",
        "problem",
        "The KL estimate k3 is the wrong way round: exp(-d) + d - 1 in place of exp(d) - d - 1, "
        "d = log pi_ref - log pi. It estimates something else, and blows up where the policy likes "
        "what the reference does not.",
        f"recorded kl {figure(kl)}; of the recorded tokens k3 is {figure(right)}, the inverted one "
        f"{figure(wrong)} ({_steps(facts)})",
        "Exchange the arguments: exp(ref_logp - logp) - (ref_logp - logp) - 1.",
        curve=Curve.over("kl", [audit.step for audit in facts.audits]),
    )


def _plain(facts: Facts) -> list[StepAudit]:
    return [audit for audit in facts.audits if audit.is_plain]


def _scales(facts: Facts) -> np.ndarray:
    """Of all tokens that push, what their coefficient is of what it should be."""
    found = [audit.scale_BT[audit.pushed_BT] for audit in _plain(facts)]
    return np.concatenate(found or [np.zeros(0)])


def _steps(facts: Facts) -> str:
    return span([audit.step for audit in facts.audits])
