"""The losses of a reward model, by hand and against TRL's RewardTrainer."""

from __future__ import annotations

import math
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from workbench.rewards.model import bradley_terry_loss, label_loss


def f64(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_bradley_terry_is_the_log_likelihood_of_the_preferences() -> None:
    chosen = f64(2.0, 0.0, -1.0)
    rejected = f64(1.0, 0.0, 1.0)
    loss = bradley_terry_loss(chosen, rejected)
    expected = -(math.log(sigmoid(1)) + math.log(0.5) + math.log(sigmoid(-2))) / 3
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    # d/dr_chosen of -log sigmoid(d) is sigmoid(d) - 1; a third of it, of three pairs.
    torch.autograd.backward(loss)
    by_hand = [(sigmoid(d) - 1) / 3 for d in (1, 0, -2)]
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert chosen.grad.tolist() == pytest.approx(by_hand, abs=1e-12)
    assert rejected.grad.tolist() == pytest.approx([-g for g in by_hand], abs=1e-12)


def test_bradley_terry_does_not_overflow() -> None:
    loss = bradley_terry_loss(f64(-1000.0), f64(1000.0))
    assert loss.item() == pytest.approx(2000)


@pytest.mark.parametrize("centre", [None, 0.01])
def test_it_is_trls_loss_and_gradient(centre: float | None) -> None:
    from trl import RewardTrainer

    chosen = f64(2.0, 0.3, -1.0, 5.0)
    rejected = f64(1.0, 0.4, 1.0, -5.0)
    logits = torch.cat([chosen, rejected])[:, None]

    def model(**inputs: object) -> SimpleNamespace:
        return SimpleNamespace(logits=logits)

    model.training = False  # type: ignore[attr-defined]
    nothing = SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x)
    trainer = SimpleNamespace(
        model=model,
        accelerator=nothing,
        args=SimpleNamespace(center_rewards_coefficient=centre),
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
    )
    theirs = RewardTrainer.compute_loss(trainer, model, {})
    ours = bradley_terry_loss(chosen, rejected, centre or 0.0)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-14)
    gradients = [
        torch.autograd.grad(x, (chosen, rejected), retain_graph=True) for x in (theirs, ours)
    ]
    for their, our in zip(*gradients, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-12, atol=0)


def test_labels_may_be_shares() -> None:
    logit = f64(0.0, 2.0)
    loss = label_loss(logit, torch.tensor([0.25, 1.0], dtype=torch.float64))
    assert loss.item() == pytest.approx((math.log(2) - math.log(sigmoid(2))) / 2, abs=1e-12)
    torch.autograd.backward(loss)
    # Prediction less label, over two examples: nothing pulls once the share is met.
    assert logit.grad is not None
    assert logit.grad.tolist() == pytest.approx([0.25 / 2, (sigmoid(2) - 1) / 2], abs=1e-12)
