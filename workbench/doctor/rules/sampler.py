"""Rules on what a mismatch between sampler and trainer comes from: other places, another
temperature, older weights, or an adapter that counts twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.doctor import thresholds as t
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Curve, Finding, figure, percent, span

LARGEST_LOGIT = 8.0
"""Tokens that are surer than this say nothing of a temperature: their logit is rounding."""


@dataclass(frozen=True)
class _Tokens:
    """The sampled tokens of the audited steps, flat."""

    sampler: np.ndarray
    """Log-probabilities under the sampler."""
    trainer: np.ndarray
    """The same under the trainer, before the first update."""
    entropy: np.ndarray
    """Of the trainer at the token's place; NaN where it is not known."""
    reference: np.ndarray
    """Under the reference; NaN where it is not known."""
    span: str

    @property
    def difference(self) -> np.ndarray:
        """How much surer the sampler was."""
        difference: np.ndarray = self.sampler - self.trainer
        return difference


def sampler_shifted(facts: Facts) -> Finding | None:
    """The trainer holds the policy's own tokens for next to impossible."""
    tokens = _disagreeing(facts)
    if tokens is None or not _is_shift(tokens):
        return None
    surprise = float(-tokens.trainer.mean())
    return Finding(
        "sampler_shifted",
        "problem",
        "The trainer scores the tokens at the wrong places: it holds what the policy wrote for far "
        "rarer than it thinks its own tokens to be, and unrelated to what the sampler thought. "
        "Log-probabilities that are shifted by one against the tokens look like that.",
        f"mean -log p of the sampled tokens {figure(surprise)} nats, by the sampler "
        f"{figure(float(-tokens.sampler.mean()))}, entropy there "
        f"{figure(float(np.nanmean(tokens.entropy)))} ({tokens.span})",
        "The logits at place t predict token t + 1: take logits[:, :-1] for tokens[:, 1:], and see "
        "that the completion's first token is predicted by the prompt's last place.",
        curve=Curve.over("sampler_logp_difference", [audit.step for audit in facts.audits]),
    )


def _is_shift(tokens: _Tokens) -> bool:
    known = np.isfinite(tokens.entropy)
    if known.sum() < t.FEWEST_TEXTS:
        return False
    excess = float((-tokens.trainer - tokens.entropy)[known].mean())
    return excess > t.SHIFT_NATS and _correlation(tokens.sampler, tokens.trainer) < 0.5


def sampler_temperature(facts: Facts) -> Finding | None:
    """The trainer's log-probabilities are the sampler's at another temperature."""
    tokens = _disagreeing(facts)
    if tokens is None or _is_shift(tokens):
        return None
    factor, explained = _temperature(tokens)
    if explained < t.EXPLAINS_TEMPERATURE or abs(factor - 1) < t.TEMPERATURE_OFF:
        return None
    # Other weights differ little in the first step, where a temperature is there at once, and make
    # the policy surer or less sure as a temperature does; but they lie on one side of it.
    if _began_equal(facts) and not 1 - t.SURELY < _beyond(tokens) < t.SURELY:
        return None
    return Finding(
        "sampler_temperature",
        "problem",
        "Sampler and trainer divide the logits by different temperatures: the trainer's "
        f"log-probabilities are the sampler's with logits {figure(factor)} times as large.",
        f"that one factor explains {percent(explained)} of their differences ({tokens.span})"
        f"{_temperature_setting(facts)}",
        "Divide the trainer's logits by the sampling temperature before log_softmax, in every pass "
        "(policy, old, reference), and ask the engine for log-probabilities of what it samples "
        "from.",
        curve=Curve.over("sampler_logp_difference", [audit.step for audit in facts.audits]),
    )


def _temperature_setting(facts: Facts) -> str:
    """The one in the config; '' where the record has none."""
    temperature = facts.config.get("temperature")
    return "" if temperature is None else f"; temperature={temperature}"


def sampler_ahead(facts: Facts) -> Finding | None:
    """The sampler lies beyond the policy, as seen from the reference."""
    tokens = _other_weights(facts)
    if tokens is None:
        return None
    share = _beyond(tokens)
    if share < t.SURELY:
        return None
    return Finding(
        "sampler_ahead",
        "problem",
        "The sampler has more of the training than the policy has: it lies beyond the policy on "
        "the way from the reference. An adapter that is merged twice, or applied on top of weights "
        "that hold it already, does that.",
        f"of its log-probability differences {percent(share)} go the same way as the policy's own "
        f"from the reference; mean |difference| {figure(float(np.abs(tokens.difference).mean()))} "
        f"nats ({tokens.span})",
        "Merge the adapter into a copy of the base weights, or send it alone, never both; unmerge "
        "after each export.",
        curve=Curve.over("sampler_logp_difference", [audit.step for audit in facts.audits]),
    )


def sampler_stale(facts: Facts) -> Finding | None:
    """The sampler lies behind the policy."""
    tokens = _other_weights(facts)
    if tokens is None or sampler_ahead(facts) is not None or _lag(facts):
        return None
    share = _beyond(tokens)
    began = facts.values("sampler_logp_difference")[:1]
    behind = ""
    if share < 1 - t.SURELY:
        behind = f"; {percent(1 - share)} of the differences go back towards the reference"
    return Finding(
        "sampler_stale",
        "problem",
        "The sampler has other weights than the trainer: they agreed in the first step and do not "
        "since the policy moves. Its weights are stale, updated too late or not at all.",
        f"mean |log-probability difference| {figure(float(began[0]))} nats in step "
        f"{int(facts.steps[0])}, {figure(float(np.abs(tokens.difference).mean()))} in "
        f"{tokens.span}{behind}",
        "Give the engine the weights after every update, and wait until it has them, before the "
        "next rollout. Where it is meant to lag, importance_sampling_mode='token_truncate' bounds "
        "the harm.",
        curve=Curve.over("sampler_logp_difference", [audit.step for audit in facts.audits]),
    )


def sampler_lags(facts: Facts) -> Finding | None:
    """The sampler lies behind the policy, as the config asks."""
    tokens, lag = _tokens(facts), _lag(facts)
    if tokens is None or not lag:
        return None
    mode = facts.config.get("importance_sampling_mode")
    return Finding(
        "sampler_lags",
        "note" if mode else "warning",
        f"The sampler has the weights of {lag} {'step' if lag == 1 else 'steps'} ago, as "
        f"rollout_staleness asks, and the loss {'weighs' if mode else 'does not weigh'} its tokens "
        "by how likely they are now.",
        f"mean |log-probability difference| "
        f"{figure(float(np.abs(tokens.difference).mean()))} nats ({tokens.span}); "
        f"importance_sampling_mode={mode!r}",
        "Fewer steps, or a smaller learning_rate, bring it nearer."
        if mode
        else "importance_sampling_mode='token_truncate' bounds the harm.",
        curve=Curve.over("sampler_logp_difference", [audit.step for audit in facts.audits]),
    )


def _lag(facts: Facts) -> int:
    return int(facts.config.get("rollout_staleness") or 0)


def _other_weights(facts: Facts) -> _Tokens | None:
    """The tokens, where sampler and trainer agreed in the first step and neither a shift nor a
    temperature explains that they do not any more."""
    tokens = _disagreeing(facts)
    if tokens is None or not _began_equal(facts):
        return None
    if _is_shift(tokens) or sampler_temperature(facts) is not None:
        return None
    return tokens


def _began_equal(facts: Facts) -> bool:
    """Whether the first step's mismatch was small beside the present one. Needs step 1."""
    known = facts.values("sampler_logp_difference")
    if len(known) < 2 or int(facts.steps[0]) != 1:
        return False
    return bool(known[0] < 0.1 * np.median(known[-t.AUDITED_STEPS :]))


def _disagreeing(facts: Facts) -> _Tokens | None:
    """The tokens of the last steps, where the mismatch is more than the rounding of the weights'
    format."""
    tokens = _tokens(facts)
    if tokens is None or len(tokens.sampler) < t.FEWEST_TEXTS:
        return None
    plain = facts.meta.environment.get("dtype") == "float32"
    bound = t.MISMATCH_IN_FLOAT32 if plain else t.MISMATCH_HIGH
    return tokens if float(np.abs(tokens.difference).mean()) > bound else None


def _tokens(facts: Facts) -> _Tokens | None:
    """None where the sampler's log-probabilities were not recorded, or the old policy's are the
    reference's, so that nothing is known of the policy's own."""
    parts = []
    for audit in facts.audits:
        sampler_BT = audit.array("sampler_logp")
        # What an update moved is no measure of the sampler.
        if sampler_BT is None or (audit.array("old_logp") is None and facts.updates != 1):
            continue
        mask_BT = audit.sampled_BT & np.isfinite(sampler_BT) & np.isfinite(audit.old_BT)
        unknown_BT = np.full(mask_BT.shape, np.nan)
        entropy_BT = audit.array("entropy")
        ref_BT = audit.array("ref_logp")
        columns = (
            sampler_BT,
            audit.old_BT,
            unknown_BT if entropy_BT is None else entropy_BT,
            unknown_BT if ref_BT is None else ref_BT,
        )
        parts.append([values_BT[mask_BT] for values_BT in columns])
    if not parts:
        return None
    columns_of_all = zip(*parts, strict=True)
    sampler, trainer, entropy, reference = (np.concatenate(column) for column in columns_of_all)
    if np.isfinite(reference).any() and np.array_equal(reference, trainer):
        return None
    where = span([audit.step for audit in facts.audits])
    return _Tokens(sampler, trainer, entropy, reference, where)


def _temperature(tokens: _Tokens) -> tuple[float, float]:
    """(factor, share explained): the trainer's logits as a multiple of the sampler's. Each token is
    taken as one of two choices, itself or another, for which a temperature multiplies the logit;
    with more than two likely words that is an approximation."""
    sampler = _logit(tokens.sampler)
    trainer = _logit(tokens.trainer)
    undecided = (np.abs(sampler) < LARGEST_LOGIT) & (np.abs(trainer) < LARGEST_LOGIT)
    if undecided.sum() < t.FEWEST_TEXTS:
        return 1.0, 0.0
    factor = float((sampler * trainer)[undecided].sum() / (sampler[undecided] ** 2).sum())
    predicted = -np.logaddexp(0.0, -factor * sampler[undecided])
    difference = tokens.trainer[undecided] - tokens.sampler[undecided]
    left = tokens.trainer[undecided] - predicted
    return factor, 1 - float((left**2).sum() / max((difference**2).sum(), 1e-30))


def _logit(logp: np.ndarray) -> np.ndarray:
    below = np.minimum(logp, -1e-9)
    found: np.ndarray = below - np.log(-np.expm1(below))
    return found


def _beyond(tokens: _Tokens) -> float:
    """How far the sampler's tokens lie on the far side of the policy, as seen from the reference: 1
    where all do, 0 where all lie on the way back to it, between for what has nothing to do with
    that way; 0.5 without a reference. Each token weighs what it went on both ways, so that neither
    rounding nor one wild token decides."""
    way = tokens.trainer - tokens.reference
    known = np.isfinite(way)
    difference = tokens.difference[known]
    weight = np.minimum(np.abs(way[known]), np.abs(difference))
    if not weight.sum() > 0:
        return 0.5
    return float(weight[way[known] * difference > 0].sum() / weight.sum())


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
