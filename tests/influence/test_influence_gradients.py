"""The parts of a gradient add up to it, and predict a real SGD step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from workbench.influence.gradients import Weights, flat, gradient_of, loss_weights, put_weights
from workbench.influence.kept_step import KeptStep
from workbench.influence.movement import adamw_movement
from workbench.influence.replay import Replay
from workbench.influence.updates import log_probabilities
from workbench.runs import Run
from workbench.training import Trainer, checkpoints
from workbench.training.update import update_totals

LOSSES = [
    dict(loss_type="grpo", beta=0.3),
    dict(loss_type="dapo", beta=0.0),
    dict(loss_type="cispo", epsilon_high=2.0),
    dict(importance_sampling_level="sequence", epsilon=0.05),
    dict(entropy_coef=0.02),
    dict(entropy_coef=0.02, top_entropy_quantile=0.5),
    dict(micro_batch_size=2, beta=0.1),
]


def replay_of(trainer: Trainer) -> Replay:
    return Replay(Run.open(trainer.out), trainer.policy, trainer.task)


def pushes_of(replay: Replay, step: KeptStep, rows_R: torch.Tensor) -> dict[int, torch.Tensor]:
    """Minus each answer's part of the gradient of an update."""
    totals = update_totals(replay.policy, step.method, step.batch, rows_R, step.config)
    weights = loss_weights(replay.policy, step.method, step.batch, rows_R, step.config, totals)
    return {
        row: gradient_of(replay.policy, step.batch.rollout, row, w, step.config.temperature)
        for row, w in weights.items()
    }


def total_gradient(replay: Replay, step: KeptStep, rows_R: torch.Tensor) -> torch.Tensor:
    """The gradient of an update as training makes it."""
    replay.gradient(step, rows_R)
    return flat(p.grad for p in replay.policy.trainable_parameters())


def apart(found_W: torch.Tensor, expected_W: torch.Tensor) -> float:
    """How far two gradients are apart, as a part of their length."""
    return float((found_W - expected_W).norm() / expected_W.norm())


def test_the_parts_add_up_to_the_gradient_of_every_loss(train: Callable[..., Trainer]) -> None:
    replay = replay_of(train(2, beta=0.1, num_iterations=2))
    kept = replay.kept(2)
    for changes in LOSSES:
        step = replace(kept, config=kept.config.replace(**changes))
        rows_R = torch.arange(9)
        pushes = pushes_of(replay, step, rows_R)
        gradient_W = total_gradient(replay, step, rows_R)
        assert float(gradient_W.norm()) > 1e-3
        assert apart(sum(pushes.values()), -gradient_W) < 1e-5, changes


def test_they_add_up_for_pairs_too(train: Callable[..., Trainer]) -> None:
    trainer = train(1, method="dpo", scale_rewards="none", beta=0.0)
    replay = replay_of(trainer)
    step = replay.kept(1)
    rows_R = torch.arange(9)
    pushes = pushes_of(replay, step, rows_R)
    assert apart(sum(pushes.values()), -total_gradient(replay, step, rows_R)) < 1e-5
    # Pairs are of groups with a difference: the dead group's answers are in none.
    assert pushes
    assert not pushes.keys() & {0, 1, 2}


def test_coefficients_are_those_of_the_record(train: Callable[..., Trainer]) -> None:
    trainer = train(1, updates_per_rollout=1, beta=0.1)
    trainer.restore(checkpoints.load(trainer.folder, 0))
    replay = replay_of(trainer)
    step = replay.kept(1)
    rows_R = torch.arange(9)
    totals = update_totals(replay.policy, step.method, step.batch, rows_R, step.config)
    weights = loss_weights(replay.policy, step.method, step.batch, rows_R, step.config, totals)
    recorded_BT = torch.as_tensor(replay.run.batch(1)["coefficient_BT"])
    for row, w in weights.items():
        torch.testing.assert_close(w.logp_T.float(), recorded_BT[row], rtol=1e-4, atol=1e-7)


def test_the_gram_matrix_predicts_a_real_sgd_step(train: Callable[..., Trainer]) -> None:
    """Ten times less learning rate is ten times less error, relative to the change."""
    replay = replay_of(train(1, updates_per_rollout=1, max_grad_norm=0))
    policy = replay.policy
    step = replay.kept(1)
    rows_R = torch.arange(9)
    pushes = pushes_of(replay, step, rows_R)
    temperature = step.config.temperature
    rollout = step.batch.rollout
    whole = [Weights(mask_T.double()) for mask_T in rollout.mask_BT]
    slopes = [gradient_of(policy, rollout, row, whole[row], temperature) for row in range(9)]
    gram_SM = torch.stack(list(pushes.values())) @ torch.stack(slopes).T
    start_W = flat(policy.trainable_parameters())
    before_B = log_probabilities(policy, step).sum(1)
    errors = []
    for rate in (1e-2, 1e-3, 1e-4):
        total_gradient(replay, step, rows_R)
        torch.optim.SGD(policy.trainable_parameters(), lr=rate).step()
        real_M = log_probabilities(policy, step).sum(1) - before_B
        put_weights(policy, start_W)
        predicted_M = rate * gram_SM.sum(0)
        errors.append(float((predicted_M - real_M).norm() / real_M.norm()))
    assert errors[0] < 0.2
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.3)
    assert errors[2] == pytest.approx(errors[1] / 10, rel=0.3)


def test_the_movement_is_that_of_adamw(train: Callable[..., Trainer]) -> None:
    """With moments, clipping and weight decay; and its parts are linear in the pushes."""
    trainer = train(2, max_grad_norm=0.05)
    replay = replay_of(trainer)
    replay.start_from(trainer.snapshot())
    step = replay.kept(2)
    gradient_W = total_gradient(replay, step, torch.arange(9))
    assert float(gradient_W.norm()) > 0.05
    movement = adamw_movement(replay.policy, replay.optimizer, gradient_W, step.config)
    start_W = flat(replay.policy.trainable_parameters()).clone()
    replay.move(step, {})
    moved_W = flat(replay.policy.trainable_parameters()) - start_W
    torch.testing.assert_close(movement.of(-gradient_W, start_W), moved_W, rtol=1e-9, atol=1e-14)
    nothing_W = torch.zeros_like(gradient_W)
    by_this_W = movement.of(-gradient_W, start_W) - movement.of(nothing_W, start_W)
    torch.testing.assert_close(by_this_W, -movement.rate_W * movement.gain * gradient_W)
