"""What a policy can say to one prompt, at several moments: the enumerated completions with their
exact probabilities and rewards, as plain arrays. No model, no torch.

Suffixes beside those of CONTRIBUTING: S moments (before and after an update, or the kept steps of a
run), C completions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray


@dataclass(frozen=True)
class Snapshots:
    """One prompt's completions at S moments. What was found at one moment only has probability 0 at
    the others: less than the enumeration kept there, which `lost_S` counts."""

    question: str
    """The problem, as a person reads it."""

    answer: str
    """Its gold answer; '' where there is none."""

    moments: tuple[str, ...]
    """What each moment is called, S of them: 'step 0', 'before'."""

    pieces: tuple[tuple[str, ...], ...]
    """The text of each token of each completion, C of them, the end token included."""

    ids: tuple[tuple[int, ...], ...]
    """The same as token ids: two tokens may have one text."""

    reward_C: Array
    """The total reward of each completion."""

    probability_SC: Array
    """The exact probability of each completion at each moment."""

    def __post_init__(self) -> None:
        completions = len(self.ids)
        moments = len(self.moments)
        if completions == 0 or moments == 0:
            raise ValueError(
                f"{completions} completions at {moments} moments: a tree needs one of each. "
                "Enumerate to a larger share of the mass."
            )
        shapes = (self.reward_C.shape, self.probability_SC.shape, len(self.pieces))
        if shapes != ((completions,), (moments, completions), completions):
            raise ValueError(
                f"{completions} completions at {moments} moments do not fit rewards of shape "
                f"{shapes[0]}, probabilities of shape {shapes[1]} and {shapes[2]} texts."
            )

    @property
    def lost_S(self) -> Array:
        """The probability that no completion here accounts for, at each moment."""
        lost_S: Array = 1 - self.probability_SC.sum(1)
        return lost_S

    @property
    def reward_S(self) -> Array:
        """J, the expected reward at each moment, of what was found."""
        reward_S: Array = self.probability_SC @ self.reward_C / self.probability_SC.sum(1)
        return reward_S

    @property
    def spread_S(self) -> Array:
        """The standard deviation of the reward at each moment, of what was found."""
        share_SC = self.probability_SC / self.probability_SC.sum(1, keepdims=True)
        square_SC = (self.reward_C - self.reward_S[:, None]) ** 2
        spread_S: Array = np.sqrt((share_SC * square_SC).sum(1))
        return spread_S

    def text(self, completion: int) -> str:
        """A completion in one piece."""
        return "".join(self.pieces[completion])

    def likeliest(self, moment: int = 0) -> list[int]:
        """The completions, the most probable first."""
        return [int(c) for c in np.argsort(-self.probability_SC[moment], kind="stable")]

    def moment(self, name: str | int) -> int:
        """The place of a moment, by place (negative from the end) or by name. Raises ValueError."""
        known = range(len(self.moments))
        if isinstance(name, int) and -len(known) <= name < len(known):
            return known[name]
        if name in self.moments:
            return self.moments.index(str(name))
        raise ValueError(f"moment {name!r} is unknown. Choose from {', '.join(self.moments)}.")

    def table(self) -> pd.DataFrame:
        """A row for each completion: text, reward, and its probability at each moment."""
        import pandas as pd

        order = np.argsort(-self.probability_SC.max(0), kind="stable")
        columns: dict[str, Any] = {
            "completion": [self.text(c) for c in order],
            "reward": self.reward_C[order],
        }
        for name, probability_C in zip(self.moments, self.probability_SC, strict=True):
            columns[name] = probability_C[order]
        return pd.DataFrame(columns)


def joined(moments: Mapping[str, Snapshots]) -> Snapshots:
    """Several enumerations of one prompt as one: the union of their completions, with the moments
    named by the keys.

    Raises ValueError where they are not of one prompt, or a completion's reward differs.
    """
    parts = list(moments.values())
    if len({(part.question, part.answer) for part in parts}) != 1:
        raise ValueError("these enumerations are not of one prompt. Join those of the same one.")
    place: dict[tuple[int, ...], int] = {}
    pieces: list[tuple[str, ...]] = []
    rewards: list[float] = []
    for part in parts:
        for ids, texts, reward in zip(part.ids, part.pieces, part.reward_C, strict=True):
            if ids not in place:
                place[ids] = len(pieces)
                pieces.append(texts)
                rewards.append(float(reward))
            elif rewards[place[ids]] != reward:
                raise ValueError(
                    f"the completion {''.join(texts)[:60]!r} has the rewards "
                    f"{rewards[place[ids]]:g} and {reward:g}: score all moments alike."
                )
    names: list[str] = []
    rows: list[Array] = []
    for name, part in moments.items():
        where = [place[ids] for ids in part.ids]
        for moment, probability_C in zip(part.moments, part.probability_SC, strict=True):
            row = np.zeros(len(pieces))
            row[where] = probability_C
            rows.append(row)
            names.append(name if len(part.moments) == 1 else f"{name} {moment}")
    first = parts[0]
    return Snapshots(
        first.question,
        first.answer,
        tuple(names),
        tuple(pieces),
        tuple(place),
        np.array(rewards),
        np.array(rows),
    )


def values_along(snapshots: Snapshots, completion: int, moment: int) -> Array:
    """V before each token of a completion and after its last one, (T + 1,): the expected reward
    given the tokens so far, of what was found. The first is J, the last the reward itself.

    NaN from where the completion has no probability at this moment.
    """
    own = snapshots.ids[completion]
    probability_C = snapshots.probability_SC[moment]
    agrees_C = np.ones(len(snapshots.ids), bool)
    values = []
    for t in range(len(own) + 1):
        if t > 0:
            agrees_C = agrees_C & np.array(
                [len(ids) >= t and ids[t - 1] == own[t - 1] for ids in snapshots.ids]
            )
        mass = probability_C[agrees_C].sum()
        weighed = probability_C[agrees_C] @ snapshots.reward_C[agrees_C]
        values.append(weighed / mass if mass > 0 else np.nan)
    return np.array(values)


def alternatives(
    snapshots: Snapshots, completion: int, token: int, moment: int
) -> list[tuple[str, float, float]]:
    """What else could stand at a token's place, the likeliest first: its text, its probability
    given what stands before it, and Q, the expected reward after it."""
    before = snapshots.ids[completion][:token]
    masses: dict[int, float] = {}
    rewards: dict[int, float] = {}
    texts: dict[int, str] = {}
    for c, ids in enumerate(snapshots.ids):
        if len(ids) <= token or ids[:token] != before:
            continue
        probability = float(snapshots.probability_SC[moment, c])
        masses[ids[token]] = masses.get(ids[token], 0.0) + probability
        rewards[ids[token]] = rewards.get(ids[token], 0.0) + probability * float(
            snapshots.reward_C[c]
        )
        texts[ids[token]] = snapshots.pieces[c][token]
    whole = sum(masses.values())
    found = [(i, mass) for i, mass in masses.items() if mass > 0]
    found.sort(key=lambda pair: -pair[1])
    return [(texts[i], mass / whole, rewards[i] / mass) for i, mass in found]
