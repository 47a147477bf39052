"""The influence matrix of one step with its sums. Numpy only, so that a stored one opens anywhere.

Suffixes: S completions that were learnt from, M completions or tokens that moved, B all completions
of the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd

OPTIMIZERS = {
    "run": "as the run's AdamW moved the weights",
    "sgd": "as plain SGD would have moved them (the Gram matrix)",
}
"""What turns the gradients into a movement; the key is what `who_taught` takes."""

TOLERANCE = 0.25
"""First order is called wrong where it misses the real change by more than this part of it."""

NOISE = 0.002
"""Nats: what changes by less is not judged, since float32 log-probabilities of whole completions
differ by about as much between two ways of computing them."""


class InfluenceError(WorkbenchError, ValueError):
    """What was asked cannot be computed: says what is missing and what to do."""


class InfluenceCancelledError(WorkbenchError, RuntimeError):
    """The computing was cancelled; nothing was stored and everything is as it was before."""


class InfluenceWarning(UserWarning):
    """The result is whole, and something around it is not."""


@dataclass(frozen=True)
class Influence:
    """Who pushed what in one step, in nats of log-probability."""

    step: int

    optimizer: str
    """A key of `OPTIMIZERS`."""

    path_points: int
    """0: first order, with the gradients before each update. Else at so many points along each
    update, so that the sum is the real change."""

    num_generations: int
    """G: row i of the step is in group i // G."""

    source_S: np.ndarray
    """int: the rows that were learnt from."""

    weight_S: np.ndarray
    """The sum of the coefficients that the loss gave the tokens of each: positive = made likelier.
    Summed over the updates of the step."""

    target_M: np.ndarray
    """int: the row of what moved."""

    position_M: np.ndarray
    """int: the place of the token in its row; -1 = the whole completion."""

    influence_SM: np.ndarray
    """What each answer of S did to the log-probability of each of M."""

    earlier_M: np.ndarray
    """What the answers of earlier steps did, whose pushes go on in AdamW's momentum."""

    decay_M: np.ndarray
    """What weight decay did."""

    before_M: np.ndarray
    """The log-probability before the step."""

    real_M: np.ndarray
    """How it really changed over the step, measured."""

    moved_B: np.ndarray
    """How every completion of the step really changed, asked for or not."""

    replay_error: float
    """Nats per token: how far the log-probabilities of the step made again were from the recorded
    ones, on average. 0 = bit for bit."""

    def __post_init__(self) -> None:
        S, M = self.influence_SM.shape
        if len(self.source_S) != S or len(self.target_M) != M:
            raise InfluenceError(
                f"influence of shape {self.influence_SM.shape} with {len(self.source_S)} answers "
                f"that were learnt from and {len(self.target_M)} that moved: the sizes must agree."
            )

    @property
    def predicted_M(self) -> np.ndarray:
        """The sum of all that pushed: answers, earlier steps and weight decay."""
        predicted_M: np.ndarray = self.influence_SM.sum(0) + self.earlier_M + self.decay_M
        return predicted_M

    @property
    def error_M(self) -> np.ndarray:
        """Predicted less real."""
        error_M: np.ndarray = self.predicted_M - self.real_M
        return error_M

    @property
    def holds_M(self) -> np.ndarray:
        """bool: the sum is near enough to the real change for its parts to be believed. It ends
        where a step moves a completion by about 0.4 nat, often before."""
        allowed_M = np.maximum(TOLERANCE * np.abs(self.real_M), NOISE)
        holds_M: np.ndarray = np.abs(self.error_M) <= allowed_M
        return holds_M

    @property
    def of_tokens(self) -> bool:
        """True where single tokens moved, not whole completions."""
        return bool((self.position_M >= 0).any())

    def group_of(self, row: int) -> int:
        """The group that a row is in."""
        return int(row) // self.num_generations

    def matrix(self) -> pd.DataFrame:
        """S x M: a row for each answer that was learnt from, a column for each that moved (its
        row, or (row, position) for tokens)."""
        import pandas as pd

        columns: pd.Index = pd.Index(self.target_M, name="moved")
        if self.of_tokens:
            pairs = [self.target_M, self.position_M]
            columns = pd.MultiIndex.from_arrays(pairs, names=["moved", "position"])
        index = pd.Index(self.source_S, name="learnt_from")
        return pd.DataFrame(self.influence_SM, index=index, columns=columns)

    def sums(self) -> pd.DataFrame:
        """A row for each that moved: what pushed it in all, and what really happened."""
        import pandas as pd

        return pd.DataFrame(
            {
                "moved": self.target_M,
                "position": self.position_M,
                "before": self.before_M,
                "pushed": np.maximum(self.influence_SM, 0).sum(0),
                "pulled": np.minimum(self.influence_SM, 0).sum(0),
                "earlier_steps": self.earlier_M,
                "weight_decay": self.decay_M,
                "predicted": self.predicted_M,
                "real": self.real_M,
                "holds": self.holds_M,
            }
        )

    def strongest(self, column: int, count: int = 5) -> list[tuple[int, float]]:
        """(row, nats) of the answers that moved a column most, the strongest first."""
        by_size_S = np.argsort(-np.abs(self.influence_SM[:, column]), kind="stable")[:count]
        rows = self.source_S[by_size_S].tolist()
        return list(zip(rows, self.influence_SM[by_size_S, column].tolist(), strict=True))
