"""The tokens of a kept step: the completion with most to see and its opposite, coloured by how hard
each token was pushed. From the record alone; no torch."""

from __future__ import annotations

import numpy as np

from workbench.runs import RunRecordError
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.source import RunSource
from workbench.widgets.tokens.heading import question
from workbench.widgets.tokens.legend import legend
from workbench.widgets.tokens.pieces import Piece
from workbench.widgets.tokens.row import QUANTITIES
from workbench.widgets.tokens.scales import LEVELS, UNKNOWN, Scale, scale_of
from workbench.widgets.tokens.step import TokenStep, TokenSteps

LONGEST = 240
"""Tokens of a completion that are written into the page."""


def tokens_html(source: RunSource, steps: TokenSteps, step: int) -> str:
    """Both completions; '' for a step whose tokens were not kept."""
    try:
        found = steps.read(source, step)
    except RunRecordError:
        return ""
    name = _quantity(found)
    first = found.telling_row
    rows = [row for row in (first, found.opposite(first)) if row is not None]
    values = [_values(found, name, row) for row in rows]
    scale = scale_of(QUANTITIES[name], values)
    pieces = steps.pieces(source, {i for row in rows for i in _ids(found, row).tolist()})
    drawn = "".join(
        _pane(found, row, values_T, scale, [pieces(i) for i in _ids(found, row).tolist()])
        for row, values_T in zip(rows, values, strict=True)
    )
    return (
        f"<h3>Tokens of two completions, coloured by {QUANTITIES[name].label}</h3>"
        f'<div class="wb">{legend(scale)}<div class="wb-tokens">{question(found, first)}'
        f'<div class="wb-panes">{drawn}</div></div></div>'
    )


def _quantity(found: TokenStep) -> str:
    """What the tokens are coloured by: the push, or the first thing that an imported run has."""
    if "coefficient_BT" in found.batch:
        return "coefficient"
    has_advantages = np.isfinite(found.batch["advantages_B"]).any()
    return "logp" if "logp_BT" in found.batch and not has_advantages else "advantage"


def _ids(found: TokenStep, row: int) -> np.ndarray:
    length = min(int(found.batch["lengths_B"][row]), LONGEST)
    ids_T: np.ndarray = np.asarray(found.batch["ids_BT"][row][:length])
    return ids_T


def _values(found: TokenStep, name: str, row: int) -> np.ndarray:
    length = len(_ids(found, row))
    if name == "advantage":
        return np.full(length, float(found.batch["advantages_B"][row]))
    values_T: np.ndarray = np.asarray(found.batch[f"{name}_BT"][row][:length], dtype=float)
    return values_T


def _pane(
    found: TokenStep, row: int, values_T: np.ndarray, scale: Scale, pieces: list[Piece]
) -> str:
    classes = {level: scale.class_of(level) for level in range(-LEVELS, UNKNOWN + 1)}
    unknown_T = np.full(len(pieces), np.nan)
    logp_BT = found.batch.get("logp_BT")
    logp_T = unknown_T if logp_BT is None else logp_BT[row][: len(pieces)].astype(float)
    spans = "".join(
        f'<span class="t {classes[level]} {piece.css}" title="{_title(value, logp)}">{piece.shown}'
        "</span>"
        for piece, level, value, logp in zip(
            pieces, scale.levels(values_T).tolist(), values_T.tolist(), logp_T.tolist(), strict=True
        )
    )
    left_out = int(found.batch["lengths_B"][row]) - len(pieces)
    cut = f'<span class="wb-cut"> … {left_out:,} more tokens</span>' if left_out else ""
    return (
        f'<div class="wb-pane"><div class="wb-dim">{found.label(row)}</div>'
        f'<div class="wb-box">{spans}{cut}</div></div>'
    )


def _title(value: float, logp: float) -> str:
    said = number_text(value, "+.3g", "not known")
    if not np.isfinite(logp):
        return said
    return f"{said}, probability {number_text(float(np.exp(logp)), '.3g')}"
