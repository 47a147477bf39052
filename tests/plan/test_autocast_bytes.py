"""Under autocast: what the trace counts on the meta device is what a CPU allocates under torch's
own autocast, and a deep model with a large vocabulary is followed from two shallow ones.

A plan of a float32 policy that computes in bfloat16 once said 11.51 GB where an H100 took 14.05:
the fullest moment of two shallow models (the embedding's gradient) was taken for that of the whole,
the copies of the weights were let go during a forward without gradient, and the head was not cast.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Qwen2Config

from workbench.config import GRPOConfig
from workbench.plan import Shape, device_named, shape_of
from workbench.plan.ledger import fullest, moments_of
from workbench.plan.planner import _followed, skeleton_of
from workbench.plan.trace.allocations import Allocations, Peak
from workbench.plan.trace.micro_batches import largest_micro_batch
from workbench.plan.trace.passes import logprobs_peak, update_peak
from workbench.plan.trace.skeleton import skeleton
from workbench.policy.dtype import compute_in_bfloat16
from workbench.policy.head import plan_for
from workbench.policy.logprobs import completion_logps

PROMPT = 64
DEEP = dict(hidden_size=256, intermediate_size=1024, num_hidden_layers=6, vocab_size=1000)
WIDE = dict(hidden_size=128, intermediate_size=512, num_hidden_layers=3, vocab_size=30000)
GPU = device_named("L4")


def shape(**changes: object) -> Shape:
    heads = dict(num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True)
    return Shape("made up", Qwen2Config(**heads, **changes), "a test")


def config(**changes: object) -> GRPOConfig:
    usual = dict(
        prompts_per_step=2,
        num_generations=8,
        updates_per_rollout=2,
        max_prompt_length=PROMPT,
        max_completion_length=64,
        micro_batch_size=8,
        learning_rate=1e-5,
    )
    return GRPOConfig(**usual | changes)


def really_allocated(model: Shape, c: GRPOConfig) -> tuple[Peak, Peak]:
    """Of a forward and backward, and of a forward without gradient, on the CPU under its
    autocast."""
    torch.manual_seed(0)
    policy = AutoModelForCausalLM.from_config(copy.deepcopy(model.config)).eval()
    compute_in_bfloat16(policy)
    rollout, rows = largest_micro_batch(policy, c, PROMPT)
    weights = list(policy.parameters())

    def logps() -> Tensor:
        return completion_logps(policy, rollout, rows, c.temperature)[0]

    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    logps()  # the head is looked at once
    known = [*weights, *policy.buffers(), *gradients]
    with Allocations(known, policy.config.vocab_size, device="cpu") as update:
        logps().sum().backward()
    with torch.no_grad(), Allocations(known, policy.config.vocab_size, device="cpu") as alone:
        logps()
    return update.peak, alone.peak


@pytest.mark.slow
@pytest.mark.parametrize("changes", [DEEP, WIDE], ids=["deep", "wide"])
def test_the_trace_counts_what_a_cpu_allocates_under_autocast(changes: dict) -> None:
    model, c = shape(**changes), config()
    bare = skeleton(model, c, GPU)
    assert bare.autocast
    plan_for(bare.model, "cpu", torch.bfloat16)  # the rows of logits that a CPU makes at once
    update, alone = really_allocated(model, c)
    assert update_peak(bare, c, PROMPT).bytes == pytest.approx(update.bytes, rel=0.02)
    assert update_peak(bare, c, PROMPT).logits == pytest.approx(update.logits, rel=0.02)
    assert logprobs_peak(bare, c, PROMPT).bytes == pytest.approx(alone.bytes, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("device", ["L4", "T4"])
def test_a_deep_model_is_followed_though_a_shallow_one_is_fullest_elsewhere(
    device: str, checkpointing: bool
) -> None:
    model = shape(**WIDE | dict(num_hidden_layers=14, vocab_size=60000))
    c, gpu = config(gradient_checkpointing=checkpointing), device_named(device)
    whole = fullest(moments_of(skeleton_of(model, c, gpu), c, PROMPT, gpu))
    for quick, phase in zip(_followed(model, c, gpu), whole, strict=True):
        assert quick.bytes == pytest.approx(phase.bytes, rel=1e-3), phase.name


def test_the_figures_of_an_h100() -> None:
    """torch 2.11, a fresh process, torch's own peak by phase: so without context and allocator."""
    c = config(
        prompts_per_step=8, max_prompt_length=128, max_completion_length=128, updates_per_rollout=2
    )
    measured = {"rollout": 9.35e9, "logprobs": 8.78e9, "update": 14.05e9}
    for phase in _followed(shape_of("Qwen2.5-0.5B"), c, device_named("H100")):
        planned = phase.bytes - phase.parts["framework"] - phase.parts["overhead"]
        assert planned == pytest.approx(measured[phase.name], rel=0.03), phase.name
