"""What one forward, or one forward and backward, of a policy would allocate: the package's own
code, run on the meta device.

The log-probabilities are those of `workbench.policy.logprobs`, on a made-up rollout (see
`micro_batches`). So packing, the head and whatever else that code does is counted as it is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.libraries.hf_peft import plain_model
from workbench.libraries.hf_transformers import (
    attention_of,
    cache_of,
    forward_with_cache,
    is_stateful,
)
from workbench.plan.trace.allocations import Allocations, Peak, on_meta, storage_bytes
from workbench.plan.trace.autocast import weights_cast_to_bfloat16
from workbench.plan.trace.micro_batches import largest_micro_batch, sizes
from workbench.plan.trace.skeleton import Skeleton
from workbench.policy.logprobs import completion_hidden_states, completion_logps
from workbench.rollout.request import evaluation_mode


def update_peak(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> Peak:
    """Forward and backward of one micro-batch, gradients of the weights apart."""
    return skeleton.once(
        ("update", config.has_entropy_bonus, *sizes(config, prompt_tokens)),
        lambda: _update_peak(skeleton, config, prompt_tokens),
    )


def _update_peak(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> Peak:
    for p in skeleton.trained:
        p.grad = torch.zeros_like(p)
    try:
        gradients = [p.grad for p in skeleton.trained if p.grad is not None]
        with _Counting(skeleton, gradients) as counted:
            logp, entropy = completion_logps(
                skeleton.model,
                *largest_micro_batch(skeleton.model, config, prompt_tokens),
                config.temperature,
                entropy_gradient=config.has_entropy_bonus,
            )
            # Only a bonus keeps the entropies until the backward.
            total = logp.sum() + entropy.sum() if config.has_entropy_bonus else logp.sum()
            del entropy
            counted.begin("backward of the head")
            total.backward()
        return counted.peak
    finally:
        for p in skeleton.trained:
            p.grad = None


def logprobs_peak(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> Peak:
    """The forward of one micro-batch without gradient, as for old and reference
    log-probabilities."""
    return skeleton.once(
        ("logprobs", *sizes(config, prompt_tokens)),
        lambda: _logprobs_peak(skeleton, config, prompt_tokens),
    )


def _logprobs_peak(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> Peak:
    with torch.no_grad(), _Counting(skeleton) as counted:
        completion_logps(
            skeleton.model,
            *largest_micro_batch(skeleton.model, config, prompt_tokens),
            config.temperature,
        )
    return counted.peak


def critic_update_peak(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> Peak:
    """Forward and backward of one micro-batch of a critic that is built like the policy, gradients
    of its weights apart."""
    return skeleton.once(
        ("critic update", *sizes(config, prompt_tokens)),
        lambda: _critic_update_peak(skeleton, config, prompt_tokens),
    )


def _critic_update_peak(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> Peak:
    for p in skeleton.trained:
        p.grad = torch.zeros_like(p)
    try:
        gradients = [p.grad for p in skeleton.trained if p.grad is not None]
        with _Counting(skeleton, gradients) as counted:
            _values(skeleton, config, prompt_tokens).sum().backward()
        return counted.peak
    finally:
        for p in skeleton.trained:
            p.grad = None


def critic_values_peak(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> Peak:
    """The forward of one micro-batch of such a critic without gradient."""
    return skeleton.once(
        ("critic values", *sizes(config, prompt_tokens)),
        lambda: _critic_values_peak(skeleton, config, prompt_tokens),
    )


def _critic_values_peak(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> Peak:
    with torch.no_grad(), _Counting(skeleton) as counted:
        _values(skeleton, config, prompt_tokens)
    return counted.peak


def _values(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> Tensor:
    """As `methods.critic.Critic.values`, of a micro-batch."""
    rollout, rows_R = largest_micro_batch(skeleton.model, config, prompt_tokens)
    hidden_KH, at = completion_hidden_states(skeleton.model, rollout, rows_R)
    head_1H = on_meta(1, hidden_KH.shape[1], dtype=torch.float32)
    value_K = torch.nn.functional.linear(hidden_KH.float(), head_1H).squeeze(-1)
    empty_RT = value_K.new_zeros(len(rows_R), rollout.mask_BT.shape[1])
    return empty_RT.index_put(at, value_K)


def prefill_peak(skeleton: Skeleton, rows: int, prompt_tokens: int) -> Peak:
    """The forward of the prompts that opens a rollout, without its cache."""
    return skeleton.once(
        ("prefill", rows, prompt_tokens), lambda: _prefill_peak(skeleton, rows, prompt_tokens)
    )


def _prefill_peak(skeleton: Skeleton, rows: int, prompt_tokens: int) -> Peak:
    ids = on_meta(rows, prompt_tokens, dtype=torch.long)
    plain = plain_model(skeleton.model)
    with torch.no_grad(), evaluation_mode(skeleton.model), _Counting(skeleton) as counted:
        plain(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            position_ids=ids,
            logits_to_keep=1,
            use_cache=False,
        )
    return counted.peak


class _Counting(Allocations):
    """`Allocations` around a skeleton: its inputs come to the meta device, its weights are known,
    and the parts of a forward and backward are told apart."""

    def __init__(self, skeleton: Skeleton, more: Iterable[Tensor] = ()) -> None:
        super().__init__([*skeleton.known, *more], skeleton.plain_config.vocab_size)
        self._plain = plain_model(skeleton.model)
        self._autocast = skeleton.autocast

    def __enter__(self) -> _Counting:
        self._hooks: list[Any] = [
            self._plain.register_forward_pre_hook(_to_meta, with_kwargs=True),
            self._plain.get_input_embeddings().register_forward_hook(self._embedded),
            self._plain.get_output_embeddings().register_forward_pre_hook(self._before_head),
        ]
        if self._autocast:
            widened = attention_of(self._plain) == "eager"
            self._hooks += weights_cast_to_bfloat16(self._plain, widened)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()

    def _embedded(self, module: Any, args: Any, output: Tensor) -> None:
        """The layers begin, and in the backward they end with this tensor's gradient."""
        self.begin("layers")
        if output.requires_grad:
            output.register_hook(lambda gradient: self.begin("backward of the embedding"))

    def _before_head(self, module: Any, args: Any) -> None:
        """The head begins, and in the backward it ends with this tensor's gradient."""
        self.begin("head")
        if args[0].requires_grad:
            args[0].register_hook(lambda gradient: self.begin("backward of the layers"))


def _to_meta(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Inputs on the meta device. A mask by tokens becomes the one by pairs of tokens that
    transformers makes of it, since making it looks at its values."""
    moved = {k: v.to("meta") if isinstance(v, Tensor) else v for k, v in kwargs.items()}
    mask = moved.get("attention_mask")
    if (
        mask is not None
        and mask.dim() == 2
        and not is_stateful(module)
        and module.config.model_type != "bloom"
    ):
        rows, width = mask.shape
        additive = attention_of(module) == "eager"
        moved["attention_mask"] = on_meta(
            rows, 1, width, width, dtype=module.dtype if additive else torch.bool
        )
    return args, moved


def cache_bytes(skeleton: Skeleton, tokens: int) -> int:
    """Bytes that the model keeps of one row of that many tokens, so as to go on from it."""
    return skeleton.once(("cache", tokens), lambda: _cache_bytes(skeleton, tokens))


def _cache_bytes(skeleton: Skeleton, tokens: int) -> int:
    ids = on_meta(1, tokens, dtype=torch.long)
    with torch.no_grad(), evaluation_mode(skeleton.model), _Counting(skeleton):
        output = forward_with_cache(
            plain_model(skeleton.model),
            None,
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            position_ids=ids,
            logits_to_keep=1,
        )
    tensors = [
        value
        for layer in cache_of(output).layers
        for value in vars(layer).values()
        if isinstance(value, Tensor)
    ]
    return storage_bytes(t for t in tensors if t.device.type == "meta")
