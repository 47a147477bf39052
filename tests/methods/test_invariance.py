"""What a method credits a token with depends neither on the padding beside it nor on the order of
the groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from workbench.config import METHODS
from workbench.objective import group_advantages
from workbench.rollout.types import Rollout
from workbench.tasks.types import Problem
from workbench.training import Trainer, record

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")


def credit(trainer: Trainer, problems: Sequence[Problem], rollout: Rollout) -> Tensor:
    """As in a step, spread over the tokens."""
    config = trainer.config
    messages = [trainer.task.messages(problem) for problem in problems]
    completions = record.text_of(trainer.policy, rollout, messages)
    table = trainer.score(problems, completions, rollout, config, 1)
    advantages = group_advantages(torch.as_tensor(table.rewards_BK), config)
    batch = trainer.batch_of(rollout, advantages, config)
    trainer.add_old_and_reference(batch, config)
    scored = trainer.scored(problems, completions, table, advantages)
    found = trainer.method.credit(batch, scored, config)
    per_token_BT = found if found.dim() == 2 else found[:, None].expand(rollout.mask_BT.shape)
    return torch.where(rollout.mask_BT, per_token_BT, 0.0)


def with_padding(rollout: Rollout, more: int) -> Rollout:
    """The same completions in a wider rectangle."""

    def wider(values_BT: Tensor, fill: float) -> Tensor:
        return torch.nn.functional.pad(values_BT, (0, more), value=fill)

    return replace(
        rollout,
        completion_ids_BT=wider(rollout.completion_ids_BT, 0),
        mask_BT=wider(rollout.mask_BT, False),
        sampler_logp_BT=wider(rollout.sampler_logp_BT, 0.0),
    )


def reordered(rollout: Rollout, groups: Tensor) -> Rollout:
    """The same groups in another order."""
    G = rollout.num_generations
    rows_B = (groups[:, None] * G + torch.arange(G)).flatten()
    return replace(
        rollout,
        prompt_ids_NP=rollout.prompt_ids_NP[groups],
        prompt_mask_NP=rollout.prompt_mask_NP[groups],
        completion_ids_BT=rollout.completion_ids_BT[rows_B],
        mask_BT=rollout.mask_BT[rows_B],
        sampler_logp_BT=rollout.sampler_logp_BT[rows_B],
        truncated_B=rollout.truncated_B[rows_B],
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_padding_and_the_order_of_groups_change_no_credit(
    method: str, make_method: Callable[..., Trainer]
) -> None:
    trainer = make_method(method)
    # Away from the reference and from a critic that says 0.
    trainer.step()
    problems = trainer.task.train[:4]
    rollout = trainer.sample(problems, trainer.config)
    # Rows of different lengths, as end tokens would have made them.
    keep_B = torch.arange(len(rollout.mask_BT)) % 5 + 2
    shorter_BT = rollout.mask_BT & (torch.arange(rollout.mask_BT.shape[1]) < keep_B[:, None])
    rollout = replace(rollout, mask_BT=shorter_BT)
    plain_BT = credit(trainer, problems, rollout)
    assert plain_BT.abs().max() > 0

    T = plain_BT.shape[1]
    padded_BT = credit(trainer, problems, with_padding(rollout, 3))
    assert not padded_BT[:, T:].any()
    torch.testing.assert_close(padded_BT[:, :T], plain_BT, rtol=1e-4, atol=1e-5)

    order = torch.tensor([2, 0, 3, 1])
    moved_BT = credit(trainer, [problems[i] for i in order], reordered(rollout, order))
    G = rollout.num_generations
    back = torch.argsort(order)
    in_place_BT = moved_BT.view(4, G, T)[back].reshape(-1, T)
    torch.testing.assert_close(in_place_BT, plain_BT, rtol=1e-4, atol=1e-5)
