"""A step as the token microscope needs it: the kept batch, its texts, the text of the tokens. Read
once, kept while shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.source import RunSource
from workbench.widgets.tokens.pieces import Piece, piece_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TokenStep:
    """One step of a run: `batch` as `Run.batch`, `samples` as `Run.samples`."""

    step: int
    batch: dict[str, Any]
    samples: pd.DataFrame

    def __len__(self) -> int:
        return len(self.batch["lengths_B"])

    def label(self, row: int) -> str:
        """A line for the menu: which completion, what it got."""
        group = row // self.batch["num_generations"]
        reward, advantage = (
            number_text(self.batch["reward_B"][row]),
            number_text(self.batch["advantages_B"][row], "+.4g", "none"),
        )
        cut = " · truncated" if self.batch["truncated_B"][row] else ""
        return f"row {row} · group {group} · reward {reward} · advantage {advantage}{cut}"

    @cached_property
    def largest_advantage(self) -> float:
        """The largest |advantage|: a full bar."""
        return float(np.nanmax(abs(self.batch["advantages_B"]), initial=0.0))

    @cached_property
    def telling_row(self) -> int:
        """The completion with most to see: the largest |advantage| of a group that is not dead,
        where there is one."""
        written_B, live_B = self.batch["lengths_B"] > 0, ~self.samples["dead"].to_numpy(bool)
        size_B = np.nan_to_num(abs(self.batch["advantages_B"]))
        kept_B = next(
            (kept_B for kept_B in (written_B & live_B, written_B) if kept_B.any()),
            np.ones(len(self), bool),
        )
        return int(np.where(kept_B, size_B, -1.0).argmax())

    def opposite(self, row: int) -> int | None:
        """The completion of the same group whose advantage is farthest from this one's: of the best
        one the worst, and of the worst the best. None where all have the same."""
        G = self.batch["num_generations"]
        first = row // G * G
        distance_G = np.nan_to_num(
            abs(self.batch["advantages_B"][first : first + G] - self.batch["advantages_B"][row])
        )
        return first + int(distance_G.argmax()) if distance_G.any() else None


class Pieces:
    """The tokens of one run as they are shown; the vocabulary is read again when a token is new."""

    def __init__(self, source: RunSource) -> None:
        self._source, self._texts = source, source.run.vocab()
        self._piece = lru_cache(maxsize=65536)(self._make)

    def know(self, ids: set[int]) -> None:
        """Make sure that the texts of these tokens are there, where the record has them."""
        if not ids <= self._texts.keys():
            self._texts = self._source.run.vocab()
            self._piece.cache_clear()

    def __call__(self, token_id: int) -> Piece:
        return self._piece(token_id)

    def _make(self, token_id: int) -> Piece:
        return piece_of(token_id, self._texts.get(token_id))


class TokenSteps:
    """Reads steps of runs; holds the last one of each kind, so that memory stays that of one
    batch."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._step: TokenStep | None = None
        self._pieces: tuple[Any, Pieces] | None = None

    def read(self, source: RunSource, step: int) -> TokenStep:
        """The step; raises `RunRecordError` where its samples or tokens were not kept."""
        key = (source.run.path, source.run.position()[0], step)
        if self._step is None or key != self._key:
            self._key, self._step = None, None
            self._step = TokenStep(step, source.run.batch(step), source.run.samples(step))
            self._key = key
        return self._step

    def pieces(self, source: RunSource, ids: set[int]) -> Pieces:
        """The tokens of this run as they are shown."""
        key = (source.run.path, source.run.position()[0])
        if self._pieces is None or self._pieces[0] != key:
            self._pieces = key, Pieces(source)
        self._pieces[1].know(ids)
        return self._pieces[1]
