"""A policy's gradients in numbers that are small enough to ship: what every estimator of the policy
gradient is made of, at some prompts, without the policy.

A world is the policy restricted to an enumerated tree: at each prefix the probabilities of the
kept tokens are divided by their sum, so that the tree is a policy of its own with an exactly known
gradient. Where one token is left its probability is 1 and its gradient 0; only where the tree
branches is there anything to learn, and there stands an edge: a token after a prefix, with the
gradient of its log-probability. Of these gradients only inner products matter; `factor_ER` has
them: factor_ER @ factor_ER.T is their Gram matrix.

Suffixes: N prompts, C completions (of all prompts), E edges, D places at which a completion meets a
branch, S how many steps older a sampler is, R columns of the factor.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from workbench.errors import WorkbenchError

Array = np.ndarray
NO_EDGE = -1


class StoredResultError(WorkbenchError, ValueError):
    """A file of stored results that cannot be read: names it, and how to make it anew."""


@dataclass(frozen=True)
class World:
    """Prompts, their completions, and the gradients at the branches."""

    name: str
    """What it is called in menus."""

    about: str
    """What policy it is, in a sentence."""

    questions: tuple[str, ...]
    """The N prompts, as a person reads them."""

    mass_N: Array
    """The probability that the enumeration found before it was made a policy of its own."""

    fidelity_N: Array
    """Cosine between the tree's exact gradient and that of all completions found, not restricted:
    what the restriction costs."""

    prompt_C: Array
    """The prompt of each completion."""

    reward_C: Array
    """Its total reward."""

    length_C: Array
    """Its tokens, those without a branch included."""

    edge_CD: Array
    """The edges along each completion, -1 behind the last."""

    logp_SE: Array
    """Log-probability of each edge under the policy of S steps ago; row 0 is the policy now."""

    ref_logp_E: Array
    """The same under the reference."""

    factor_ER: Array
    """The edges' gradients in a basis of their own, float32."""

    def __post_init__(self) -> None:
        completions, edges = len(self.reward_C), len(self.ref_logp_E)
        fits = (
            len(self.prompt_C) == len(self.length_C) == len(self.edge_CD) == completions
            and self.logp_SE.shape[1] == len(self.factor_ER) == edges
            and len(self.mass_N) == len(self.fidelity_N) == len(self.questions)
        )
        if not fits:
            raise ValueError(
                f"the arrays of world {self.name!r} do not fit each other: {completions} "
                f"completions, {edges} edges, {len(self.questions)} prompts."
            )

    @property
    def steps_back(self) -> int:
        """The oldest sampler that is known."""
        return len(self.logp_SE) - 1

    def token_logps(self, logp_E: Array) -> Array:
        """What stands on edges as (C, D), 0 behind a completion's last branch."""
        return np.where(self.edge_CD == NO_EDGE, 0.0, logp_E[self.edge_CD])

    def probability(self, stale: int = 0) -> Array:
        """Probability of each completion under the sampler that is `stale` steps old, (C,); those
        of a prompt add up to 1."""
        probability_C: Array = np.exp(self.token_logps(self.logp_SE[stale]).sum(1))
        return probability_C

    def expected_reward(self, stale: int = 0) -> Array:
        """J of each prompt, (N,)."""
        weighed_C = self.probability(stale) * self.reward_C
        return np.bincount(self.prompt_C, weighed_C, len(self.questions))

    def direction(self, weight_CD: Array) -> Array:
        """The sum of the edges' gradients with these weights, in the factor's basis, (R,)."""
        weight_E = np.zeros(len(self.factor_ER))
        there = self.edge_CD != NO_EDGE
        np.add.at(weight_E, self.edge_CD[there], weight_CD[there])
        direction_R: Array = weight_E @ self.factor_ER
        return direction_R

    def true_gradient(self, prompt: int | None = None) -> Array:
        """The gradient of the expected reward, averaged over the prompts (or of one), (R,)."""
        centred_C = self.reward_C - self.expected_reward()[self.prompt_C]
        weight_C = self.probability() * centred_C / len(self.questions)
        if prompt is not None:
            weight_C = np.where(self.prompt_C == prompt, weight_C * len(self.questions), 0.0)
        return self.direction(np.broadcast_to(weight_C[:, None], self.edge_CD.shape))


def cosine(a_R: Array, b_R: Array) -> float:
    """Cosine of the angle between two directions; NaN where one of them is 0."""
    lengths = float(np.linalg.norm(a_R) * np.linalg.norm(b_R))
    return float(a_R @ b_R) / lengths if lengths > 0 else float("nan")


# ------------------------------------------------------------------ on disk


def save_arrays(path: Path, parts: Mapping[str, Any]) -> None:
    """One compressed file of arrays and of what JSON can hold, under their names."""
    plain = {name: value for name, value in parts.items() if not isinstance(value, np.ndarray)}
    arrays = {name: value for name, value in parts.items() if isinstance(value, np.ndarray)}
    text = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    buffer = io.BytesIO()
    stored: dict[str, Any] = {"__json__": text, **arrays}
    np.savez_compressed(buffer, **stored)
    path.write_bytes(buffer.getvalue())


def load_arrays(path: Path) -> dict[str, Any]:
    """What `save_arrays` wrote. Raises `StoredResultError`."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            found: dict[str, Any] = {name: stored[name] for name in stored.files}
        plain: dict[str, Any] = json.loads(bytes(found.pop("__json__")).decode())
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise StoredResultError(
            f"{path} cannot be read as stored results of the oracle ({error}). Make it anew: "
            "python -m workbench.assets.oracle.make_oracle"
        ) from error
    return found | plain


def world_as_parts(world: World, prefix: str) -> dict[str, Any]:
    """A world under names that begin with `prefix`; its factor in float16, which costs a cosine
    about 1e-6."""
    parts = {f"{prefix}{f.name}": getattr(world, f.name) for f in fields(World)}
    parts[f"{prefix}factor_ER"] = world.factor_ER.astype(np.float16)
    return parts


def world_of_parts(parts: Mapping[str, Any], prefix: str) -> World:
    """The world that `world_as_parts` took apart."""
    own = {f.name: parts[f"{prefix}{f.name}"] for f in fields(World)}
    own["questions"] = tuple(own["questions"])
    own["factor_ER"] = own["factor_ER"].astype(np.float32)
    return World(**own)
