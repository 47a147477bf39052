"""What a plan runs on the meta device it runs once, and finds what running it each time would."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch
import transformers as hf

from workbench.config import GRPOConfig
from workbench.plan import Shape, device_named, plan
from workbench.plan.trace import allocations, passes, remembered, shared
from workbench.plan.trace.allocations import Allocations
from workbench.plan.trace.remembered import on_meta_device
from workbench.plan.trace.skeleton import blueprint, skeleton
from workbench.policy import head

GPU = device_named("L4")
SMALL = dict(
    vocab_size=300,
    hidden_size=64,
    intermediate_size=160,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
)
USUAL = dict(
    prompts_per_step=4, num_generations=4, max_prompt_length=16, max_completion_length=24, beta=0.01
)


def shape(**changes: Any) -> Shape:
    return Shape("small", hf.LlamaConfig(**SMALL | changes), "test")


def config(**changes: Any) -> GRPOConfig:
    return GRPOConfig(**USUAL | changes)


@pytest.fixture
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_KNOWN", {})
    shared._kept.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("_nothing_kept")
def test_a_plan_finds_what_it_would_by_running_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [config(micro_batch_size=2), config(lora_rank=4, quantization="nf4")]
    plan(config(), shape(), GPU, advice=True)  # what it has run is known from here on
    found = [plan(c, shape(), GPU, advice=False).phases for c in settings]
    monkeypatch.setattr(
        allocations, "on_meta_device", lambda function, args, kwargs: function(*args, **kwargs)
    )
    for c, phases in zip(settings, found, strict=True):
        shared._kept.cache_clear()
        assert plan(c, shape(), GPU, advice=False).phases == phases


@pytest.mark.slow
@pytest.mark.usefixtures("_nothing_kept")
@pytest.mark.parametrize(
    "changes",
    [{}, dict(entropy_coef=0.1), dict(lora_rank=4), dict(dtype="bfloat16")],
    ids=str,
)
def test_the_first_blocks_of_the_head_hold_what_all_of_them_do(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """96 tokens of an update in blocks of 7 are 14 blocks, the last of 5; four of them are passed.
    A plan of a 7B with the preset deepseekmath took minutes: 4,766 blocks in every pass."""
    monkeypatch.setitem(head.BLOCK_BYTES, "cuda", 4 * 300 * 7)
    asked = config(**changes)
    passed = []
    blocks = head._blocks
    monkeypatch.setattr(
        head,
        "_blocks",
        lambda *args, **more: passed.append(len(found := blocks(*args, **more))) or found,
    )
    quick = plan(asked, shape(), GPU, advice=False).phases
    assert set(passed) == {4}
    passed.clear()
    shared._kept.cache_clear()
    monkeypatch.setattr(head, "BLOCKS_OF_A_PLAN", 10**6)
    assert plan(asked, shape(), GPU, advice=False).phases == quick
    assert set(passed) == {14}


@pytest.mark.usefixtures("_nothing_kept")
def test_an_advice_builds_few_models_and_follows_each_size_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    followed = []
    run = passes._update_peak
    monkeypatch.setattr(passes, "_update_peak", lambda *args: followed.append(args) or run(*args))
    plan(config(), shape(), GPU, advice=True)
    built = shared._kept.cache_info().misses
    # The whole model, and a shallow and a deeper one for each of: as it is, an adapter, four bits,
    # checkpointing.
    assert built <= 9
    seen = [(id(bare), *passes.sizes(c, tokens)) for bare, c, tokens in followed]
    assert len(seen) == len(set(seen))
    before = len(followed)
    plan(config(), shape(), GPU, advice=True)
    assert len(followed) == before
    assert shared._kept.cache_info().misses == built


def test_what_a_model_is_built_by_tells_two_apart() -> None:
    usual = blueprint(shape(), config(), GPU)
    others = [
        (shape(num_hidden_layers=3), config(), GPU),
        (shape(rms_norm_eps=1e-5), config(), GPU),
        (replace(shape(), name="another"), config(), GPU),
        (shape(), config(dtype="bfloat16"), GPU),
        (shape(), config(lora_rank=4), GPU),
        (shape(), config(lora_rank=4, lora_target_modules="q_proj"), GPU),
        (shape(), config(lora_rank=4, use_dora=True), GPU),
        (shape(), config(lora_rank=4, quantization="nf4"), GPU),
        (shape(), config(gradient_checkpointing=True), GPU),
        (shape(), config(), device_named("T4")),
    ]
    found = [usual, *(blueprint(*one) for one in others)]
    assert len(set(found)) == len(found)
    same = [config(optim="adamw_8bit"), config(max_completion_length=12), config(seed=3)]
    assert {blueprint(shape(), c, GPU) for c in same} == {usual}


def test_a_skeleton_is_left_as_it_was() -> None:
    bare = skeleton(shape(), config(), GPU)
    passes.update_peak(bare, config(), 16)
    passes.logprobs_peak(bare, config(), 16)
    passes.prefill_peak(bare, 2, 16)
    passes.cache_bytes(bare, 16)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in bare.model.modules()]
    assert not any(hooks)
    assert all(parameter.grad is None for parameter in bare.trained)


def operations(x: torch.Tensor) -> list[Any]:
    """Results of operations of every kind: new tensors, views, changes in place, several at once,
    numbers of another format, a size that is changed."""
    y = x * 2
    return [
        y,
        x + 1,
        x + 1.5,
        x.to(torch.bfloat16),
        x.T @ x,
        x[1:],
        x.view(-1),
        x.expand(2, *x.shape),
        y.add_(1),
        torch.ops.aten._unsafe_view(x.clone(), [-1]),
        *torch.sort(x, dim=-1),
        x.sum(-1, keepdim=True),
        x.logsumexp(-1),
        x.new_zeros(0).resize_(7),
        torch.empty(3, 4, device="meta"),
        x.transpose(0, 1).contiguous(),
        x > 0,
    ]


def test_a_remembered_operation_gives_what_torch_gives() -> None:
    expected = operations(torch.empty(4, 6, device="meta"))
    alive = []
    for _ in range(3):  # as torch says, remembered, remembered
        with Allocations() as counted:
            found = operations(torch.empty(4, 6, device="meta"))
            alive.append(counted.live)
        for one, other in zip(found, expected, strict=True):
            assert (one.shape, one.stride(), one.dtype) == (
                other.shape,
                other.stride(),
                other.dtype,
            )
            assert one.device == other.device
    assert len(set(alive)) == 1


def test_tensors_with_numbers_are_computed() -> None:
    for _ in range(3):
        with Allocations():
            x = torch.ones(3)
            x.mul_(5)
            assert x.tolist() == [5, 5, 5]
            assert torch.arange(3).tolist() == [0, 1, 2]


def test_numbers_that_are_equal_and_not_the_same_are_told_apart() -> None:
    x = torch.empty(2, dtype=torch.long, device="meta")
    multiply = torch.ops.aten.mul.Tensor
    for factor, dtype in ((1, torch.long), (1.0, torch.float32), (True, torch.long)):
        assert on_meta_device(multiply, (x, factor), {}).dtype == dtype


def test_every_field_of_a_blueprint_but_its_sources_tells_two_apart() -> None:
    compared = {f.name for f in fields(type(blueprint(shape(), config(), GPU))) if f.compare}
    assert compared == {
        "model",
        "dtype",
        "adapter_words",
        "quantized",
        "skipped",
        "autocast",
        "checkpointed",
        "device_kind",
    }
