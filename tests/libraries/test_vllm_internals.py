"""What we touch inside vLLM: on a stand-in wherever vLLM is not installed, and on the installed
one, which each failure names, where it is."""

from __future__ import annotations

import inspect
import os
import random
from importlib import metadata
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from workbench.libraries import vllm_ as library

needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed here")


def version() -> str:
    name = metadata.packages_distributions()["vllm"][0]
    return f"{name} {metadata.version(name)}"


def test_the_process_is_as_it_was_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*library.FORCED, *library.USUAL):
        monkeypatch.setenv(name, "before")
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    threads, function = torch.get_num_threads(), torch.set_num_threads
    with library.process_as_it_was():
        torch.set_num_threads(1)
        torch.set_num_threads = lambda count: None
        random.random()
        np.random.rand()
        torch.rand(1)
        assert {os.environ[name] for name in library.FORCED} == {"0", "1"}
        assert {os.environ[name] for name in library.USUAL} == {"before"}, "the user's own stay"
    assert torch.set_num_threads is function
    assert torch.get_num_threads() == threads
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert after == before


@needs_vllm
@pytest.mark.vllm
def test_what_we_call_takes_what_we_give() -> None:
    vllm = library.import_vllm()
    from vllm.v1.engine.llm_engine import LLMEngine

    for name in (
        "abort_request",
        "add_lora",
        "add_request",
        "collective_rpc",
        "has_unfinished_requests",
        "remove_lora",
        "reset_prefix_cache",
        "sleep",
        "step",
        "wake_up",
    ):
        assert hasattr(LLMEngine, name), f"{version()}: LLMEngine.{name} is gone"
    assert "lora_request" in inspect.signature(LLMEngine.add_request).parameters, version()
    assert hasattr(vllm, "TokensPrompt"), version()
    library.scoring_request()
    request = library.sampling_request(
        completions=2, tokens=3, temperature=1.0, top_p=1.0, top_k=0, seed=0, end_token_ids=(1,)
    )
    assert (request.n, request.max_tokens, request.stop_token_ids) == (2, 3, [1]), version()


def test_an_output_is_read_in_the_order_of_its_completions() -> None:
    def completion(index: int) -> SimpleNamespace:
        return SimpleNamespace(
            index=index, token_ids=(index, 7), logprobs=SimpleNamespace(logprobs=(-0.5, -index))
        )

    output = SimpleNamespace(outputs=[completion(1), completion(0)])
    assert library.completions_of(output) == [([0, 7], [-0.5, 0]), ([1, 7], [-0.5, -1])]
    entries = [None, {5: SimpleNamespace(logprob=-1.0)}, {6: SimpleNamespace(logprob=-2.0)}]
    assert library.scores_of(SimpleNamespace(prompt_logprobs=entries), [4, 5, 6]) == [-1.0, -2.0]
