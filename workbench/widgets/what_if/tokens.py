"""The tokens of one completion, coloured by how much harder the what-if pushes each one than what
happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.widgets.tokens.box import Column, Readings
from workbench.widgets.tokens.markup import MARKS, page, token_list
from workbench.widgets.tokens.pieces import piece_of
from workbench.widgets.tokens.row import Quantity
from workbench.widgets.tokens.scales import scale_of

if TYPE_CHECKING:
    from workbench.widgets.what_if.comparison import Comparison

PUSH = Quantity(
    "difference of push",
    "",
    "diverging",
    1e-12,
    "push = −∂loss/∂logp: above 0 the update makes the token likelier. The difference is the "
    "what-if's minus that of what happened.",
)
TOKENS_SHOWN = 2000


def tokens(
    c: Comparison, row: int, ids: Sequence[int], pieces: Mapping[int, str]
) -> tuple[str, list[Readings]]:
    """The first 2000 tokens of completion `row`, as `TokenBox.show` takes them."""
    if not c.kept.counted_BT[row].any():
        return (
            "<p>Nothing is known of this completion's gradient: the update left it out (see "
            "above). Choose another "
            "completion.</p>",
            [],
        )
    T = min(len(ids), TOKENS_SHOWN)
    old_T, new_T = (-o.gradient_BT[row, :T].astype(float) for o in (c.happened, c.what_if))
    old_side_T, new_side_T = (o.clipped_BT[row, :T].astype(float) for o in (c.happened, c.what_if))
    difference_T = new_T - old_T
    css = _classes(difference_T, new_side_T)
    box = token_list(
        [(marks, piece_of(i, pieces.get(i))) for marks, i in zip(css, ids, strict=False)],
        f"tokens of row {row}, coloured by {PUSH.label}",
    )
    values = Readings(
        0,
        [
            Column("difference of push", "", "signed", difference_T),
            Column("push when it happened", "", "signed", old_T),
            Column("push in the what-if", "", "signed", new_T),
            Column("clipped when it happened", "", "side", old_side_T),
            Column("clipped in the what-if", "", "side", new_side_T),
        ],
    )
    return page([f'<div class="wb-pane">{box}</div>'], _summary(difference_T, len(ids))), [values]


def _classes(difference_T: np.ndarray, side_T: np.ndarray) -> list[str]:
    """Each token's classes: its colour, and the mark of a clip in the what-if."""
    scale = scale_of(PUSH, [difference_T])
    levels_and_sides = zip(scale.levels(difference_T).tolist(), side_T.tolist(), strict=True)
    return [scale.class_of(level) + MARKS.get(side, "") for level, side in levels_and_sides]


def _summary(difference_T: np.ndarray, length: int) -> str:
    up, down = int((difference_T > 0).sum()), int((difference_T < 0).sum())
    cut = (
        f" Only the first {TOKENS_SHOWN:,} of {length:,} tokens are shown."
        if length > TOKENS_SHOWN
        else ""
    )
    return (
        f'<p class="wb-dim">{PUSH.meaning} Blue: pushed up more, or down less ({up} tokens). '
        "Orange with stripes: the other way "
        f"({down}). A line below or above: clipped low or high in the what-if.{cut}</p>"
    )
