"""The gradient and the figures of an update do not depend on the pieces that it is cut into."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from ragged import SIZE, in_double, rollout_of
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from workbench.config import LOSSES, ConfigError, GRPOConfig
from workbench.methods import Batch, make_method
from workbench.policy import apart
from workbench.policy.pieces import micro_batches
from workbench.policy.policy import Policy
from workbench.rewards import RewardSet
from workbench.rollout.types import Rollout
from workbench.training.update import accumulate_gradient

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")

Update = tuple[Batch, GRPOConfig]


@pytest.fixture(scope="module")
def policy() -> Policy:
    torch.manual_seed(0)
    return Policy(in_double(LlamaForCausalLM(LlamaConfig(**SIZE)).eval()), None, "", (0,), 0)


def batch_of(rollout: Rollout, dropped: list[int]) -> Batch:
    """Made-up log-probabilities near those of a policy that knows nothing, some rows left out of
    the loss, one group dead."""
    g = torch.Generator().manual_seed(len(rollout.mask_BT))
    shape = rollout.mask_BT.shape

    def near() -> Tensor:
        noise = 0.2 * torch.randn(shape, generator=g, dtype=torch.float64)
        return torch.where(rollout.mask_BT, noise - 3.9, 0.0)

    mask_BT = rollout.mask_BT.clone()
    mask_BT[dropped] = False
    advantages = torch.randn(shape[0], generator=g, dtype=torch.float64)
    advantages[: rollout.num_generations] = 0.0
    return Batch(rollout, advantages, mask_BT, near(), near(), near())


@st.composite
def updates(draw: st.DrawFn) -> Update:
    prompts = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    group = draw(st.integers(2, 4))
    size = len(prompts) * group
    rollout = rollout_of(prompts, draw(st.lists(st.integers(1, 9), min_size=size, max_size=size)))
    loss = draw(st.sampled_from(sorted(LOSSES)))
    options: dict[str, Any] = dict(
        loss_type=loss,
        importance_sampling_level=draw(st.sampled_from(["token", "sequence"])),
        top_entropy_quantile=draw(st.sampled_from([1.0, 0.4])),
        entropy_coef=draw(st.sampled_from([0.0, 0.3])),
        beta=draw(st.sampled_from([0.0, 0.1])),
        epsilon_high=1.1 if LOSSES[loss].caps else None,
        clip_cov_min=0.001,
        prompts_per_step=len(prompts),
        num_generations=group,
        updates_per_rollout=1,
    )
    try:
        config = GRPOConfig(**options)
    except ConfigError:
        reject()
    rows = st.integers(0, size - 1)
    return batch_of(rollout, draw(st.lists(rows, max_size=3))), config


def gradient_of(
    policy: Policy, batch: Batch, config: GRPOConfig
) -> tuple[Tensor, dict[str, float]]:
    method = make_method(policy, config, RewardSet("format"))
    rows_R = torch.arange(len(batch.loss_mask_BT))
    figures = accumulate_gradient(policy, method, batch, rows_R, config, 1)
    grads = [p.grad.flatten() for p in policy.trainable_parameters() if p.grad is not None]
    return torch.cat(grads), figures


@pytest.mark.parametrize("no_mask_beyond", [0, apart.MASK_UP_TO])
def test_gradient_and_figures_are_those_of_the_update_in_one(
    policy: Policy, no_mask_beyond: int
) -> None:
    counts = []

    @settings(max_examples=150, deadline=None)
    @given(updates(), st.integers(1, 80))
    def holds(update: Update, budget: int) -> None:
        batch, config = update
        whole_W, whole = gradient_of(policy, batch, config.replace(micro_batch_tokens=10**6))
        config = config.replace(micro_batch_tokens=budget)
        rows_R = torch.arange(len(batch.loss_mask_BT))
        counts.append(len(micro_batches(policy.model, batch.rollout, rows_R, config)))
        found_W, found = gradient_of(policy, batch, config)
        scale = float(whole_W.abs().max().clamp(min=1e-6))
        assert float((found_W - whole_W).abs().max()) < 1e-9 * scale
        assert found == pytest.approx(whole, rel=1e-9, abs=1e-12)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "MASK_UP_TO", no_mask_beyond)
        holds()
    assert max(counts) > 3
