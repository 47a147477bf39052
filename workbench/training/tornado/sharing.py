"""The first rollout of a tornado's branches, sampled once.

All branches begin from the same weights with the same random numbers. So those that differ in
nothing that a rollout is made with (the step size, the clip range, beta, the entropy bonus) would
sample the same completions, and their log-probabilities before the first update are the same too.
They are kept, with the state that the random generators were left in, and handed on: bit for bit
what would have been made again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from workbench.config import GRPOConfig
from workbench.training import random_state

Made = TypeVar("Made")

SAMPLED_WITH = ("temperature", "top_p", "top_k", "curriculum_floor", "curriculum_pass_reward")
"""The live fields that decide what is drawn and sampled. `tests/training/test_tornado.py` asks a
rollout which fields it reads."""


@dataclass(frozen=True)
class _Kept(Generic[Made]):
    made: Made
    random_tensors: dict[str, torch.Tensor]
    random_values: dict[str, Any]


class Shared(Generic[Made]):
    """What has been made, by all that it was made from. The random generators go on from where
    making it left them, whether it was made or handed on."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept[Made]] = {}
        self.handed_on = 0
        """How often something was not made again."""

    def get(self, key: Hashable, generator: torch.Generator, make: Callable[[], Made]) -> Made:
        """What `make()` gives; `key` is all that it depends on beside the generators."""
        # The rollout's generator alone: the global ones serve reward functions, and are as they
        # were at the start of each branch.
        whole_key = (key, generator.get_state().numpy().tobytes())
        kept = self._kept.get(whole_key)
        if kept is None:
            made = make()
            tensors = {
                name: state.clone()
                for name, state in random_state.random_tensors(generator).items()
            }
            self._kept[whole_key] = _Kept(made, tensors, random_state.random_values())
            return made
        self.handed_on += 1
        random_state.load_random_tensors(generator, kept.random_tensors)
        random_state.load_random_values(kept.random_values)
        return kept.made


def sampled_with(config: GRPOConfig) -> tuple[Any, ...]:
    """The values that decide what a rollout of these weights samples."""
    return tuple(getattr(config, name) for name in SAMPLED_WITH)
