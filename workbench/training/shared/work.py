"""What every process of a team does with its share. Each method is called in all of them with the
same arguments; `shares` has a list for each process.

Suffixes: B completions, R those of a share, T tokens of the longest one, N prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.distributed.team import Team
from workbench.evaluation.sampled import weight_sums
from workbench.methods import Batch, Method
from workbench.objective import BatchTotals
from workbench.policy.logprobs import logps_and_entropies, logps_in_parts
from workbench.policy.optim import load_optimizer, optimizer_tensors
from workbench.policy.policy import Policy
from workbench.policy.reference import Reference
from workbench.rollout.native import NativeEngine
from workbench.rollout.sampler import uniforms
from workbench.rollout.types import Rollout, Sampling
from workbench.training.guard import check_gradients
from workbench.training.update import Found, apply_gradient, gradient_of

Shares = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Sampled:
    """The rollout of a share, and where its generator came to."""

    rollout: Rollout | None
    """None for a share without prompts."""
    draws: int
    """How many times it was drawn from."""
    generator_state: Tensor


@dataclass(frozen=True)
class Pushed:
    """What became of a share of an update, for the record."""

    found: Found
    rows_R: Tensor
    logp_RT: Tensor
    entropy_RT: Tensor
    coefficient_RT: Tensor


class Work:
    """The policy of one process with all that computes on it."""

    def __init__(
        self,
        team: Team,
        policy: Policy,
        method: Method,
        engine: NativeEngine,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.team = team
        self.policy = policy
        self.method = method
        self.engine = engine
        self.optimizer = optimizer
        self.reference: Reference | None = None
        self._as_reference = ExitStack()
        self._batch: Batch | None = None

    # ------------------------------------------------------------------------- its state

    def take_state(self) -> None:
        """Take over the leader's weights and optimizer."""
        self._as_reference.close()
        self._batch = None
        if self.team.leads:
            self.team.spread(self.policy.trainable_state())
            self.team.spread(optimizer_tensors(self.optimizer))
        else:
            self.policy.load_trainable_state(self.team.spread())
            load_optimizer(self.optimizer, self.team.spread())

    def sums(self) -> Tensor:
        """(2 x weights,) sums of each weight and of its size, the frozen ones included: other
        weights have others."""
        return torch.tensor(
            [float(number) for _, _, *both in weight_sums(self.policy) for number in both],
            dtype=torch.float64,
        )

    def take_reference(self) -> None:
        """Take over the leader's reference."""
        if self.team.leads:
            assert self.reference is not None  # the leader has set it
            self.team.spread(self.reference.weights or {})
        else:
            # Without any weights it is an adapter that changes nothing.
            self.reference = Reference(self.policy, self.team.spread())

    def as_reference(self, on: bool) -> None:
        """Compute with the reference's weights from now on, or with the policy's again. The leader
        does that by itself."""
        if self.team.leads:
            return
        self._as_reference.close()
        if on:
            assert self.reference is not None  # taken over before
            self._as_reference.enter_context(self.reference.active())

    # -------------------------------------------------------------------------- its share

    def generate(
        self,
        shares: Shares,
        prompts: list[list[int]],
        num_generations: int,
        sampling: Sampling,
        state: Tensor,
    ) -> Sampled:
        """The completions of the own prompts, each with the numbers that it would draw if all
        prompts were sampled here."""
        own = list(shares[self.team.rank])
        every = torch.arange(len(prompts) * num_generations).view(-1, num_generations)
        own_R = every[own].flatten()
        generator = torch.Generator()
        generator.set_state(state)
        draws = 0

        def draw(count: int, generator: torch.Generator, device: torch.device) -> Tensor:
            nonlocal draws
            draws += 1
            uniform_B = uniforms(every.numel(), generator, device)
            return uniform_B[own_R.to(uniform_B.device)]

        rollout = None
        if own:
            rollout = self.engine.generate(
                [prompts[i] for i in own], num_generations, sampling, generator, draw
            )
        return Sampled(rollout, draws, generator.get_state())

    @torch.no_grad()
    def logps(self, shares: Shares, rollout: Rollout, config: GRPOConfig) -> Tensor | None:
        """(R, T) log-probabilities of the own rows under the weights of now; None without any."""
        rows_R = self._own(shares)
        return logps_in_parts(self.policy.model, rollout, config, rows_R) if len(rows_R) else None

    def look(
        self, shares: Shares, rollout: Rollout, config: GRPOConfig
    ) -> tuple[Tensor, Tensor] | None:
        """(R, T) log-probabilities and entropies of the own rows; None without any."""
        rows_R = self._own(shares)
        if not len(rows_R):
            return None
        return logps_and_entropies(self.policy.model, rollout, config, rows_R)

    def gradient(
        self,
        pushing: Shares,
        skipped: Shares,
        batch: Batch | None,
        selected_BT: Tensor | None,
        config: GRPOConfig,
        totals: BatchTotals,
        step: int,
    ) -> Pushed:
        """Put into the parameters what the own rows add to the gradient of an update. `batch`: None
        where it is that of the update before."""
        if batch is not None:
            self._batch = batch
        own = self._batch
        assert own is not None  # the first update of a step has brought it
        own.selected_BT = selected_BT
        pushing_R, skipped_R = self._own(pushing), self._own(skipped)
        found = gradient_of(
            self.policy, self.method, own, pushing_R, skipped_R, config, totals, step
        )
        rows_R = torch.cat([pushing_R, skipped_R])
        return Pushed(
            found, rows_R, own.logp_BT[rows_R], own.entropy_BT[rows_R], own.coefficient_BT[rows_R]
        )

    def sum_gradients(self, step: int) -> None:
        """The gradient becomes that of the whole update, bitwise the same in every process. Raises
        `NotFiniteError`."""
        self.team.sum_([p.grad for p in self.policy.trainable_parameters() if p.grad is not None])
        # Of 16-bit numbers that were each finite the sum need not be.
        check_gradients(step, self.policy)

    def move(self, settings: dict[str, Any], config: GRPOConfig) -> dict[str, float]:
        """Move the weights by the gradient."""
        for group in self.optimizer.param_groups:
            group.update(settings)
        return apply_gradient(self.policy, self.optimizer, config)

    def _own(self, shares: Shares) -> Tensor:
        return torch.tensor(shares[self.team.rank], dtype=torch.long, device=self.policy.device)
