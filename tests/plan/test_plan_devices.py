"""The GPU of this process, with torch's answers made up: what is free is asked last, and the
context is not counted twice."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

from workbench.config import GRPOConfig
from workbench.plan import Shape, plan, rates
from workbench.plan.devices import device_named, this_device
from workbench.plan.ledger import CUDA_FRAMEWORK

GIB = 2**30


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of torch, in order. Measuring leaves 2 GiB in the allocator until it is
    emptied."""
    calls: list[str] = []

    def measure(kind: str) -> rates.Rates:
        calls.append("measure")
        return rates.Rates(1e12, {"float32": 1e13, "bfloat16": 1e14}, "made up")

    def free(device: object) -> tuple[int, int]:
        calls.append("free")
        return (20 if "empty" in calls else 18) * GIB, 24 * GIB

    monkeypatch.setattr(rates, "measure", measure)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", free)
    return calls


def test_what_measuring_took_is_given_back_before_free_memory_is_asked(asked: list[str]) -> None:
    device = this_device()
    assert asked == ["measure", "empty", "free"]
    assert (device.memory, device.whole) == (20 * GIB, 24 * GIB)


def test_the_context_of_this_process_is_counted_once(asked: list[str]) -> None:
    shape = Shape(
        "llama",
        hf.LlamaConfig(
            vocab_size=300,
            hidden_size=64,
            intermediate_size=160,
            num_hidden_layers=2,
            num_attention_heads=4,
        ),
        "test",
    )
    settings = GRPOConfig(
        prompts_per_step=2,
        num_generations=4,
        updates_per_rollout=1,
        max_completion_length=8,
        max_prompt_length=8,
    )
    here, there = (
        plan(settings, shape, device, advice=False).phases[0].parts
        for device in (this_device(), device_named("24GB"))
    )
    assert (here["framework"], there["framework"]) == (0, CUDA_FRAMEWORK)
    assert here["weights"] == there["weights"]
