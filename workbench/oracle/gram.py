"""The gradients of some problems' completions as their inner products, with what batches are drawn
from: all that an estimator can be asked, in a file of some hundred kilobytes, without a model.

Suffixes: C completions, T tokens, N gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile

from workbench.oracle.gradients import (
    check_room,
    completion_gradients,
    gradient_table,
    gram_matrix,
    token_gradients,
)
from workbench.oracle.samples import SampleSpace
from workbench.oracle.scored import OracleError, ScoredCompletions
from workbench.policy.policy import Policy


@dataclass(frozen=True)
class GradientGram:
    """A gradient is a vector of N coordinates here: how much of each of the N it holds."""

    space: SampleSpace
    """What batches are drawn from."""

    gram_NN: np.ndarray
    """float64, the inner product of every two gradients."""

    row_CT: np.ndarray
    """int64, which of the N holds the gradient of each token of each completion; -1 on padding."""

    per_token: bool
    """True where the N are gradients of single tokens; False where each is that of a whole
    completion, which a loss with one coefficient for all tokens of a completion needs."""

    def coordinates(self, rows_B: np.ndarray, coefficient_BT: np.ndarray) -> np.ndarray:
        """(N,) the gradient that weighs grad log pi of each token of these completions so. Raises
        `OracleError` where the tokens of a completion are weighed differently and the gradients are
        those of whole completions."""
        coordinate_N = np.zeros(len(self.gram_NN))
        row_BT = self.row_CT[rows_B]
        if self.per_token:
            on_BT = row_BT >= 0
            np.add.at(coordinate_N, row_BT[on_BT], coefficient_BT[:, : row_BT.shape[1]][on_BT])
            return coordinate_N
        first_B = coefficient_BT[:, 0]
        off_BT = np.where(row_BT >= 0, coefficient_BT - first_B[:, None], 0.0)
        if np.abs(off_BT).max(initial=0) > 1e-9 * np.abs(coefficient_BT).max(initial=0):
            raise OracleError(
                "the tokens of a completion are weighed differently (by clipping, a KL or a stale "
                "sampler), and this table has gradients of whole completions. Make it with "
                "per_token=True."
            )
        np.add.at(coordinate_N, row_BT[:, 0], first_B)
        return coordinate_N

    def truth(self) -> np.ndarray:
        """(N,) the true gradient: that of the problems' mean expected reward."""
        rows_C = np.arange(len(self.row_CT))
        coefficient_C = self.space.true_coefficient_C()
        return self.coordinates(rows_C, coefficient_C[:, None] * self.space.mask_CT)

    def inner(self, a_N: np.ndarray, b_N: np.ndarray) -> float:
        """The inner product of two gradients."""
        return float(a_N @ self.gram_NN @ b_N)

    def cosine(self, a_N: np.ndarray, b_N: np.ndarray) -> float:
        """Of the angle between two gradients; NaN where one of them is 0."""
        lengths = self.inner(a_N, a_N) * self.inner(b_N, b_N)
        return self.inner(a_N, b_N) / lengths**0.5 if lengths > 0 else float("nan")

    def save(self, path: Path | str) -> None:
        """Write all of it to an .npz file of this very name, the inner products as float32."""
        arrays = {f.name: getattr(self.space, f.name) for f in fields(SampleSpace)}
        known = {name: value for name, value in arrays.items() if value is not None}
        gram_NN = self.gram_NN.astype(np.float32)
        # Into an open file: numpy adds ".npz" to a name that lacks it.
        with Path(path).open("wb") as file:
            np.savez_compressed(
                file, gram_NN=gram_NN, row_CT=self.row_CT, per_token=self.per_token, **known
            )

    @classmethod
    def load(cls, path: Path | str) -> GradientGram:
        """Read what `save` wrote. Raises `OracleError` for another file."""
        names = [f.name for f in fields(SampleSpace)]
        with _opened(path) as held:
            missing = {"gram_NN", "row_CT", "per_token", *names} - {"ref_logp_CT"} - set(held)
            if missing:
                raise OracleError(
                    f"{path} holds no {sorted(missing)[0]!r}: it is no file that GradientGram.save "
                    "wrote."
                )
            space = SampleSpace(**{name: held[name] for name in names if name in held})
            return cls(
                space=space,
                gram_NN=held["gram_NN"].astype(np.float64),
                row_CT=held["row_CT"],
                per_token=bool(held["per_token"]),
            )


def _opened(path: Path | str) -> NpzFile:
    """The arrays of a file. Raises `OracleError` for one that holds none."""
    try:
        held = np.load(path, allow_pickle=False)
    # A text is taken for a pickle, half a file for a broken archive.
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise OracleError(
            f"{path} cannot be read as a Gram matrix ({type(error).__name__}: {error}). Name a "
            "file that GradientGram.save wrote."
        ) from error
    if not isinstance(held, NpzFile):
        raise OracleError(f"{path} holds a single array: it is no file of GradientGram.save.")
    return held


def gradient_gram(
    policy: Policy,
    scored: Sequence[ScoredCompletions],
    space: SampleSpace,
    *,
    per_token: bool = False,
    max_bytes: float = 6e9,
) -> GradientGram:
    """The Gram matrix of these problems' completions at the policy's weights of now, which are to
    be those of `space.logp_CT`. `per_token` holds a gradient for each token instead of each
    completion (ten times as many), which clipping, KL and stale samplers need.

    Raises `OracleError` where the gradients, of which all must be there at once, would take more
    than `max_bytes`, and where the space was made of other problems.
    """
    completions = sum(len(one.texts) for one in scored)
    if completions != len(space.weight_C):
        raise OracleError(
            f"the {len(scored)} problems have {completions} completions, the sample space has "
            f"{len(space.weight_C)}: make it of the same problems, sample_space(scored)."
        )
    sizes = [_rows(one, per_token) for one in scored]
    check_room(policy, sizes, max_bytes)
    width = space.mask_CT.shape[1]
    # One table from the start: joined at the end, all of it would be there twice.
    gradient_ND = gradient_table(policy, sum(sizes))
    rows: list[np.ndarray] = []
    first = 0
    for one, size in zip(scored, sizes, strict=True):
        if per_token:
            own_ND, row_CT = token_gradients(policy, one.enumeration)
        else:
            own_ND = completion_gradients(policy, one.enumeration)
            row_CT = np.where(one.enumeration.mask_CT, np.arange(size)[:, None], -1)
        gradient_ND[first : first + size] = own_ND
        shifted_CT = np.where(row_CT >= 0, row_CT + first, -1)
        room = ((0, 0), (0, width - row_CT.shape[1]))
        rows.append(np.pad(shifted_CT, room, constant_values=-1))
        first += size
    return GradientGram(space, gram_matrix(gradient_ND), np.concatenate(rows), per_token)


def _rows(scored: ScoredCompletions, per_token: bool) -> int:
    enumeration = scored.enumeration
    if not per_token:
        return len(enumeration.logp_C)
    nodes = {node for leaf in enumeration.leaf_C for node in enumeration.tree.path(int(leaf))}
    return len(nodes)
