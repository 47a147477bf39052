"""What branches of a tornado would sample alike is sampled once.

All branches begin from the same weights with the same random numbers. So those that differ in
nothing that a rollout is made with (the step size, the clip range, beta, the entropy bonus) would
sample the same completions in the first step, and their log-probabilities before the first update
are the same too. A knob that turns out to be inert leaves the weights bit for bit the base's, and
then the same holds for the steps that follow. What was made is kept, with the state that the random
generators were left in, and handed on: bit for bit what would have been made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from workbench.config import GRPOConfig
from workbench.training import random_state

Made = TypeVar("Made")

SAMPLED_WITH = ("temperature", "top_p", "top_k", "curriculum_floor", "curriculum_pass_reward")
"""The live fields that decide what is drawn and sampled. `tests/training/test_tornado.py` asks a
rollout which fields it reads."""

HASHED_UP_TO = 2**28
"""Bytes of trained weights up to which a step asks whether they are another branch's: more would
take longer to read than is often saved."""


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
        whole_key = (key, _random_digest(generator))
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


def digest_of(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Of every bit of some tensors, in their order."""
    digest = hashlib.blake2b(digest_size=20)
    for tensor in tensors.values():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.digest()


def _random_digest(generator: torch.Generator) -> tuple[bytes, bytes]:
    """Of the rollout's generator and the global ones, which reward functions may draw from."""
    values = json.dumps(random_state.random_values()).encode()
    return digest_of(random_state.random_tensors(generator)), hashlib.blake2b(values).digest()
