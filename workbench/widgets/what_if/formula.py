"""The loss of one token with its numbers: the same tensors and the same functions as the loss
itself, so that what is written under a symbol is the number that was computed with.

Nothing is drawn here; `formula_markup` writes it, without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.config.losses import LOSSES, reduction_of
from workbench.objective import REDUCTIONS, TERMS, LossBatch, PolicyLoss
from workbench.objective.inputs import LossInputs, clean_inputs
from workbench.objective.kl import KL_ESTIMATORS
from workbench.objective.ratios import clip_bounds
from workbench.objective.reductions import BatchTotals, Terms
from workbench.objective.terms import held_log_ratio, sequence_weight
from workbench.widgets.what_if.comparison import batch_under, updates_again
from workbench.widgets.what_if.formula_markup import TokenFormula
from workbench.widgets.what_if.kept_batch import KeptBatch, WhatIfError


@dataclass(frozen=True)
class UpdateTerms:
    """One update of a step and all that its loss is made of; rows are those of `rows_R`."""

    rows_R: Tensor
    x: LossInputs
    out: PolicyLoss
    policy_RT: Tensor
    """The policy term, before its weight."""

    share_RT: Tensor
    """What the reduction multiplies each term by: their products add up to the loss."""

    config: GRPOConfig
    updates: int
    """Updates of the step, over which the recorded loss is a mean."""


def update_terms(kept: KeptBatch, config: GRPOConfig, row: int) -> UpdateTerms:
    """The update that completion `row` belongs to. Raises `WhatIfError` where the trainer skipped
    it."""
    batch = batch_under(kept, config)
    updates = list(updates_again(kept, config))
    for rows_R, totals in updates:
        if bool((rows_R == row).any()):
            return _terms_of(batch.rows(rows_R), rows_R, totals, config, len(updates))
    raise WhatIfError(
        f"completion {row} was left out of the update (no advantage and no KL, or truncated), so "
        "nothing of its loss is known. Choose another completion."
    )


def _terms_of(
    batch: LossBatch, rows_R: Tensor, totals: BatchTotals, config: GRPOConfig, updates: int
) -> UpdateTerms:
    out = batch.loss(config, totals)
    x = clean_inputs(
        batch.logp,
        batch.advantages,
        batch.mask,
        batch.old_logp,
        batch.ref_logp,
        batch.sampler_logp,
        batch.entropy,
    )
    # A loss that selects has chosen its tokens over the whole update, which these rows are.
    x = _with_selection(x, batch, config)
    ratio_RT = out.per_token.ratio
    return UpdateTerms(
        rows_R=rows_R,
        x=x,
        out=out,
        policy_RT=TERMS[config.loss_type](x, ratio_RT, config),
        share_RT=_shares(batch, out, totals, config),
        config=config,
        updates=updates,
    )


def _with_selection(x: LossInputs, batch: LossBatch, config: GRPOConfig) -> LossInputs:
    if not LOSSES[config.loss_type].selects:
        return x
    return replace(x, selected_BT=batch.select(config) & x.valid_BT)


def _shares(batch: LossBatch, out: PolicyLoss, totals: BatchTotals, config: GRPOConfig) -> Tensor:
    """d loss / d term, (R, T): a reduction is linear, so that this is what it weighs a term
    with."""
    term_RT = out.per_token.term.clone().requires_grad_()
    mask_RT = (batch.mask != 0).to(term_RT.dtype)
    terms = Terms(term_RT, mask_RT, batch.group_tokens, totals)
    (share_RT,) = torch.autograd.grad(REDUCTIONS[reduction_of(config)](terms, config), term_RT)
    return share_RT


def token_formula(found: UpdateTerms, row: int, position: int) -> TokenFormula:
    """The formula of the token at `position` of completion `row`. Raises `WhatIfError` where the
    loss does not count it."""
    place = int((found.rows_R == row).nonzero()[0])
    x = found.x
    if position >= x.valid_BT.shape[1] or not bool(x.valid_BT[place, position]):
        raise WhatIfError(f"token {position} of completion {row} is not counted by the loss.")

    def at(values_RT: Tensor) -> float:
        return float(values_RT[place, position])

    config = found.config
    tokens = found.out.per_token
    numbers = {
        "logp": at(x.logp_BT),
        "old_logp": at(x.old_logp_BT),
        "r": at(tokens.ratio),
        "A": at(x.advantage_BT),
        "w": at(tokens.weight),
        "policy": at(found.policy_RT),
        "term": at(tokens.term),
        "share": at(found.share_RT),
        "loss": float(found.out.loss),
    }
    if tokens.kl is not None and x.ref_logp_BT is not None:
        difference_RT = x.ref_logp_BT - x.logp_BT
        numbers["d"] = at(difference_RT)
        numbers["estimate"] = at(KL_ESTIMATORS[config.kl_estimator](difference_RT))
        numbers["kl"] = at(tokens.kl)
    form = TERMS[config.loss_type].__name__
    if form in OWN_NUMBERS:
        own = OWN_NUMBERS[form](x, tokens.ratio, config)
        numbers |= {name: at(values_RT) for name, values_RT in own.items()}
    low, high = clip_bounds(config)
    return TokenFormula(
        form=form,
        numbers=numbers,
        settings=config,
        low=low,
        high=high,
        updates=found.updates,
        clipped=bool(tokens.clipped_low[place, position] | tokens.clipped_high[place, position]),
    )


Own = dict[str, Tensor]


def _branches(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Own:
    """Both products of the surrogate's minimum, by the same operations as `clipped_surrogate`."""
    capped_BT = ratio_BT if config.delta is None else ratio_BT.clamp(max=config.delta)
    clipped_BT = ratio_BT.clamp(*clip_bounds(config))
    return {
        "capped": capped_BT,
        "clip": clipped_BT,
        "first": capped_BT * x.advantage_BT,
        "second": clipped_BT * x.advantage_BT,
    }


def _selected_branches(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Own:
    return _branches(x, ratio_BT, config) | _chosen(x, ratio_BT, config)


def _chosen(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Own:
    assert x.selected_BT is not None
    return {"chosen": x.selected_BT.to(ratio_BT.dtype), "distance": x.log_ratio_BT.abs()}


def _capped(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Own:
    return {"capped": ratio_BT.clamp(max=clip_bounds(config)[1])}


def _gate(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Own:
    tau_BT = torch.where(
        x.advantage_BT > 0,
        ratio_BT.new_tensor(config.sapo_temperature_pos),
        ratio_BT.new_tensor(config.sapo_temperature_neg),
    )
    return {"tau": tau_BT, "gate": torch.sigmoid(tau_BT * (ratio_BT - 1))}


OWN_NUMBERS: dict[str, Callable[[LossInputs, Tensor, GRPOConfig], Own]] = {
    "clipped_surrogate": _branches,
    "covariance_clipped": _selected_branches,
    "covariance_held": _chosen,
    "capped_reinforce": _capped,
    "soft_gate": _gate,
    "gamma_weighted": lambda x, ratio_BT, config: {"phi": sequence_weight(x, config)},
    "geometric_mean": lambda x, ratio_BT, config: {
        "mean": held_log_ratio(x, config).expand_as(ratio_BT)
    },
}
"""The name of a term's function -> the numbers that it makes on its way."""
