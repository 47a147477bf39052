"""Why gradients are summed, with the totals of the whole update: in float64, for every loss type.

The naive way, each process with its own totals and the mean of their gradients, is right only where
no denominator depends on lengths.
"""

from __future__ import annotations

import pytest
import torch
from ragged import SIZE, in_double, rollout_of
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from workbench.config import LOSSES, GRPOConfig
from workbench.methods import Batch, make_method
from workbench.objective import BatchTotals, totals_of
from workbench.policy.logprobs import logps_and_entropies
from workbench.policy.policy import Policy
from workbench.rewards import RewardSet
from workbench.training.update import gradient_of, totals_looked_at

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")

SHARES = [torch.arange(3), torch.arange(3, 6)]


@pytest.fixture(scope="module")
def policy() -> Policy:
    torch.manual_seed(0)
    return Policy(in_double(LlamaForCausalLM(LlamaConfig(**SIZE)).eval()), None, "", (0,), 0)


def a_batch() -> Batch:
    """Two groups of unlike lengths."""
    rollout = rollout_of([3, 5], [2, 3, 2, 9, 7, 8])
    g = torch.Generator().manual_seed(0)
    old, ref = (
        torch.where(rollout.mask_BT, torch.rand(rollout.mask_BT.shape, generator=g) - 4.4, 0.0)
        for _ in range(2)
    )
    advantages = torch.tensor([1.0, -1.0, 0.5, 1.5, -0.5, -1.0], dtype=torch.float64)
    return Batch(rollout, advantages, rollout.mask_BT, old.double(), old.double(), ref.double())


def of_loss(loss: str) -> GRPOConfig:
    return GRPOConfig(
        prompts_per_step=2,
        num_generations=3,
        updates_per_rollout=1,
        loss_type=loss,
        epsilon_high=5.0,
        beta=0.04,
    )


def gradient(
    policy: Policy, batch: Batch, rows_R: Tensor, config: GRPOConfig, totals: BatchTotals
) -> Tensor:
    method = make_method(policy, config, RewardSet("answer"))
    gradient_of(policy, method, batch, rows_R, rows_R[:0], config, totals, 1)
    return torch.cat([p.grad.flatten() for p in policy.trainable_parameters()])


def whole_totals(policy: Policy, batch: Batch, config: GRPOConfig) -> BatchTotals:
    rows_R = torch.arange(6)
    looked = logps_and_entropies(policy.model, batch.rollout, config, rows_R)
    return totals_looked_at(batch, rows_R, *looked, config)


def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / a.norm())


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_the_shares_of_an_update_add_up_to_it(policy: Policy, loss: str) -> None:
    config, batch = of_loss(loss), a_batch()
    totals = whole_totals(policy, batch, config)
    whole = gradient(policy, batch, torch.arange(6), config, totals)
    shares = [gradient(policy, batch, own_R, config, totals) for own_R in SHARES]
    assert difference(whole, sum(shares)) < 1e-12


@pytest.mark.parametrize(
    ("loss", "is_right"),
    [("grpo", True), ("dr_grpo", True), ("dapo", False), ("bnpo", False), ("cispo", False)],
)
def test_the_mean_over_processes_with_their_own_totals_is_another_gradient(
    policy: Policy, loss: str, is_right: bool
) -> None:
    config, batch = of_loss(loss), a_batch()
    totals = whole_totals(policy, batch, config)
    whole = gradient(policy, batch, torch.arange(6), config, totals)
    own = [totals_of(batch.loss_mask_BT[own_R], torch.arange(3), config) for own_R in SHARES]
    naive = sum(
        gradient(policy, batch, own_R, config, totals)
        for own_R, totals in zip(SHARES, own, strict=True)
    )
    assert (difference(whole, naive / 2) < 1e-12) == is_right
    if not is_right:
        assert difference(whole, naive / 2) > 0.05
