"""Log-probabilities from a model's last hidden states, a few rows of logits at a time.

With a vocabulary of 50,000 words and more the logits of a batch are its largest tensor by far, and
log-softmax, entropy and their gradients are as many copies of it. Here a block of rows passes the
head, gives its log-probabilities, its entropies and the gradient that they have for their hidden
states, and is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

BLOCK_BYTES = {"cpu": 2**24, "cuda": 2**27}
"""Bytes of a block's float32 logits, by device: small enough for a CPU's cache, large enough to
keep a GPU busy."""
MANY_WORDS = 1024
"""A smaller vocabulary whose logits fit into one block is left to the model: they are hardly larger
than its hidden states."""
KEPT_BYTES = {"cpu": 2**28}
"""Bytes up to which the gradients of a pass's logits are kept for the gradient of the head, by
device; beyond, the logits are made a second time. On a GPU keeping has not been measured."""


@dataclass(frozen=True)
class Head:
    """The layer that makes logits of hidden states."""

    weight_VH: Tensor
    bias_V: Tensor | None
    dtype: torch.dtype
    """The number format that the model multiplies in."""
    rows: int
    """Rows of logits to make at once."""
    kept_bytes: int = 0
    """Bytes up to which their gradients are kept."""


def worth_it(model: Any, tokens: int) -> bool:
    """True where the logits of so many tokens should not be made by the model, and the head can be
    taken apart from it."""
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear:
        return False
    large = tokens > _rows_at_once(head) or head.weight.shape[0] >= MANY_WORDS
    return large and _is_plain(model, head)


def logits_at_once(model: Any, tokens: int) -> int:
    """Of how many tokens the logits stand in memory at one time."""
    if not worth_it(model, tokens):
        return tokens
    return min(_rows_at_once(model.get_output_embeddings()), tokens)


def plan_for(model: Any, device: str, autocast: torch.dtype | None = None) -> None:
    """A model on the meta device is to be cut as it would be on `device`, and multiplied in the
    format `autocast` where it would be so there."""
    head = model.get_output_embeddings()
    head.planned_for = device
    head.planned_autocast = autocast


def device_kind(model: Any) -> str:
    """ "cpu", "cuda", ...: where the model is, or where it is planned for."""
    return _kind_of(model.get_output_embeddings())


def _kind_of(head: nn.Linear) -> str:
    # On the meta device there is no kind to go by: `plan_for` has said which is meant.
    kind: str = getattr(head, "planned_for", head.weight.device.type)
    return kind


def _rows_at_once(head: nn.Linear) -> int:
    block = BLOCK_BYTES.get(_kind_of(head), BLOCK_BYTES["cpu"])
    return max(block // (4 * head.weight.shape[0]), 1)


def _is_plain(model: Any, head: nn.Linear) -> bool:
    """True when the logits are what the head gives and nothing else (no cap, no scale); found out
    once."""
    # Kept with the head, since finding out takes a pass through the model.
    known = head.__dict__.get("_workbench_is_plain")
    if known is None:
        known = (
            _looks_plain(model) if head.weight.device.type == "meta" else _gives_the_logits(model)
        )
        head.__dict__["_workbench_is_plain"] = known
    return bool(known)


def _looks_plain(model: Any) -> bool:
    """The same for a model without numbers, by what its config may say of its logits."""
    config = model.config.get_text_config(decoder=True)
    return all(
        getattr(config, name, None) in (None, 1, 1.0)
        for name in ("final_logit_softcapping", "logit_scale", "logits_scaling")
    )


@torch.no_grad()
def _gives_the_logits(model: Any) -> bool:
    """Whether numbers given in the head's place come out as the logits, to the last bit."""
    head = model.get_output_embeddings()
    ids = torch.zeros(1, 2, dtype=torch.long, device=head.weight.device)
    # Far from 0 on both sides, where a cap on the logits would show.
    given = (
        torch.linspace(-100, 100, 2 * head.weight.shape[0], device=head.weight.device)
        .to(head.weight.dtype)
        .view(1, 2, -1)
    )
    with _in_its_place(head, lambda hidden: given):
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return torch.equal(logits.float(), given.float())


@contextmanager
def _in_its_place(head: nn.Linear, stand_in: Callable[[Tensor], Tensor]) -> Iterator[None]:
    # Somebody else may have set one; it comes back.
    own = head.__dict__.get("forward")
    head.__dict__["forward"] = stand_in
    try:
        yield
    finally:
        del head.__dict__["forward"]
        if own is not None:
            head.__dict__["forward"] = own


def before_head(model: Any, inputs: dict[str, Any]) -> tuple[Tensor, Head]:
    """The hidden states (N,C,H) that the head would be given for these inputs, and the head. The
    head itself is not run."""
    head, seen = model.get_output_embeddings(), []

    def keep(hidden: Tensor) -> Tensor:
        # Asked here, inside the model's pass, where its own autocast is in force.
        seen.append((hidden, _autocast_of(head, hidden.device.type) or head.weight.dtype))
        # One column in place of a vocabulary: what the model makes of it is thrown away.
        return hidden[..., :1]

    with _in_its_place(head, keep):
        model(**inputs)
    hidden, dtype = seen[0]
    kept = KEPT_BYTES.get(_kind_of(head), 0)
    return hidden, Head(head.weight, head.bias, dtype, _rows_at_once(head), kept)


def _autocast_of(head: nn.Linear, kind: str) -> torch.dtype | None:
    """The format that autocast multiplies in here, or would where the model is planned for."""
    if kind == "meta":
        return getattr(head, "planned_autocast", None)
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


def logits_in_blocks(
    hidden_KH: Tensor, head: Head, temperature: float
) -> Iterator[tuple[slice, Tensor]]:
    """(which of the K, their logits / temperature), a block at a time, without gradient."""
    weight = head.weight_VH.to(head.dtype)
    bias = None if head.bias_V is None else head.bias_V.to(head.dtype)
    for rows in _blocks(hidden_KH, head.rows):
        yield rows, _logits(hidden_KH[rows], weight, bias, temperature)


def blockwise_logps(
    hidden_KH: Tensor,
    head: Head,
    targets_K: Tensor,
    temperature: float,
    entropy_gradient: bool = False,
) -> tuple[Tensor, Tensor]:
    """`(logp_K, entropy_K)` in nats, float32 (float64 where the weights are): of each target under
    softmax(logits / temperature), and the entropy of that distribution, with a gradient where
    `entropy_gradient` asks for it."""
    found: tuple[Tensor, Tensor] = _Blockwise.apply(  # type: ignore[no-untyped-call]
        hidden_KH,
        head.weight_VH,
        head.bias_V,
        head.dtype,
        head.rows,
        head.kept_bytes,
        targets_K,
        temperature,
        torch.is_grad_enabled(),
        entropy_gradient,
    )
    return found


class _Blockwise(torch.autograd.Function):
    """d logp_k / d hidden_k = (weight of the target - sum over words of p x weight) / temperature,
    which is known in the forward: the backward multiplies it by the incoming number of each row.
    d entropy_k / d logit = -p (log p + entropy_k) likewise, kept apart, since its number is another
    one. The head's own gradient, where it is trained, is made block by block in the backward, from
    the logits' gradients that were kept, or from the same logits once more."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_KH: Tensor,
        weight_VH: Tensor,
        bias_V: Tensor | None,
        dtype: torch.dtype,
        at_once: int,
        kept_bytes: int,
        targets_K: Tensor,
        temperature: float,
        with_gradient: bool,
        entropy_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        weight, bias = weight_VH.to(dtype), None if bias_V is None else bias_V.to(dtype)
        # A log-probability is a small difference of large numbers: never less than float32.
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        logp_K, entropy_K, norm_K = (
            hidden_KH.new_empty(len(hidden_KH), dtype=wide) for _ in range(3)
        )
        # As large as the hidden states, so made only where somebody will ask for it.
        slope_KH = entropy_slope_KH = None
        if with_gradient and hidden_KH.requires_grad:
            slope_KH = hidden_KH.new_empty(hidden_KH.shape, dtype=dtype)
            if entropy_gradient:
                entropy_slope_KH = torch.empty_like(slope_KH)
        trained = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        size = len(hidden_KH) * len(weight) * dtype.itemsize
        keeps = with_gradient and trained and not entropy_gradient and size <= kept_bytes
        kept = []
        # A block of logits is made, read and forgotten. Its gradient for the hidden states is taken
        # now, while the probabilities are there, up to the number that comes in the backward.
        for rows in _blocks(hidden_KH, at_once, all_of_them=keeps):
            z = _logits(hidden_KH[rows], weight, bias, temperature)
            logp = z.log_softmax(-1)
            logp_K[rows] = logp.gather(-1, targets_K[rows, None]).squeeze(-1)
            norm_K[rows] = z.gather(-1, targets_K[rows, None]).squeeze(-1) - logp_K[rows]
            p = logp.exp_()
            entropy_K[rows] = norm_K[rows] - _dot(p, z)
            if entropy_slope_KH is not None:
                push = _entropy_push(p, z - norm_K[rows, None], entropy_K[rows])
                entropy_slope_KH[rows] = push.to(dtype) @ weight / temperature
            if slope_KH is not None or keeps:
                push = _chosen_less(p, targets_K[rows]).to(dtype)
                if slope_KH is not None:
                    slope_KH[rows] = push @ weight / temperature
                if keeps:
                    kept.append(push)
        # With the norm of each row the backward makes the probabilities anew without a second sum.
        if with_gradient:
            ctx.save_for_backward(
                hidden_KH, weight_VH, bias_V, targets_K, norm_K, slope_KH, entropy_slope_KH, *kept
            )
            ctx.temperature, ctx.dtype, ctx.at_once = temperature, dtype, at_once
            ctx.entropy_gradient = entropy_gradient
        if not entropy_gradient:
            ctx.mark_non_differentiable(entropy_K)
        return logp_K, entropy_K

    @staticmethod
    def backward(ctx: Any, grad_K: Tensor, entropy_grad_K: Tensor) -> Any:
        hidden_KH, weight_VH, bias_V, targets_K, norm_K, slope_KH, entropy_slope_KH, *kept = (
            ctx.saved_tensors
        )
        hidden = None if slope_KH is None else slope_KH * grad_K[:, None]
        if hidden is not None and entropy_slope_KH is not None:
            hidden += entropy_slope_KH * entropy_grad_K[:, None]
        if hidden is not None:
            hidden = hidden.to(hidden_KH.dtype)
        # Sums over many blocks are kept in float32, or each addition would round.
        weight = (
            torch.zeros_like(weight_VH, dtype=norm_K.dtype) if ctx.needs_input_grad[1] else None
        )
        bias = torch.zeros_like(bias_V, dtype=norm_K.dtype) if ctx.needs_input_grad[2] else None
        if kept:
            by_row_K = (grad_K / ctx.temperature).to(ctx.dtype)
            for rows, push in zip(_blocks(hidden_KH, ctx.at_once, True), kept, strict=True):
                # The number of each row goes to the hidden states, which are the smaller factor.
                if weight is not None:
                    scaled = hidden_KH[rows].to(ctx.dtype) * by_row_K[rows, None]
                    _add_product(weight, push.T, scaled)
                if bias is not None:
                    bias += push.T @ by_row_K[rows]
        elif weight is not None or bias is not None:
            # Converted once, not for every block.
            own = weight_VH.to(ctx.dtype), None if bias_V is None else bias_V.to(ctx.dtype)
            for rows in _blocks(hidden_KH, ctx.at_once):
                logp = _logits(hidden_KH[rows], *own, ctx.temperature) - norm_K[rows, None]
                by_entropy = None
                if ctx.entropy_gradient:
                    p = logp.exp()
                    by_entropy = _entropy_push(p, logp, -(p * logp).sum(-1))
                    by_entropy.mul_(entropy_grad_K[rows, None] / ctx.temperature)
                p = logp.exp_()
                p = _chosen_less(p, targets_K[rows]).mul_(grad_K[rows, None] / ctx.temperature)
                if by_entropy is not None:
                    p += by_entropy
                if weight is not None:
                    _add_product(weight, p.to(ctx.dtype).T, hidden_KH[rows].to(ctx.dtype))
                if bias is not None:
                    bias += p.sum(0)
        return (
            hidden,
            None if weight is None else weight.to(weight_VH.dtype),
            None if bias is None or bias_V is None else bias.to(bias_V.dtype),
            *[None] * 7,
        )


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> Tensor:
    z = nn.functional.linear(hidden.to(weight.dtype), weight, bias)
    # In place: a block of logits is the largest tensor there is here.
    z = z if z.dtype == torch.float64 else z.float()
    return z if temperature == 1 else z.div_(temperature)


def _dot(a_RV: Tensor, b_RV: Tensor) -> Tensor:
    """The sum over words of a x b, without a tensor of the products."""
    return (a_RV[:, None] @ b_RV[:, :, None]).flatten()


def _entropy_push(p_RV: Tensor, logp_RV: Tensor, entropy_R: Tensor) -> Tensor:
    """-p (log p + entropy): the gradient of an entropy for its logits."""
    return (logp_RV + entropy_R[:, None]).mul_(p_RV).neg_()


def _chosen_less(p_RV: Tensor, targets_R: Tensor) -> Tensor:
    """1 at the target less p, in the place of p: the gradient of a log-probability for its
    logits."""
    return p_RV.neg_().scatter_add_(-1, targets_R[:, None], torch.ones_like(p_RV[:, :1]))


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a b, without a tensor of the product where the formats allow it."""
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b


BLOCKS_OF_A_PLAN = 3
"""Full blocks that a model on the meta device passes. From the second on each stands beside what
the one before it left, so that a third holds no more; a plan for a vocabulary of 152,000 and a
million tokens would pass thousands of them, for minutes."""


def _blocks(hidden_KH: Tensor, at_once: int, all_of_them: bool = False) -> list[slice]:
    """The rows of each block; on the meta device, where there are no numbers to make, the first few
    and the last, which may be shorter, unless each of them is kept."""
    starts = range(0, len(hidden_KH), at_once)
    chosen = list(starts)
    planned = hidden_KH.device.type == "meta" and not all_of_them
    if planned and len(starts) > BLOCKS_OF_A_PLAN + 1:
        chosen = [*starts[:BLOCKS_OF_A_PLAN], starts[-1]]
    return [slice(start, start + at_once) for start in chosen]
