"""Supervised fine-tuning: the cross-entropy of given completions, prompts left out of the loss.

In the unified view of DeepSeekMath (arXiv 2402.03300, section 5.2) this is the policy gradient with
coefficient 1 on every token of data that somebody else wrote.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.policy.policy import Policy

Example = tuple[list[int], list[int]]
"""Token ids of a prompt and of the completion to learn, its end token included."""
IGNORED = -100


def pad_examples(examples: Sequence[Example], pad_token_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """Right-padded ids_BT, attention mask_BT and labels_BT, where prompt and padding are
    ignored."""
    rows = [prompt + completion for prompt, completion in examples]
    width = max(map(len, rows))
    ids = torch.tensor([row + [pad_token_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    # The prompt was not written by the policy, so it is not learnt; nor is the padding.
    labels = torch.tensor(
        [
            [IGNORED] * len(prompt)
            + completion
            + [IGNORED] * (width - len(prompt) - len(completion))
            for prompt, completion in examples
        ]
    )
    return ids, mask, labels


def sft_loss(model: torch.nn.Module, ids_BT: Tensor, mask_BT: Tensor, labels_BT: Tensor) -> Tensor:
    """Mean negative log-likelihood per completion token, in nats."""
    logits = model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).logits[:, :-1]
    return F.cross_entropy(
        logits.flatten(0, 1).float(), labels_BT[:, 1:].flatten(), ignore_index=IGNORED
    )


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate: up over `warmup` steps, then a half cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))


def sft(
    policy: Policy,
    batches: Iterator[Sequence[Example]],
    *,
    steps: int,
    learning_rate: float,
    warmup: int = 100,
    weight_decay: float = 0.0,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Train `policy` on `steps` batches with AdamW; `on_step` is told each step's loss. Raises when
    a loss is not finite."""
    optimizer = torch.optim.AdamW(
        policy.trainable_parameters(),
        lr=learning_rate,
        betas=(0.9, 0.99),
        weight_decay=weight_decay,
    )
    policy.model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * warmup_cosine(step, steps, warmup)
        padded = pad_examples(next(batches), policy.pad_token_id)
        ids_BT, mask_BT, labels_BT = (tensor.to(policy.device) for tensor in padded)
        loss = sft_loss(policy.model, ids_BT, mask_BT, labels_BT)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"SFT step {step}: the loss is {loss.item()}. Lower learning_rate={learning_rate}."
            )
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(policy.trainable_parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        on_step(step, loss.item())
    policy.model.eval()
