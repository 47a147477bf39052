"""What a rollout is: plain tensors, and the one call that every engine answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Protocol

import torch
from torch import Tensor

from workbench.config.engines import EngineFacts


@dataclass(frozen=True)
class Sampling:
    """How to sample."""

    max_completion_length: int
    """Tokens of a completion, at most."""
    temperature: float = 1.0
    """What the logits are divided by; 0 means greedy."""
    top_k: int = 0
    """Draw from the k likeliest tokens; 0 means all."""
    top_p: float = 1.0
    """Draw from the likeliest tokens with this probability together; 1 means all."""


@dataclass(frozen=True)
class Lengths:
    """How long the prompts and completions of a rollout are, in tokens, as plain numbers: for those
    who ask about many sets of rows."""

    prompt_N: list[int]
    completion_B: list[int]
    num_generations: int
    """G."""

    def families(self, rows: Iterable[int]) -> list[tuple[int, list[int]]]:
        """For each prompt of these rows its length, and those of its completions among them."""
        found: dict[int, list[int]] = {}
        for row in rows:
            found.setdefault(row // self.num_generations, []).append(self.completion_B[row])
        return [(self.prompt_N[prompt], lengths) for prompt, lengths in found.items()]


@dataclass(frozen=True)
class Rollout:
    """G completions for each of N prompts; row i of the B = N x G rows belongs to prompt i // G."""

    prompt_ids_NP: Tensor
    """Token ids, left-padded."""
    prompt_mask_NP: Tensor
    """bool, False on padding."""
    completion_ids_BT: Tensor
    """Token ids, right-padded."""
    mask_BT: Tensor
    """bool, True on every sampled token, the end token included."""
    sampler_logp_BT: Tensor
    """float32, log-probability under the sampler: softmax of logits / temperature over the whole
    vocabulary, before top-k and top-p; 0 on padding."""
    truncated_B: Tensor
    """bool, True where no end token came before max_completion_length."""
    num_generations: int
    """G."""

    @property
    def lengths_B(self) -> Tensor:
        """Sampled tokens of each row."""
        return self.mask_BT.sum(1)

    @property
    def lengths(self) -> Lengths:
        """The same with those of the prompts, as plain numbers."""
        prompts = self.prompt_mask_NP.sum(1).tolist()
        return Lengths(prompts, self.lengths_B.tolist(), self.num_generations)

    def completion_lists(self) -> list[list[int]]:
        """The sampled token ids of each row, without padding."""
        return [
            ids[: int(n)].tolist()
            for ids, n in zip(self.completion_ids_BT, self.lengths_B, strict=True)
        ]

    def select_prompts(self, indices: list[int]) -> Rollout:
        """The same rollout with only those prompts (and all their completions)."""
        prompts = torch.as_tensor(indices)
        rows = (
            prompts[:, None] * self.num_generations + torch.arange(self.num_generations)
        ).flatten()
        picked = {
            f.name: getattr(self, f.name)[prompts if f.name.endswith("_NP") else rows]
            for f in fields(self)
            if f.name != "num_generations"
        }
        return replace(self, **picked)


class RolloutEngine(Protocol):
    """Samples completions from the current weights of one policy. `workbench.rollout.engines` has
    the table of all, each with its checks."""

    @property
    def facts(self) -> EngineFacts:
        """What is known of this kind of engine."""
        ...

    @property
    def name(self) -> str:
        """The engine that serves, which need not be the one that was asked for."""
        ...

    def generate(
        self,
        prompts: list[list[int]],
        num_generations: int,
        sampling: Sampling,
        generator: torch.Generator,
    ) -> Rollout:
        """`num_generations` completions for each prompt (token ids). The draws come from
        `generator` alone."""
        ...

    def release_between_rollouts(self) -> None:
        """The rollouts of a step are over: memory of its own may be given back until the next."""
        ...

    def free(self) -> None:
        """The engine is needed no longer: what it holds beside the policy is given back. Its next
        rollout would start it again."""
        ...


class PolicysOwnWeights:
    """What an engine is spared that holds nothing beside the policy."""

    facts: EngineFacts

    @property
    def name(self) -> str:
        """As `rollout_engine` has it."""
        return self.facts.name

    def release_between_rollouts(self) -> None:
        """There is nothing to give back."""

    def free(self) -> None:
        """There is nothing to give back."""
