"""The completions of one prompt as a tree of blocks: a block is a run of tokens behind which the
completions do not part, as high as its probability and as long as its text.

Suffixes: S moments, C completions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.widgets.oracle.snapshots import Array, Snapshots

LEAST = 0.002
"""A block that holds less than this at every moment is not drawn: less than a pixel."""
ROOT = -1


@dataclass(frozen=True)
class Block:
    """A part of the tree. Blocks stand in a list, parents before children."""

    parent: int
    """The place of the block that it goes on from; -1 for the first one."""

    start: int
    """Characters that stand before it."""

    first_token: int
    """Tokens that stand before it."""

    texts: tuple[str, ...]
    """Its tokens, every character visible."""

    completion: int
    """The completion that ends with it, else -1."""

    probability_S: Array
    """Its probability at each moment."""

    value_S: Array
    """V at its first token at each moment: the expected reward once it has begun. NaN where its
    probability is 0."""

    @property
    def text(self) -> str:
        """Its tokens in one piece."""
        return "".join(self.texts)


def visible(text: str, limit: int = 200) -> str:
    """`text` as plain characters that all show: a line break as its sign, an invisible one as its
    code point; cut where it is longer than any token is. What is shown by `textContent` needs no
    escape."""
    shown = "".join(_shown(character) for character in text[:limit])
    return shown if len(text) <= limit else shown + "…"


def _shown(character: str) -> str:
    if character == "\n":
        return "⏎"
    return character if character.isprintable() else f"⟨U+{ord(character):04X}⟩"


def blocks_of(snapshots: Snapshots, least: float = LEAST) -> list[Block]:
    """The tree of all completions, drawn down to blocks of probability `least`. The children of a
    block stand in one order for all moments: by their largest probability, so that a block stays
    where it is while its height changes."""
    blocks: list[Block] = []
    every = np.arange(len(snapshots.ids))
    _grow(snapshots, every, 0, ROOT, 0, least, blocks)
    return blocks


def _grow(
    snapshots: Snapshots,
    within: Array,
    depth: int,
    parent: int,
    start: int,
    least: float,
    blocks: list[Block],
) -> None:
    """Adds what follows `depth` tokens that the completions `within` share."""
    for branch in _branches(snapshots, within, depth, least):
        here = branch
        texts: list[str] = []
        end = depth
        ended = -1
        # On, as long as nothing that would be drawn leaves the branch.
        while ended < 0:
            one = int(here[0])
            texts.append(visible(snapshots.pieces[one][end]))
            end += 1
            ended = _ending(snapshots, here, end, least)
            onward = _branches(snapshots, here, end, least)
            if ended >= 0 or len(onward) != 1:
                break
            here = onward[0]
        block = _block(snapshots, branch, (parent, start, depth), texts, ended)
        blocks.append(block)
        place = len(blocks) - 1
        _grow(snapshots, here, end, place, start + len(block.text), least, blocks)


def _branches(snapshots: Snapshots, within: Array, depth: int, least: float) -> list[Array]:
    """The completions that go on after `depth` tokens, by the next one; those that are drawn."""
    by_token: dict[int, list[int]] = {}
    for c in within.tolist():
        if len(snapshots.ids[c]) > depth:
            by_token.setdefault(snapshots.ids[c][depth], []).append(c)
    sized = [(_largest(snapshots, group), np.array(group)) for group in by_token.values()]
    sized.sort(key=lambda pair: -pair[0])
    return [group for size, group in sized if size >= least]


def _ending(snapshots: Snapshots, within: Array, depth: int, least: float) -> int:
    """The completion that ends after `depth` tokens, -1 where none does or it is not drawn."""
    for c in within.tolist():
        if len(snapshots.ids[c]) == depth and _largest(snapshots, [c]) >= least:
            return int(c)
    return -1


def _largest(snapshots: Snapshots, completions: Sequence[int]) -> float:
    return float(snapshots.probability_SC[:, list(completions)].sum(1).max())


def _block(
    snapshots: Snapshots,
    within: Array,
    place: tuple[int, int, int],
    texts: Sequence[str],
    completion: int,
) -> Block:
    parent, start, first_token = place
    own_SC = snapshots.probability_SC[:, within]
    mass_S = own_SC.sum(1)
    weighed_S = own_SC @ snapshots.reward_C[within]
    # A branch that nobody takes at a moment has no value there.
    safe_S = np.where(mass_S > 0, mass_S, 1.0)
    value_S = np.where(mass_S > 0, weighed_S / safe_S, np.nan)
    return Block(parent, start, first_token, tuple(texts), completion, mass_S, value_S)
