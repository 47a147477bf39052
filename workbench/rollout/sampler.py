"""Draws the next token of every row: temperature, top-k, top-p, and the log-probability that goes
into the record.

The draw is an inverse CDF: one uniform number for each row, the first token whose cumulative
probability exceeds it. It works in two levels, first the block of `_BLOCK` tokens, then the token
inside it, so that only block sums and one block of each row are accumulated in float64. For large
vocabularies that costs a small part of `torch.multinomial`, and a token of probability zero can
never be drawn, whatever the uniform number is.

Deviations from the warpers of transformers: none in the distribution. As there, temperature comes
first, then top-k, then top-p on what top-k left; equal probabilities at a cut are kept by ascending
token id, so that the kept set is deterministic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.libraries.devices import exact_device, has_float64
from workbench.rollout.types import Sampling

_BLOCK = 256
_NUCLEUS_START = 256
_CHUNK = 2**20
"""Logits worked on at once on a CPU (4 MB: stays in its cache and spares fresh memory for every
token)."""


def next_tokens(
    logits_BV: Tensor, sampling: Sampling, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One token for each row, and its log-probability: (ids_B int64, logp_B float32).

    `logp_B` is under softmax(logits / temperature) over the whole vocabulary, before top-k and
    top-p; greedy (temperature 0) records it at temperature 1 and draws nothing. Rows with NaN, or
    with no finite logit, get a non-finite `logp_B`, which the engines report.
    """
    return pick_tokens(
        logits_BV, sampling, uniforms(logits_BV.shape[0], generator, logits_BV.device)
    )


def uniforms(count: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """`count` float64 numbers in [0, 1), drawn where the generator lives and brought to `device`
    (to the CPU where that has no float64)."""
    return torch.rand(count, dtype=torch.float64, generator=generator, device=generator.device).to(
        exact_device(device)
    )


def pick_tokens(logits_BV: Tensor, sampling: Sampling, uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    """As `next_tokens`, from uniform numbers in [0, 1) instead of a generator: a pure function of
    its arguments."""
    device = logits_BV.device
    if not has_float64(device):
        # The same numbers as on a CPU, for a copy of the logits.
        ids_B, logp_B = pick_tokens(logits_BV.cpu(), sampling, uniform_B.cpu())
        return ids_B.to(device), logp_B.to(device)
    # Rows are independent of one another, so cutting between them changes no number.
    rows = max(1, _CHUNK // logits_BV.shape[1])
    if device.type != "cpu" or logits_BV.shape[0] <= rows:
        return _pick(logits_BV, uniform_B, sampling)
    parts = [
        _pick(*part, sampling)
        for part in zip(logits_BV.split(rows), uniform_B.split(rows), strict=True)
    ]
    return torch.cat([ids for ids, _ in parts]), torch.cat([logp for _, logp in parts])


def _pick(logits_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    # Widened before the softmax, not after it: the record's log-probabilities are float32 numbers.
    logits_BV = logits_BV.float()
    # Dividing by 1 would only be a copy, and greedy records at temperature 1.
    if sampling.temperature not in (0, 1):
        logits_BV = logits_BV / sampling.temperature
    probs_BV = logits_BV.softmax(-1)
    sums_BN = _block_sums(probs_BV)
    total_B = sums_BN.sum(-1)  # 1 up to the rounding of the softmax, which this takes out
    if sampling.temperature == 0:
        ids_B = logits_BV.argmax(-1)
    elif sampling.top_k or sampling.top_p < 1:
        # Not normalised again: the draw is scaled to the sum of what is kept.
        kept_BV = probs_BV * kept_tokens(probs_BV, sampling.top_k, sampling.top_p)
        ids_B = _inverse_cdf(kept_BV, _block_sums(kept_BV), uniform_B)
    else:
        ids_B = _inverse_cdf(probs_BV, sums_BN, uniform_B)
    # From `probs_BV`, not from what was kept: the record is about the whole vocabulary.
    return ids_B, (probs_BV.gather(1, ids_B[:, None]).squeeze(1) / total_B).log().float()


def kept_tokens(weights_BV: Tensor, top_k: int, top_p: float) -> Tensor:
    """Which tokens top-k and then top-p leave, bool (B, V), from probabilities that need not sum to
    1.

    top_k: the k likeliest (0 = all). top_p: the smallest set of likeliest tokens whose probability
    is >= top_p; at least one token. Equal probabilities at the cut go by ascending token id.
    Holtzman et al., arXiv 1904.09751.
    """
    kept_BV = torch.ones_like(weights_BV, dtype=torch.bool)
    # A k as large as the vocabulary cuts nothing.
    if 0 < top_k < weights_BV.shape[1]:
        cut_B1 = weights_BV.topk(top_k).values[:, -1:]
        kept_BV = _largest(weights_BV, cut_B1, torch.full_like(cut_B1, top_k, dtype=torch.long))
    if top_p < 1:
        # Of what top-k left, as in the warpers of transformers.
        kept_BV &= _nucleus(weights_BV * kept_BV, top_p)
    return kept_BV


def _nucleus(weights_BV: Tensor, top_p: float) -> Tensor:
    """The top-p set. Looks at the `count` largest only, and at more where these do not hold enough
    probability."""
    # A share of the row's sum, since after top-k that is below 1.
    needed_B1 = top_p * weights_BV.sum(-1, keepdim=True, dtype=torch.float64)
    # A set of likely tokens is usually small, and ranking the whole vocabulary is slow.
    count = _NUCLEUS_START
    while True:
        ranked_BK = weights_BV.topk(min(count, weights_BV.shape[1])).values
        cumulative_BK = ranked_BK.cumsum(-1, dtype=torch.float64)
        if count >= weights_BV.shape[1] or bool((cumulative_BK[:, -1:] >= needed_B1).all()):
            break
        count *= 8
    # The tokens that do not suffice yet, and the one that makes them suffice: never an empty set.
    size_B1 = 1 + (cumulative_BK[:, :-1] < needed_B1).sum(-1, keepdim=True)
    return _largest(weights_BV, ranked_BK.gather(1, size_B1 - 1), size_B1)


def _largest(weights_BV: Tensor, cut_B1: Tensor, count_B1: Tensor) -> Tensor:
    """The `count` largest of each row, of which `cut` is the smallest: ties at the cut by ascending
    token id."""
    above_BV = weights_BV > cut_B1
    tied_BV = weights_BV == cut_B1
    # What the tokens above the cut leave is for the tied ones.
    room_B1 = count_B1 - above_BV.sum(-1, keepdim=True)
    return above_BV | (tied_BV & (tied_BV.cumsum(-1) <= room_B1))


def _block_sums(weights_BV: Tensor) -> Tensor:
    """Sums of consecutive blocks of `_BLOCK` tokens, float64 (B, N); the last block may be
    shorter."""
    whole = weights_BV.shape[1] // _BLOCK * _BLOCK
    sums_BN = weights_BV[:, :whole].unflatten(1, (-1, _BLOCK)).sum(-1)
    if whole < weights_BV.shape[1]:
        sums_BN = torch.cat([sums_BN, weights_BV[:, whole:].sum(-1, keepdim=True)], 1)
    # Only the sums become float64: so wide a copy of the whole vocabulary would be made at every
    # token.
    wide_BN: Tensor = sums_BN.double()
    return wide_BN


def _inverse_cdf(weights_BV: Tensor, sums_BN: Tensor, uniform_B: Tensor) -> Tensor:
    """The token at `uniform` of each row's cumulative weights, int64 (B,)."""
    cumulative_BN = sums_BN.cumsum(-1)
    # Scaled to the row's own sum, so that the weights need not add up to 1.
    target_B1 = uniform_B[:, None] * cumulative_BN[:, -1:]
    block_B1 = _first_above(cumulative_BN, target_B1)
    # The search inside the block goes on from what the blocks before it hold.
    before_B1 = torch.where(
        block_B1 > 0, cumulative_BN.gather(1, (block_B1 - 1).clamp_(min=0)), 0.0
    )
    tokens_BK = block_B1 * _BLOCK + torch.arange(_BLOCK, device=weights_BV.device)
    # The last block may be short: what would lie beyond the vocabulary has weight 0.
    last = weights_BV.shape[1] - 1
    inside_BK = weights_BV.gather(1, tokens_BK.clamp(max=last)).double() * (tokens_BK <= last)
    return (
        # Clamped for a row of NaN, which finds no token and must still name one of the vocabulary.
        (block_B1 * _BLOCK + _first_above(inside_BK.cumsum(-1), target_B1 - before_B1))
        .squeeze(1)
        .clamp_(max=last)
    )


def _first_above(cumulative_BN: Tensor, target_B1: Tensor) -> Tensor:
    """Index of the first entry above `target`, so of a positive weight. Rounding may have put the
    target at or above the total: it is brought just below it. (A row of NaN gets the last
    index.)"""
    total_B1 = cumulative_BN[:, -1:]
    target_B1 = torch.minimum(target_B1, torch.nextafter(total_B1, torch.zeros_like(total_B1)))
    return torch.searchsorted(cumulative_BN, target_B1, right=True).clamp_(
        max=cumulative_BN.shape[1] - 1
    )
