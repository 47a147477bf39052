"""The trial: that it reckons from few layers to many without error, that it times what training runs, and says where it cannot."""

from __future__ import annotations

import pytest
import torch

from workbench.config import GRPOConfig
from workbench.plan import Shape, device_named, plan, shape_of, trace
from workbench.plan import trial as trial_module
from workbench.plan.devices import cpu_without_rates, measured_cpu
from workbench.plan.skeleton import skeleton
from workbench.plan.stopwatch import Pieces, time_pieces
from workbench.plan.trial import run_trial, small_policy, why_not


def shape(family: str = "llama", **changes: object) -> Shape:
    from transformers import AutoConfig

    size = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=12, num_attention_heads=4, num_key_value_heads=2, vocab_size=20000,
                max_position_embeddings=256)
    gpt2 = dict(n_embd=32, n_layer=12, n_head=4, vocab_size=20000, n_positions=256)
    return Shape("small", AutoConfig.for_model(family, **((gpt2 if family == "gpt2" else size) | changes)), "a test")


def config(**changes: object) -> GRPOConfig:
    small = dict(prompts_per_step=2, num_generations=4, updates_per_rollout=2, max_prompt_length=20, max_completion_length=6, beta=0.01)
    return GRPOConfig(**(small | changes))


@pytest.fixture(scope="module")
def here():
    return measured_cpu()


def trial_of(model: Shape, settings: GRPOConfig, here) -> dict[str, float]:
    return run_trial(model, skeleton(model, settings, here), settings, 20, here).seconds


@pytest.mark.parametrize("engine", ["native", "transformers"])
def test_seconds_that_grow_with_layers_words_and_tokens_are_reckoned_exactly(engine: str, here, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(rollout_engine=engine, num_iterations=2)

    def made_up(policy, cut, prompt_tokens, context) -> Pieces:
        c = policy.model.config
        cost = 3 + 5 * c.num_hidden_layers + 0.01 * c.vocab_size
        return Pieces({"prompt": cost, "token": 2 * cost, "logprobs": 10 * cost, "reference": 20 * cost, "gradient": 40 * cost, "optimizer": cost}, 7, 6)

    monkeypatch.setattr(trial_module, "time_pieces", made_up)
    model = shape()
    tokens = trace.computed_tokens(skeleton(model, settings, here), settings, 20)
    body, words = 3 + 5 * 12 + 0.01 * 1024, 0.01 * (20000 - 1024)
    batch = tokens / 7 * body + 8 * 6 / 6 * words
    prompts = 8 if engine == "transformers" else 2
    assert trial_of(model, settings, here) == pytest.approx({
        "rollout": (prompts + 2 * 5) * (body + words), "logprobs": 30 * batch, "update": 2 * (40 * batch + 2 * (body + words))})


def test_passes_that_a_step_does_not_have_take_no_time(here, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("prompt", "token", "logprobs", "reference", "gradient", "optimizer")
    monkeypatch.setattr(trial_module, "time_pieces", lambda *_: Pieces(dict.fromkeys(names, 1.0), 1, 1))
    assert trial_of(shape(), config(beta=0.0, updates_per_rollout=1), here)["logprobs"] == 0
    assert trial_of(shape(), config(beta=0.0), here)["logprobs"] > 0


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("changes", [{}, dict(lora_rank=4), dict(lora_rank=4, quantization="nf4"), dict(lora_rank=4, quantization="int8"),
                                     dict(gradient_checkpointing=True), dict(optim="adamw_8bit"), dict(rollout_engine="transformers")], ids=str)
def test_what_is_timed_is_the_policy_that_training_would_have(family: str, changes: dict) -> None:
    settings, before = config(**changes), torch.get_rng_state()
    policy = small_policy(shape(family), settings, "cpu", layers=2, vocabulary=64)
    assert torch.equal(before, torch.get_rng_state())
    assert policy.model.config.num_hidden_layers == 2
    assert policy.model.get_output_embeddings().weight.shape[0] == 64
    assert (policy.has_adapter, policy.quantization) == (settings.lora_rank > 0, settings.quantization)
    found = time_pieces(policy, settings, 20, 23)
    assert found.tokens >= found.scored == 4 * 6
    assert all(seconds >= 0 for seconds in found.seconds.values())
    assert all(found.seconds[name] > 0 for name in ("prompt", "logprobs", "reference", "gradient"))
    assert found.seconds["gradient"] > found.seconds["logprobs"]


def test_a_batch_too_large_for_a_trial_is_made_smaller() -> None:
    settings = config(num_generations=8, max_completion_length=80)
    policy = small_policy(shape(), settings, "cpu", layers=1, vocabulary=64)
    found = time_pieces(policy, settings, 100, 140)
    assert (found.tokens, found.scored) == (100 + 5 * 80, 5 * 80)


def test_a_plan_takes_the_seconds_of_its_trial_or_says_why_it_has_none(here) -> None:
    timed = plan(config(), shape(), here, trial=True)
    assert timed.seconds.trial is not None
    _, low, high = timed.seconds.step
    assert 0 < low < sum(timed.seconds.trial.values()) < high
    assert "a trial on this machine" in str(timed)
    assert plan(config(), shape(), here).seconds.trial is None
    for made in (plan(config(), shape(), device_named("T4"), trial=True), plan(config(), shape(), cpu_without_rates(), trial=True)):
        assert "Nothing was timed" in made.notes[-1]
        assert made.seconds is None or made.seconds.trial is None
    assert "vLLM" in why_not(shape(), config(rollout_engine="vllm"), here)
    assert "gemma3_text" in why_not(shape("gemma3_text"), config(), here)
    assert "does not fit" in plan(config(num_generations=512, prompts_per_step=64), shape_of("Qwen2.5-7B"), here, trial=True, advice=False).notes[-1]
