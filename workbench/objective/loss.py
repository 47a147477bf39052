"""The GRPO loss of one micro-batch, from log-probabilities to a scalar, in the order that TRL 1.16
computes it.

    policy term  x off-policy mask  x entropy mask  x sampler correction  + beta KL  ->  reduction
    - entropy_coef x mean entropy

(vespo takes the sampler correction into its sequence weight instead.) What goes wrong is loud:
where a number that decides a term is not finite, the term is NaN and the loss with it. Clipping
alone would keep the value of an infinite ratio finite while its gradient holds 0 x inf, and a
comparison with NaN would quietly mask the token.

Deviations from TRL: cispo without epsilon_high is refused (TRL cuts every ratio at 0.2); clip
shares count tokens at sequence level too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.config.losses import LOSSES, reduction_of
from workbench.objective.covariance import SELECTIONS
from workbench.objective.diagnostics import PerToken, loss_metrics
from workbench.objective.entropy import mean_entropy
from workbench.objective.inputs import LossInputs, clean_inputs
from workbench.objective.kl import kl_per_token
from workbench.objective.masks import entropy_mask, off_policy_mask, sampler_correction
from workbench.objective.push_and_pull import push_and_pull
from workbench.objective.ratios import clipped_tokens, importance_ratio
from workbench.objective.reductions import REDUCTIONS, BatchTotals, Terms, resolve_totals
from workbench.objective.terms import TERMS

if TYPE_CHECKING:
    from workbench.config import GRPOConfig


@dataclass(frozen=True)
class PolicyLoss:
    """The loss of some completions and all that is known about it."""

    loss: Tensor
    """Scalar with gradient."""

    per_token: PerToken
    """What each token contributed to it."""

    metrics: dict[str, Tensor]
    """0-d tensors by name, which `diagnostics.loss_metrics` lists; with beta > 0 also
    those of `push_and_pull`."""


def policy_loss(
    logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    config: GRPOConfig,
    *,
    old_logp: Tensor | None = None,
    ref_logp: Tensor | None = None,
    entropy: Tensor | None = None,
    sampler_logp: Tensor | None = None,
    group_tokens: Tensor | None = None,
    selected: Tensor | None = None,
    num_items: int | Tensor | BatchTotals | None = None,
) -> PolicyLoss:
    """The loss of B completions of up to T tokens.

    logp           (B, T) log-probability of each sampled token under the policy at the sampling
                   temperature, with gradient
    advantages     (B,), or (B, T) for one per token
    mask           (B, T) bool or 0/1, the end token inside, padding outside. What stands on padding
                   never matters, NaN included. A row without tokens adds nothing and still counts
                   as a sequence.
    config         anything with GRPOConfig's field names

    old_logp       (B, T) under the policy at the beginning of the update phase; None = `logp`
                   itself, so the ratio is 1
    ref_logp       (B, T) under the reference; needed where beta > 0; with beta = 0 the KL is
                   measured only
    entropy        (B, T) of the policy in nats; needed where top_entropy_quantile < 1 or
                   entropy_coef > 0 (then with its gradient), else measured only
    sampler_logp   (B, T) under the sampler; needed by importance_sampling_mode, else measured only

    group_tokens   (B,) completion tokens of each row's group, which loss_reduction="prompt_mean"
                   needs where these rows cut a group (`tokens_of_groups` of the whole batch gives
                   them); None: these are whole groups

    selected       (B, T) bool, the tokens that clip_cov and kl_cov treat in another way, chosen
                   over the whole update (`LossBatch.select`); None: these rows are one

    num_items      None: these rows are the whole batch. `BatchTotals`: of the whole batch; then the
                   losses of its micro-batches add up to the batch's, for every loss type. A number:
                   masked tokens of the whole batch, as TRL passes it, used by "token_mean" (dapo,
                   cispo, vespo); the other reductions then divide by this micro-batch's own sizes,
                   as in TRL.

    All arithmetic is in the inputs' own dtype, never below it; half precision is widened to
    float32. Raises ValueError for shapes and names that do not fit, and for missing inputs.
    """
    if config.loss_type not in TERMS:
        raise ValueError(
            f"loss_type={config.loss_type!r} is unknown. Choose one of {', '.join(TERMS)}."
        )
    x = clean_inputs(logp, advantages, mask, old_logp, ref_logp, sampler_logp, entropy)
    if LOSSES[config.loss_type].selects:
        chosen_BT = SELECTIONS[config.loss_type](x, config) if selected is None else selected
        x = replace(x, selected_BT=chosen_BT & x.valid_BT)
    # Before the weight, since the entropy threshold of the whole update is part of it.
    totals = resolve_totals(num_items, x.mask_BT, config)
    ratio_BT = importance_ratio(x, config.importance_sampling_level)
    weight_BT = _policy_weight(x, config, totals)
    kl_BT = _kl(x, ratio_BT, config)

    term_BT = _term(x, ratio_BT, weight_BT, kl_BT, config)

    # The term of a clipped token stays in the sum (it has no gradient): every reduction divides by
    # all tokens or sequences, so that clipping does not make the others heavier.
    terms = Terms(term_BT, x.mask_BT, group_tokens, totals)
    loss = REDUCTIONS[reduction_of(config)](terms, config)
    # After the reduction: a mean over tokens for every loss type, whatever that divides by.
    if config.entropy_coef > 0:
        loss = loss - config.entropy_coef * mean_entropy(x, config, totals)
    per_token = _per_token(x, config, ratio_BT, kl_BT, weight_BT, term_BT)
    metrics = loss_metrics(x, per_token)
    if config.beta > 0:
        metrics |= push_and_pull(x, weight_BT, config)
    return PolicyLoss(loss=loss, per_token=per_token, metrics=metrics)


def _term(
    x: LossInputs, ratio_BT: Tensor, weight_BT: Tensor, kl_BT: Tensor | None, config: GRPOConfig
) -> Tensor:
    """What each token adds to the loss, (B, T): 0 on padding, NaN where a number that decides it is
    not finite."""
    # The weight comes before the KL is added: masks and sampler correction are about how far the
    # sample can be trusted to push the policy, and a token that may not push is still held back.
    term_BT = weight_BT * TERMS[config.loss_type](x, ratio_BT, config)
    if config.beta > 0 and kl_BT is not None:
        term_BT = term_BT + config.beta * kl_BT
    # What is wrong must be loud; only then is padding cleared, where a NaN is nothing wrong.
    term_BT = term_BT.masked_fill(_not_finite(x, ratio_BT, config), torch.nan)
    return torch.where(x.valid_BT, term_BT, 0.0)


def _policy_weight(x: LossInputs, config: GRPOConfig, totals: BatchTotals) -> Tensor:
    """What multiplies the policy term of each token, (B, T)."""
    weight_BT = x.mask_BT
    # The masks drop a token altogether, so their order does not matter.
    if config.off_policy_mask_threshold is not None:
        weight_BT = weight_BT * off_policy_mask(x, config.off_policy_mask_threshold)
    if config.top_entropy_quantile < 1:
        weight_BT = weight_BT * entropy_mask(
            x, config.top_entropy_quantile, totals.entropy_threshold
        )
    # A term that weighs the whole sequence has taken the sampler correction into that weight.
    if LOSSES[config.loss_type].own_sequence_weight:
        return weight_BT
    return weight_BT * sampler_correction(x, config)


def _not_finite(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Tensor:
    """Where a number that decides the term is NaN or infinite, bool (B, T); sampler and entropy
    decide where used."""
    wrong_BT = ~ratio_BT.isfinite()
    # Where the sampler's numbers are only measured, a NaN among them must not stop the training.
    uses_sampler = (
        config.importance_sampling_mode is not None
        or config.off_policy_mask_threshold is not None
        or LOSSES[config.loss_type].bound == "divergence"
    )
    if uses_sampler and x.sampler_logp_BT is not None:
        wrong_BT = wrong_BT | ~x.sampler_logp_BT.isfinite()
    uses_entropy = config.top_entropy_quantile < 1 or config.entropy_coef > 0
    if uses_entropy and x.entropy_BT is not None:
        wrong_BT = wrong_BT | ~x.entropy_BT.isfinite()
    return wrong_BT


def _kl(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Tensor | None:
    """KL estimate per token with gradient, None without a reference."""
    if x.ref_logp_BT is None:
        if config.beta > 0:
            raise ValueError(
                f"beta={config.beta} needs `ref_logp`, the reference's log-probabilities. Pass "
                "them, or set beta=0."
            )
        return None
    # The tokens were drawn from the old policy, and the KL is one under the policy of now: the
    # ratio makes up for it, with its gradient.
    correction = ratio_BT if config.use_bias_correction_kl else None
    return kl_per_token(x.logp_BT, x.ref_logp_BT, config.kl_estimator, correction)


def _per_token(
    x: LossInputs,
    config: GRPOConfig,
    ratio_BT: Tensor,
    kl_BT: Tensor | None,
    weight_BT: Tensor,
    term_BT: Tensor,
) -> PerToken:
    # On padding a NaN means nothing, and would spoil a view's means and scales.
    def shown(values_BT: Tensor) -> Tensor:
        return torch.where(x.valid_BT, values_BT.detach(), 0.0)

    clipped_low, clipped_high = clipped_tokens(ratio_BT.detach(), x, config)
    return PerToken(
        ratio=shown(ratio_BT),
        clipped_low=clipped_low,
        clipped_high=clipped_high,
        kl=None if kl_BT is None else shown(kl_BT),
        weight=shown(weight_BT),
        term=term_BT.detach(),
        mask=x.valid_BT,
    )
