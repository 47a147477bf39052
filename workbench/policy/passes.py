"""What a model is given for some completions, in three ways that give the same numbers.

`row_by_row` is the plain one, a row a completion, and serves every model. `packed` lays the
completions of a prompt into one row with a mask (see `packing`); `in_one_row` lays all prompts into
one without (see `one_row`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.policy import head
from workbench.policy.one_row import attention_over, line_up, one_row_inputs
from workbench.policy.packing import pack, packed_inputs
from workbench.rollout.types import Rollout


@dataclass(frozen=True)
class Pass:
    """A forward of the model, and where its answers stand."""

    inputs: dict[str, Any]
    place: tuple[Tensor | int | slice, ...]
    """Where in what it gives (N, C, ...) stands what predicts the K-th completion token, ..."""
    row_K: Tensor
    """... which belongs to this completion ..."""
    token_K: Tensor
    """... and is its token of this number."""
    attention: AbstractContextManager[None]
    """To be in force during the forward."""

    def logits(self, model: Any) -> Tensor:
        """(K, V), before each of the K tokens."""
        with self.attention:
            logits_KV: Tensor = model(**self.inputs).logits[self.place]
        return logits_KV

    def before_head(self, model: Any) -> tuple[Tensor, head.Head]:
        """The last hidden states there (K, H), and the head that would make logits of them."""
        with self.attention:
            hidden_NCH, own = head.before_head(model, self.inputs)
        return hidden_NCH[self.place], own


def row_by_row(rollout: Rollout, rows: Tensor) -> Pass:
    """One row a completion."""
    prompts = rows // rollout.num_generations
    prompt_mask = rollout.prompt_mask_NP[prompts]
    width = max(int(rollout.lengths_B[rows].max()), 1)
    # Columns of padding alone are left out.
    start = rollout.prompt_mask_NP.shape[1] - int(prompt_mask.sum(1).max())
    mask_RT = rollout.mask_BT[rows, :width]
    ids = torch.cat(
        [rollout.prompt_ids_NP[prompts, start:], rollout.completion_ids_BT[rows, :width]], 1
    )
    attention = torch.cat([prompt_mask[:, start:], mask_RT], 1).long()
    inputs = dict(
        input_ids=ids,
        attention_mask=attention,
        position_ids=(attention.cumsum(1) - 1).clamp(min=0),
        logits_to_keep=width + 1,
        use_cache=False,
    )
    row_K, token_K = mask_RT.nonzero(as_tuple=True)
    return Pass(inputs, (row_K, token_K), row_K, token_K, nullcontext())


def packed(model: Any, rollout: Rollout, rows: Tensor) -> Pass:
    """One row a prompt."""
    found = pack(rollout, rows)
    place = found.packed_K, found.column_K - found.first_column
    return Pass(packed_inputs(model, found), place, found.row_K, found.token_K, nullcontext())


def in_one_row(model: Any, rollout: Rollout, rows: Tensor) -> Pass:
    """One row for all; of its columns the model gives those alone that predict."""
    found = line_up(rollout, rows)
    attention = attention_over(model, found.families)
    return Pass(one_row_inputs(found), (0, slice(None)), found.row_K, found.token_K, attention)
