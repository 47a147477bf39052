"""Loss and gradient of one update on fixed tokens, ours and TRL's."""

from __future__ import annotations

import tempfile

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.methods import Batch, make_method
from workbench.policy import Policy
from workbench.rewards import RewardSet
from workbench.rollout.types import Rollout
from workbench.training.update import accumulate_gradient
from yardstick.cases import TUNED
from yardstick.ours import Numbers
from yardstick.prompts import arbitrary
from yardstick.theirs import plain_trainer


def our_gradient(policy: Policy, config: GRPOConfig, rollout: Rollout, advantages: Tensor) -> float:
    """The loss of one update over all rows; its gradient stays in the parameters."""
    config = one_update(config)
    batch = Batch(rollout, advantages, rollout.mask_BT)
    rows = torch.arange(len(rollout.mask_BT), device=policy.device)
    method = make_method(policy, config, RewardSet([arbitrary]))
    return accumulate_gradient(policy, method, batch, rows, config, 1)["loss"]


def one_update(config: GRPOConfig) -> GRPOConfig:
    """Without KL and with one update: what is left is what every case has in common."""
    return GRPOConfig(**config.to_dict() | {"updates_per_rollout": 1, "beta": 0.0})


def trls_gradient(
    policy: Policy,
    config: GRPOConfig,
    numbers: Numbers,
    rollout: Rollout,
    advantages: Tensor,
) -> float:
    """The same by TRL."""
    rows = [{"prompt": [{"role": "user", "content": "a"}], "answer": "1"}] * 4
    with tempfile.TemporaryDirectory() as out:
        trainer = plain_trainer(TUNED, policy, one_update(config), numbers, rows, out)
        trainer.model.train()
        # One pass makes up the whole update here.
        trainer.current_gradient_accumulation_steps = trainer.args.steps_per_generation
        group = rollout.num_generations
        inputs = {
            "prompt_ids": rollout.prompt_ids_NP.repeat_interleave(group, 0),
            "prompt_mask": rollout.prompt_mask_NP.repeat_interleave(group, 0).long(),
            "completion_ids": rollout.completion_ids_BT,
            "completion_mask": rollout.mask_BT.long(),
            "advantages": advantages,
            "num_items_in_batch": rollout.mask_BT.sum(),
        }
        loss = trainer.compute_loss(trainer.model, inputs)
        loss.backward()
    return float(loss.detach())


def gradients_apart(ours: Policy, theirs: Policy) -> float:
    """The largest relative difference of a parameter's gradient."""
    pairs = zip(ours.trainable_parameters(), theirs.trainable_parameters(), strict=True)
    return max(relative(own.grad, other.grad) for own, other in pairs)


def relative(one: Tensor | None, other: Tensor | None) -> float:
    """|one - other| / |other|; a gradient that is missing is 0 everywhere."""
    if one is None and other is None:
        return 0.0
    first = torch.zeros_like(other) if one is None else one  # type: ignore[arg-type]
    second = torch.zeros_like(first) if other is None else other
    size = float(second.norm())
    apart = float((first - second).norm())
    # An adapter's first factor has no gradient before its second one has moved.
    if size == 0:
        return 0.0 if apart == 0 else float("inf")
    return apart / size
