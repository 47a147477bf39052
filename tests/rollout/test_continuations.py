"""Continuations begin where they are told, and take what is left of the longest completion."""

from __future__ import annotations

import pytest
import torch
from rollout.tiny_models import EOS, PAD, build

from workbench.rollout.continuations import continuations
from workbench.rollout.native import NativeEngine
from workbench.rollout.types import Sampling


def test_greedy_goes_on_as_the_whole_completion_did() -> None:
    engine = NativeEngine(build("llama"), EOS, PAD)
    prompt = [5, 6, 7, 8]
    greedy = Sampling(10, temperature=0.0)
    (whole,) = engine.generate([prompt], 1, greedy, torch.Generator()).completion_lists()
    found = continuations(engine, prompt, whole[:4], 3, greedy, torch.Generator())
    assert found.completion_lists() == [whole[4:]] * 3
    assert found.completion_ids_BT.shape[1] <= 10 - 4
    assert found.prompt_ids_NP.tolist() == [prompt + whole[:4]]


def test_where_nothing_is_left_it_says_so() -> None:
    engine = NativeEngine(build("llama"), EOS, PAD)
    with pytest.raises(ValueError, match="4 tokens are written already"):
        continuations(engine, [5], [6, 7, 8, 9], 2, Sampling(4), torch.Generator())
