"""The trial: that it reckons from few layers to many without error, that it times what training
runs, and says where it cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from workbench.config import GRPOConfig
from workbench.plan import Shape, device_named, plan
from workbench.plan.devices import cpu_without_rates, measured_cpu
from workbench.plan.report import seconds_words
from workbench.plan.shapes import Stored
from workbench.plan.speed import from_trial
from workbench.plan.trace.micro_batches import tokens_of_batch
from workbench.plan.trace.skeleton import skeleton
from workbench.trial import layers, stopwatch, with_trial
from workbench.trial.layers import run_trial, small_policy, why_not
from workbench.trial.stopwatch import Pieces, of_all_rows, time_pieces


def shape(family: str = "llama", **changes: object) -> Shape:
    from transformers import AutoConfig

    size = dict(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=12,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=20000,
        max_position_embeddings=256,
    )
    gpt2 = dict(n_embd=32, n_layer=12, n_head=4, vocab_size=20000, n_positions=256)
    return Shape(
        "small",
        AutoConfig.for_model(family, **((gpt2 if family == "gpt2" else size) | changes)),
        "a test",
    )


def config(**changes: object) -> GRPOConfig:
    small = dict(
        prompts_per_step=2,
        num_generations=4,
        updates_per_rollout=2,
        max_prompt_length=20,
        max_completion_length=6,
        beta=0.01,
    )
    return GRPOConfig(**(small | changes))


@pytest.fixture(scope="module")
def here():
    return measured_cpu()


def trial_of(model: Shape, settings: GRPOConfig, here) -> dict[str, float]:
    return run_trial(model, skeleton(model, settings, here), settings, 20, here).seconds


@pytest.mark.parametrize("engine", ["native", "transformers"])
def test_seconds_that_grow_with_layers_words_and_tokens_are_reckoned_exactly(
    engine: str, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(rollout_engine=engine, num_iterations=2)

    def made_up(policy, cut, prompt_tokens, context) -> Pieces:
        c = policy.model.config
        cost = 3 + 5 * c.num_hidden_layers + 0.01 * c.vocab_size
        return Pieces(
            {
                "prompt": cost,
                "token": 2 * cost,
                "logprobs": 10 * cost,
                "reference": 20 * cost,
                "gradient": 40 * cost,
                "optimizer": cost,
            },
            7,
            6,
        )

    monkeypatch.setattr(layers, "time_pieces", made_up)
    model = shape()
    tokens = tokens_of_batch(skeleton(model, settings, here), settings, 20)
    body, words = 3 + 5 * 12 + 0.01 * 1024, 0.01 * (20000 - 1024)
    batch = tokens / 7 * body + 8 * 6 / 6 * words
    prompts = 8 if engine == "transformers" else 2
    assert trial_of(model, settings, here) == pytest.approx(
        {
            "rollout": (prompts + 2 * 5) * (body + words),
            "logprobs": 30 * batch,
            "update": 2 * (40 * batch + 2 * (body + words)),
        }
    )


def test_passes_that_a_step_does_not_have_take_no_time(
    here, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("prompt", "token", "logprobs", "reference", "gradient", "optimizer")
    monkeypatch.setattr(layers, "time_pieces", lambda *_: Pieces(dict.fromkeys(names, 1.0), 1, 1))
    assert trial_of(shape(), config(beta=0.0, updates_per_rollout=1), here)["logprobs"] == 0
    assert trial_of(shape(), config(beta=0.0), here)["logprobs"] > 0


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        dict(lora_rank=4),
        dict(lora_rank=4, quantization="nf4"),
        dict(lora_rank=4, quantization="int8"),
        dict(gradient_checkpointing=True),
        dict(optim="adamw_8bit"),
        dict(rollout_engine="transformers"),
    ],
    ids=str,
)
def test_what_is_timed_is_the_policy_that_training_would_have(family: str, changes: dict) -> None:
    settings, before = config(**changes), torch.get_rng_state()
    policy = small_policy(shape(family), settings, "cpu", layers=2, vocabulary=64)
    assert torch.equal(before, torch.get_rng_state())
    assert policy.model.config.num_hidden_layers == 2
    assert policy.model.get_output_embeddings().weight.shape[0] == 64
    assert (policy.has_adapter, policy.quantization) == (
        settings.lora_rank > 0,
        settings.quantization,
    )
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


def test_on_a_gpu_as_many_tokens_go_through_as_keep_it_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = {}

    def remember(policy, cut, prompt_tokens, context) -> Pieces:
        seen[policy] = (cut.max_completion_length, prompt_tokens)
        return Pieces({}, 1, 1)

    monkeypatch.setattr(
        layers, "small_policy", lambda shape, config, kind, layers, vocabulary: kind
    )
    monkeypatch.setattr(layers, "time_pieces", remember)
    for kind in ("cpu", "cuda"):
        layers._pieces(shape(), config(max_completion_length=1536), 512, kind, 1, 64)
    assert seen == {"cpu": (384, 128), "cuda": (1536, 512)}
    assert stopwatch.TOKENS["cuda"] >= 8192
    policy = small_policy(shape(), config(), "cpu", layers=1, vocabulary=64)
    many = config(num_generations=8, max_completion_length=80)
    assert len(stopwatch._trial_rows(policy, many, 100)[1]) == 5
    monkeypatch.setattr(stopwatch, "TOKENS", {"cpu": stopwatch.TOKENS["cuda"]})
    assert len(stopwatch._trial_rows(policy, many, 100)[1]) == 8


def test_a_gpus_trial_has_a_wide_range_and_says_that_it_is_assumed(here) -> None:
    pieces = {"rollout": 1.0, "logprobs": 1.0, "update": 2.0}
    near, wide = (from_trial(pieces, None, "a trial", kind) for kind in ("cpu", "cuda"))
    assert near.step == pytest.approx((None, 3.6, 5.4))
    limit, low, high = wide.step
    assert (limit, low <= 2.0, high >= 8.0) == (None, True, True)
    assert "no trial has been compared" in wide.source
    assert "compared" not in near.source


class Drawn:
    """An engine that draws nothing: it notes what it was asked, and its time is its own: much for a
    prompt, 1 + 0.1 a row for a token."""

    def __init__(self) -> None:
        self.now, self.asked, self.should_stop = 0.0, [], None

    def generate(self, prompts, rows, sampling, generator) -> None:
        self.asked.append((len(prompts[0]), rows))
        self.now += 1000 + len(self.asked)  # never the same twice
        for t in range(sampling.max_completion_length):
            self.now += (1 + 0.1 * rows) if t else 0
            assert self.should_stop() is False


def test_the_context_of_a_rollout_stays_and_its_rows_are_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From some rows to all of them without error, and without the prompts' forward in the
    difference."""
    engine = Drawn()

    def made(*args, should_stop, **options) -> Drawn:
        engine.should_stop = should_stop
        return engine

    monkeypatch.setattr(stopwatch, "make_engine", made)
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: engine.now)
    policy = small_policy(shape(), config(), "cpu", layers=1, vocabulary=64)
    many = config(rollout_engine="transformers", prompts_per_step=8, num_generations=8)
    found = stopwatch._rollout_seconds(policy, many, 80, 100)
    assert {rows for width, rows in engine.asked if width == 100} == {2048 // 100, 2048 // 100 // 2}
    assert max(rows for _, rows in engine.asked) == 2048 // 100
    assert found["token"] == pytest.approx(1 + 0.1 * 64)
    engine.asked.clear()
    assert stopwatch._rollout_seconds(policy, many.replace(rollout_engine="native"), 80, 100)[
        "token"
    ] == pytest.approx(1 + 0.1 * 64)
    assert {rows for width, rows in engine.asked if width == 100} == {64}


@pytest.mark.parametrize("engine", ["native", "transformers"])
def test_an_engine_asks_the_clock_before_every_token(engine: str) -> None:
    settings = config(rollout_engine=engine)
    policy = small_policy(shape(), settings, "cpu", layers=1, vocabulary=64)
    clock = stopwatch._Clock(policy.device)
    made = stopwatch.make_engine(engine, policy.model, (), 0, config=settings, should_stop=clock)
    counts = []
    for tokens in (3, 8):
        clock.times.clear()
        made.generate([[1, 2, 3]], 2, stopwatch.Sampling(tokens, 1.0, 0, 1.0), torch.Generator())
        counts.append(len(clock.times))
    assert counts[1] - counts[0] == 5
    assert counts[0] >= 3


def test_noise_of_two_timings_cannot_make_more_of_rows_than_each_had() -> None:
    assert of_all_rows(2.0, 1.5, 10, 40) == pytest.approx(2.0 + 30 * 0.1)
    assert of_all_rows(2.0, 2.1, 10, 40) == 2.0
    assert of_all_rows(2.0, 0.1, 10, 40) == pytest.approx(8.0)


def test_a_trial_needs_no_rates(here) -> None:
    """float16 on a CPU has none: the trial times it all the same, and no reason is None."""
    made = with_trial(plan(config(dtype="float16", lora_rank=4), shape(num_hidden_layers=4), here))
    assert made.seconds.limit is None
    assert made.seconds.trial is not None
    assert not any("Nothing was timed" in note for note in made.notes)
    assert "about" in seconds_words(made)
    assert made.to_dict()["seconds"]["step"]["limit"] is None


def test_weights_stored_in_four_bits_are_timed_so() -> None:
    model = Shape("small", shape().config, "a test", Stored("nf4"))
    model.config.quantization_config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    assert (
        small_policy(model, config(lora_rank=4), "cpu", layers=1, vocabulary=64).quantization
        == "nf4"
    )


def test_a_plan_takes_the_seconds_of_its_trial_or_says_why_it_has_none(here) -> None:
    timed = with_trial(plan(config(), shape(), here))
    assert timed.seconds.trial is not None
    _, low, high = timed.seconds.step
    assert 0 < low < sum(timed.seconds.trial.values()) < high
    assert "a trial on this machine" in str(timed)
    assert plan(config(), shape(), here).seconds.trial is None
    for made in (
        with_trial(plan(config(), shape(), device_named("T4"))),
        with_trial(plan(config(), shape(), cpu_without_rates())),
    ):
        assert "Nothing was timed" in made.notes[-1]
        assert made.seconds is None or made.seconds.trial is None
    assert "vLLM" in why_not(shape(), config(rollout_engine="vllm"), here)
    assert "gemma3_text" in why_not(shape("gemma3_text"), config(), here)
    crowded = replace(here, memory=10 * 2**20)
    too_large = with_trial(plan(config(), shape(), crowded, advice=False))
    assert too_large.fits is False
    assert "does not fit" in too_large.notes[-1]
