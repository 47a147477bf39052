"""The cache in place against transformers' growing one, and which models are turned away."""

from __future__ import annotations

import inspect

import pytest
import torch
from rollout.tiny_models import FULL_ATTENTION, OTHER_ATTENTION, build
from torch import Tensor
from transformers import DynamicCache

from workbench.libraries.hf_transformers import plain_model, unsupported_reason
from workbench.rollout.cache import PreallocatedCache


def _states(rows: int, tokens: int, seed: int) -> tuple[Tensor, Tensor]:
    """Keys and values of different head sizes, as some models have them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 2, tokens, 4, generator=generator), torch.randn(
        rows, 2, tokens, 3, generator=generator
    )


def _assert_same(ours: PreallocatedCache, theirs: DynamicCache) -> None:
    assert ours.get_seq_length() == theirs.get_seq_length()
    # transformers 5.1 wants the new tokens' places there, later versions how many they are.
    takes_places = "cache_position" in inspect.signature(theirs.get_mask_sizes).parameters
    query = torch.arange(1) if takes_places else 1
    assert ours.get_mask_sizes(query, 0) == theirs.get_mask_sizes(query, 0)
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        assert torch.equal(mine.keys, other.keys)
        assert torch.equal(mine.values, other.values)


def test_appending_expanding_and_keeping_rows_give_what_a_dynamic_cache_gives() -> None:
    ours, theirs = PreallocatedCache(2, capacity=4), DynamicCache()
    assert ours.get_seq_length() == 0

    def write(rows: int, tokens: int, seed: int) -> None:
        for layer in range(2):
            keys, values = _states(rows, tokens, seed + layer)
            got = ours.update(keys, values, layer)
            expected = theirs.update(keys, values, layer)
            assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))

    write(rows=3, tokens=4, seed=0)
    ours.expand_rows(torch.tensor([0, 0, 1, 1, 2, 2]), capacity=9)
    theirs.batch_repeat_interleave(2)
    _assert_same(ours, theirs)
    write(rows=6, tokens=1, seed=10)
    ours.keep_rows(torch.tensor([1, 4, 5]))
    theirs.batch_select_indices(torch.tensor([1, 4, 5]))
    _assert_same(ours, theirs)
    write(rows=3, tokens=2, seed=20)
    for cache in (ours, theirs):
        cache.reorder_cache(torch.tensor([2, 0, 1]))
        cache.batch_repeat_interleave(2)
        cache.batch_select_indices(torch.tensor([5, 0]))
        cache.crop(-3)
    _assert_same(ours, theirs)
    write(rows=2, tokens=1, seed=30)
    _assert_same(ours, theirs)


def test_tokens_are_written_in_place() -> None:
    cache = PreallocatedCache(1, capacity=5)
    first, _ = cache.update(*_states(2, 3, 0), layer_idx=0)
    second, _ = cache.update(*_states(2, 1, 1), layer_idx=0)
    assert first.data_ptr() == second.data_ptr()


def test_writing_beyond_the_capacity_is_an_error() -> None:
    cache = PreallocatedCache(1, capacity=3)
    cache.update(*_states(2, 3, 0), layer_idx=0)
    with pytest.raises(ValueError, match="holds 3 tokens a row, 4 were written"):
        cache.update(*_states(2, 1, 0), layer_idx=0)


@pytest.mark.parametrize("name", FULL_ATTENTION)
def test_full_attention_models_are_supported(name: str) -> None:
    assert unsupported_reason(build(name)) is None


@pytest.mark.parametrize("name", OTHER_ATTENTION)
def test_other_models_are_turned_away_with_the_reason(name: str) -> None:
    model = build(name)
    reason = unsupported_reason(model)
    assert reason is not None
    assert type(model).__name__ in reason
    assert any(word in reason for word in OTHER_ATTENTION[name][1].split("|"))


def test_a_lora_model_is_served_through_the_model_inside_and_prompt_learning_is_refused() -> None:
    from peft import LoraConfig, PromptTuningConfig, get_peft_model

    lora = get_peft_model(build("llama"), LoraConfig(task_type="CAUSAL_LM"))
    assert unsupported_reason(lora) is None
    assert plain_model(lora) is lora.get_base_model()
    prompted = get_peft_model(
        build("llama"), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    )
    with pytest.raises(ValueError, match="prompt learning"):
        plain_model(prompted)
