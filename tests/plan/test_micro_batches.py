"""The largest micro-batch that a plan is made for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged import SIZE, rollout_of
from transformers import LlamaConfig, LlamaForCausalLM

from workbench.config import GRPOConfig
from workbench.plan.trace.micro_batches import largest_micro_batch
from workbench.policy import load_policy
from workbench.policy.pieces import micro_batches
from workbench.policy.ways import Ways
from workbench.rollout.types import Rollout
from workbench.tasks.arithmetic import arithmetic_task

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")


def config_of(budget: int, **changes: Any) -> GRPOConfig:
    size = dict(
        prompts_per_step=4,
        num_generations=4,
        updates_per_rollout=1,
        max_completion_length=24,
        micro_batch_tokens=budget,
    )
    return GRPOConfig(**size | changes)


@pytest.fixture(scope="module")
def llama() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZE)).eval()


def planned(model: Any, config: GRPOConfig, prompt: int = 16) -> tuple[int, int, int]:
    """Rows, and the tokens of a prompt and a completion."""
    rollout, rows = largest_micro_batch(model, config, prompt)
    return len(rows), rollout.prompt_mask_NP.shape[1], rollout.mask_BT.shape[1]


def test_without_a_cut_it_is_the_update_at_its_longest(llama: Any) -> None:
    assert planned(llama, config_of(4 * (16 + 4 * 24))) == (16, 16, 24)
    assert planned(llama, config_of(1, micro_batch_size=5)) == (5, 16, 24)


def test_what_fills_the_budget_is_larger_than_what_leaves_room(llama: Any) -> None:
    """A group has 112 tokens and may have 150; two fill it with shorter completions."""
    rows, prompt, completion = planned(llama, config_of(150))
    assert rows * completion + rows // 4 * prompt > 140
    assert rows > 4
    # A row that is too much by itself is a piece all the same.
    assert planned(llama, config_of(20)) == (1, 16, 24)


@pytest.mark.parametrize("preset", [None, "steering"])
def test_the_embedded_policys_own_runs_stay_in_one_piece(preset: str | None) -> None:
    """So that their recorded numbers stay, to the last bit."""
    policy, task = load_policy("embedded"), arithmetic_task(0, 64, 16)
    config = GRPOConfig() if preset is None else GRPOConfig.preset(preset)
    longest = max(len(policy.encode_prompt(task.messages(p))) for p in task.train)
    rows, _, completion = planned(policy.model, config, 2 * longest)
    assert (rows, completion) == (config.rows_at_once, config.max_completion_length)


def tokens_of(model: Any, rollout: Rollout, rows: torch.Tensor) -> int:
    return Ways(model).computed_tokens(rollout.lengths, rows.tolist())


def test_no_micro_batch_of_a_step_is_larger(llama: Any) -> None:
    lengths = st.lists(st.integers(1, 24), min_size=16, max_size=16)
    prompts = st.lists(st.integers(1, 16), min_size=4, max_size=4)

    @settings(max_examples=150, deadline=None)
    @given(prompts, lengths, st.integers(1, 500))
    def holds(prompts: list[int], lengths: list[int], budget: int) -> None:
        config = config_of(budget)
        rollout = rollout_of(prompts, lengths)
        largest = tokens_of(llama, *largest_micro_batch(llama, config, 16))
        for piece in micro_batches(llama, rollout, torch.arange(16), config):
            # A token of each row and prompt may be left over in the planned one.
            assert tokens_of(llama, rollout, piece) <= largest + 16 + 4

    holds()
