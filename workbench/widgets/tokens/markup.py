"""The HTML of the token microscope: completions as coloured tokens, and the style sheet. Inert:
what moves is `token_box`.

A list of tokens is a listbox with one tab stop, on its first token; the script moves it. Everything
from a model is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from workbench.widgets.base.bar import BAR_CSS
from workbench.widgets.base.numbers import number_text
from workbench.widgets.tokens.pieces import BREAK, Piece
from workbench.widgets.tokens.row import QUANTITIES, TokenRow
from workbench.widgets.tokens.scales import LEVELS, UNKNOWN, Scale, colour_css

TOKENS_CSS = (
    BAR_CSS
    + colour_css(".wb-tokens")
    + (Path(__file__).parent / "tokens.css").read_text(encoding="utf-8")
)
READOUT = '<div class="wb-readout" role="group" aria-label="values of the token"></div>'
"""Where the script writes the values of a token."""
MARKS = {-1.0: " lo", 1.0: " hi"}


def token_list(tokens: Sequence[tuple[str, Piece]], name: str) -> str:
    """The tokens, each with the classes of its colour and marks, as a list that is one tab stop."""
    if not tokens:
        return '<div class="wb-box"><span class="wb-dim">No tokens.</span></div>'
    spans = [
        f'<span class="t {css} {piece.css}" role="option">{piece.shown.removesuffix(BREAK)}</span>'
        f"{_break_after(piece)}"
        for css, piece in tokens
    ]
    spans[0] = spans[0].replace("<span ", '<span tabindex="0" ', 1)
    return (
        f'<div class="wb-box" role="listbox" aria-label="{html.escape(name)}">'
        f"{''.join(spans)}</div>"
    )


def _break_after(piece: Piece) -> str:
    """A line break at the end of a token stands behind it: within, the token's frame would reach
    into the next line."""
    return BREAK if piece.shown.endswith(BREAK) else ""


def pane(
    row: TokenRow,
    name: str,
    scale: Scale,
    piece: Callable[[int], Piece],
    part: slice,
    heading: str,
    below: str = "",
) -> str:
    """One completion: its heading, the tokens of `part` coloured by `name`, what is `below`."""
    ids, levels = row.ids_T[part].tolist(), scale.levels(row.values[name][part]).tolist()
    classes = {level: scale.class_of(level) for level in range(-LEVELS, UNKNOWN + 1)}
    sides = row.values["clipped"][part].tolist()
    masked = row.left_out.masked_T[part].tolist()
    css = [
        classes[level] + MARKS.get(side, "") + (" off" if is_masked else "")
        for level, side, is_masked in zip(levels, sides, masked, strict=True)
    ]
    tokens = [(marks, piece(i)) for marks, i in zip(css, ids, strict=True)]
    box = token_list(tokens, f"tokens of row {row.row}, coloured by {QUANTITIES[name].label}")
    return (
        f'<div class="wb-pane" data-row="{row.row}">{heading}{_notes(row, name)}{box}{below}</div>'
    )


def known(row: TokenRow, first: str = "") -> list[str]:
    """The quantities that are known for at least one token, and `first` in any case, which
    leads."""
    names = [
        name
        for name, values_T in row.values.items()
        if name == first or not np.isnan(values_T).all()
    ]
    return sorted(names, key=lambda n: n != first)


def _notes(row: TokenRow, name: str) -> str:
    """What the values of the whole completion are like, and what must be known to read them."""
    values_T = row.values[name]
    found = values_T[~np.isnan(values_T)]
    summary = ""
    if name == "clipped" and len(found):
        summary = (
            f"{(found < 0).sum()} of {len(found)} tokens clipped low, {(found > 0).sum()} clipped "
            "high."
        )
    elif len(found) and found.min() < found.max():
        unit = f" {QUANTITIES[name].unit}" if QUANTITIES[name].unit else ""
        summary = (
            f"{QUANTITIES[name].label}: mean {number_text(found.mean())}, from "
            f"{number_text(found.min())} to {number_text(found.max())}{unit}."
        )
    note = f'<div class="wb-note">{html.escape(row.notes[name])}</div>' if name in row.notes else ""
    return (f'<div class="wb-dim">{summary}</div>' if summary else "") + note


def page(parts: Sequence[str], above: str = "") -> str:
    """Completions side by side, under what they have in common and the line for the values of a
    token."""
    return (
        f'<div class="wb-tokens">{above}{READOUT}<div class="wb-panes">{"".join(parts)}</div></div>'
    )
