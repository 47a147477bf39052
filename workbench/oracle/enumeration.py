"""The completions of one prompt with their probabilities, and how much was lost on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from workbench.errors import WorkbenchError
from workbench.oracle.tree import PrefixTree
from workbench.rollout.request import left_pad
from workbench.rollout.types import Rollout


class EnumerationError(WorkbenchError, ValueError):
    """Completions that cannot be enumerated as asked: says what was wrong and what to do."""


@dataclass(frozen=True)
class Enumeration:
    """C completions of one prompt, the likeliest first; T is the length of the longest."""

    prompt_ids: tuple[int, ...]
    """Token ids of the prompt."""

    ids_CT: np.ndarray
    """int64, token ids of each completion, its end token included, padded on the right."""

    mask_CT: np.ndarray
    """bool, True on tokens, False on padding."""

    token_logp_CT: np.ndarray
    """float64, log-probability of each token at `temperature`, 0 on padding."""

    logp_C: np.ndarray
    """float64, log-probability of each completion, in nats."""

    truncated_C: np.ndarray
    """bool, True where no end token came within `max_new_tokens`."""

    leaf_C: np.ndarray
    """int64, the node of `tree` at which each completion ends."""

    tree: PrefixTree
    """The prefixes, with what was lost behind each."""

    found_mass: float
    """Probability of the C completions together."""

    lost_mass: float
    """Probability of all that was dropped, counted where it was dropped; found + lost = 1."""

    open_mass: float
    """The part of `lost_mass` that was dropped because `max_rows` was reached; else 0."""

    mass: float
    """The mass that was asked for."""

    temperature: float
    """What the logits were divided by."""

    pad_token_id: int
    """What stands on padding."""

    forwards: int
    """Forward passes, that of the prompt included."""

    seconds: float
    """Time that it took."""

    @property
    def complete(self) -> bool:
        """Whether the mass that was asked for was found, up to the rounding of float64."""
        return self.found_mass >= self.mass - 1e-12

    @property
    def p_C(self) -> np.ndarray:
        """Probability of each completion."""
        p_C: np.ndarray = np.exp(self.logp_C)
        return p_C

    @property
    def length_C(self) -> np.ndarray:
        """Tokens of each completion."""
        length_C: np.ndarray = self.mask_CT.sum(1)
        return length_C

    def completion_lists(self) -> list[list[int]]:
        """The token ids of each completion, without padding."""
        pairs = zip(self.ids_CT, self.length_C, strict=True)
        return [ids_T[:length].tolist() for ids_T, length in pairs]

    def rollout(self, device: torch.device | str = "cpu") -> Rollout:
        """The same as one group of C completions, as the objective and the log-probabilities of the
        trainer take them."""
        prompt_ids_NP, prompt_mask_NP = left_pad([self.prompt_ids], self.pad_token_id, device)
        return Rollout(
            prompt_ids_NP=prompt_ids_NP,
            prompt_mask_NP=prompt_mask_NP,
            completion_ids_BT=torch.from_numpy(self.ids_CT).to(device),
            mask_BT=torch.from_numpy(self.mask_CT).to(device),
            sampler_logp_BT=torch.from_numpy(self.token_logp_CT).float().to(device),
            truncated_B=torch.from_numpy(self.truncated_C).to(device),
            num_generations=len(self.logp_C),
        )
