"""The policy's forward pass during a rollout: the prompts once, then one token for each row, over a
cache in place.

Left padding makes the last column the newest token of every row. Each row's positions count its own
tokens, so padding changes nothing for learned positions (GPT-2) or rotary ones. Where no prompt is
padded no mask is passed at all, which lets attention use its fastest kernel; otherwise the mask of
the whole rollout is made once, in the form that the model's attention works on, and each step takes
a slice of it.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from workbench.libraries.hf_transformers import (
    forward_with_cache,
    mask_as_attended,
    takes_own_mask,
)
from workbench.rollout.cache import PreallocatedCache


class Decoder:
    """Logits for the next token of every row, starting from N padded prompts.

    Use: `prefill()` gives logits (N, V); `expand_rows` multiplies the rows; `step(ids_R)` gives
    logits (R, V) after one more token of each row; `keep_rows` drops the others. At most
    `max_steps` steps. No autograd: call it under no_grad.
    """

    def __init__(
        self, model: Any, prompt_ids_NP: Tensor, prompt_mask_NP: Tensor, max_steps: int
    ) -> None:
        self.model = model
        # The cache begins with room for the prompts only: `expand_rows` copies it anyway, and makes
        # the room for what follows.
        self.capacity = prompt_ids_NP.shape[1] + max_steps
        self.cache: Any = PreallocatedCache(model.config.num_hidden_layers, prompt_ids_NP.shape[1])
        self.prompt_ids_NP = prompt_ids_NP
        # Padding on the left would count -1, which no table of positions has.
        self.position_ids_RT = (prompt_mask_NP.cumsum(1) - 1).clamp(min=0)
        self.mask = None if bool(prompt_mask_NP.all()) else prompt_mask_NP.long()
        # Only the last token of a prompt is continued; without this the head would run on all of
        # them.
        takes_logits_to_keep = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.last_only = {"logits_to_keep": 1} if takes_logits_to_keep else {}

    def prefill(self) -> Tensor:
        """Run the prompts once; the logits after each, (N, V)."""
        logits_NV = self._forward(self.prompt_ids_NP, self.mask)
        # Of left-padded rows the last column is everyone's newest token.
        self.position_ids_RT = self.position_ids_RT[:, -1:] + 1
        self.length = self.prompt_ids_NP.shape[1]
        return logits_NV

    def expand_rows(self, rows_R: Tensor) -> None:
        """From the N prompts to R rows, row i continuing prompt `rows_R[i]`. Where no prompt is
        padded it can be called again between two steps: row i then continues row `rows_R[i]`."""
        self.cache.expand_rows(rows_R, self.capacity)
        self.position_ids_RT = self.position_ids_RT[rows_R]
        if self.mask is not None:
            # Whatever comes after the prompt may be seen, so the mask of the whole rollout is known
            # now.
            new = self.mask.new_ones(len(rows_R), self.capacity - self.mask.shape[1])
            self.mask = self._decoding_mask(torch.cat([self.mask[rows_R], new], 1))

    def _decoding_mask(self, mask_RC: Tensor) -> Tensor:
        """The mask as one query attends by it. The 4D forms are what transformers itself hands to
        models that it can compile, bool for sdpa and additive for eager; every other model gets the
        2D mask and makes its own."""
        if not takes_own_mask(self.model):
            return mask_RC
        return mask_as_attended(self.model, mask_RC[:, None, None, :].bool())

    def step(self, ids_R: Tensor) -> Tensor:
        """Append one token to every row; the logits after it, (R, V)."""
        self.length += 1
        # In both forms of the mask the last dimension stands for the keys.
        mask = None if self.mask is None else self.mask[..., : self.length]
        logits_RV = self._forward(ids_R[:, None], mask)
        self.position_ids_RT = self.position_ids_RT + 1
        return logits_RV

    def keep_rows(self, rows: Tensor) -> None:
        """Only the rows at these indices go on."""
        self.cache.keep_rows(rows)
        self.position_ids_RT = self.position_ids_RT[rows]
        if self.mask is not None:
            self.mask = self.mask[rows]

    def _forward(self, ids_RT: Tensor, mask: Tensor | None) -> Tensor:
        output = forward_with_cache(
            self.model,
            self.cache,
            input_ids=ids_RT,
            attention_mask=mask,
            position_ids=self.position_ids_RT,
            **self.last_only,
        )
        logits_RV: Tensor = output.logits[:, -1]
        return logits_RV
