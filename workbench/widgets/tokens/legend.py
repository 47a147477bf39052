"""Around the coloured tokens: what the colours and marks mean, and the values as a table."""

from __future__ import annotations

import html
from collections.abc import Callable

from workbench.widgets.base.numbers import all_digits, number_text
from workbench.widgets.base.style import scrolling
from workbench.widgets.tokens.inputs import LOGP_MEANING
from workbench.widgets.tokens.markup import known
from workbench.widgets.tokens.pieces import Piece
from workbench.widgets.tokens.row import QUANTITIES, TokenRow
from workbench.widgets.tokens.scales import WITHIN, Scale

SIDES = {-1.0: "low", 0.0: "no", 1.0: "high"}


def legend(scale: Scale, over: str = "the tokens shown") -> str:
    """What the colours and marks of a quantity mean; `over` says what the scale was made from."""
    quantity = scale.quantity
    unit = f" in {quantity.unit}" if quantity.unit else ""
    swatches = "".join(
        f'<span class="k {scale.class_of(level)}">{text}</span>' for level, text in scale.ticks()
    )
    marks = (
        '<span class="k lo">line below: clipped low</span><span class="k hi">line above: clipped '
        "high</span>"
        '<span class="k off">struck out: masked</span>'
        '<span class="k na">dotted: not known</span><span class="k sp">framed: special token</span>'
    )
    # The first sentence in sight, the rest one click away: the tokens are what the page is for.
    first, _, rest = quantity.meaning.partition(". ")
    return (
        '<div class="wb-tokens"><div class="wb-legend" role="group" aria-label="legend"><span><b>'
        f"{quantity.label}</b>{unit}</span>"
        f'<span class="wb-scale">{swatches}</span></div>'
        f'<details class="wb-dim"><summary>{html.escape(first.removesuffix("."))}. </summary>'
        f"<div>{html.escape(rest)} {_colours(scale)}{_reach(scale, over)}{LOGP_MEANING}</div>"
        f'<div class="wb-marks">{marks}</div></details></div>'
    )


def _colours(scale: Scale) -> str:
    if scale.quantity.scale == "side":
        return ""
    return (
        f"Blue: above {_neutral(scale)}. Orange with stripes: below. "
        if scale.signed
        else "The deeper the green, the farther from 0. "
    )


def _neutral(scale: Scale) -> str:
    return "1" if scale.quantity.scale == "ratio" else "0"


def _reach(scale: Scale, over: str) -> str:
    if scale.quantity.scale == "side":
        return ""
    return (
        f"The scale holds {WITHIN} % of the values of {over} that are not {_neutral(scale)}; the "
        "others have the deepest colour. "
    )


def table(row: TokenRow, piece: Callable[[int], Piece], part: slice) -> str:
    """The values of the tokens of `part`, the exact one in each cell's title; a column that is not
    known at all is left out."""
    names = known(row)
    head = "".join(
        f"<th>{text}</th>" for text in ["position", "id", "token", *map(_column_title, names)]
    )
    columns = [[_cell(name, value) for value in row.values[name][part].tolist()] for name in names]
    body = "".join(
        f'<tr><td class="wb-number">{place}</td><td class="wb-number">{i}</td><td class="wb-text">'
        f"{piece(i).shown}</td>{''.join(cells)}</tr>"
        for place, (i, *cells) in enumerate(
            zip(row.ids_T[part].tolist(), *columns, strict=True), part.start
        )
    )
    name = f"values of row {row.row}"
    values = f'<table aria-label="{name}"><tr>{head}</tr>{body}</table>'
    return scrolling(name, values, "wb-values")


def _cell(name: str, value: float) -> str:
    if name == "clipped":
        return f'<td class="wb-number">{SIDES.get(value, "not known")}</td>'
    spec = "+.4g" if QUANTITIES[name].scale == "diverging" else ".4g"
    return (
        f'<td class="wb-number" title="{all_digits(value)}">'
        f"{number_text(value, spec, 'not known')}</td>"
    )


def _column_title(name: str) -> str:
    unit = QUANTITIES[name].unit
    return f"{QUANTITIES[name].label} ({unit})" if unit else QUANTITIES[name].label
