"""The arithmetic of a plan against models that exist: bytes of weights, adapters, quantised layers,
caches, optimizer states."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers as hf

from workbench.config import GRPOConfig
from workbench.libraries.hf_transformers import forward_with_cache
from workbench.plan import PUBLISHED, PlanError, Shape, device_named, plan, shape_of
from workbench.plan.devices import GPUS, cpu_without_rates
from workbench.plan.ledger import (
    fullest,
    kv_bytes,
    moments_of,
    optimizer_bytes,
    sampled_kv_bytes,
)
from workbench.plan.planner import _followed, longest_prompt, skeleton_of
from workbench.plan.trace.allocations import Allocations
from workbench.plan.trace.micro_batches import longest_rollout, tokens_of_batch
from workbench.plan.trace.passes import logprobs_peak, update_peak
from workbench.plan.trace.skeleton import skeleton
from workbench.policy.for_config import lora_of
from workbench.policy.logprobs import completion_logps
from workbench.policy.pieces import micro_batches
from workbench.rollout.cache import PreallocatedCache
from workbench.rollout.shared_decoding import SharedPromptDecoder

CPU = cpu_without_rates()
SMALL = dict(
    vocab_size=300,
    hidden_size=64,
    intermediate_size=160,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
)
SHAPES = {
    "llama": Shape("llama", hf.LlamaConfig(**SMALL), "test"),
    "qwen2, tied": Shape(
        "qwen2",
        hf.Qwen2Config(**SMALL, tie_word_embeddings=True, layer_types=["full_attention"] * 3),
        "test",
    ),
    "gpt2": Shape(
        "gpt2",
        hf.GPT2Config(
            vocab_size=300,
            n_embd=64,
            n_layer=3,
            n_head=4,
            n_positions=256,
            bos_token_id=1,
            eos_token_id=1,
        ),
        "test",
    ),
    "gemma": Shape("gemma", hf.GemmaConfig(**SMALL, head_dim=32), "test"),
    "phi": Shape("phi", hf.PhiConfig(**SMALL), "test"),
}


def config(**changes: object) -> GRPOConfig:
    return GRPOConfig(
        **(
            dict(
                prompts_per_step=2,
                num_generations=4,
                updates_per_rollout=1,
                num_iterations=2,
                max_completion_length=24,
                max_prompt_length=16,
            )
            | changes
        )
    )


def real(name: str, dtype: torch.dtype = torch.float32):
    """A model with weights. It writes its format into its config, so it gets one of its own."""
    return hf.AutoModelForCausalLM.from_config(
        copy.deepcopy(SHAPES[name].config), dtype=dtype
    ).eval()


def held(tensors) -> int:
    """Bytes of the storages, each once."""
    return sum(
        {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values()
    )


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_are_those_of_the_model(name: str, dtype: str) -> None:
    bare = skeleton(SHAPES[name], config(dtype=dtype, lora_rank=4), CPU)
    model = real(name, getattr(torch, dtype))
    assert bare.weights == held([*model.parameters(), *model.buffers()])
    from peft import get_peft_model

    wrapped = get_peft_model(model, lora_of(config(lora_rank=4)))
    trained = [p for p in wrapped.parameters() if p.requires_grad]
    assert bare.adapter == held(trained) > 0
    assert sum(p.numel() for p in bare.trained) == sum(p.numel() for p in trained)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_quantised_weights_are_those_of_bitsandbytes(kind: str) -> None:
    bare = skeleton(SHAPES["llama"], config(quantization=kind, lora_rank=4), CPU)
    from workbench.policy.quantization import quantize

    model = real("llama")
    quantize(model, kind, torch.float32)
    tensors, scales = [*model.parameters(), *model.buffers()], []
    for module in model.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None:
            scales += [
                state.absmax,
                state.code,
                state.state2.absmax,
                state.state2.code,
                state.offset.reshape(1),
            ]
        elif type(module).__name__ == "Linear8bitLt":
            scales.append(module.weight.SCB if module.weight.SCB is not None else module.state.SCB)
    assert bare.weights == held(tensors)
    each = sum(s.numel() * s.element_size() for s in scales)
    assert bare.constants == each > 0


@pytest.mark.parametrize("name", ["llama", "qwen2, tied", "gemma"])
def test_the_cache_is_that_of_the_native_engine(name: str) -> None:
    bare = skeleton(SHAPES[name], config(), CPU)
    model, cache = real(name), PreallocatedCache(3, 20)
    with torch.no_grad():
        forward_with_cache(model, cache, input_ids=torch.zeros(5, 20, dtype=torch.long))
    assert kv_bytes(bare, 5, 20) == held(
        [t for layer in cache.preallocated for t in (layer.keys, layer.values)]
    )


def test_the_shared_cache_is_that_of_the_native_engine() -> None:
    bare, model = skeleton(SHAPES["llama"], config(), CPU), real("llama")
    ids_NP = torch.zeros(2, 12, dtype=torch.long)
    # A rollout of 5 tokens feeds 4 of them back; the plan counts all.
    decoder = SharedPromptDecoder(model, ids_NP, torch.ones(2, 12, dtype=torch.bool), 5)
    with torch.no_grad():
        decoder.prefill()
        decoder.expand_rows(torch.arange(2).repeat_interleave(4))
    asked = config(prompts_per_step=2, num_generations=4, max_completion_length=5)
    assert sampled_kv_bytes(bare, 8, 2, 12, asked, "cpu") == held(
        [
            tensor
            for layer in decoder.cache.shared
            for tensor in (layer.keys_NKPD, layer.values_NKPD, layer.keys_SKTD, layer.values_SKTD)
        ]
    )
    # One answer to a prompt, or a GPU: each row has its own.
    assert sampled_kv_bytes(bare, 2, 2, 12, asked, "cpu") == kv_bytes(bare, 2, 17)
    assert sampled_kv_bytes(bare, 8, 2, 12, asked, "cuda") == kv_bytes(bare, 8, 17)


def test_optimizer_states_are_those_of_adamw() -> None:
    bare = skeleton(SHAPES["llama"], config(), CPU)
    model = real("llama")
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model(input_ids=torch.zeros(1, 4, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    moments = [t for state in optimizer.state.values() for key, t in state.items() if key != "step"]
    assert optimizer_bytes(bare, config()) == held(moments)
    assert optimizer_bytes(bare, config(optim="adamw_8bit")) < 0.35 * held(moments)


# ------------------------------------------------------------------------------------- activations


class Saved:
    """Bytes that autograd keeps for the backward, weights apart."""

    def __init__(self, model) -> None:
        self.known = {
            t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]
        }
        self.kept: dict[int, torch.Tensor] = {}

    def __enter__(self) -> Saved:
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.pack, lambda t: t)
        self.hooks.__enter__()
        return self

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in self.known:
            self.kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    def __exit__(self, *error: object) -> None:
        self.hooks.__exit__(*error)

    @property
    def bytes(self) -> int:
        return held(self.kept.values())


@pytest.mark.parametrize("name", ["llama", "qwen2, tied", "phi"])
def test_a_traced_backward_holds_what_a_real_one_saves(name: str) -> None:
    """The peak is what autograd saved, and a little more in flight: at least that, at most half as
    much again."""
    c = config()
    bare = skeleton(SHAPES[name], c, CPU)
    model = real(name)
    with Saved(model) as saved:
        logp, _ = completion_logps(model, longest_rollout(c, 16), torch.arange(8), 1.0)
        del _
    assert logp.requires_grad
    assert saved.bytes <= update_peak(bare, c, 16).bytes <= 1.5 * saved.bytes
    assert all(p.grad is None for p in bare.trained)


def test_checkpointing_micro_batches_and_no_gradient_need_less() -> None:
    shape = Shape(
        "deep", hf.LlamaConfig(**SMALL | dict(num_hidden_layers=12, vocab_size=64)), "test"
    )
    c = config()
    whole = update_peak(skeleton(shape, c, CPU), c, 16).bytes
    again = config(gradient_checkpointing=True)
    assert update_peak(skeleton(shape, again, CPU), again, 16).bytes < 0.4 * whole
    few = config(micro_batch_size=2)
    assert update_peak(skeleton(shape, few, CPU), few, 16).bytes < 0.5 * whole
    assert logprobs_peak(skeleton(shape, c, CPU), c, 16).bytes < 0.2 * whole


def really_allocated(c: GRPOConfig) -> float:
    """Bytes at the peak of an update of longest completions, piece by piece on the CPU, gradients
    apart."""
    model, rollout = real("llama"), longest_rollout(c, 16)
    weights = list(model.parameters())
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    known = [*weights, *model.buffers(), *(w.grad for w in weights if w.grad is not None)]
    pieces = micro_batches(model, rollout, torch.arange(c.completions_per_step), c)
    with Allocations(known, model.config.vocab_size, device="cpu") as counted:
        for piece in pieces:
            completion_logps(model, rollout, piece, 1.0)[0].sum().backward()
    return counted.peak.bytes


def test_the_plan_of_a_cut_update_holds_its_peak() -> None:
    """Four groups of 112 tokens, where 280 go through at once."""
    c = config(prompts_per_step=4, micro_batch_tokens=280)
    planned = update_peak(skeleton(SHAPES["llama"], c, CPU), c, 16).bytes
    assert 0.6 * planned < really_allocated(c) <= planned
    assert really_allocated(c.replace(micro_batch_tokens=10**6)) > 1.4 * planned


def test_tokens_are_counted_with_the_prompt_shared() -> None:
    bare = skeleton(SHAPES["llama"], config(), CPU)
    assert tokens_of_batch(bare, config(), 16) == 2 * 16 + 8 * 24
    assert tokens_of_batch(bare, config(micro_batch_size=2), 16) == 4 * 16 + 8 * 24
    assert tokens_of_batch(bare, config(micro_batch_size=1), 16) == 8 * (16 + 24)
    # Where a group is too much, its prompt is computed for each half.
    assert tokens_of_batch(bare, config(micro_batch_tokens=100), 16) == 4 * 16 + 8 * 24


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("qwen2, tied", {}),
        ("qwen2, tied", {"lora_rank": 4, "quantization": "nf4"}),
        ("qwen2, tied", {"gradient_checkpointing": True}),
        ("gpt2", {"lora_rank": 4}),
    ],
)
def test_like_layers_are_reckoned_from_two_small_models_exactly(name: str, changes: dict) -> None:
    deep = Shape(
        name,
        type(SHAPES[name].config)(
            **SHAPES[name].config.to_dict() | {"num_hidden_layers": 9, "layer_types": None}
        ),
        "test",
    )
    c, device = config(**changes), device_named("L4")
    for quick, whole in zip(
        _followed(deep, c, device),
        fullest(moments_of(skeleton_of(deep, c, device), c, 16, device)),
        strict=True,
    ):
        assert quick.bytes == pytest.approx(whole.bytes, rel=1e-3)


# ------------------------------------------------------------------------------------- whole plans


def test_published_shapes_have_their_published_parameter_counts() -> None:
    counts = {
        "Qwen2.5-0.5B": 494_032_768,
        "Qwen2.5-1.5B": 1_543_714_304,
        "Qwen2.5-7B": 7_615_616_512,
        "SmolLM2-135M": 134_515_008,
        "Llama-3.2-1B": 1_235_814_400,
        "Llama-3.1-8B": 8_030_261_248,
    }
    for name, count in counts.items():
        with torch.device("meta"):
            model = hf.AutoModelForCausalLM.from_config(shape_of(name).config)
        assert sum(p.numel() for p in model.parameters()) == count, name
    assert (
        shape_of("Qwen/Qwen2.5-0.5B-Instruct").config.hidden_size
        == PUBLISHED["Qwen2.5-0.5B"]["hidden_size"]
    )
    assert "published" in shape_of("smollm2-135m").source


def test_a_plan_is_the_largest_phase_and_what_does_not_fit_gets_advice_that_does() -> None:
    made = plan(config(), SHAPES["llama"], device_named("T4"))
    assert made.fits
    assert made.peak == max(p.bytes for p in made.phases) < sum(p.bytes for p in made.phases)
    assert all(p.bytes == sum(p.parts.values()) for p in made.phases)
    assert made.seconds is not None
    limit, low, high = made.seconds.step
    assert 0 < limit < low < high
    big = plan(
        config(max_completion_length=512, max_prompt_length=256),
        shape_of("Qwen2.5-0.5B"),
        device_named("8GB"),
    )
    assert big.fits is False
    assert [c.peak for c in big.advice if not c.together] == sorted(
        c.peak for c in big.advice if not c.together
    )
    assert any(c.fits for c in big.advice)
    assert all(c.peak < big.peak for c in big.advice)
    assert big.seconds is None
    assert "Does not fit" in str(big)


def test_the_reference_copy_and_vllm_count_where_they_are() -> None:
    parts = {
        p.name: p.parts for p in plan(config(beta=0.01), SHAPES["llama"], device_named("L4")).phases
    }
    assert parts["rollout"]["reference"] == parts["update"]["gradients"]
    assert parts["update"]["gradients"] > 0
    assert parts["rollout"]["gradients"] == 0
    assert {
        p.name: p.parts["reference"]
        for p in plan(config(beta=0.01, lora_rank=4), SHAPES["llama"], device_named("L4")).phases
    }["update"] == 0
    asleep = plan(
        config(rollout_engine="vllm", vllm_enable_sleep_mode=True),
        SHAPES["llama"],
        device_named("L4"),
    )
    share = {p.name: p.parts["vllm"] for p in asleep.phases}
    assert share == {"rollout": pytest.approx(0.3 * GPUS["L4"].memory), "logprobs": 0, "update": 0}


def test_devices_and_prompts_that_cannot_be_are_one_clear_error() -> None:
    with pytest.raises(PlanError, match="RTX.*Use T4"):
        device_named("RTX")
    assert device_named("24GB").memory == pytest.approx(24 * 2**30, rel=0.05)
    assert device_named("A100").name == "A100-40"
    with pytest.raises(PlanError, match="leaves no room"):
        plan(config(max_completion_length=256), SHAPES["llama"], CPU)
    assert longest_prompt(SHAPES["llama"], config(max_prompt_length=512)) == 256 - 24
