"""Several servers as one sampler, and servers that die, against stand-ins for `vllm serve`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
from rollout.tiny_models import ragged_prompts
from rollout.vllm_stand_in import StandIn, answering, engine_at

from workbench.rollout import RolloutCancelledError, Sampling
from workbench.rollout.types import Rollout
from workbench.rollout.vllm import servers
from workbench.rollout.vllm.checks import VLLMError


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "PAUSES", (0.05, 0.05))


@pytest.fixture
def two() -> Iterator[tuple[StandIn, StandIn, str]]:
    first, second = StandIn(), StandIn()
    with answering(first) as one, answering(second) as other:
        yield first, second, f"{one}, {other}"


def rollout_of(engine: Any, seed: int = 0) -> Rollout:
    generator = torch.Generator().manual_seed(seed)
    found: Rollout = engine.generate(ragged_prompts(), 3, Sampling(8), generator)
    return found


def as_one(state: StandIn, model: Any) -> Rollout:
    with answering(state) as url:
        return rollout_of(engine_at(url, model))


def dies_at(state: StandIn, request: int) -> None:
    """Its answers to completions end with that one, counted from now."""
    whole, count = state.answer, len(state.seen) + request

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if len(state.seen) >= count and path == "/v1/completions":
            return 503, {"detail": "engine is dead"}
        return whole(path, body)

    state.answer = answer  # type: ignore[method-assign]


def test_two_servers_share_the_prompts_and_give_what_one_gives(two: Any) -> None:
    first, second, urls = two
    engine = engine_at(urls, first.model)
    for state in (first, second):
        state.seen.clear()
    both = rollout_of(engine)
    assert both.completion_lists() == as_one(StandIn(), first.model).completion_lists()
    counts = [len(state.seen) for state in (first, second)]
    assert sum(counts) == len(ragged_prompts())
    assert min(counts) == len(ragged_prompts()) // 2
    assert len(first.adapters) == len(second.adapters) == 1
    engine.free()
    assert first.adapters == second.adapters == []


def test_a_server_that_dies_in_mid_step_leaves_its_prompts_to_the_other(two: Any) -> None:
    first, second, urls = two
    engine = engine_at(urls, first.model)
    expected = rollout_of(engine)
    well = second.answer
    dies_at(second, 1)
    with pytest.warns(UserWarning, match="engine is dead.*prompts go to the other servers"):
        again = rollout_of(engine)
    assert again.completion_lists() == expected.completion_lists()
    # It is there again at the next step, without the adapter that it had.
    second.answer, second.adapters = well, []
    second.seen.clear()
    third = rollout_of(engine)
    assert third.completion_lists() == expected.completion_lists()
    assert len(second.seen) >= len(ragged_prompts()) // 2
    assert len(second.adapters) == 1


def test_a_single_server_that_is_started_anew_costs_a_pause() -> None:
    state = StandIn()
    with answering(state) as url:
        engine = engine_at(url, state.model)
        expected = rollout_of(engine)
    # Nobody is there; then it is, and knows of nothing.
    state.adapters = []
    with ExitStack() as later:
        port = urlsplit(url).port
        assert port is not None
        threading.Timer(0.02, lambda: later.enter_context(answering(state, port))).start()
        again = rollout_of(engine)
    assert again.completion_lists() == expected.completion_lists()


def test_an_adapter_that_the_server_has_lost_is_sent_again() -> None:
    state = StandIn()
    with answering(state) as url:
        engine = engine_at(url, state.model)
        expected = rollout_of(engine)
        state.adapters = []
        assert rollout_of(engine).completion_lists() == expected.completion_lists()
        assert len(state.adapters) == 1


def test_where_none_answers_the_step_fails_and_can_be_made_again() -> None:
    state = StandIn()
    with answering(state) as url:
        engine = engine_at(url, state.model)
    with pytest.raises(VLLMError, match=f"{url}.*the server does not answer"):
        rollout_of(engine)
    port = urlsplit(url).port
    assert port is not None
    with answering(state, port):
        assert rollout_of(engine).completion_lists()


def test_a_stop_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "PAUSES", (60.0,))
    state, stopped = StandIn(), threading.Event()
    with answering(state) as url:
        engine = engine_at(url, state.model, should_stop=stopped.is_set)
        dies_at(state, 0)
        threading.Timer(0.3, stopped.set).start()
        with pytest.raises(RolloutCancelledError):
            rollout_of(engine)


def test_what_no_second_try_mends_is_said_at_once(two: Any) -> None:
    first, second, urls = two
    engine = engine_at(urls, first.model)
    second.answer = lambda path, body: (400, {"message": "prompt too long"})  # type: ignore[method-assign]
    second.seen.clear()
    with pytest.raises(VLLMError, match="status 400: prompt too long"):
        rollout_of(engine)


def test_an_adapter_that_is_refused_is_said_at_once_with_the_remedy() -> None:
    state = StandIn()
    whole = state.answer

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/v1/load_lora_adapter":
            return 500, {"detail": "LoRA rank 4 is greater than max_lora_rank 2"}
        return whole(path, body)

    state.answer = answer  # type: ignore[method-assign]
    with (
        answering(state) as url,
        pytest.raises(VLLMError, match=r"rank 4 is greater(?s:.*)--max-lora-rank 8"),
    ):
        engine_at(url, state.model)


def test_servers_that_differ_are_refused(two: Any) -> None:
    first, second, urls = two
    with torch.no_grad():
        for weight in second.model.parameters():
            weight.add_(0.3)
    with pytest.raises(VLLMError, match="differ by .* nats on average. Serve the same weights"):
        engine_at(urls, first.model)
    second.name = "other"
    with pytest.raises(VLLMError, match="serves 'base' and .* 'other'"):
        engine_at(urls, first.model)
