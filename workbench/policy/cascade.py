"""Cascade attention (FlashInfer's name): over a prompt that several completions share, and over
each completion itself, put together as one softmax.

A mask of the packed row has the square of its length; of that a completion sees its prompt and
itself, less than a tenth where a prompt of 64 tokens has eight completions of 256. Here a CPU's
fused kernel computes these parts alone. Each comes with the log-sum-exp of its scores, by which the
parts add up; and given the log-sum-exp of the whole, the kernel's backward gives each part of the
gradient.

Suffixes: L tokens of the row, H heads, D numbers of a head, R completions side by side, C tokens of
each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.libraries.hf_transformers import odd_options
from workbench.libraries.torch_ import attention_part, attention_part_backward


@dataclass(frozen=True)
class Run:
    """Pieces of the row of equal length that stand side by side."""

    start: int
    """The column of the first token."""
    count: int
    length: int
    """Tokens of each piece."""

    def apart(self, values_HLX: Tensor) -> Tensor:
        """(R, H, C, X), the same memory."""
        end = self.start + self.count * self.length
        values_HRCX: Tensor = values_HLX[:, self.start : end].unflatten(1, (self.count, -1))
        return values_HRCX.transpose(0, 1)


@dataclass(frozen=True)
class Family:
    """A prompt, and its completions behind it."""

    prompt: Run
    """Of one piece."""
    runs: tuple[Run, ...]
    """The completions, those of one length together."""

    def parts(self) -> Iterator[tuple[Run, Run, bool]]:
        """Which tokens see which, and whether only those up to themselves."""
        prompt = self.prompt
        yield prompt, prompt, True
        if self.runs:
            together = sum(run.count * run.length for run in self.runs)
            yield Run(prompt.start + prompt.length, 1, together), prompt, False
        for run in self.runs:
            yield run, run, True


def cascade_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    families: tuple[Family, ...],
    options: Mapping[str, Any],
) -> Tensor:
    """What each head of each token reads, (1, L, H, D). Raises TypeError for an attention that is
    more than the plain one."""
    odd = odd_options(options)
    if options.get("dropout"):
        odd.append("dropout")
    if odd:
        raise TypeError(f"attention with {odd[0]} cannot be taken apart.")
    # Under autocast values come in bfloat16, rotated queries and keys in float32: torch's own
    # attention casts them likewise.
    query, key = query.to(value.dtype), key.to(value.dtype)
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = (x.repeat_interleave(repeats, 1) for x in (key, value))
    read_HLD: Tensor = _Cascade.apply(  # type: ignore[no-untyped-call]
        query[0], key[0], value[0], families, options.get("scaling")
    )
    return read_HLD.transpose(0, 1)[None]


class _Cascade(torch.autograd.Function):
    """Attention of each part by the kernel, and its gradient by the kernel's own backward."""

    @staticmethod
    def forward(
        ctx: Any,
        query_HLD: Tensor,
        key_HLD: Tensor,
        value_HLD: Tensor,
        families: tuple[Family, ...],
        scale: float | None,
    ) -> Tensor:
        heads, tokens, size = query_HLD.shape
        # In the order of memory in which the layer goes on.
        read_HLD = query_HLD.new_zeros(tokens, heads, size).transpose(0, 1)
        # A weight is the exponential of a difference of these: never less than float32.
        wide = torch.promote_types(query_HLD.dtype, torch.float32)
        norm_HL1 = query_HLD.new_full((heads, tokens, 1), -torch.inf, dtype=wide)
        for family in families:
            for queries, keys, causal in family.parts():
                query_RHCD = queries.apart(query_HLD)
                key_RHCD, value_RHCD = keys.apart(key_HLD), keys.apart(value_HLD)
                part = attention_part(query_RHCD, key_RHCD, value_RHCD, causal, scale)
                _add_part(queries.apart(read_HLD), queries.apart(norm_HL1), *part)
        ctx.save_for_backward(query_HLD, key_HLD, value_HLD, read_HLD, norm_HL1)
        ctx.families, ctx.scale = families, scale
        return read_HLD

    @staticmethod
    def backward(ctx: Any, gradient_HLD: Tensor) -> Any:
        query_HLD, key_HLD, value_HLD, read_HLD, norm_HL1 = ctx.saved_tensors
        totals = [torch.zeros_like(x) for x in (query_HLD, key_HLD, value_HLD)]
        for family in ctx.families:
            for queries, keys, causal in family.parts():
                found = attention_part_backward(
                    queries.apart(gradient_HLD),
                    queries.apart(query_HLD),
                    keys.apart(key_HLD),
                    keys.apart(value_HLD),
                    queries.apart(read_HLD),
                    queries.apart(norm_HL1).squeeze(-1),
                    causal,
                    ctx.scale,
                )
                for total, part, of in zip(totals, found, (queries, keys, keys), strict=True):
                    of.apart(total).add_(part)
        return *totals, None, None


def _add_part(read: Tensor, norm: Tensor, part: Tensor, part_norm: Tensor) -> None:
    """Take what a part of the keys gives into what the parts before it gave, as one softmax."""
    part_norm = part_norm[..., None]
    whole = torch.logaddexp(norm, part_norm)
    read.mul_((norm - whole).exp_()).add_(part * (part_norm - whole).exp_())
    norm.copy_(whole)
