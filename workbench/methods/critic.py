"""A critic: a second model that says at each token what reward is still to be expected.

It begins as a copy of the policy with one number in place of the words. Weights that training does
not move (an adapter's base) are shared with the policy, so that with LoRA a critic costs an
adapter; where all weights are trained it costs as much memory as the policy and its optimizer once
more.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from workbench.config import GRPOConfig
from workbench.config.schedule import critic_learning_rate_at
from workbench.errors import WorkbenchError
from workbench.policy.dtype import loss_scale
from workbench.policy.logprobs import completion_hidden_states
from workbench.policy.pieces import micro_batches, pieces_of, put_back
from workbench.policy.policy import Policy
from workbench.rollout.types import Rollout


class CriticError(WorkbenchError, FloatingPointError):
    """The critic's loss is NaN or infinite."""


class Critic:
    """The copy, its head, and their AdamW."""

    def __init__(self, policy: Policy, config: GRPOConfig) -> None:
        frozen = {id(p): p for p in policy.model.parameters() if not p.requires_grad}
        self.model = copy.deepcopy(policy.model, frozen)
        width = self.model.get_output_embeddings().weight.shape[1]
        # In float32 whatever the policy is: a value is a sum of rewards, not a probability.
        self.head = nn.Linear(width, 1, device=policy.device)
        # Zero, so that before it has learnt anything it expects nothing, and the first advantages
        # are the rewards themselves.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.weight_dtype = policy.weight_dtype
        self.optimizer = torch.optim.AdamW(
            list(self.state().values()),
            lr=config.critic_learning_rate,
            weight_decay=0.0,
            # The other kind has temporary tensors as large as all weights, on a GPU.
            fused=True,
        )

    def state(self) -> dict[str, Tensor]:
        """What training changes, by name."""
        body = {f"model.{n}": p for n, p in self.model.named_parameters() if p.requires_grad}
        # The layer that makes words plays no part, and its moments would be waste.
        unused = self.model.get_output_embeddings().weight
        own = {name: p for name, p in body.items() if p is not unused or self._tied()}
        return own | {f"head.{n}": p for n, p in self.head.named_parameters()}

    def _tied(self) -> bool:
        embeddings = self.model.get_input_embeddings().weight
        return embeddings is self.model.get_output_embeddings().weight

    def values(self, rollout: Rollout, rows_R: Tensor) -> Tensor:
        """(R, T) the value before each token, with gradient; 0 on padding."""
        hidden_KH, at = completion_hidden_states(self.model, rollout, rows_R)
        value_K = self.head(hidden_KH.float()).squeeze(-1)
        empty_RT = value_K.new_zeros(len(rows_R), rollout.mask_BT.shape[1])
        value_RT: Tensor = empty_RT.index_put(at, value_K)
        return value_RT

    @torch.no_grad()
    def values_in_parts(self, rollout: Rollout, config: GRPOConfig) -> Tensor:
        """(B, T) the values of all rows, a micro-batch at a time."""
        every_B = torch.arange(len(rollout.mask_BT), device=rollout.mask_BT.device)
        pieces = pieces_of(self.model, rollout, config)
        return put_back(every_B, pieces, [self.values(rollout, rows) for rows in pieces])

    def learn(
        self,
        rollout: Rollout,
        rows_R: Tensor,
        mask_BT: Tensor,
        old_value_BT: Tensor,
        return_BT: Tensor,
        config: GRPOConfig,
        step: int,
    ) -> float:
        """One update of step number `step` towards the returns; gives the loss, a mean over the
        tokens."""
        # Set anew each time, as the policy's: a knob may have moved, and the schedule goes on.
        for group in self.optimizer.param_groups:
            group["lr"] = critic_learning_rate_at(step, config)
        tokens = mask_BT[rows_R].sum().clamp(min=1)
        # As the policy's loss, which says why.
        scale = loss_scale(self.weight_dtype, float(tokens))
        total = 0.0
        for part in micro_batches(self.model, rollout, rows_R, config):
            value_RT = self.values(rollout, part)
            loss = clipped_value_loss(
                value_RT,
                old_value_BT[part],
                return_BT[part],
                mask_BT[part],
                config.cliprange_value,
            )
            torch.autograd.backward(loss / tokens * scale)
            total += float(loss.detach() / tokens)
        if not math.isfinite(total):
            raise CriticError(
                f"the critic's loss is {total}, and it has not been moved; the policy has. Go back "
                f"to the last checkpoint and lower critic_learning_rate="
                f"{config.critic_learning_rate:g}, or look at the step's rewards for one far too "
                "large."
            )
        for parameter in self.state().values():
            if scale != 1 and parameter.grad is not None:
                parameter.grad.div_(scale)
        nn.utils.clip_grad_norm_(self.state().values(), config.max_grad_norm or float("inf"))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total


def clipped_value_loss(
    value_RT: Tensor, old_value_RT: Tensor, return_RT: Tensor, mask_RT: Tensor, cliprange: float
) -> Tensor:
    """Half the sum over the tokens of the larger of two squared errors: the value's, and that of
    the value held within `cliprange` of the old one (PPO as in OpenAI's baselines, and TRL's)."""
    held_RT = torch.clamp(value_RT, old_value_RT - cliprange, old_value_RT + cliprange)
    error_RT = torch.max((value_RT - return_RT).square(), (held_RT - return_RT).square())
    return 0.5 * torch.where(mask_RT, error_RT, 0.0).sum()
