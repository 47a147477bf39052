"""How a batch is cut: the same loss, gradient and figures whatever the micro-batches are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from workbench.config import LOSSES, GRPOConfig
from workbench.objective import (
    LossBatch,
    merge_metrics,
    rows_with_gradient,
    totals_of,
    updates_of,
)

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")

B, T = 16, 6


def batch_of(seed: int = 0) -> LossBatch:
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logp_BT = -noise(B, T).abs()
    length_B = torch.randint(1, T + 1, (B,), generator=generator)
    return LossBatch(
        logp=logp_BT.requires_grad_(),
        advantages=noise(B),
        mask=torch.arange(T) < length_B[:, None],
        old_logp=logp_BT.detach() + 0.1 * noise(B, T),
        ref_logp=logp_BT.detach() + 0.3 * noise(B, T),
        sampler_logp=logp_BT.detach() + 0.1 * noise(B, T),
        entropy=noise(B, T).abs(),
    )


def config_of(loss_type: str, **changes) -> GRPOConfig:
    cap = 1.1 if LOSSES[loss_type].caps else None
    return GRPOConfig(
        **dict(
            loss_type=loss_type,
            epsilon_high=cap,
            epsilon=0.05,
            beta=0.1,
            prompts_per_step=4,
            num_generations=4,
            updates_per_rollout=2,
            max_completion_length=T,
            clip_cov_ratio=0.1,
            clip_cov_min=0.2,
            kl_cov_ratio=0.1,
        )
        | changes
    )


def gradient_of(batch: LossBatch, config: GRPOConfig) -> tuple[torch.Tensor, list[dict]]:
    """d loss / d logp over all updates, and the metrics of each."""
    losses, metrics = [], []
    for rows in updates_of(config, torch.device("cpu")):
        totals = totals_of(batch.mask, rows, config, batch.entropy[rows])
        if LOSSES[config.loss_type].selects:
            chosen_BT = torch.zeros_like(batch.mask)
            chosen_BT[rows] = batch.rows(rows).select(config)
            batch = replace(batch, selected=chosen_BT)
        parts = rows.split(config.micro_batch_size or len(rows))
        found = [batch.rows(part).loss(config, totals) for part in parts]
        losses += [one.loss for one in found]
        metrics.append(merge_metrics([one.metrics for one in found]))
    (gradient_BT,) = torch.autograd.grad(torch.stack(losses).sum(), batch.logp)
    return gradient_BT, metrics


@pytest.mark.parametrize("loss_type", LOSSES)
@pytest.mark.parametrize("quantile", [1.0, 0.4])
def test_the_result_does_not_depend_on_the_micro_batches(loss_type: str, quantile: float) -> None:
    if loss_type == "gmpo" and quantile < 1:
        return  # which the config refuses
    batch = batch_of()
    whole = config_of(loss_type, top_entropy_quantile=quantile)
    expected_BT, expected = gradient_of(batch, whole)
    for size in (1, 3, 7):
        found_BT, found = gradient_of(batch, whole.replace(micro_batch_size=size))
        torch.testing.assert_close(found_BT, expected_BT, rtol=1e-10, atol=1e-14)
        for one, other in zip(found, expected, strict=True):
            assert one == pytest.approx(other, rel=1e-10)


def test_a_threshold_of_each_micro_batch_would_change_the_result() -> None:
    """What the common threshold is for (and what TRL does)."""
    batch = batch_of()
    config = config_of("dapo", top_entropy_quantile=0.4, micro_batch_size=3)
    (rows, _) = updates_of(config, torch.device("cpu"))
    common = totals_of(batch.mask, rows, config, batch.entropy[rows])
    own = totals_of(batch.mask, rows, config)
    part = batch.rows(rows[:3])
    assert own.entropy_threshold is None
    assert part.loss(config, common).loss != part.loss(config, own).loss


def test_the_share_is_kept_of_the_tokens_that_count() -> None:
    batch = batch_of()
    config = config_of("dapo", top_entropy_quantile=0.4)
    rows = torch.arange(B)
    totals = totals_of(batch.mask, rows, config, batch.entropy)
    kept = (batch.entropy >= totals.entropy_threshold)[batch.mask]
    assert float(kept.double().mean()) == pytest.approx(0.4, abs=1 / len(kept))


def test_rows_that_cannot_move_the_policy_are_left_out() -> None:
    mask_BT = torch.ones(4, 2, dtype=torch.bool)
    mask_BT[3] = False
    advantages_B = torch.tensor([1.0, 0.0, -1.0, 1.0])
    rows = torch.arange(4)

    def kept(advantages: torch.Tensor, **changes) -> list[int]:
        return rows_with_gradient(mask_BT, advantages, rows, config_of("dapo", **changes)).tolist()

    assert kept(advantages_B, beta=0.0) == [0, 2]
    assert kept(advantages_B) == [0, 1, 2]
    assert kept(advantages_B, top_entropy_quantile=0.5) == [0, 1, 2, 3]
    per_token_BT = torch.stack([torch.zeros(4), advantages_B], 1)
    assert kept(per_token_BT, beta=0.0) == [0, 2]


def test_rows_of_a_batch_keep_what_is_unknown_unknown() -> None:
    batch = LossBatch(torch.zeros(4, 2), torch.ones(4), torch.ones(4, 2))
    part = batch.rows(torch.tensor([2, 0]))
    assert part.logp.shape == (2, 2)
    assert part.old_logp is None
    assert part.entropy is None
