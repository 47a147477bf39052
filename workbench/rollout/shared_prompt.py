"""A cache in which the completions of a prompt share its keys and values, and attention over it.

A decoding step reads the whole cache once. With a prompt of 500 tokens and eight completions of 50
a cache of one row each holds 8 x 550 columns, this one 500 + 8 x 50; and the queries of a prompt's
completions meet its keys in one product of matrices. The numbers are those of attention over rows
of their own, up to rounding: one softmax over the prompt's scores and the completion's.

Suffixes: N prompts, W places of each, S = N x W places, R rows, H heads, K key-value heads, Q
queries of each such, D numbers of a head, P columns of the prompts (padded on the left), T tokens
so far, C = P + T.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from workbench.libraries.hf_transformers import Cache, DynamicLayer, odd_options
from workbench.rollout.cache import PreallocatedCache, PreallocatedLayer
from workbench.rollout.places import MOVE_BELOW, Places, side_by_side

LAYER = "workbench_layer"
"""The attribute by which keys that `SharedPromptLayer.update` gives back name their layer."""


class SharedPromptLayer(DynamicLayer):
    """Keys and values of one layer: those of N prompts, once, and of each place what was sampled
    there."""

    def __init__(self, prompts: PreallocatedLayer, chosen_N: Tensor, capacity: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys_NKPD, self.values_NKPD = prompts.picked(chosen_N)
        self.dtype, self.device = self.keys_NKPD.dtype, self.keys_NKPD.device
        self.capacity = capacity
        self.filled = 0
        self.is_initialized = True

    def lay_out(self, places: Places, bias_N11P: Tensor | None) -> None:
        """Room for the rows of `places`; nothing is in it yet. `bias_N11P` is added to the prompts'
        scores: -inf on their padding."""
        self.places, self.bias_N11P = places, bias_N11P
        shape = (places.count, self.keys_NKPD.shape[1], self.capacity)
        self.keys_SKTD = self.keys_NKPD.new_empty(*shape, self.keys_NKPD.shape[3])
        self.values_SKTD = self.values_NKPD.new_empty(*shape, self.values_NKPD.shape[3])

    def move(self, prompts_N: Tensor, places: Places, bias_N11P: Tensor | None) -> None:
        """The rows that are left stand side by side, in storage of their own."""
        left, end = self.places, self.filled
        keys_RKTD = left.gather(self.keys_SKTD)[:, :, :end]
        values_RKTD = left.gather(self.values_SKTD)[:, :, :end]
        self.keys_NKPD, self.values_NKPD = self.keys_NKPD[prompts_N], self.values_NKPD[prompts_N]
        self.lay_out(places, bias_N11P)
        self.keys_SKTD[:, :, :end] = places.spread(keys_RKTD)
        self.values_SKTD[:, :, :end] = places.spread(values_RKTD)

    def get_seq_length(self) -> int:
        """Tokens of a row, its prompt's among them."""
        return int(self.keys_NKPD.shape[2]) + self.filled

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write one token of each row. What it gives back are these keys and values alone:
        `shared_attention` knows by them where the others are."""
        if self.filled == self.capacity or key_states.shape[2] != 1:
            raise ValueError(
                f"the cache holds {self.capacity} tokens a completion, one at a time; "
                f"{key_states.shape[2]} came after {self.filled}."
            )
        self.keys_SKTD[:, :, self.filled] = self.places.spread(key_states[:, :, 0])
        self.values_SKTD[:, :, self.filled] = self.places.spread(value_states[:, :, 0])
        self.filled += 1
        # A tensor of its own, since the attribute must not outlive this token.
        keys = key_states.view_as(key_states)
        setattr(keys, LAYER, self)
        return keys, value_states

    def attend(self, query_RH1D: Tensor, scaling: float) -> Tensor:
        """What each head of each row reads, (R, 1, H, D)."""
        heads = self.keys_NKPD.shape[1]
        query_SKQD = self.places.spread(query_RH1D[:, :, 0]).unflatten(1, (heads, -1))
        scores_SKQC = self._scores(query_SKQD, scaling)
        read_SKQD = self._read(scores_SKQC.softmax(-1))
        return self.places.gather(read_SKQD.flatten(1, 2))[:, None]

    def _scores(self, query_SKQD: Tensor, scaling: float) -> Tensor:
        """Of the prompt's P columns, then of the T tokens."""
        prompt = self.keys_NKPD.shape[2]
        own_SKQT = query_SKQD @ self.keys_SKTD[:, :, : self.filled].mT
        query_NKMD = self._with_the_prompt(query_SKQD)
        prompt_NKMP = query_NKMD @ self.keys_NKPD.mT
        scores_SKQC = own_SKQT.new_empty(*own_SKQT.shape[:3], prompt + self.filled)
        torch.mul(own_SKQT, scaling, out=scores_SKQC[..., prompt:])
        scores_NWKQP = self._by_prompts(scores_SKQC)[..., :prompt]
        if self.bias_N11P is None:
            torch.mul(self._apart(prompt_NKMP), scaling, out=scores_NWKQP)
        else:
            bias_N111P = self.bias_N11P[:, :, :, None]
            torch.add(bias_N111P, self._apart(prompt_NKMP), alpha=scaling, out=scores_NWKQP)
        return scores_SKQC

    def _read(self, weight_SKQC: Tensor) -> Tensor:
        prompt = self.keys_NKPD.shape[2]
        read_SKQD = weight_SKQC[..., prompt:] @ self.values_SKTD[:, :, : self.filled]
        prompt_NKMD = self._with_the_prompt(weight_SKQC[..., :prompt]) @ self.values_NKPD
        self._by_prompts(read_SKQD).add_(self._apart(prompt_NKMD))
        return read_SKQD

    def _by_prompts(self, values_SKQX: Tensor) -> Tensor:
        """(N, W, K, Q, X), the same memory."""
        values_NWKQX: Tensor = values_SKQX.unflatten(0, (self.places.prompts, self.places.width))
        return values_NWKQX

    def _with_the_prompt(self, values_SKQX: Tensor) -> Tensor:
        """(N, K, M, X), M = W x Q: all that meets a prompt's keys in one product."""
        values_NKWQX = self._by_prompts(values_SKQX).transpose(1, 2)
        return values_NKWQX.flatten(2, 3)

    def _apart(self, values_NKMX: Tensor) -> Tensor:
        """The other way round, (N, W, K, Q, X)."""
        values_NKWQX: Tensor = values_NKMX.unflatten(2, (self.places.width, -1))
        return values_NKWQX.transpose(1, 2)


class SharedPromptCache(Cache):
    """One `SharedPromptLayer` for each layer, made of a cache that holds the prompts."""

    def __init__(
        self, prompts: PreallocatedCache, prompt_R: Tensor, mask_NP: Tensor | None, capacity: int
    ) -> None:
        chosen_N, self.places = side_by_side(prompt_R)
        self.shared = [SharedPromptLayer(one, chosen_N, capacity) for one in prompts.preallocated]
        self.bias_N11P = None
        if mask_NP is not None:
            hidden_N11P = ~mask_NP.bool()[chosen_N, None, None]
            keys = self.shared[0].keys_NKPD
            self.bias_N11P = keys.new_zeros(hidden_N11P.shape).masked_fill_(hidden_N11P, -math.inf)
        for layer in self.shared:
            layer.lay_out(self.places, self.bias_N11P)
        super().__init__(layers=list(self.shared))

    def keep_rows(self, rows: Tensor) -> None:
        """Only the rows at these indices stay."""
        left = self.places.without(rows)
        for layer in self.shared:
            layer.places = left
        prompts_N, together = side_by_side(left.place_R // left.width)
        if together.count > MOVE_BELOW * left.count:
            self.places = left
            return
        self.places = together
        if self.bias_N11P is not None:
            self.bias_N11P = self.bias_N11P[prompts_N]
        for layer in self.shared:
            layer.move(prompts_N, together, self.bias_N11P)


def shared_attention(
    query: Tensor, key: Tensor, value: Tensor, options: Mapping[str, Any]
) -> Tensor | None:
    """Attention over a `SharedPromptLayer` where the keys are such a layer's, else None. Raises
    TypeError for an attention that is more than the plain one."""
    layer: SharedPromptLayer | None = getattr(key, LAYER, None)
    if layer is None:
        return None
    odd = odd_options(options)
    if odd:
        raise TypeError(f"attention with {odd[0]} cannot share a prompt's keys.")
    scaling = options.get("scaling")
    return layer.attend(query, query.shape[-1] ** -0.5 if scaling is None else scaling)
