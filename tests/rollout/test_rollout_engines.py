"""The transformers engine, the choice between the engines, and what both refuse."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from rollout.tiny_models import (
    EOS,
    OTHER_ATTENTION,
    PAD,
    V,
    build,
    full_forward_logp,
    ragged_prompts,
)

from workbench.config import ENGINE_FACTS
from workbench.rollout import RolloutCancelledError, Sampling, make_engine
from workbench.rollout.native import NativeEngine
from workbench.rollout.transformers_engine import TransformersEngine

ENGINES = [NativeEngine, TransformersEngine]
"""The engines that sample with the policy's own weights; tests/rollout/vllm has the other one."""


def test_every_engine_in_this_process_is_tried_here() -> None:
    own_weights = {name for name, facts in ENGINE_FACTS.items() if facts.own_memory is None}
    assert {engine.facts.name for engine in ENGINES} == own_weights


WARM = Sampling(16, temperature=1.3)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    "name", ["llama", "gpt2", "gemma2", "gemma3", "mistral-sliding", "bloom", "mamba"]
)
def test_the_reference_records_the_logp_of_a_full_forward(name: str) -> None:
    """One prompt length: for padded prompts not every recurrent model in transformers is exact."""
    model = build(name)
    rollout = TransformersEngine(model, EOS, PAD).generate(
        ragged_prompts((9, 9, 9)), 3, WARM, _generator()
    )
    assert len(rollout.lengths_B.unique()) > 2
    torch.testing.assert_close(
        rollout.sampler_logp_BT, full_forward_logp(model, rollout, 1.3), atol=2e-5, rtol=0
    )


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_both_engines_give_the_same_greedy_rollout(name: str) -> None:
    model, sampling = build(name), Sampling(16, temperature=0.0)
    native, reference = (
        e(model, EOS, PAD).generate(ragged_prompts(), 2, sampling, _generator()) for e in ENGINES
    )
    for field in ("prompt_ids_NP", "prompt_mask_NP", "completion_ids_BT", "mask_BT", "truncated_B"):
        assert torch.equal(getattr(native, field), getattr(reference, field)), field
    torch.testing.assert_close(native.sampler_logp_BT, reference.sampler_logp_BT, atol=1e-5, rtol=0)


def test_both_engines_sample_the_same_distribution() -> None:
    """First tokens of one prompt, 6000 of each engine, two-sample chi-square over the common
    tokens."""
    model, prompts = build("llama"), ragged_prompts((4,))
    sampling = Sampling(1, temperature=0.8, top_k=20, top_p=0.9)
    counts = []
    for engine in ENGINES:
        rollout = engine(model, EOS, PAD).generate(prompts, 6000, sampling, _generator(3))
        counts.append(rollout.completion_ids_BT.flatten().bincount(minlength=V).double())
    assert torch.equal(counts[0] > 0, counts[1] > 0)
    used = counts[0] + counts[1] > 0
    a, b = counts[0][used], counts[1][used]
    statistic = ((a - b) ** 2 / (a + b)).sum()
    degrees = torch.tensor((len(a) - 1) / 2, dtype=torch.float64)
    assert torch.special.gammaincc(degrees, statistic / 2) > 1e-3


def test_the_reference_draws_from_the_generator_alone() -> None:
    engine = TransformersEngine(build("llama"), EOS, PAD)
    torch.manual_seed(1)
    first = engine.generate(ragged_prompts(), 3, WARM, _generator())
    torch.manual_seed(2)
    state = torch.get_rng_state()
    generator = _generator()
    second = engine.generate(ragged_prompts(), 3, WARM, generator)
    assert torch.equal(first.completion_ids_BT, second.completion_ids_BT)
    assert torch.equal(state, torch.get_rng_state())
    third = engine.generate(ragged_prompts(), 3, WARM, generator)
    assert second.completion_lists() != third.completion_lists(), "the generator moves on"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_generation_config_that_a_model_ships_has_no_say(engine: Any) -> None:
    model = build("llama")
    plain = engine(model, EOS, PAD).generate(ragged_prompts(), 2, WARM, _generator())
    shipped = model.generation_config
    shipped.repetition_penalty, shipped.top_k, shipped.min_new_tokens, shipped.num_beams = (
        5.0,
        1,
        12,
        3,
    )
    again = engine(model, EOS, PAD).generate(ragged_prompts(), 2, WARM, _generator())
    assert plain.completion_lists() == again.completion_lists()
    assert model.generation_config is shipped


def test_the_reference_sees_a_lora_adapter_and_restores_the_training_mode() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        build("llama"), LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False)
    ).train()
    rollout = TransformersEngine(model, EOS, PAD).generate(ragged_prompts(), 2, WARM, _generator())
    assert model.training
    expected = full_forward_logp(model.eval(), rollout, 1.3)
    torch.testing.assert_close(rollout.sampler_logp_BT, expected, atol=1e-5, rtol=0)


def test_the_reference_can_be_cancelled_and_reports_nan() -> None:
    model = build("llama")
    with pytest.raises(RolloutCancelledError):
        TransformersEngine(model, EOS, PAD, should_stop=lambda: True).generate(
            ragged_prompts(), 1, WARM, _generator()
        )
    model.lm_head.weight.data[0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        TransformersEngine(model, EOS, PAD).generate(
            ragged_prompts(), 1, Sampling(4, temperature=0.0), _generator()
        )


def test_make_engine_gives_the_engine_named() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in (engine.facts.name for engine in ENGINES):
            assert make_engine(name, build("llama"), EOS, PAD).name == name


@pytest.mark.parametrize("name", [n for n in OTHER_ATTENTION if n != "t5"])
def test_make_engine_says_why_it_falls_back(name: str) -> None:
    with pytest.warns(UserWarning, match=f"transformers engine.*{OTHER_ATTENTION[name][1]}"):
        engine = make_engine("native", build(name), EOS, PAD)
    assert engine.name == "transformers"
    rollout = engine.generate(ragged_prompts((9, 9)), 2, Sampling(4), _generator())
    assert rollout.completion_ids_BT.shape[0] == 4


def test_make_engine_refuses_what_there_is_not() -> None:
    model = build("llama")
    with pytest.raises(ValueError, match="'fast' is unknown"):
        make_engine("fast", model, EOS, PAD)
    with pytest.raises(ValueError, match="encoder-decoder"):
        TransformersEngine(build("t5"), EOS, PAD)
    with pytest.raises(ValueError, match="sliding_attention"):
        NativeEngine(build("gemma2"), EOS, PAD)


PROMPT = [[10, 11, 12]]
BAD_REQUESTS: list[tuple[list[list[int]], int, Sampling, str]] = [
    ([], 2, WARM, "prompts is empty"),
    ([[10], []], 2, WARM, "prompt 1 is empty"),
    ([[10, V]], 2, WARM, f"token id {V}, outside the vocabulary of {V}"),
    ([[10], [11, -1]], 2, WARM, "prompt 1 holds token id -1"),
    (PROMPT, 0, WARM, "num_generations=0"),
    (
        PROMPT,
        2,
        Sampling(62),
        "3 tokens, with max_completion_length=62 that is beyond the model's 64 positions",
    ),
    (PROMPT, 2, Sampling(0), "max_completion_length=0"),
    (PROMPT, 2, Sampling(4, temperature=-1.0), "temperature=-1.0"),
    (PROMPT, 2, Sampling(4, temperature=float("nan")), "temperature=nan"),
    (PROMPT, 2, Sampling(4, top_k=-1), "top_k=-1"),
    (PROMPT, 2, Sampling(4, top_p=0.0), "top_p=0.0"),
    (PROMPT, 2, Sampling(4, top_p=1.5), "top_p=1.5"),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("prompts", "generations", "sampling", "message"), BAD_REQUESTS, ids=lambda v: str(v)[:30]
)
def test_bad_requests_are_refused_with_the_value(
    engine: Any, prompts: list[list[int]], generations: int, sampling: Sampling, message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        engine(build("llama"), EOS, PAD).generate(prompts, generations, sampling, _generator())


@pytest.mark.parametrize("engine", ENGINES)
def test_special_ids_must_be_ids_of_the_model(engine: Any) -> None:
    with pytest.raises(ValueError, match=f"eos_token_ids holds {V}"):
        engine(build("llama"), [1, V], PAD)
    with pytest.raises(ValueError, match="eos_token_ids holds None"):
        engine(build("llama"), [None], PAD)
    with pytest.raises(ValueError, match="pad_token_id holds -1"):
        engine(build("llama"), EOS, -1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_longest_request_that_fits_is_served(engine: Any, name: str) -> None:
    rollout = engine(build(name), (), PAD).generate(PROMPT, 2, Sampling(61), _generator())
    assert rollout.lengths_B.tolist() == [61, 61]
