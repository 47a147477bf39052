"""The rollout of all processes, with the draws of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from workbench.config.engines import EngineFacts
from workbench.distributed.tensors import share_out
from workbench.rollout.native import NativeEngine
from workbench.rollout.request import left_pad
from workbench.rollout.types import Rollout, Sampling
from workbench.training.shared.work import Sampled


class Ask(Protocol):
    """Has a piece of work done in every process, see `Team.ask`."""

    def __call__(self, name: str, **given: object) -> list[object]: ...


class SharedEngine:
    """The native engine of every process; each samples whole groups, and what a row draws is what
    it would draw if all rows were sampled in one process."""

    def __init__(self, own: NativeEngine, ask: Ask, size: int, free: Callable[[], object]) -> None:
        """own: the leader's. free: ends the other processes."""
        self.own = own
        self._ask = ask
        self._size = size
        self._free = free

    @property
    def facts(self) -> EngineFacts:
        """Of the engine of each process."""
        return self.own.facts

    @property
    def name(self) -> str:
        """As `rollout_engine` has it."""
        return self.own.name

    def generate(
        self,
        prompts: list[list[int]],
        num_generations: int,
        sampling: Sampling,
        generator: torch.Generator,
    ) -> Rollout:
        """As `NativeEngine.generate`, the state of `generator` afterwards included. Raises what
        `Team.ask` does, too."""
        shares = share_out([1.0] * len(prompts), self._size)
        sampled: list[Sampled] = self._ask(  # type: ignore[assignment]
            "generate",
            shares=shares,
            prompts=prompts,
            num_generations=num_generations,
            sampling=sampling,
            state=generator.get_state(),
        )
        # One process would have drawn until the last row ended, wherever that one was.
        generator.set_state(max(sampled, key=lambda s: s.draws).generator_state)
        parts = [(share, s.rollout) for share, s in zip(shares, sampled, strict=True) if s.rollout]
        return joined(prompts, parts, self.own.pad_token_id)

    def release_between_rollouts(self) -> None:
        """There is nothing to give back."""

    def free(self) -> None:
        """End the other processes. The next rollout starts them again."""
        self._free()


def joined(
    prompts: list[list[int]], parts: Sequence[tuple[Sequence[int], Rollout]], pad_token_id: int
) -> Rollout:
    """The rollout of all `prompts` from the rollouts of some of them, each with their places."""
    first = parts[0][1]
    group_size, device = first.num_generations, first.mask_BT.device
    shape = (
        len(prompts) * group_size,
        max(rollout.mask_BT.shape[1] for _, rollout in parts),
    )
    ids_BT = torch.full(shape, pad_token_id, device=device)
    mask_BT = torch.zeros(shape, dtype=torch.bool, device=device)
    logp_BT = first.sampler_logp_BT.new_zeros(shape)
    truncated_B = torch.zeros(shape[0], dtype=torch.bool, device=device)
    for places, rollout in parts:
        rows_R, width = rows_of_groups(places, group_size, device), rollout.mask_BT.shape[1]
        ids_BT[rows_R, :width] = rollout.completion_ids_BT
        mask_BT[rows_R, :width] = rollout.mask_BT
        logp_BT[rows_R, :width] = rollout.sampler_logp_BT
        truncated_B[rows_R] = rollout.truncated_B
    prompt_ids_NP, prompt_mask_NP = left_pad(prompts, pad_token_id, device)
    return Rollout(
        prompt_ids_NP=prompt_ids_NP,
        prompt_mask_NP=prompt_mask_NP,
        completion_ids_BT=ids_BT,
        mask_BT=mask_BT,
        sampler_logp_BT=logp_BT,
        truncated_B=truncated_B,
        num_generations=group_size,
    )


def rows_of_groups(groups: Sequence[int], group_size: int, device: torch.device) -> Tensor:
    """The rows of these groups, in their order."""
    group_N = torch.tensor(groups, dtype=torch.long, device=device)
    return (group_N[:, None] * group_size + torch.arange(group_size, device=device)).flatten()
