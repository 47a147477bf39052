"""Packed rows give every token the log-probability and the gradient that a row of its own gives
it."""

from __future__ import annotations

import warnings

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from workbench.policy import packing
from workbench.policy.logprobs import completion_logps
from workbench.policy.ways import Ways
from workbench.rollout.types import Rollout

SIZE = dict(
    vocab_size=50,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
)
MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZE)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZE)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZE, head_dim=8)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=128)
    ),
}


def ragged_rollout(seed: int = 0, G: int = 4) -> Rollout:
    g = torch.Generator().manual_seed(seed)
    prompt_lengths, lengths = torch.tensor([3, 7, 5]), torch.randint(1, 10, (3 * G,), generator=g)
    width = int(prompt_lengths.max())
    prompt_mask = torch.arange(width) >= (width - prompt_lengths)[:, None]
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.randint(1, 50, mask.shape, generator=g)
    return Rollout(
        torch.randint(1, 50, prompt_mask.shape, generator=g),
        prompt_mask,
        torch.where(mask, ids, 0),
        mask,
        torch.zeros(mask.shape),
        torch.zeros(len(mask), dtype=torch.bool),
        G,
    )


def both(model, rollout, rows, monkeypatch):
    results = []
    for limit in (packing.LONGEST_ROW, 0):
        monkeypatch.setattr(packing, "LONGEST_ROW", limit)
        model.zero_grad()
        way = Ways(model).way_of(rollout.lengths, rows.tolist())
        assert way == ("packed" if limit > 0 else "row_by_row")
        logp, entropy = completion_logps(model, rollout, rows, 0.8)
        weights = torch.linspace(-1, 1, logp.numel(), dtype=logp.dtype).view_as(logp)
        (logp * weights).sum().backward()
        results.append(
            (logp.detach(), entropy.detach(), [p.grad.clone() for p in model.parameters()])
        )
    return results


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "rows", [list(range(12)), [0, 1, 2, 3], [9, 2, 10, 4, 5], [11, 8, 9]], ids=str
)
def test_packed_equals_row_by_row(
    name: str, attention: str, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    model.set_attn_implementation(attention)
    rollout = ragged_rollout()
    (a, ea, ga), (b, eb, gb) = both(model, rollout, torch.tensor(rows), monkeypatch)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ea, eb, rtol=1e-4, atol=1e-5)
    for x, y in zip(ga, gb, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-5)


def test_padding_asks_for_no_position_that_a_model_does_not_have() -> None:
    """Rows of different lengths, wider together than GPT-2's learned positions go."""
    config = GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=20)
    model = GPT2LMHeadModel(config).eval()
    rollout = ragged_rollout(G=6)
    packed = packing.pack(rollout, torch.arange(18))
    assert packed.ids_NL.shape[1] > 20 > int(packed.positions_NL.max())
    together, _ = completion_logps(model, rollout, torch.arange(18), 1.0)
    alone = [completion_logps(model, rollout, torch.tensor([row]), 1.0)[0] for row in range(18)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_completions_do_not_see_each_other() -> None:
    model, rollout = MODELS["llama"]().eval(), ragged_rollout()
    rows = torch.arange(12)
    before = completion_logps(model, rollout, rows, 1.0)[0]
    changed = rollout.completion_ids_BT.clone()
    changed[1] = changed[1].flip(0)
    other = Rollout(**(vars(rollout) | {"completion_ids_BT": changed}))
    after = completion_logps(model, other, rows, 1.0)[0]
    assert torch.equal(before[[0, *range(2, 12)]], after[[0, *range(2, 12)]])


def test_one_completion_a_prompt_gains_nothing_and_is_not_packed() -> None:
    assert Ways(MODELS["llama"]()).way_of(ragged_rollout(G=1).lengths, range(3)) == "row_by_row"


def test_it_is_said_once_where_prompts_cannot_be_shared() -> None:
    """And why: by the kind of attention, or with the words of the engine's own notice."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert packing.shares_prompts(MODELS["llama"]())
    flexible = MODELS["llama"]()
    flexible.config._attn_implementation = "flex_attention"
    with pytest.warns(UserWarning, match="own copy of its prompt.*'flex_attention' makes its") as w:
        assert not packing.shares_prompts(flexible)
    assert len(w) == 1
    windows = Gemma2ForCausalLM(Gemma2Config(**SIZE, head_dim=8))
    with pytest.warns(UserWarning, match=r"own copy of its prompt.*sliding_attention"):
        assert not packing.shares_prompts(windows)


def test_packing_computes_fewer_tokens() -> None:
    rollout = ragged_rollout()
    packed = packing.pack(rollout, torch.arange(12))
    own_rows = 12 * (rollout.prompt_mask_NP.shape[1] + rollout.mask_BT.shape[1])
    assert packed.ids_NL.numel() < own_rows
    assert len(packed.row_K) == int(rollout.lengths_B.sum())
