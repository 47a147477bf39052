"""What loading refuses is no plan that fits; what is quantised in its files is planned so; what a
GPU lacks is said."""

from __future__ import annotations

import json

import pytest
import torch
import transformers as hf

from workbench.config import ConfigError, GRPOConfig
from workbench.plan import PlanError, Shape, device_named, plan, shape_of
from workbench.plan.devices import cpu_without_rates
from workbench.plan.shapes import Stored
from workbench.plan.trace.quantized import SINGLE, scale_bytes
from workbench.plan.trace.skeleton import skeleton
from workbench.rollout.vllm.checks import VLLMError

SMALL = dict(
    vocab_size=300,
    hidden_size=64,
    intermediate_size=160,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
)
LLAMA = Shape("llama", hf.LlamaConfig(**SMALL), "test")


def config(**changes: object) -> GRPOConfig:
    return GRPOConfig(
        **(
            dict(
                prompts_per_step=2,
                num_generations=4,
                updates_per_rollout=1,
                max_completion_length=24,
                max_prompt_length=16,
            )
            | changes
        )
    )


@pytest.mark.parametrize(
    ("changes", "gpu", "error", "message"),
    [
        (
            dict(dtype="bfloat16", lora_rank=4),
            "T4",
            PlanError,
            "dtype='bfloat16': T4 has no bfloat16",
        ),
        (dict(dtype="float16"), "L4", ConfigError, "trained weights cannot be float16"),
        (
            dict(rollout_engine="vllm", lora_rank=4, use_dora=True),
            "L4",
            VLLMError,
            "does not serve DoRA",
        ),
        (dict(rollout_engine="vllm", lora_rank=4, top_k=5), "L4", VLLMError, "cut distribution"),
        (
            dict(rollout_engine="vllm", vllm_enable_sleep_mode=True),
            "cpu",
            VLLMError,
            "only a GPU's memory",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")
def test_what_loading_refuses_is_refused_with_the_same_words(
    changes: dict, gpu: str, error: type, message: str
) -> None:
    device = cpu_without_rates(2**34) if gpu == "cpu" else device_named(gpu)
    with pytest.raises(error, match=message):
        plan(config(**changes), LLAMA, device)


@pytest.mark.filterwarnings("error::workbench.config.ConfigWarning")
def test_what_can_be_loaded_is_planned_without_words_about_learning() -> None:
    settings = config(dtype="bfloat16", learning_rate=1e-6)
    assert plan(settings, LLAMA, device_named("L4"), advice=False).fits
    assert plan(
        config(rollout_engine="vllm", lora_rank=4), LLAMA, device_named("T4"), advice=False
    ).fits  # whether vLLM is here does not count


# -------------------------------------------------------------------------------------------------
# quantised in its files


def stored(tmp_path, **says: object) -> Shape:
    c = hf.LlamaConfig(**SMALL).to_dict() | {
        "quantization_config": {"quant_method": "bitsandbytes"} | says
    }
    (tmp_path / "config.json").write_text(json.dumps(c))
    return shape_of(tmp_path)


NF4 = dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)


@pytest.mark.parametrize(("kind", "says"), [("nf4", NF4), ("int8", dict(load_in_8bit=True))])
def test_stored_in_few_bits_is_planned_as_if_quantised_here(
    kind: str, says: dict, tmp_path
) -> None:
    shape, device = stored(tmp_path, **says), device_named("L4")
    found = plan(config(lora_rank=4), shape, device)
    same = plan(config(lora_rank=4, quantization=kind), LLAMA, device)
    assert [p.parts for p in found.phases] == [p.parts for p in same.phases]
    assert (found.parameters, found.trained_parameters) == (
        same.parameters,
        same.trained_parameters,
    )
    assert (
        found.phases[0].parts["weights"]
        < plan(config(lora_rank=4), LLAMA, device).phases[0].parts["weights"]
    )
    assert any(f"quantised already ({kind})" in note for note in found.notes)
    tight = plan(config(lora_rank=4), shape, device, advice=True)
    assert not any("quantization" in c.settings for c in tight.advice)


def test_scales_that_are_not_quantised_and_layers_left_out_are_counted(tmp_path) -> None:
    settings, device = config(lora_rank=4), device_named("L4")
    nested = skeleton(stored(tmp_path, **NF4), settings, device)
    single = skeleton(
        stored(tmp_path, **NF4 | dict(bnb_4bit_use_double_quant=False)), settings, device
    )
    assert single.weights == nested.weights
    assert (
        single.constants > nested.constants - 21 * 4 * 256
    )  # less the second table of each of 21 weights
    some = skeleton(
        stored(
            tmp_path, **NF4 | dict(llm_int8_skip_modules=["lm_head", "o_proj", "model.layers.1"])
        ),
        settings,
        device,
    )
    left = 2 * 64 * 64 + sum(
        p.numel()
        for p in hf.LlamaForCausalLM(LLAMA.config).model.layers[1].parameters()
        if p.dim() == 2
    )
    assert some.weights == nested.weights + left * 2 - left // 2


def test_unnested_scales_are_those_of_bitsandbytes() -> None:
    import bitsandbytes as bnb

    weight = bnb.nn.Params4bit(
        torch.randn(160, 64), requires_grad=False, compress_statistics=False, quant_type="nf4"
    )
    state = bnb.nn.Linear4bit(64, 160, bias=False, compress_statistics=False, quant_type="nf4")
    state.weight = weight
    made = state.to("cpu").weight.quant_state
    if made is None:
        made = bnb.functional.quantize_4bit(
            torch.randn(160, 64), quant_type="nf4", compress_statistics=False
        )[1]
    assert scale_bytes(SINGLE, 160, 64) == sum(
        t.numel() * t.element_size() for t in (made.absmax, made.code)
    )


def test_what_cannot_be_followed_or_trained_is_one_clear_error(tmp_path) -> None:
    device = device_named("L4")
    with pytest.raises(PlanError, match="stored quantised by 'gptq'.*cannot follow"):
        plan(config(lora_rank=4), stored(tmp_path, quant_method="gptq", bits=4), device)
    with pytest.raises(PlanError, match=r"stand still\. Add lora_rank=16"):
        plan(config(), stored(tmp_path, **NF4), device)
    with pytest.raises(PlanError, match="quantised already, as 'nf4'"):
        plan(config(lora_rank=4, quantization="int8"), stored(tmp_path, **NF4), device)
    assert plan(config(lora_rank=4, quantization="nf4"), stored(tmp_path, **NF4), device).fits
    assert stored(tmp_path, **NF4).stored == Stored("nf4")
    assert LLAMA.stored is None


# -------------------------------------------------------------------------------- without bfloat16


def test_full_fine_tuning_on_a_t4_is_float32_and_says_so() -> None:
    shape = shape_of("Qwen2.5-0.5B")
    made = plan(config(), shape, device_named("T4"), advice=False)
    [note] = [n for n in made.notes if "tensor cores" in n]
    assert "8 instead of 65 TFLOP/s" in note
    assert "--lora" in note
    assert made.dtype == "float32"
    assert made.seconds.source.startswith("float32 rate")
    adapter = plan(config(lora_rank=16), shape, device_named("T4"), advice=False)
    assert not any("tensor cores" in n for n in adapter.notes)
    assert adapter.seconds.limit["update"] < made.seconds.limit["update"] / 8
    assert not any(
        "tensor cores" in n for n in plan(config(), shape, device_named("L4"), advice=False).notes
    )


def test_evaluations_with_samples_are_counted_beside_the_steps() -> None:
    asked = config(eval_samples=8, eval_samples_problems=100, prompts_per_step=5, num_generations=4)
    made = plan(asked, shape_of("embedded"), device_named("T4"), advice=False)
    [note] = [n for n in made.notes if "with samples" in n]
    # 100 x (8 + 1) completions, and a step samples 20.
    assert "is 900 completions more, as many as the rollouts of 45.0 steps" in note
    without = plan(
        asked.replace(eval_samples=0), shape_of("embedded"), device_named("T4"), advice=False
    )
    assert not any("with samples" in n for n in without.notes)
