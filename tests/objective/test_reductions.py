"""Every row of the table of reductions by hand, and micro-batches that add up to the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.config import LOSS_TYPES, LOSSES, GRPOConfig
from workbench.config.losses import LOSS_REDUCTIONS
from workbench.objective import (
    BatchTotals,
    LossBatch,
    entropy_threshold,
    merge_metrics,
    policy_loss,
    tokens_of_groups,
)

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")

MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
ADVANTAGES = torch.tensor([1.0, -3.0, 7.0], dtype=torch.float64)


def make_config(loss_type: str, **values: Any) -> GRPOConfig:
    high = 5.0 if loss_type == "cispo" else None
    return GRPOConfig(
        loss_type=loss_type,
        **({"epsilon_high": high, "max_completion_length": 8, "beta": 0.0} | values),
    )


def on_policy_gradient(loss_type: str, num_items: Any = None) -> Tensor:
    """-A times the weight that the reduction gives to each token; the third row is masked out."""
    logp = torch.full((3, 4), -1.0, dtype=torch.float64, requires_grad=True)
    out = policy_loss(logp, ADVANTAGES, MASK, make_config(loss_type), num_items=num_items)
    return torch.autograd.grad(out.loss, logp)[0]


def expected(per_token_row_1: float, per_token_row_2: float) -> Tensor:
    weights = torch.tensor(
        [[per_token_row_1] * 4, [per_token_row_2, 0, 0, 0], [0] * 4], dtype=torch.float64
    )
    return -ADVANTAGES[:, None] * weights


WEIGHTS_BY_HAND = [
    ("grpo", 1 / 4 / 3, 1 / 3),  # mean over 3 sequences of the mean over their tokens
    ("sapo", 1 / 4 / 3, 1 / 3),
    ("bnpo", 1 / 5, 1 / 5),  # mean over 5 tokens
    ("dapo", 1 / 5, 1 / 5),
    ("cispo", 1 / 5, 1 / 5),
    ("vespo", 1 / 5, 1 / 5),
    ("reinforce", 1 / 5, 1 / 5),
    ("dppo_tv", 1 / 5, 1 / 5),
    ("dppo_kl", 1 / 5, 1 / 5),
    ("clip_cov", 1 / 5, 1 / 5),
    ("kl_cov", 1 / 5, 1 / 5),
    ("gmpo", 1 / 4 / 3, 1 / 3),
    ("dr_grpo", 1 / 24, 1 / 24),  # 3 sequences x max_completion_length 8
    ("luspo", 1 / 3, 1 / 3),  # mean over 3 sequences of the sum over their tokens
]
"""What a token of the first and of the second row weighs, worked out with pencil and paper."""


def test_every_loss_has_its_weights_by_hand() -> None:
    assert {loss_type for loss_type, _, _ in WEIGHTS_BY_HAND} == set(LOSS_TYPES)


@pytest.mark.parametrize(("loss_type", "row_1", "row_2"), WEIGHTS_BY_HAND)
def test_what_one_token_weighs(loss_type: str, row_1: float, row_2: float) -> None:
    torch.testing.assert_close(
        on_policy_gradient(loss_type), expected(row_1, row_2), rtol=1e-14, atol=0
    )


def test_prompt_mean_weighs_prompts_alike_and_tokens_of_a_group_alike() -> None:
    """DAPO's eq. 8 with two prompts of two completions: 4 + 1 tokens, and 2 + 0."""
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]).bool()
    logp = torch.full((4, 4), -1.0, dtype=torch.float64, requires_grad=True)
    config = make_config("dapo", loss_reduction="prompt_mean", num_generations=2)
    out = policy_loss(logp, torch.ones(4, dtype=torch.float64), mask, config)
    weight_B = torch.tensor([1 / 5 / 2, 1 / 5 / 2, 1 / 2 / 2, 0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(out.loss, logp)
    torch.testing.assert_close(gradient, -weight_B[:, None] * mask, rtol=1e-14, atol=0)
    ones_B = torch.ones(4, dtype=torch.float64)
    batch_mean = policy_loss(logp, ones_B, mask, config.replace(loss_reduction=None)).loss
    (by_batch,) = torch.autograd.grad(batch_mean, logp)
    torch.testing.assert_close(by_batch, -mask.double() / 7)


def test_with_one_prompt_prompt_mean_is_the_mean_over_the_batch() -> None:
    x = batch()
    config = make_config("dapo", num_generations=8)
    by_prompt = config.replace(loss_reduction="prompt_mean")
    whole = slice(0, 8)
    torch.testing.assert_close(
        loss_of(x, by_prompt, whole, None).loss, loss_of(x, config, whole, None).loss
    )


def test_rows_that_cut_a_group_must_say_how_long_it_is() -> None:
    config = make_config("dapo", loss_reduction="prompt_mean", num_generations=4)
    with pytest.raises(ValueError, match="3 completions, which are no whole groups"):
        loss_of(batch(), config, slice(0, 3), None)


@pytest.mark.parametrize("num_items", [20, torch.tensor(20)])
def test_a_number_of_items_is_read_by_the_mean_over_the_batch(num_items: int | Tensor) -> None:
    for loss_type in LOSS_TYPES:
        plain, counted = on_policy_gradient(loss_type), on_policy_gradient(loss_type, num_items)
        factor = 5 / 20 if LOSSES[loss_type].reduction == "token_mean" else 1
        torch.testing.assert_close(counted, plain * factor, msg=loss_type)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_batch_totals_are_read_by_all(loss_type: str) -> None:
    assert torch.equal(
        on_policy_gradient(loss_type, BatchTotals.of(MASK)), on_policy_gradient(loss_type)
    )
    doubled = on_policy_gradient(loss_type, BatchTotals(sequences=6, tokens=10))
    torch.testing.assert_close(doubled, on_policy_gradient(loss_type) / 2)


def batch(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    lengths = torch.tensor([6, 1, 3, 0, 5, 6, 2, 4])
    logp = normal(8, 6) - 2
    return {
        "logp": logp,
        "advantages": normal(8),
        "mask": torch.arange(6) < lengths[:, None],
        "old_logp": logp + 0.3 * normal(8, 6),
        "ref_logp": logp + 0.3 * normal(8, 6),
        "sampler_logp": logp + 0.3 * normal(8, 6),
        "entropy": normal(8, 6).abs(),
    }


def loss_of(x: dict[str, Tensor], config: GRPOConfig, rows: slice, num_items: Any) -> Any:
    return policy_loss(
        config=config, num_items=num_items, **{name: value[rows] for name, value in x.items()}
    )


REDUCED = [
    *(dict(loss_type=name) for name in LOSS_TYPES),
    *(dict(loss_type="dapo", loss_reduction=name) for name in LOSS_REDUCTIONS),
]
"""Every loss with its own reduction, and every reduction."""


@pytest.mark.parametrize("sizes", [[4, 4], [1, 4, 3], [7, 1], [1] * 8])
@pytest.mark.parametrize("reduced", REDUCED)
def test_micro_batches_add_up(reduced: dict[str, str], sizes: list[int]) -> None:
    """Uneven splits, a micro-batch without any token among them; loss, gradient and metrics."""
    loss_type = reduced["loss_type"]
    config = make_config(
        **reduced,
        num_generations=4,
        beta=0.1,
        clip_cov_ratio=0.1,
        clip_cov_min=0.2,
        kl_cov_ratio=0.1,
        importance_sampling_mode="token_truncate",
        off_policy_mask_threshold=0.1,
        top_entropy_quantile=1.0 if loss_type in ("vespo", "gmpo") else 0.5,
        importance_sampling_level="sequence" if loss_type == "luspo" else "token",
    )
    x = batch() | {"group_tokens": tokens_of_groups(batch()["mask"], 4)}
    if LOSSES[loss_type].selects:
        x["selected"] = LossBatch(x["logp"], x["advantages"], x["mask"], x["old_logp"]).select(
            config
        )
    threshold = entropy_threshold(x["entropy"], x["mask"], 0.5)
    totals = BatchTotals(sequences=8, tokens=int(x["mask"].sum()), entropy_threshold=threshold)
    x["logp"].requires_grad_()
    whole = loss_of(x, config, slice(0, 8), None)
    (gradient,) = torch.autograd.grad(whole.loss, x["logp"])
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    parts = [
        loss_of(x, config, slice(i, i + n), totals) for i, n in zip(starts, sizes, strict=True)
    ]
    summed = sum(part.loss for part in parts)
    torch.testing.assert_close(summed, whole.loss, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(
        torch.autograd.grad(summed, x["logp"])[0], gradient, rtol=1e-13, atol=1e-15
    )
    merged = merge_metrics([part.metrics for part in parts])
    assert merged == pytest.approx(
        {name: float(value) for name, value in whole.metrics.items()}, rel=1e-12
    )


def test_without_totals_micro_batches_do_not_add_up() -> None:
    """The check above can fail: this is the error that it guards against."""
    x, config = batch(), make_config("dapo")
    parts = [loss_of(x, config, rows, None).loss for rows in (slice(0, 1), slice(1, 8))]
    whole = loss_of(x, config, slice(0, 8), None).loss
    assert abs(float(sum(parts) - whole)) > 0.1 * abs(float(whole))


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_a_batch_without_tokens_has_loss_zero(loss_type: str) -> None:
    logp = torch.full((2, 3), -1.0, requires_grad=True)
    out = policy_loss(
        logp,
        torch.ones(2),
        torch.zeros(2, 3),
        make_config(loss_type),
        ref_logp=logp.detach() - 1,
        num_items=0,
    )
    assert float(out.loss.detach()) == 0
    assert not torch.autograd.grad(out.loss, logp)[0].any()
    assert all(value.isfinite() for value in out.metrics.values())
    assert merge_metrics([out.metrics, out.metrics])["sequences"] == 4


def test_figures_of_pairs_are_weighed_by_pairs() -> None:
    """Long answers are no more pairs than short ones."""
    short = dict(tokens=10.0, sequences=2.0, dpo_margin=1.0, entropy=1.0)
    long = dict(tokens=30.0, sequences=2.0, dpo_margin=3.0, entropy=3.0)
    merged = merge_metrics([short, long])
    assert merged["dpo_margin"] == 2.0
    assert merged["entropy"] == 2.5


def test_merging_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no metrics"):
        merge_metrics([])
