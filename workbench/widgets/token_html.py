"""The HTML of the token microscope: coloured tokens with their exact values, the legend, the table.

No script: a token is a focusable span whose values stand in its `aria-label`; the style sheet prints them into the line above
the text while the token is under the pointer or has the focus. Everything that comes from a model is escaped.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.widgets.text import safe_text
from workbench.widgets.token_quantities import LOGP_MEANING
from workbench.widgets.token_row import QUANTITIES, TokenRow
from workbench.widgets.token_scales import LEVELS, UNKNOWN, WITHIN, Scale, colour_css

TOKENS_CSS = colour_css(".wb-tokens") + """
.wb-tokens .wb-panes { display: flex; flex-wrap: wrap; gap: 16px; }
.wb-tokens .wb-pane { flex: 1 1 420px; min-width: 0; position: relative; }
.wb-tokens .wb-readout { height: 78px; border: 1px solid var(--wb-line); padding: 4px 8px; font-size: 13px; box-sizing: border-box; }
.wb-tokens .wb-anchor { position: relative; }
.wb-tokens .wb-box { max-height: 420px; overflow-y: auto; padding: 6px 2px; line-height: 2; border-bottom: 1px solid var(--wb-line); }
.wb-tokens .t { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; padding: 3px 0;
  font-family: var(--jp-code-font-family, monospace); font-size: 14px; border-right: 1px solid var(--wb-soft); }
.wb-tokens .t:hover, .wb-tokens .t:focus { outline: 2px solid var(--wb-fg); outline-offset: -1px; }
.wb-tokens .t:hover::after, .wb-tokens .t:focus::after { content: attr(aria-label); position: absolute; z-index: 2; left: 0; right: 0;
  top: 0; height: 78px; overflow: auto; box-sizing: border-box; padding: 4px 8px; font-size: 13px; line-height: 1.35;
  white-space: normal; color: var(--wb-fg); border: 1px solid var(--wb-fg);
  background: var(--jp-layout-color1, var(--vscode-editor-background, Canvas)); font-family: var(--jp-ui-font-family, sans-serif); }
.wb-tokens .t:hover::after { z-index: 3; }
.wb-tokens .sp { border: 1px solid var(--wb-dim); border-radius: 4px; }
.wb-tokens .lo { border-bottom: 3px solid var(--wb-fg); }
.wb-tokens .hi { border-top: 3px solid var(--wb-fg); }
.wb-tokens .na { outline: 1px dotted var(--wb-dim); outline-offset: -1px; }
.wb-tokens .ws { opacity: .8; }
.wb-tokens .wb-scale { display: inline-flex; flex-wrap: wrap; gap: 4px; margin-right: 16px; }
.wb-tokens .k { padding: 2px 8px; font-size: 13px; border-right: 1px solid var(--wb-soft); }
.wb-tokens .wb-values { max-height: 420px; overflow: auto; }
"""
PIECE_LIMIT = 200
"""Characters of one token that are shown; real tokens are shorter."""
SPECIAL = re.compile(r"<\|.*\|>|</?(s|bos|eos|pad|unk)>|<(start|end)_of_turn>|\[(CLS|SEP|PAD|UNK)\]")
"""What special tokens look like: the record does not say which ones are."""
WHITE = {" ": '<span class="ws">·</span><wbr>', "\n": '<span class="ws">⏎</span><br>', "\t": '<span class="ws">⇥</span>\t'}
SIDES = {-1.0: "clipped low", 0.0: "not clipped", 1.0: "clipped high"}


@dataclass(frozen=True)
class Piece:
    """A token's text: `shown` as HTML, `spoken` for an attribute, its class."""

    shown: str
    spoken: str
    css: str


def piece_of(token_id: int, text: str | None) -> Piece:
    """A token as it is shown: spaces, line breaks, special and empty tokens visible, anything odd as its code point."""
    if not text:
        name = f"id {token_id}" if text is None else "empty"
        return Piece(f'<span class="ws">⟨{name}⟩</span>', f"⟨{name}⟩", "sp")
    parts = re.split(r"([ \n\t])", text) if len(text) <= PIECE_LIMIT else [text]
    shown = "".join(WHITE.get(part) or safe_text(part, PIECE_LIMIT) for part in parts if part)
    return Piece(shown, attribute_text(text), "sp" if SPECIAL.fullmatch(text) else "")


def attribute_text(text: str, limit: int = 60) -> str:
    """`text` inside a quoted attribute: escaped, invisible and reordering characters as code points, at most `limit` long."""
    cut = text if len(text) <= limit else text[:limit] + "…"
    odd = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return html.escape("".join(f"[U+{ord(c):04X}]" if unicodedata.category(c) in odd else c for c in cut), quote=True)


def pane(
    row: TokenRow, name: str, scale: Scale, piece: Callable[[int], Piece], part: slice, heading: str, below: str = ""
) -> str:
    """One completion: its heading, the line for the exact values, the tokens of `part` coloured by `name`, what is `below`."""
    tokens = "".join(_spans(row, name, scale, piece, part)) or '<span class="wb-dim">No tokens.</span>'
    return (
        f'<div class="wb-pane">{heading}{_notes(row, name)}<div class="wb-anchor"><div class="wb-readout wb-dim">Point at a token, or '
        f'move to one with the Tab key: its exact values appear here.</div><div class="wb-box">{tokens}</div></div>{below}</div>')


def _spans(row: TokenRow, name: str, scale: Scale, piece: Callable[[int], Piece], part: slice) -> list[str]:
    columns, label = _labels(row, name, part)
    classes = {level: scale.class_of(level) for level in range(-LEVELS, UNKNOWN + 1)}
    marks = {-1.0: " lo", 1.0: " hi"}
    levels, sides = scale.levels(row.values[name][part]).tolist(), row.values["clipped"][part].tolist()
    spans = []
    for place, (i, level, side, *values) in enumerate(zip(row.ids_T[part].tolist(), levels, sides, *columns, strict=True), part.start):
        p = piece(i)
        css = f"t {classes[level]}{marks.get(side, '')} {p.css}".rstrip()
        spans.append(f'<span class="{css}" tabindex="0" role="img" aria-label="{label % (p.spoken, place, i, *values)}">{p.shown}</span>')
    return spans


def _labels(row: TokenRow, first: str, part: slice) -> tuple[list[list], str]:
    """The columns that fill a token's label, the chosen quantity first, and the label as a %-format."""
    names = sorted(_known(row), key=lambda n: n != first)
    formats, columns = _columns(row, names, part)
    parts = [f if n == "clipped" else f"{QUANTITIES[n].label} {f} {QUANTITIES[n].unit}".strip()
             for n, f in zip(names, formats, strict=True)]
    unknown = [] if first in names else [f"{QUANTITIES[first].label} not known"]
    return columns, " · ".join(["%s", "position %d, id %d", *unknown, *parts])


def _known(row: TokenRow) -> list[str]:
    """The quantities that are known for at least one token."""
    return [name for name, values_T in row.values.items() if not np.isnan(values_T).all()]


def _columns(row: TokenRow, names: Sequence[str], part: slice) -> tuple[list[str], list[list]]:
    """The %-format of each quantity, and its values for the tokens of `part`: numbers, or words where one is not known."""
    formats, columns = [], []
    for name in names:
        values_T = row.values[name][part]
        exact = "%+.6g" if QUANTITIES[name].scale == "diverging" else "%.6g"
        if name == "clipped":
            columns.append([SIDES.get(v, "clipping not known") for v in values_T.tolist()])
        elif np.isnan(values_T).any():
            columns.append(["not known" if v != v else exact % v for v in values_T.tolist()])
        else:
            columns.append(values_T.tolist())
        formats.append(exact if columns[-1] and isinstance(columns[-1][0], float) else "%s")
    return formats, columns


def _notes(row: TokenRow, name: str) -> str:
    values_T = row.values[name]
    known = values_T[~np.isnan(values_T)]
    summary = ""
    if name == "clipped" and len(known):
        summary = f"{(known < 0).sum()} of {len(known)} tokens clipped low, {(known > 0).sum()} clipped high."
    elif len(known):
        unit = f" {QUANTITIES[name].unit}" if QUANTITIES[name].unit else ""
        summary = f"{QUANTITIES[name].label}: mean {known.mean():.4g}, from {known.min():.4g} to {known.max():.4g}{unit}."
    note = f'<div class="wb-note">{html.escape(row.notes[name])}</div>' if name in row.notes else ""
    return f'<div class="wb-dim">{summary}</div>{note}'


def legend(name: str, scale: Scale, over: str = "the tokens shown") -> str:
    """What the colours and marks of a quantity mean; `over` says what the scale was made from."""
    quantity = scale.quantity
    swatches = "".join(f'<span class="k {scale.class_of(level)}">{text}</span>' for level, text in scale.ticks())
    if quantity.scale == "side":
        colours = ""
    elif scale.signed:
        colours = f"Blue: above {_neutral(scale)}. Orange with stripes: below. "
    else:
        colours = "The deeper the green, the farther from 0. "
    marks = '<span class="k lo">line below: clipped low</span> <span class="k hi">line above: clipped high</span> ' \
            '<span class="k na">dotted: not known</span> <span class="k sp">framed: special token</span>'
    unit = f" in {quantity.unit}" if quantity.unit else ""
    return (
        f'<div role="group" aria-label="legend"><b>{quantity.label}</b>{unit} <span class="wb-scale">{swatches}</span>{marks}'
        f'<div class="wb-dim">{html.escape(quantity.meaning)} {colours}{_reach(scale, over)}{LOGP_MEANING}</div></div>')


def _neutral(scale: Scale) -> str:
    return "1" if scale.quantity.scale == "ratio" else "0"


def _reach(scale: Scale, over: str) -> str:
    if scale.quantity.scale == "side":
        return ""
    return f"The scale holds {WITHIN} % of the values of {over} that are not {_neutral(scale)}; the others have the deepest colour. "


def table(row: TokenRow, piece: Callable[[int], Piece], part: slice) -> str:
    """The exact values of the tokens of `part`; a column whose values are not known at all is left out."""
    names = _known(row)
    formats, columns = _columns(row, names, part)
    head = "".join(f"<th>{text}</th>" for text in ["position", "id", "token", *(_column_title(n) for n in names)])
    line = "<tr>" + '<td class="wb-number">%d</td>' * 2 + '<td class="wb-text">%s</td>' + "".join(
        f'<td class="wb-number">{f}</td>' for f in formats) + "</tr>"
    body = "".join(
        line % (place, i, piece(i).shown, *values)
        for place, (i, *values) in enumerate(zip(row.ids_T[part].tolist(), *columns, strict=True), part.start))
    return f'<div class="wb-values"><table aria-label="exact values of row {row.row}"><tr>{head}</tr>{body}</table></div>'


def _column_title(name: str) -> str:
    unit = QUANTITIES[name].unit
    return f"{QUANTITIES[name].label} ({unit})" if unit else QUANTITIES[name].label


def panes(parts: Sequence[str]) -> str:
    """Completions side by side."""
    return f'<div class="wb-tokens"><div class="wb-panes">{"".join(parts)}</div></div>'
