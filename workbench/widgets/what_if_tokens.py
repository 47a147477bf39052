"""The tokens of one completion, coloured by how much harder the what-if pushes each one than what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.widgets.token_html import TOKENS_CSS, piece_of
from workbench.widgets.token_row import Quantity
from workbench.widgets.token_scales import scale_of

if TYPE_CHECKING:
    from workbench.widgets.what_if_math import Comparison

PUSH = Quantity(
    "difference of push", "", "diverging", 1e-12,
    "push = −∂loss/∂logp: above 0 the update makes the token likelier. The difference is the what-if's minus that of what happened.")
TOKENS_SHOWN = 2000
SIDES = {-1: "clipped low", 0: "not clipped", 1: "clipped high"}


def tokens(c: Comparison, row: int, ids: Sequence[int], pieces: Mapping[int, str]) -> str:
    """The first 2000 tokens of completion `row` as HTML; each has its exact figures on hover and keyboard focus."""
    if not c.kept.counted_BT[row].any():
        return ("<p>Nothing is known of this completion's gradient: the update left it out (see above). Choose another "
                "completion.</p>")
    T = min(len(ids), TOKENS_SHOWN)
    old_T, new_T = (-o.gradient_BT[row, :T].astype(float) for o in (c.happened, c.what_if))
    scale = scale_of(PUSH, [new_T - old_T])
    spans = []
    for t, level in enumerate(scale.levels(new_T - old_T).tolist()):
        piece, sides = piece_of(ids[t], pieces.get(ids[t])), [int(o.clipped_BT[row, t]) for o in (c.happened, c.what_if)]
        label = (f"{piece.spoken} · position {t} · push {old_T[t]:+.4g} when it happened, {new_T[t]:+.4g} in the what-if, difference "
                 f"{new_T[t] - old_T[t]:+.4g} · {_sides(*sides)}")
        mark = {-1: " lo", 0: "", 1: " hi"}[sides[1]]
        spans.append(f'<span class="t {scale.class_of(level)}{mark} {piece.css}" tabindex="0" role="img" aria-label="{label}">{piece.shown}</span>')
    return (f'<style>{TOKENS_CSS}</style><div class="wb-tokens"><div class="wb-pane">{_summary(new_T - old_T, len(ids))}'
            '<div class="wb-anchor"><div class="wb-readout wb-dim">Point at a token, or move to one with the Tab key: its push appears '
            f'here.</div><div class="wb-box">{"".join(spans)}</div></div></div></div>')


def _sides(old: int, new: int) -> str:
    return f"{SIDES[old]} both times" if old == new else f"{SIDES[old]} when it happened, {SIDES[new]} in the what-if"


def _summary(difference_T: np.ndarray, length: int) -> str:
    up, down = int((difference_T > 0).sum()), int((difference_T < 0).sum())
    cut = f" Only the first {TOKENS_SHOWN:,} of {length:,} tokens are shown." if length > TOKENS_SHOWN else ""
    return (f'<p class="wb-dim">{PUSH.meaning} Blue: pushed up more, or down less ({up} tokens). Orange with stripes: the other way '
            f"({down}). A line below or above: clipped low or high in the what-if.{cut}</p>")
