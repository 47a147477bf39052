"""The three tables of losses (facts, terms, reductions) say the same."""

from __future__ import annotations

import math

import pytest
import torch

from workbench.config import LOSSES, GRPOConfig
from workbench.objective import REDUCTIONS, TERMS, BatchTotals, policy_loss
from workbench.objective.ratios import clip_bounds

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")

LENGTHS = (2, 4)
LONGEST = 8
BATCH_TOKENS = 48.0


def config_of(loss_type: str) -> GRPOConfig:
    cap = 5.0 if LOSSES[loss_type].caps else None
    return GRPOConfig(
        loss_type=loss_type, epsilon_high=cap, beta=0.0, max_completion_length=LONGEST
    )


def test_every_loss_has_facts_a_term_and_a_reduction() -> None:
    assert set(LOSSES) == set(TERMS) == set(REDUCTIONS)


@pytest.mark.parametrize("loss_type", LOSSES)
def test_the_bound_is_the_one_that_clip_bounds_gives(loss_type: str) -> None:
    low, high = clip_bounds(config_of(loss_type))
    assert LOSSES[loss_type].clips == math.isfinite(low)
    assert (LOSSES[loss_type].bound in ("smooth", "none")) == math.isinf(high)


@pytest.mark.parametrize("loss_type", LOSSES)
def test_the_divisor_is_the_one_that_the_reduction_uses(loss_type: str) -> None:
    """A term of 1 on each token of two completions, of a batch that holds more tokens."""
    mask_BT = torch.arange(LONGEST) < torch.tensor(LENGTHS)[:, None]
    term_BT = mask_BT.double()
    totals = BatchTotals(sequences=len(LENGTHS), tokens=BATCH_TOKENS)
    by_divisor = {
        "own_length": 1.0,
        "update_tokens": sum(LENGTHS) / BATCH_TOKENS,
        "batch_tokens": sum(LENGTHS) / BATCH_TOKENS,
        "constant": sum(LENGTHS) / (len(LENGTHS) * LONGEST),
        "sequences": sum(LENGTHS) / len(LENGTHS),
    }
    found = REDUCTIONS[loss_type](term_BT, term_BT, totals, config_of(loss_type))
    assert float(found) == pytest.approx(by_divisor[LOSSES[loss_type].divisor])


@pytest.mark.parametrize("loss_type", LOSSES)
def test_a_bare_number_of_items_divides_where_the_batch_does(loss_type: str) -> None:
    logp_BT = torch.zeros(2, 4, dtype=torch.float64)
    advantages_B = torch.ones(2, dtype=torch.float64)
    mask_BT = torch.ones(2, 4)
    config = config_of(loss_type)
    own = policy_loss(logp_BT - 1, advantages_B, mask_BT, config).loss
    given = policy_loss(logp_BT - 1, advantages_B, mask_BT, config, num_items=16).loss
    assert (given == own / 2) == LOSSES[loss_type].divides_by_batch_tokens
