"""The tables of losses (facts, terms, reductions) say the same."""

from __future__ import annotations

import math

import pytest
import torch

from workbench.config import LOSSES, GRPOConfig
from workbench.config.losses import LOSS_REDUCTIONS, reduction_of
from workbench.objective import REDUCTIONS, TERMS, BatchTotals, policy_loss
from workbench.objective.ratios import clip_bounds
from workbench.objective.reductions import Terms

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
    assert set(LOSSES) == set(TERMS)
    assert set(LOSS_REDUCTIONS) == set(REDUCTIONS)


@pytest.mark.parametrize("loss_type", LOSSES)
def test_the_bound_is_the_one_that_clip_bounds_gives(loss_type: str) -> None:
    low, high = clip_bounds(config_of(loss_type))
    assert (LOSSES[loss_type].bound in ("clip", "log_clip")) == math.isfinite(low)
    assert LOSSES[loss_type].uses_epsilon == math.isfinite(high)


BY_HAND = {
    "sequence_mean": 1.0,
    "update_token_mean": sum(LENGTHS) / BATCH_TOKENS,
    "token_mean": sum(LENGTHS) / BATCH_TOKENS,
    # One prompt, whose group of two has these tokens and no others.
    "prompt_mean": 1.0,
    "constant_length": sum(LENGTHS) / (len(LENGTHS) * LONGEST),
    "sequence_sum": sum(LENGTHS) / len(LENGTHS),
}
"""What a term of 1 on each token of two completions becomes, in a batch that holds more tokens."""


@pytest.mark.parametrize("name", LOSS_REDUCTIONS)
def test_a_reduction_divides_by_what_its_words_say(name: str) -> None:
    mask_BT = torch.arange(LONGEST) < torch.tensor(LENGTHS)[:, None]
    totals = BatchTotals(sequences=len(LENGTHS), tokens=BATCH_TOKENS)
    config = config_of("grpo").replace(num_generations=2)
    found = REDUCTIONS[name](Terms(mask_BT.double(), mask_BT.double(), None, totals), config)
    assert float(found) == pytest.approx(BY_HAND[name])


@pytest.mark.parametrize("loss_type", LOSSES)
def test_a_loss_has_its_own_reduction_unless_another_is_asked_for(loss_type: str) -> None:
    config = config_of(loss_type)
    assert reduction_of(config) == LOSSES[loss_type].reduction
    assert reduction_of(config.replace(loss_reduction="sequence_sum")) == "sequence_sum"


@pytest.mark.parametrize("loss_type", LOSSES)
def test_a_bare_number_of_items_divides_where_the_batch_does(loss_type: str) -> None:
    logp_BT = torch.zeros(2, 4, dtype=torch.float64)
    advantages_B = torch.ones(2, dtype=torch.float64)
    mask_BT = torch.ones(2, 4)
    config = config_of(loss_type)
    own = policy_loss(logp_BT - 1, advantages_B, mask_BT, config).loss
    given = policy_loss(logp_BT - 1, advantages_B, mask_BT, config, num_items=16).loss
    assert (given == own / 2) == (LOSSES[loss_type].reduction == "token_mean")
