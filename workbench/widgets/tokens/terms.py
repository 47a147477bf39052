"""The loss term of each token of one completion: what the reduction adds up, in numpy. See
`token_quantities`.

    policy weight x policy term + beta x KL

The formulas are those of `workbench.objective.terms` and `.masks`, where their sources stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from workbench.config import LOSSES
from workbench.widgets.tokens.quantities import Array, RowInputs, clip_bounds

MAX_LOG_RATIO, MIN_WEIGHT = 20.0, 1e-8
"""VESPO's bounds, as in `workbench.objective.terms`."""


def loss_term(x: RowInputs, ratio_T: Array, kl_T: Array) -> Array:
    """(T,); 0 where the row takes no part in the loss, NaN where a number that decides the term is
    not known or finite."""
    if not x.counted or x.skipped:
        return np.zeros(len(x.ids_T))
    with np.errstate(over="ignore", invalid="ignore"):
        term_T = policy_weight(x) * POLICY_TERMS[x.config.loss_type](x, ratio_T)
        if x.config.beta > 0:
            term_T = term_T + x.config.beta * kl_T
    return np.where(_unknown(x, ratio_T), np.nan, term_T)


def policy_weight(x: RowInputs) -> Array:
    """What masks and sampler correction multiply onto the policy term, (T,); 1 where none of them
    is on."""
    weight_T, config = np.ones(len(x.ids_T)), x.config
    if config.off_policy_mask_threshold is not None and len(x.ids_T):
        behaviour_T = x.filled("old_logp") if x.sampler_logp_T is None else x.sampler_logp_T
        far = (behaviour_T - x.filled("logp")).mean() > config.off_policy_mask_threshold
        weight_T = weight_T * ((x.advantage_T >= 0) | (not far))
    if config.top_entropy_quantile < 1:
        weight_T = weight_T * (x.filled("entropy") >= x.entropy_threshold)
    return (
        weight_T
        if LOSSES[config.loss_type].own_sequence_weight
        else weight_T * sampler_correction(x)
    )


def sampler_correction(x: RowInputs) -> Array:
    """The weight for a sampler whose log-probabilities differ from the trainer's, (T,)."""
    mode = x.config.importance_sampling_mode
    if mode is None:
        return np.ones(len(x.ids_T))
    difference_T = x.filled("old_logp") - x.filled("sampler_logp")
    if mode.startswith("sequence"):
        difference_T = np.full(len(difference_T), difference_T.sum())
    ratio_T = np.exp(difference_T)
    low = (
        0.0
        if x.config.importance_sampling_clip_min is None
        else x.config.importance_sampling_clip_min
    )
    high = (
        math.inf
        if x.config.importance_sampling_clip_max is None
        else x.config.importance_sampling_clip_max
    )
    if mode.endswith("truncate"):
        return ratio_T.clip(low, high)
    return np.where((ratio_T >= low) & (ratio_T <= high), ratio_T, 0.0)


def _clipped_surrogate(x: RowInputs, ratio_T: Array) -> Array:
    unclipped_T = ratio_T if x.config.delta is None else ratio_T.clip(max=x.config.delta)
    return -np.minimum(
        unclipped_T * x.advantage_T, ratio_T.clip(*clip_bounds(x.config)) * x.advantage_T
    )


def _capped_reinforce(x: RowInputs, ratio_T: Array) -> Array:
    return -ratio_T.clip(max=clip_bounds(x.config)[1]) * x.advantage_T * x.filled("logp")


def _soft_gate(x: RowInputs, ratio_T: Array) -> Array:
    tau_T = np.where(
        x.advantage_T > 0, x.config.sapo_temperature_pos, x.config.sapo_temperature_neg
    )
    return -x.advantage_T * 4 / tau_T / (1 + np.exp(-tau_T * (ratio_T - 1)))


def _gamma_weighted(x: RowInputs, ratio_T: Array) -> Array:
    bounded_T = x.log_ratio_T.clip(-MAX_LOG_RATIO, MAX_LOG_RATIO) + np.log(
        sampler_correction(x).clip(min=MIN_WEIGHT)
    )
    log_w = np.clip(bounded_T.sum(), math.log(MIN_WEIGHT), MAX_LOG_RATIO)
    good_T, c = x.advantage_T >= 0, x.config
    k_T, lambda_T = (
        np.where(good_T, c.vespo_k_pos, c.vespo_k_neg),
        np.where(good_T, c.vespo_lambda_pos, c.vespo_lambda_neg),
    )
    return (
        -np.exp(lambda_T + k_T * log_w - lambda_T * np.exp(log_w))
        * x.advantage_T
        * x.filled("logp")
    )


POLICY_TERMS: dict[str, Callable[[RowInputs, Array], Array]] = dict.fromkeys(
    (name for name, loss in LOSSES.items() if loss.clips), _clipped_surrogate
) | {"cispo": _capped_reinforce, "sapo": _soft_gate, "vespo": _gamma_weighted}
"""loss_type -> the policy term of a token."""


def _unknown(x: RowInputs, ratio_T: Array) -> Array:
    """Where a number that decides the term is not finite."""
    wrong_T, c = ~np.isfinite(ratio_T), x.config
    if (
        c.importance_sampling_mode is not None or c.off_policy_mask_threshold is not None
    ) and x.sampler_logp_T is not None:
        wrong_T = wrong_T | ~np.isfinite(x.sampler_logp_T)
    if c.top_entropy_quantile < 1:
        wrong_T = wrong_T | ~np.isfinite(x.filled("entropy"))
    return wrong_T
