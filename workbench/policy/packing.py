"""Shared-prompt packing: the completions of one prompt in one row, [prompt, c1, c2, ...], so that
it is computed once.

A block mask lets each completion see the prompt and itself only, and its positions go on after the
prompt, so every token gets the log-probability that a row of its own would give it. For G
completions of length C this computes P + G x C tokens in place of G x (P + C), and no padding
between completions.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.libraries.hf_peft import plain_model
from workbench.libraries.hf_transformers import (
    attention_of,
    mask_as_attended,
    takes_own_mask,
    unsupported_reason,
)
from workbench.rollout.types import Rollout

LONGEST_ROW = 2048
"""Tokens of a packed row up to which packing is used: its mask and its attention cost grow with the
square."""


@dataclass(frozen=True)
class Packed:
    """N packed rows of L tokens, and where the K completion tokens of R completions stand in
    them."""

    ids_NL: Tensor
    """Token ids, right-padded."""
    positions_NL: Tensor
    """What each token's place is in a row of its own."""
    visible_N1LL: Tensor
    """bool, True where the query (first L) may see the key (second L)."""
    row_K: Tensor
    """The completion that each of the K entries belongs to ..."""
    token_K: Tensor
    """... and which of its tokens it is."""
    packed_K: Tensor
    """The packed row ..."""
    column_K: Tensor
    """... and the column whose logits predict it."""

    @property
    def first_column(self) -> int:
        """Columns before this one predict no completion token."""
        return int(self.column_K.min())


def reason_against(model: Any) -> str | None:
    """Why completions of this model cannot share their prompt's row, as a clause; None where they
    can."""
    plain = plain_model(model)
    if not takes_own_mask(plain):
        return (
            f"{type(plain).__name__} with attention {attention_of(plain)!r} makes its attention "
            "mask "
            "itself"
        )
    return unsupported_reason(model)


def shares_prompts(model: Any) -> bool:
    """Whether completions share their prompt's computing; where the model does not allow it, a
    warning says why. Asked once, before a run."""
    reason = reason_against(model)
    if reason is not None:
        warnings.warn(
            "log-probabilities are computed with each completion's own copy of its prompt, slower "
            f"than sharing it: {reason}.",
            stacklevel=3,
        )
    return reason is None


def pack(rollout: Rollout, rows: Tensor) -> Packed:
    """Lay the completions in `rows` out behind their prompts."""
    prompts_N, packed_R = (rows // rollout.num_generations).unique(return_inverse=True)
    prompt_length_N = rollout.prompt_mask_NP[prompts_N].sum(1)
    length_R = rollout.lengths_B[rows]
    rank_R, start_R = _places(packed_R, length_R, prompt_length_N)
    width = int((start_R + length_R).max())

    # The prompts first, moved from the right end of their padded rows to column 0.
    ids = rollout.completion_ids_BT.new_zeros(len(prompts_N), width)
    segment = torch.full_like(ids, -1)  # -1 padding, 0 prompt, k the k-th completion
    n, p = rollout.prompt_mask_NP[prompts_N].nonzero(as_tuple=True)
    column = p - (rollout.prompt_mask_NP.shape[1] - prompt_length_N)[n]
    ids[n, column] = rollout.prompt_ids_NP[prompts_N][n, p]
    segment[n, column] = 0

    # Then each sampled token behind what lies there already.
    row_K, token_K = rollout.mask_BT[rows].nonzero(as_tuple=True)
    packed_K = packed_R[row_K]
    at_K = start_R[row_K] + token_K
    ids[packed_K, at_K] = rollout.completion_ids_BT[rows[row_K], token_K]
    segment[packed_K, at_K] = rank_R[row_K] + 1

    # A completion goes on where the prompt ends, whatever stands between them in the row.
    # Padding stands at 0: its column may be beyond a model's last learned position.
    positions = torch.zeros_like(ids)
    positions[n, column] = column
    positions[packed_K, at_K] = prompt_length_N[packed_K] + token_K
    # Its first token is predicted by the prompt's last, the others by the token before them.
    predicting_K = torch.where(token_K == 0, prompt_length_N[packed_K], at_K) - 1
    return Packed(ids, positions, _visible(segment), row_K, token_K, packed_K, predicting_K)


def _places(packed_R: Tensor, length_R: Tensor, prompt_length_N: Tensor) -> tuple[Tensor, Tensor]:
    """For each completion: its number among those of its prompt, and the column where it starts."""
    # The completions of a prompt need not stand side by side in `rows`: counted in order of
    # prompts.
    order = packed_R.argsort(stable=True)
    before = torch.zeros_like(length_R)
    before[order] = (
        length_R[order].cumsum(0) - length_R[order]
    )  # tokens of all completions ahead of it
    # Less what stands ahead of the prompt's first completion, the count is one within its own row.
    first = torch.full_like(prompt_length_N, int(length_R.sum())).scatter_reduce(
        0, packed_R, before, "amin"
    )
    number = torch.empty_like(packed_R)
    number[order] = torch.arange(len(packed_R), device=packed_R.device)
    # In the same way the completions are numbered from the first one of their prompt.
    lowest = torch.full_like(prompt_length_N, len(packed_R)).scatter_reduce(
        0, packed_R, number, "amin"
    )
    return number - lowest[packed_R], prompt_length_N[packed_R] + before - first[packed_R]


def _visible(segment_NL: Tensor) -> Tensor:
    """The block mask: prompt and own completion, never ahead. Padding sees itself, so that no row
    of it is empty."""
    width = segment_NL.shape[1]
    query, key = segment_NL[:, :, None], segment_NL[:, None, :]
    causal = torch.ones(width, width, dtype=torch.bool, device=segment_NL.device).tril()
    itself = torch.eye(width, dtype=torch.bool, device=segment_NL.device)
    return (((key == 0) | (key == query)) & (query >= 0) & (key >= 0) & causal | itself)[:, None]


def packed_inputs(model: Any, packed: Packed) -> dict[str, Any]:
    """The model's inputs for the packed rows; only the columns that predict pass the head."""
    return dict(
        input_ids=packed.ids_NL,
        attention_mask=mask_as_attended(plain_model(model), packed.visible_N1LL),
        position_ids=packed.positions_NL,
        logits_to_keep=packed.ids_NL.shape[1] - packed.first_column,
        use_cache=False,
    )
