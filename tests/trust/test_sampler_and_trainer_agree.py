"""On a CPU in float32 the sampler and the trainer agree: trainer at one batch size = trainer at
another, trainer = prefill, prefill = decode. To the bit where both give the kernels the same
shapes; elsewhere to the rounding of a sum in another order, and with no drift to one side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rollout.tiny_models import EOS, PAD, build, full_forward_logp, ragged_prompts
from torch import Tensor
from trust.drift import ROUNDING, assert_rounding_alone, drift_of

from workbench.policy import apart, load_policy, packing
from workbench.policy.logprobs import completion_logps
from workbench.rollout.native import NativeEngine
from workbench.rollout.types import Rollout, Sampling
from workbench.runs import Run
from workbench.tasks.arithmetic import arithmetic_task

NAMES = ("embedded", "llama", "qwen2", "qwen3", "gpt2")
TEMPERATURE = 1.3
WAYS = {"row by row": (0, 10**9), "packed": (10**6, 10**9), "in one row": (0, 0)}
"""LONGEST_ROW and MASK_UP_TO under which completions take each way (`policy/ways.py`)."""
SIZES = (1, 2, 4, 7, None)


@pytest.fixture(scope="module", params=NAMES)
def sampled(request: pytest.FixtureRequest) -> tuple[Any, Rollout]:
    """A model, and completions of it of many lengths, as the native engine gives them."""
    if request.param == "embedded":
        policy = load_policy("embedded")
        questions = [problem.question for problem in list(arithmetic_task(0, 16, 8).train)[:5]]
        prompts = [policy.encode_prompt([{"role": "user", "content": q}]) for q in questions]
        model, ends, padding, tokens = policy.model, policy.eos_token_ids, policy.pad_token_id, 40
    else:
        model, ends, padding, tokens = build(request.param), EOS, PAD, 16
        prompts = ragged_prompts()
    rollout = NativeEngine(model, ends, padding).generate(
        prompts, 8, Sampling(tokens, temperature=TEMPERATURE), torch.Generator().manual_seed(0)
    )
    assert len(rollout.lengths_B.unique()) > 3
    return model, rollout


@pytest.fixture
def trainer_logps(
    sampled: tuple[Any, Rollout], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, int | None], Tensor]:
    """(B, T) as the trainer computes them, so many completions at once, in one of the ways."""
    model, rollout = sampled

    def logps(way: str, size: int | None) -> Tensor:
        monkeypatch.setattr(packing, "LONGEST_ROW", WAYS[way][0])
        monkeypatch.setattr(apart, "MASK_UP_TO", WAYS[way][1])
        rows = torch.arange(len(rollout.mask_BT))
        with torch.no_grad():
            parts = [
                completion_logps(model, rollout, part, TEMPERATURE)[0]
                for part in rows.split(size or len(rows))
            ]
        return torch.cat(parts)

    return logps


def test_the_trainer_at_one_batch_size_is_the_trainer_at_another(
    sampled: tuple[Any, Rollout], trainer_logps: Callable[[str, int | None], Tensor]
) -> None:
    mask = sampled[1].mask_BT
    alone = trainer_logps("row by row", 1)
    # The same shapes: to the bit, whatever the way is called, and again when asked again.
    assert torch.equal(alone, trainer_logps("row by row", 1))
    assert torch.equal(alone, trainer_logps("packed", 1))
    for way in WAYS:
        for size in SIZES:
            assert_rounding_alone(trainer_logps(way, size), alone, mask)


def test_the_trainer_is_the_prefill(
    sampled: tuple[Any, Rollout], trainer_logps: Callable[[str, int | None], Tensor]
) -> None:
    """A forward of prompt and completion without batch, padding, cache or sharing."""
    model, rollout = sampled
    prefill = full_forward_logp(model, rollout, TEMPERATURE)
    for way in WAYS:
        assert_rounding_alone(trainer_logps(way, None), prefill, rollout.mask_BT)


def test_the_prefill_is_the_decoding(sampled: tuple[Any, Rollout]) -> None:
    """What the sampler recorded token by token, over its cache."""
    model, rollout = sampled
    prefill = full_forward_logp(model, rollout, TEMPERATURE)
    assert_rounding_alone(rollout.sampler_logp_BT, prefill, rollout.mask_BT)


def test_a_drift_below_the_tolerance_is_caught() -> None:
    """The test of the test: differences of both signs pass, the same ones turned one way do not."""
    random = torch.Generator().manual_seed(0)
    noise = 5e-7 * torch.randn(400, generator=random, dtype=torch.float64)
    truth = -torch.rand(400, generator=random, dtype=torch.float64)
    assert_rounding_alone(truth + noise, truth)
    shifted = truth + noise + 5e-7
    assert float((shifted - truth).abs().max()) < ROUNDING
    with pytest.raises(AssertionError, match="one-sided"):
        assert_rounding_alone(shifted, truth)


def test_a_large_vocabulary_is_summed_with_a_known_bias() -> None:
    """torch's float32 log-softmax on a CPU leaves a part of 150,000 small terms out, so that each
    log-probability is too high by 5e-6; the sampler's, which sums blocks in float64, is not. Far
    below what moves a clip range, and no accident: it points one way."""
    logits = 6 * torch.randn(48, 151_936, generator=torch.Generator().manual_seed(0))
    exact = logits.double().log_softmax(-1)
    mean, _ = drift_of(logits.log_softmax(-1) - exact)
    assert abs(mean) < 2e-5


CLASSES: dict[str, dict[str, Any]] = {
    "micro-batches of 1": dict(micro_batch_size=1),
    "micro-batches of 2": dict(micro_batch_size=2),
    "micro-batches of 4": dict(micro_batch_size=4),
    "micro-batches by tokens": dict(micro_batch_tokens=90),
    "plain rows": dict(way="row by row"),
    "one row": dict(way="in one row"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_equivalent_settings_give_one_trajectory(
    make_trainer: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    steps = dict(max_steps=3, learning_rate=1e-4)
    changes = dict(CLASSES[name])
    plain = make_trainer("plain", **steps)
    for _ in range(3):
        plain.step()
    if way := changes.pop("way", None):
        monkeypatch.setattr(packing, "LONGEST_ROW", WAYS[way][0])
        monkeypatch.setattr(apart, "MASK_UP_TO", WAYS[way][1])
    other = make_trainer("other", **steps, **changes)
    for _ in range(3):
        other.step()
    a, b = Run.open(tmp_path / "plain"), Run.open(tmp_path / "other")
    found = []
    for step in (1, 2, 3):
        mine, theirs = a.tokens(step), b.tokens(step)
        assert mine["id"].tolist() == theirs["id"].tolist(), f"other tokens in step {step}"
        found.append(torch.tensor((mine["logp"] - theirs["logp"]).tolist()))
    difference = torch.cat(found)
    # Adam divides by the size of a gradient, so that what is rounding there moves a weight by a
    # part of the learning rate; it stays without a direction.
    assert float(difference.abs().max()) < 2e-4
    mean, errors = drift_of(difference)
    assert abs(mean) < 1e-6 or abs(errors) < 4, (mean, errors)
    losses = [run.steps()["loss"].tolist() for run in (a, b)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


@pytest.mark.parametrize("engine", ["native", "transformers"])
def test_either_engine_records_what_the_trainer_computes(
    make_trainer: Callable[..., Any], tmp_path: Path, engine: str
) -> None:
    """They draw with other random numbers, so the trajectories differ; what each says of its own
    tokens does not."""
    trainer = make_trainer("run", rollout_engine=engine, max_steps=3, learning_rate=1e-3)
    for _ in range(3):
        trainer.step()
    run = Run.open(tmp_path / "run")
    pairs = [run.tokens(step)[["sampler_logp", "old_logp"]] for step in (1, 2, 3)]
    sampler, trained = (
        torch.cat([torch.tensor(pair[name].tolist()) for pair in pairs])
        for name in ("sampler_logp", "old_logp")
    )
    assert_rounding_alone(sampler, trained)
