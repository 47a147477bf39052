"""SFT: the loss is the completion's alone, and it learns."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path

import pytest
import torch

from workbench.methods.supervised import pad_examples, sft, sft_loss, warmup_cosine
from workbench.policy import load_policy


def test_the_loss_is_the_mean_over_completion_tokens_by_hand(tiny_folder: Path) -> None:
    policy = load_policy(tiny_folder)
    examples = [([5, 6, 7], [8, 9, 1]), ([5], [10, 1])]
    ids, mask, labels = pad_examples(examples, policy.pad_token_id)
    total = []
    for prompt, completion in examples:
        logp = policy.model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
        total += [-logp[len(prompt) - 1 + i, token] for i, token in enumerate(completion)]
    torch.testing.assert_close(
        sft_loss(policy.model, ids, mask, labels), torch.stack(total).mean(), rtol=1e-5, atol=1e-6
    )


def test_it_learns_one_answer(tiny_folder: Path) -> None:
    policy = load_policy(tiny_folder)
    example = (
        policy.encode_prompt([{"role": "user", "content": "What is 3 + 5?"}]),
        policy.encode_completion("8"),
    )
    losses = []
    sft(
        policy,
        repeat([example]),
        steps=40,
        learning_rate=1e-2,
        warmup=5,
        on_step=lambda step, loss: losses.append(loss),
    )
    assert losses[-1] < 0.1 < losses[0]


def test_the_schedule_rises_and_falls_to_zero() -> None:
    factors = [warmup_cosine(i, 100, 10) for i in range(101)]
    assert factors[9] == 1.0
    assert factors == sorted(factors[:10]) + sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0)


def test_a_loss_that_is_not_finite_stops(tiny_folder: Path) -> None:
    policy = load_policy(tiny_folder)
    with torch.no_grad():
        policy.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="step 0"):
        sft(policy, repeat([([5], [8, 1])]), steps=3, learning_rate=1e-3)
