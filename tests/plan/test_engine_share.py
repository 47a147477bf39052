"""vLLM beside the trainer on a GPU: a plan says "fits" only where its share holds the base in
floating point and a sequence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import transformers as hf

from workbench.config import GRPOConfig
from workbench.plan import Shape, device_named, plan, planner, shape_of
from workbench.plan.devices import Device
from workbench.plan.engine_share import least_share, share_need
from workbench.plan.ledger import Phase
from workbench.rollout.vllm.needs import need_of, one_sequence

WIDE = dict(
    vocab_size=2000,
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    max_position_embeddings=4096,
)
SMALL = Shape(
    "small",
    hf.LlamaConfig(
        **WIDE
        | dict(
            hidden_size=64,
            intermediate_size=160,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
    ),
    "test",
)


def config(**changes: object) -> GRPOConfig:
    four_bits = dict(
        prompts_per_step=2,
        num_generations=4,
        updates_per_rollout=1,
        max_prompt_length=128,
        max_completion_length=128,
        micro_batch_size=1,
        gradient_checkpointing=True,
        lora_rank=16,
        quantization="nf4",
        rollout_engine="vllm",
        learning_rate=1e-5,
    )
    return GRPOConfig(**(four_bits | changes))


@pytest.fixture(scope="module")
def eight() -> Shape:
    return Shape("8B", hf.LlamaConfig(**WIDE), "test")


@pytest.fixture(scope="module", autouse=True)
def _phases_are_followed_once() -> Iterator[None]:
    """The phases of one shape, config and device are followed once for all tests of this file: an
    advice tries some twenty configs, and the tests plan them again."""
    follow = planner._followed
    found: dict[tuple[object, ...], list[Phase]] = {}

    def once(shape: Shape, config: GRPOConfig, device: Device, whole: object = None) -> list[Phase]:
        key = (shape.name, config, device)
        if key not in found:
            found[key] = follow(shape, config, device, whole)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "_followed", once)
        yield


@pytest.mark.slow
def test_four_bits_with_vllm_do_not_fit_where_vllm_cannot_hold_the_base(eight: Shape) -> None:
    made = plan(config(), eight, device_named("24GB"))
    assert made.margin > 0, "the sum alone would fit"
    assert made.fits is False
    assert made.to_dict()["fits"] is False
    said = str(made)
    assert "Does not fit" in said
    assert "vllm_gpu_memory_utilization=0.3 gives vLLM 7.4 GB" in said
    assert "quantisation does not shrink vLLM's copy" in said
    assert "No value does" not in made.obstacle
    assert made.advice
    for change in made.advice:
        again = plan(config(**change.settings), eight, device_named("24GB"), advice=False)
        assert again.obstacle is None, change.settings
        assert again.fits is change.fits
    assert any(c.fits for c in made.advice)


def test_the_utilization_that_is_named_is_the_least_that_does(eight: Shape) -> None:
    device = device_named("24GB")
    made = plan(config(), eight, device, advice=False)
    found = float(made.obstacle.rpartition("vllm_gpu_memory_utilization=")[2].split()[0])
    assert "would do" in made.obstacle
    assert plan(config(vllm_gpu_memory_utilization=found), eight, device, advice=False).fits
    assert not plan(
        config(vllm_gpu_memory_utilization=found - 0.01), eight, device, advice=False
    ).fits


def test_where_no_share_does_it_is_said_and_only_another_engine_is_advised(eight: Shape) -> None:
    made = plan(config(), eight, device_named("16GB"))
    assert made.fits is False
    assert "No value does" in made.obstacle
    assert "native" in made.obstacle
    assert made.advice
    assert all(c.settings.get("rollout_engine") == "native" for c in made.advice)


@pytest.mark.slow
def test_a_combination_starts_and_fits_where_no_single_change_does(eight: Shape) -> None:
    """Many long rows at once without checkpointing, and a share too small: both must change."""
    many = config(
        micro_batch_size=None,
        gradient_checkpointing=False,
        num_generations=64,
        max_completion_length=512,
    )
    made = plan(many, eight, device_named("24GB"))
    [last] = [c for c in made.advice if c.together]
    assert last.fits
    assert plan(many.replace(**last.settings), eight, device_named("24GB"), advice=False).fits


@pytest.mark.parametrize(
    "changes",
    [
        dict(vllm_mode="server", vllm_server_base_url="http://localhost:1"),
        dict(rollout_engine="native"),
        dict(vllm_gpu_memory_utilization=0.9),
    ],
)
def test_nothing_stands_in_the_way_of_others(changes: dict) -> None:
    assert plan(config(**changes), SMALL, device_named("24GB"), advice=False).obstacle is None
    assert plan(config(), SMALL, Device("cpu", "cpu", 2**34), advice=False).obstacle is None


def test_the_share_is_of_the_whole_gpu_and_not_of_what_is_free() -> None:
    half_used = replace(device_named("24GB"), memory=10 * 2**30, total=24 * 2**30)
    made = plan(config(), SMALL, half_used, advice=False)
    assert made.phases[0].parts["vllm"] == pytest.approx(0.3 * 24 * 2**30)


def test_need_is_in_the_format_of_the_arithmetic_and_of_the_longest_sequence() -> None:
    model, numbers = SMALL, 1000
    assert (
        share_need(
            model, config(lora_rank=0, quantization="none"), device_named("L4"), numbers
        ).weights
        == 2 * numbers
    )  # under autocast
    assert (
        share_need(
            model, config(lora_rank=0, quantization="none"), device_named("T4"), numbers
        ).weights
        == 4 * numbers
    )
    assert share_need(model, config(), device_named("T4"), numbers).weights == 2 * numbers
    one = 2 * 2 * 16 * 3  # keys and values, heads, their size, layers
    assert share_need(model, config(), device_named("L4"), numbers).cache == 256 * one * 2
    assert (
        share_need(model, config(max_prompt_length=None), device_named("L4"), numbers).cache
        == 4096 * one * 2
    )
    assert least_share(model, config(), device_named("L4"), 10**12) is None
    assert least_share(model, config(rollout_engine="native"), device_named("L4"), numbers) is None


def test_windows_and_latent_caches_are_taken_as_they_are() -> None:
    c = SMALL.config
    mixed = hf.LlamaConfig(
        **c.to_dict()
        | dict(
            layer_types=["full_attention", "sliding_attention", "linear_attention"],
            sliding_window=100,
        )
    )
    assert one_sequence(mixed, 1000) == 64 * (1000 + 100)
    assert (
        one_sequence(hf.MistralConfig(**SMALL.config.to_dict() | dict(sliding_window=100)), 1000)
        == 64 * 3 * 100
    )
    assert need_of(c, 10, "bfloat16", 50, 4).sure == 20 + 2 * 64 * 3 * 50


@pytest.mark.slow
def test_a_published_model_counts_with_all_its_weights() -> None:
    made = plan(config(), shape_of("Qwen2.5-7B"), device_named("24GB"), advice=False)
    assert made.fits is False
    assert "15.2 GB for the base in bfloat16" in made.obstacle
    assert torch.bfloat16.itemsize * 7_615_616_512 == pytest.approx(15.2e9, rel=0.01)
