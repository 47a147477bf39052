"""All completions of a pass in one row without padding, each prompt once, its completions behind
it: what cascade attention computes.

As packing, but no token stands there for nothing, and no mask is made: so no length is too long.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from workbench.libraries.hf_peft import plain_model
from workbench.libraries.hf_transformers import AttentionFor
from workbench.policy.cascade import Family, Run, cascade_attention
from workbench.rollout.types import Rollout

ATTENTION = "workbench_cascade"


@dataclass(frozen=True)
class OneRow:
    """A row of L tokens, and where the K completion tokens of R completions stand in it."""

    ids_1L: Tensor
    positions_1L: Tensor
    """What each token's place is in a row of its own."""
    families: tuple[Family, ...]
    """The same row as attention sees it."""
    row_K: Tensor
    """The completion that each of the K entries belongs to ..."""
    token_K: Tensor
    """... which of its tokens it is ..."""
    column_K: Tensor
    """... and the column whose logits predict it."""


def line_up(rollout: Rollout, rows: Tensor) -> OneRow:
    """Lay the completions in `rows` out behind their prompts, those of one prompt by length, so
    that equal ones stand side by side."""
    prompts_N, prompt_R = (rows // rollout.num_generations).unique(return_inverse=True)
    prompt_length_N = rollout.prompt_mask_NP[prompts_N].sum(1)
    length_R = rollout.lengths_B[rows]
    order = (prompt_R * (rollout.mask_BT.shape[1] + 1) + length_R).argsort(stable=True)
    # Before a completion stand all that come earlier in that order, and the prompts up to its own.
    start_R = torch.empty_like(length_R)
    start_R[order] = length_R[order].cumsum(0) - length_R[order]
    start_R += prompt_length_N.cumsum(0)[prompt_R]
    behind_N = torch.zeros_like(prompt_length_N).index_add(0, prompt_R, length_R)
    end_N = (prompt_length_N + behind_N).cumsum(0)
    start_N = end_N - behind_N - prompt_length_N

    ids = rollout.completion_ids_BT.new_zeros(int(end_N[-1]))
    positions = torch.zeros_like(ids)
    # The prompts, which are padded on the left.
    n, p = rollout.prompt_mask_NP[prompts_N].nonzero(as_tuple=True)
    place = p - (rollout.prompt_mask_NP.shape[1] - prompt_length_N)[n]
    ids[start_N[n] + place] = rollout.prompt_ids_NP[prompts_N][n, p]
    positions[start_N[n] + place] = place
    # Each completion goes on where its prompt ends, wherever it stands.
    row_K, token_K = rollout.mask_BT[rows].nonzero(as_tuple=True)
    of_K = prompt_R[row_K]
    at_K = start_R[row_K] + token_K
    ids[at_K] = rollout.completion_ids_BT[rows[row_K], token_K]
    positions[at_K] = prompt_length_N[of_K] + token_K
    # Its first token is predicted by the prompt's last, the others by the token before them.
    last_K = start_N[of_K] + prompt_length_N[of_K] - 1
    predicting_K = torch.where(token_K == 0, last_K, at_K - 1)
    lengths = [length_R[order][prompt_R[order] == n].tolist() for n in range(len(prompts_N))]
    families = tuple(map(_family, start_N.tolist(), prompt_length_N.tolist(), lengths))
    return OneRow(ids[None], positions[None], families, row_K, token_K, predicting_K)


def _family(start: int, prompt_tokens: int, lengths: list[int]) -> Family:
    """A prompt that starts there, with completions of these lengths in order."""
    runs = []
    column = start + prompt_tokens
    for length, equal in groupby(lengths):
        count = len(list(equal))
        if length > 0:
            runs.append(Run(column, count, length))
        column += count * length
    return Family(Run(start, 1, prompt_tokens), tuple(runs))


def attention_over(model: Any, families: tuple[Family, ...]) -> AttentionFor:
    """Inside `with`, the layers of `model` compute attention over this row and no other."""

    def attend(query: Tensor, key: Tensor, value: Tensor, options: dict[str, Any]) -> Tensor:
        return cascade_attention(query, key, value, families, options)

    return AttentionFor(plain_model(model), ATTENTION, attend)


def one_row_inputs(row: OneRow) -> dict[str, Any]:
    """The model's inputs for the row; only the columns that predict pass the head."""
    # Nobody reads the mask: one of four dimensions is what keeps transformers from making its own.
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=row.ids_1L.device)
    return dict(
        input_ids=row.ids_1L,
        attention_mask=mask,
        position_ids=row.positions_1L,
        logits_to_keep=row.column_K,
        use_cache=False,
    )
