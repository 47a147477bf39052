"""Two processes compute what one does: gradients, weights, tokens, record, random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers import weights_of
from torch import Tensor

from workbench.config import LOSSES
from workbench.training import Trainer
from workbench.training.tornado.branch import own_copy

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")

Make = Callable[..., Trainer]
FIRST, LATER, WEIGHTS = 2e-5, 2e-3, 1e-6
"""Largest relative differences of the gradient of the first update and of later ones, and of the
weights: sums of float32 numbers in another order. Of a random policy's rows most cancels in the
gradient, which leaves the noise large beside it, and AdamW's first moves are as large where a
gradient is all but 0. A wrong denominator is above 1e-2 (test_totals.py)."""


def flat(tensors: dict[str, Tensor]) -> Tensor:
    return torch.cat([t.flatten().double() for t in tensors.values()])


def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / a.norm().clamp(min=1e-30))


def watched(trainer: Trainer) -> list[Tensor]:
    """The gradient of each update, as it is before the weights move."""
    seen: list[Tensor] = []
    move = trainer.move

    def moving(config: Any) -> dict[str, float]:
        seen.append(
            torch.cat([p.grad.flatten().double() for p in trainer.policy.trainable_parameters()])
        )
        return move(config)

    trainer.move = moving  # type: ignore[method-assign]
    return seen


def same_step(one: Trainer, two: Trainer) -> list[str]:
    """Makes a step of each and says in what they differ."""
    gradients = watched(one), watched(two)
    a, b = one.step(), two.step()
    found = []
    if list(a.samples.completions) != list(b.samples.completions):
        found.append("the completions")
    if not torch.equal(one.generator.get_state(), two.generator.get_state()):
        found.append("where the generator came to")
    for number, (x, y) in enumerate(zip(*gradients, strict=True), 1):
        if (d := difference(x, y)) > (FIRST if number == 1 else LATER):
            found.append(f"the gradient of update {number} by {d:.1e}")
    if (d := difference(flat(weights_of(one)), flat(weights_of(two)))) > WEIGHTS:
        found.append(f"the weights by {d:.1e}")
    if odd := set(a.metrics) ^ set(b.metrics):
        found.append(f"which metrics there are: {odd}")
    for name, value in a.metrics.items():
        is_time = name.startswith("seconds/")
        if not is_time and b.metrics.get(name) != pytest.approx(value, rel=1e-3, abs=2e-5):
            found.append(f"{name}: {value} and {b.metrics.get(name)}")
    for name, x in a.tokens.floats.items():
        y = b.tokens.floats[name]
        if x.shape != y.shape or not np.allclose(x, y, rtol=1e-3, atol=2e-5, equal_nan=True):
            found.append(f"{name} of the tokens")
    return found


def test_every_loss(make: Make) -> None:
    settings = dict(max_steps=40, beta=0.04, save_steps=100, max_resample=1)
    settings |= dict(curriculum="pass_rate", eval_samples=2, eval_samples_steps=20)
    one, two = (make(n, f"run-{n}", **settings) for n in (1, 2))
    asked = [trainer.evaluate_with_samples(0)[0].answers for trainer in (one, two)]
    assert asked[0] == asked[1]
    kinds = [{"loss_type": loss} for loss in LOSSES]
    # Cispo has no bound without it.
    one.knobs.set(epsilon_high=5.0)
    two.knobs.set(epsilon_high=5.0)
    kinds += [
        {"loss_type": "dapo", "top_entropy_quantile": 0.3},
        {"beta": 0.0, "top_entropy_quantile": 1.0},
        {"scale_rewards": "batch", "mask_truncated_completions": True},
    ]
    odd = {}
    for kind in kinds:
        # Each case from the same state: what is compared is one step.
        two.restore(own_copy(one.snapshot()))
        for trainer in (one, two):
            trainer.knobs.set(**kind)
        if found := same_step(one, two):
            odd[str(kind)] = found
    assert not odd


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_an_adapter(make: Make, quantization: str) -> None:
    settings = dict(lora_rank=4, quantization=quantization, beta=0.04, num_iterations=2)
    one, two = (make(n, f"run-{n}", **settings) for n in (1, 2))
    assert not same_step(one, two)
    assert one.reference.kind == two.reference.kind == "adapter"
