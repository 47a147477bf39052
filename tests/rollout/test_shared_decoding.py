"""Completions that share their prompt's keys and values: the numbers of the plain decoder, whatever
the shapes and whoever leaves; and a model for which that is not so is found out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout.tiny_models import EOS, FULL_ATTENTION, PAD, V, build, ragged_prompts
from torch import Tensor

from workbench.rollout import shared_decoding
from workbench.rollout.decoding import Decoder
from workbench.rollout.native import NativeEngine, shares_decoding
from workbench.rollout.places import MOVE_BELOW, side_by_side
from workbench.rollout.request import left_pad
from workbench.rollout.shared_decoding import SharedPromptDecoder
from workbench.rollout.types import Rollout, Sampling

WARM = Sampling(16, temperature=1.3)
LLAMA = build("llama").double()


def drawn(engine: NativeEngine, prompts: list[list[int]], generations: int) -> Rollout:
    return engine.generate(prompts, generations, WARM, torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", FULL_ATTENTION)
def test_every_family_samples_what_the_plain_decoder_samples(name: str) -> None:
    engine = NativeEngine(build(name), EOS, PAD)
    assert shares_decoding(engine)
    shared = drawn(engine, ragged_prompts(), 5)
    engine.reason_against_sharing = "asked for the plain one"
    plain = drawn(engine, ragged_prompts(), 5)
    assert len(shared.lengths_B.unique()) > 3, "rows leave at different times"
    assert torch.equal(shared.completion_ids_BT, plain.completion_ids_BT)
    torch.testing.assert_close(shared.sampler_logp_BT, plain.sampler_logp_BT, atol=1e-5, rtol=0)


@torch.no_grad()
def walk(decoder: Decoder, rows_R: Tensor, leaving: list[float]) -> Tensor:
    """The logits of all steps; before each of them a part of the rows leaves."""
    decoder.prefill()
    decoder.expand_rows(rows_R)
    found, generator = [], torch.Generator().manual_seed(0)
    for part in leaving:
        kept = (torch.rand(len(rows_R), generator=generator) >= part).nonzero().squeeze(1)
        if len(kept):
            decoder.keep_rows(kept)
            rows_R = rows_R[kept]
        found.append(decoder.step(torch.randint(10, V, (len(rows_R),), generator=generator)))
    return torch.cat(found)


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    draws=st.lists(st.integers(0, 4), min_size=1, max_size=14),
    leaving=st.lists(st.sampled_from([0.0, 0.2, 0.6]), min_size=1, max_size=6),
)
def test_logits_are_equal_in_double_precision(
    lengths: list[int], draws: list[int], leaving: list[float]
) -> None:
    """Prompts of any lengths, rows in any order, prompts without a row."""
    ids_NP, mask_NP = left_pad(ragged_prompts(tuple(lengths)), PAD)
    rows_R = torch.tensor(draws) % len(lengths)
    plain, shared = (
        walk(make(LLAMA, ids_NP, mask_NP, len(leaving)), rows_R, leaving)
        for make in (Decoder, SharedPromptDecoder)
    )
    torch.testing.assert_close(shared, plain, atol=1e-11, rtol=1e-10)


@given(prompts=st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_places_hold_each_row_once_beside_those_of_its_prompt(prompts: list[int]) -> None:
    prompt_R = torch.tensor(prompts)
    prompts_N, places = side_by_side(prompt_R)
    assert prompts_N.tolist() == sorted(set(prompts))
    assert len(places.place_R.unique()) == len(prompts)
    assert torch.equal(prompts_N[places.place_R // places.width], prompt_R)
    assert torch.equal(places.gather(places.spread(prompt_R)), prompt_R)
    assert places.width == max(map(prompts.count, prompts))


def test_rows_move_together_when_enough_have_left() -> None:
    ids_NP, mask_NP = left_pad(ragged_prompts((4, 4)), PAD)
    decoder = SharedPromptDecoder(LLAMA, ids_NP, mask_NP, 4)
    with torch.no_grad():
        decoder.prefill()
        decoder.expand_rows(torch.arange(2).repeat_interleave(4))
        decoder.step(torch.arange(10, 18))
    layer: Any = decoder.cache.shared[0]
    decoder.keep_rows(torch.tensor([0, 1, 2, 3, 5, 6, 7]))
    assert len(layer.keys_SKTD) == 8, "an empty place costs less than moving"
    decoder.keep_rows(torch.tensor([0, 1, 4]))
    assert len(layer.keys_SKTD) == 4 <= MOVE_BELOW * 8
    decoder.keep_rows(torch.tensor([0]))
    assert (len(layer.keys_SKTD), len(layer.keys_NKPD)) == (1, 1), "a prompt without rows goes"


def test_a_model_that_attends_otherwise_is_served_plainly_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if a release of transformers handed other keys to the attention than a cache gave it."""
    monkeypatch.setattr(shared_decoding, "shared_attention", lambda *given: None)
    with pytest.warns(UserWarning, match=r"own copy of its prompt's keys.*not the plain one"):
        engine = NativeEngine(build("llama"), EOS, PAD)
    assert not shares_decoding(engine)
    monkeypatch.undo()
    sharing = NativeEngine(build("llama"), EOS, PAD)
    assert shares_decoding(sharing)
    plain_ids, shared_ids = (
        drawn(one, ragged_prompts(), 3).completion_ids_BT for one in (engine, sharing)
    )
    assert torch.equal(plain_ids, shared_ids)


def test_attention_that_is_more_than_the_plain_one_is_refused() -> None:
    key: Any = torch.zeros(1)
    key.workbench_layer = object()
    with pytest.raises(TypeError, match="softcap"):
        shared_decoding.shared_attention(torch.zeros(1), key, key, {"softcap": 30.0})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_formats_keep_the_kernel_that_adds_up_in_float32(dtype: torch.dtype) -> None:
    engine = NativeEngine(build("llama").to(dtype), EOS, PAD)
    assert not shares_decoding(engine)
    assert str(dtype) in str(engine.reason_against_sharing)


def test_eager_attention_is_left_alone() -> None:
    model = build("llama")
    model.set_attn_implementation("eager")
    assert "'eager'" in str(NativeEngine(model, EOS, PAD).reason_against_sharing)
