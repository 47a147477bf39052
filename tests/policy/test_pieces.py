"""How an update's rows are cut by a budget of tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged import SIZE, rollout_of
from transformers import BloomConfig, BloomForCausalLM, LlamaConfig, LlamaForCausalLM

from workbench.config import GRPOConfig
from workbench.policy import apart
from workbench.policy.pieces import micro_batches, pieces_of, put_back
from workbench.policy.ways import Ways
from workbench.rollout.types import Rollout

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")


@pytest.fixture(scope="module")
def llama() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZE)).eval()


@pytest.fixture(scope="module")
def bloom() -> Any:
    """It shares no prompts."""
    shape = BloomConfig(vocab_size=50, hidden_size=32, n_layer=1, n_head=4)
    return BloomForCausalLM(shape).eval()


def config_of(rollout: Rollout, budget: int, **changes: Any) -> GRPOConfig:
    given = dict(
        prompts_per_step=len(rollout.prompt_ids_NP),
        num_generations=rollout.num_generations,
        updates_per_rollout=1,
        micro_batch_tokens=budget,
    )
    return GRPOConfig(**given | changes)


def cut(model: Any, rollout: Rollout, budget: int, **changes: Any) -> list[list[int]]:
    rows = torch.arange(len(rollout.mask_BT))
    pieces = micro_batches(model, rollout, rows, config_of(rollout, budget, **changes))
    return [piece.tolist() for piece in pieces]


@st.composite
def rollouts(draw: st.DrawFn, group: st.SearchStrategy[int]) -> Rollout:
    prompts = draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    size = len(prompts) * draw(group)
    return rollout_of(prompts, draw(st.lists(st.integers(1, 60), min_size=size, max_size=size)))


@pytest.mark.parametrize("name", ["llama", "bloom"])
@pytest.mark.parametrize("no_mask_beyond", [0, apart.MASK_UP_TO])
def test_every_row_is_in_one_piece_within_the_budget(
    name: str, no_mask_beyond: int, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)

    @settings(max_examples=60, deadline=None)
    @given(rollouts(st.integers(2, 6)), st.integers(1, 700))
    def holds(rollout: Rollout, budget: int) -> None:
        pieces = cut(model, rollout, budget)
        assert sorted(row for piece in pieces for row in piece) == list(range(len(rollout.mask_BT)))
        tokens = [Ways(model).computed_tokens(rollout.lengths, piece) for piece in pieces]
        for piece, count in zip(pieces, tokens, strict=True):
            assert count <= budget or len(piece) == 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "MASK_UP_TO", no_mask_beyond)
        holds()


def test_a_group_is_parted_only_where_it_is_too_much_by_itself(llama: Any) -> None:
    @settings(max_examples=60, deadline=None)
    @given(rollouts(st.integers(2, 6)), st.integers(1, 700))
    def holds(rollout: Rollout, budget: int) -> None:
        G, pieces = rollout.num_generations, cut(llama, rollout, budget)
        for first in range(0, len(rollout.mask_BT), G):
            group = list(range(first, first + G))
            homes = sum(bool(set(piece) & set(group)) for piece in pieces)
            if Ways(llama).computed_tokens(rollout.lengths, group) <= budget:
                assert homes == 1

    holds()


def test_pairs_stay_side_by_side(llama: Any) -> None:
    @settings(max_examples=40, deadline=None)
    @given(rollouts(st.sampled_from([2, 4, 6])), st.integers(1, 300))
    def holds(rollout: Rollout, budget: int) -> None:
        # As DPO has them: the first with the last, the second with the last but one.
        G = rollout.num_generations
        rows = [
            row + first
            for first in range(0, len(rollout.mask_BT), G)
            for k in range(G // 2)
            for row in (k, G - 1 - k)
        ]
        partner = dict(zip(rows[::2], rows[1::2], strict=True))
        config = config_of(rollout, budget, method="dpo", beta=0.0, scale_rewards="none")
        for piece in micro_batches(llama, rollout, torch.tensor(rows), config):
            for chosen, rejected in zip(piece[::2].tolist(), piece[1::2].tolist(), strict=True):
                assert partner[chosen] == rejected

    holds()


def test_what_the_budget_holds_stays_whole_and_in_its_order(llama: Any) -> None:
    rollout = rollout_of([5, 9], [3, 8, 1, 20])
    rows = torch.tensor([2, 0, 3, 1])
    whole = 2 * (9 + 21)  # two packed rows as long as the longer one
    (piece,) = micro_batches(llama, rollout, rows, config_of(rollout, whole))
    assert torch.equal(piece, rows)
    assert len(micro_batches(llama, rollout, rows, config_of(rollout, whole - 1))) == 2
    assert micro_batches(llama, rollout, rows[:0], config_of(rollout, whole)) == []


def test_pieces_are_of_one_size(llama: Any) -> None:
    """Eight groups of 36 tokens and room for seven: four and four, not seven and one."""
    rollout = rollout_of([4] * 8, [8] * 32)
    assert [len(piece) for piece in cut(llama, rollout, 7 * 36)] == [16, 16]
    # A group of 36 where 20 are allowed: two rows and two, with a prompt each.
    assert [len(piece) for piece in cut(llama, rollout, 20)] == [2] * 16


def test_like_lengths_stand_together_where_rows_are_padded(bloom: Any) -> None:
    rollout = rollout_of([1] * 4, [30, 2, 2, 30, 2, 30, 30, 2])
    assert [sorted(piece) for piece in cut(bloom, rollout, 4 * 31)] == [[0, 3, 5, 6], [1, 2, 4, 7]]


def test_a_number_of_rows_is_taken_as_it_is(llama: Any) -> None:
    rollout = rollout_of([5, 9], [3, 8, 1, 20])
    assert cut(llama, rollout, 1, micro_batch_size=3) == [[0, 1, 2], [3]]


def test_what_is_computed_in_pieces_comes_back_in_order(llama: Any) -> None:
    rollout = rollout_of([5, 9], [3, 8, 10, 20])
    pieces = pieces_of(llama, rollout, config_of(rollout, 40))
    assert len(pieces) > 1
    assert torch.cat(pieces).tolist() != [0, 1, 2, 3]
    values = [rollout.lengths_B[piece] for piece in pieces]
    assert torch.equal(put_back(torch.arange(4), pieces, values), rollout.lengths_B)
    some = torch.tensor([3, 1])
    parts = [torch.tensor([1]), torch.tensor([3])]
    assert put_back(some, parts, [torch.tensor([10.0]), torch.tensor([30.0])]).tolist() == [30, 10]


@settings(max_examples=60, deadline=None)
@given(rollouts(st.integers(1, 4)), st.sampled_from([0, 100, apart.MASK_UP_TO]))
def test_tokens_are_counted_as_they_are_computed(rollout: Rollout, no_mask_beyond: int) -> None:
    from workbench.policy.ways import pass_of

    model = LlamaForCausalLM(LlamaConfig(**SIZE))
    rows = torch.arange(len(rollout.mask_BT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "MASK_UP_TO", no_mask_beyond)
        given = pass_of(model, rollout, rows).inputs["input_ids"]
        assert Ways(model).computed_tokens(rollout.lengths, rows.tolist()) == given.numel()
