"""Logits a block at a time: the same log-probabilities, entropies and gradients as all at once, for
every kind of head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout.tiny_models import build
from transformers import LlamaConfig, LlamaForCausalLM

from workbench.policy import head as head_module
from workbench.policy.head import Head, blockwise_logps, worth_it
from workbench.policy.logprobs import _logps, completion_logps
from workbench.rollout.types import Rollout


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that sets how many rows of logits are made at once; a very large number makes them
    all at once."""
    return lambda rows: monkeypatch.setattr(head_module, "_rows_at_once", lambda head: rows)


@given(
    seed=st.integers(0, 10**6),
    K=st.integers(1, 9),
    V=st.integers(1, 40),
    rows=st.integers(1, 12),
    temperature=st.floats(0.2, 3.0),
    bias=st.booleans(),
    kept=st.sampled_from([0, 10**6]),
)
@settings(max_examples=60, deadline=None)
def test_values_and_gradients_are_those_of_a_log_softmax(
    seed: int, K: int, V: int, rows: int, temperature: float, bias: bool, kept: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    own = [
        torch.randn(s, generator=g, dtype=torch.float64).requires_grad_()
        for s in ((K, 6), (V, 6), (V,))
    ]
    b = own[2] if bias else None
    targets, factor = (
        torch.randint(V, (K,), generator=g),
        torch.randn(K, generator=g, dtype=torch.float64),
    )
    expected = _logps(torch.nn.functional.linear(own[0], own[1], b), targets, temperature)
    head = Head(own[1], b, torch.float64, rows, kept)
    found = blockwise_logps(own[0], head, targets, temperature)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert not found[1].requires_grad
    wanted = [t for t in (own[0], own[1], b) if t is not None]
    torch.testing.assert_close(
        torch.autograd.grad((found[0] * factor).sum(), wanted),
        torch.autograd.grad((expected[0] * factor).sum(), wanted),
    )
    # Both at once, each with numbers of its own, as an entropy bonus has them.
    other = torch.randn(K, generator=g, dtype=torch.float64)
    logits = torch.nn.functional.linear(own[0], own[1], b)
    logp, entropy = _logps(logits, targets, temperature, entropy_gradient=True)
    blocks = blockwise_logps(own[0], head, targets, temperature, entropy_gradient=True)
    torch.testing.assert_close(blocks, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        torch.autograd.grad((blocks[0] * factor + blocks[1] * other).sum(), wanted),
        torch.autograd.grad((logp * factor + entropy * other).sum(), wanted),
    )


@pytest.mark.parametrize(("kept", "times"), [(4 * 6 * 10, 1), (4 * 6 * 10 - 1, 2)])
def test_logits_whose_gradients_fit_are_made_once(
    kept: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    once = head_module._logits
    monkeypatch.setattr(
        head_module,
        "_logits",
        lambda hidden, *rest: (made.append(len(hidden)), once(hidden, *rest))[1],
    )
    hidden, weight = torch.randn(6, 3, requires_grad=True), torch.randn(10, 3, requires_grad=True)
    head = Head(weight, None, torch.float32, 4, kept)
    blockwise_logps(hidden, head, torch.arange(6), 1.0)[0].sum().backward()
    assert sum(made) == 6 * times


def test_a_small_vocabulary_is_left_to_the_model_and_a_large_one_is_not() -> None:
    """So the embedded policy's run keeps its numbers, to the last bit."""
    assert not worth_it(build("llama"), 50)
    large = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=head_module.MANY_WORDS,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
        )
    )
    assert worth_it(large, 1)


def test_the_gradient_of_an_entropy_is_that_of_finite_differences() -> None:
    logits = torch.tensor([[0.3, -1.2, 0.8], [2.0, 0.1, 0.0]], dtype=torch.float64)
    targets = torch.tensor([0, 2])
    assert torch.autograd.gradcheck(
        lambda z: _logps(z, targets, 0.7, entropy_gradient=True)[1], logits.requires_grad_()
    )


def rollout_of(vocabulary: int) -> Rollout:
    g = torch.Generator().manual_seed(1)
    lengths = torch.tensor([6, 3, 1, 6, 5, 2, 6, 4])
    return Rollout(
        prompt_ids_NP=torch.randint(3, vocabulary, (2, 5), generator=g),
        prompt_mask_NP=torch.tensor([[False, True, True, True, True], [True] * 5]),
        completion_ids_BT=torch.randint(3, vocabulary, (8, 6), generator=g),
        mask_BT=torch.arange(6) < lengths[:, None],
        sampler_logp_BT=torch.zeros(8, 6),
        truncated_B=torch.zeros(8, dtype=torch.bool),
        num_generations=4,
    )


def loss_and_gradients(model: Any, rows: torch.Tensor) -> list[torch.Tensor]:
    model.zero_grad()
    rollout = rollout_of(model.config.vocab_size)
    logp, entropy = completion_logps(model, rollout, rows, 0.8)
    (logp * torch.linspace(-1, 2, logp.numel()).view(logp.shape)).sum().backward()
    return [
        logp.detach(),
        entropy,
        *(p.grad.clone() for p in model.parameters() if p.grad is not None),
    ]


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "phi", "gemma"])
@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("rows", [torch.arange(8), torch.tensor([5, 0, 3])], ids=["packed", "few"])
def test_a_policy_has_the_same_log_probabilities_and_gradients(
    family: str, lora: bool, rows: torch.Tensor, in_blocks: Callable[[int], None]
) -> None:
    model: Any = build(family)
    if lora:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(
            model,
            LoraConfig(
                r=2, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
            ),
        )
    in_blocks(10**9)
    assert not worth_it(model, 50)
    expected = loss_and_gradients(model, rows)
    in_blocks(3)
    assert worth_it(model, 50)
    found = loss_and_gradients(model, rows)
    assert len(found) == len(expected) > 4
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-4, atol=2e-5)
    with torch.no_grad():
        torch.testing.assert_close(
            completion_logps(model, rollout_of(model.config.vocab_size), rows, 0.8)[0],
            expected[0],
            rtol=2e-4,
            atol=2e-5,
        )


def test_the_head_is_not_run_and_works_as_before_afterwards(
    in_blocks: Callable[[int], None],
) -> None:
    model, seen = build("llama"), []
    in_blocks(3)
    completion_logps(model, rollout_of(model.config.vocab_size), torch.arange(8), 1.0)
    model.lm_head.register_forward_hook(lambda module, args, out: seen.append(out.shape[-1]))
    completion_logps(model, rollout_of(model.config.vocab_size), torch.arange(8), 1.0)
    assert seen == [1], "the head gave way to a stand-in"
    assert model(torch.tensor([[1, 2]])).logits.shape[-1] == model.config.vocab_size


def test_a_head_that_is_not_all_there_is_to_the_logits_is_left_whole(
    in_blocks: Callable[[int], None],
) -> None:
    """Gemma 2 caps its logits, Granite scales them; an adapter on the head is no plain layer."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    size = dict(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        vocab_size=64,
    )
    in_blocks(3)
    for family, changes in (
        ("gemma2", dict(final_logit_softcapping=2.0)),
        ("granite", dict(logits_scaling=3.0)),
    ):
        config = AutoConfig.for_model(family, **size, **changes, pad_token_id=0)
        model = AutoModelForCausalLM.from_config(config)
        assert not worth_it(model, 50), family
        with torch.device("meta"):
            assert not worth_it(AutoModelForCausalLM.from_config(config), 50), family
    adapted = get_peft_model(
        build("llama"), LoraConfig(r=2, target_modules=["q_proj", "lm_head"], task_type="CAUSAL_LM")
    )
    assert not worth_it(adapted, 50)
    with torch.device("meta"):
        assert worth_it(AutoModelForCausalLM.from_config(build("llama").config), 50)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_16_bits_multiply_in_16_bits_and_give_float32(
    dtype: torch.dtype, in_blocks: Callable[[int], None]
) -> None:
    model = build("qwen2").to(dtype)
    in_blocks(10**9)
    expected = loss_and_gradients(model, torch.arange(8))
    in_blocks(3)
    found = loss_and_gradients(model, torch.arange(8))
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found[0], expected[0], rtol=1e-3, atol=1e-3)
    for a, b in zip(found[2:], expected[2:], strict=True):
        assert a.dtype == dtype
        assert float((a - b).norm()) <= 0.03 * float(b.norm()) + 1e-3


def test_under_autocast_the_product_is_in_bfloat16_as_the_sampler_has_it(
    in_blocks: Callable[[int], None],
) -> None:
    from workbench.policy.dtype import compute_in_bfloat16

    model = build("llama")
    compute_in_bfloat16(model)
    in_blocks(10**9)
    expected = loss_and_gradients(model, torch.arange(8))
    in_blocks(3)
    found = loss_and_gradients(model, torch.arange(8))
    torch.testing.assert_close(found[0], expected[0], rtol=1e-3, atol=1e-3)
    for a, b in zip(found[2:], expected[2:], strict=True):
        assert a.dtype == torch.float32
        assert float((a - b).norm()) <= 0.03 * float(b.norm()) + 1e-3


def test_it_needs_a_block_of_logits_not_all_of_them() -> None:
    from workbench.plan.trace.allocations import Allocations

    hidden, weight = (
        torch.empty(*s, device="meta", requires_grad=True) for s in ((4096, 32), (50000, 32))
    )
    targets = torch.zeros(4096, dtype=torch.long, device="meta")
    with Allocations([hidden, weight], 50000) as counted:
        blockwise_logps(hidden, Head(weight, None, torch.float32, 64), targets, 1.0)[
            0
        ].sum().backward()
    assert counted.peak.logits < 6 * 64 * 50000 * 4 + 50000 * 32 * 4 * 2 < 4096 * 50000 * 4
