"""The HTML of the influence matrix and of the two texts behind a cell. Everything is escaped.

Suffixes as in `workbench.influence.result`: S answers learnt from, M completions or tokens that
moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.influence.result import TOLERANCE, Influence
from workbench.widgets.base.numbers import all_digits, number_text
from workbench.widgets.base.text import safe_text

if TYPE_CHECKING:
    import pandas as pd

ROWS_SHOWN = 12
"""Answers with a row of their own; the others are summed up in one."""

SHADES = 4
"""Strengths of a cell's colour; text on the strongest stays legible on either page."""


@dataclass(frozen=True)
class Texts:
    """What the words of a step are read from."""

    samples: pd.DataFrame
    """As `Run.samples` gives them."""

    pieces_M: Sequence[str]
    """The text of each token that moved; empty where completions did."""


def order_of_rows(found: Influence) -> np.ndarray:
    """(S,) places of the answers, those with the largest influence on anything first."""
    largest_S = np.abs(found.influence_SM).max(axis=1, initial=0.0)
    order_S: np.ndarray = np.argsort(-largest_S, kind="stable")
    return order_S


def matrix_html(found: Influence, texts: Texts) -> str:
    """The table: a row for each of the strongest answers, then what adds up to the real change."""
    order_S = order_of_rows(found)
    shown = order_S[:ROWS_SHOWN]
    others = order_S[ROWS_SHOWN:]
    largest = float(np.abs(found.influence_SM).max(initial=0.0))
    holds_M = found.holds_M
    rows = [_answer(found, texts, int(s), largest) for s in shown]
    if len(others):
        rest_M = found.influence_SM[others].sum(0)
        rows.append(_line(f"the other {len(others)} answers of this step", rest_M, holds_M))
    if found.earlier_M.any():
        words = "answers of earlier steps, by AdamW's momentum"
        rows.append(_line(words, found.earlier_M, holds_M))
    if found.decay_M.any():
        rows.append(_line("weight decay", found.decay_M, holds_M))
    rows.append(_line(f"<b>sum</b>, {_order(found)}", found.predicted_M, holds_M, "wb-sum"))
    rows.append(_line("<b>really moved</b>, in nats", found.real_M, holds_M))
    rows.append(_verdicts(found))
    head = "".join(_column(found, texts, m) for m in range(len(found.target_M)))
    return (
        '<div class="wb-matrix"><table aria-label="influence: rows pushed, columns moved">'
        f"<tr><th>learnt from ↓ &nbsp; moved →</th>{head}</tr>{''.join(rows)}</table></div>"
    )


def _order(found: Influence) -> str:
    if found.path_points:
        return f"along each update ({found.path_points} points)"
    return "first order"


def _column(found: Influence, texts: Texts, m: int) -> str:
    row = int(found.target_M[m])
    if found.of_tokens:
        piece = safe_text(texts.pieces_M[m], 40)
        place = int(found.position_M[m])
        return f'<th class="wb-number"><span class="wb-text">{piece}</span><br>token {place}</th>'
    # The end of a text tells answers to one prompt apart sooner than its beginning.
    end = str(texts.samples["completion"].iloc[row])[-24:]
    group = found.group_of(row)
    return (
        f'<th class="wb-number">row {row}, group {group}<br>'
        f'<span class="wb-dim wb-text">…{safe_text(end, 40)}</span></th>'
    )


def _answer(found: Influence, texts: Texts, s: int, largest: float) -> str:
    row = int(found.source_S[s])
    advantage = float(texts.samples["advantage"].iloc[row])
    head = (
        f"<th>row {row}, group {found.group_of(row)} "
        f'<span class="wb-dim">A {number_text(advantage, "+.3g", "none")}</span></th>'
    )
    cells = "".join(
        _cell(found, s, m, largest, bool(found.holds_M[m])) for m in range(len(found.target_M))
    )
    return f"<tr>{head}{cells}</tr>"


def _cell(found: Influence, s: int, m: int, largest: float, holds: bool) -> str:
    value = float(found.influence_SM[s, m])
    shade = int(np.ceil(SHADES * abs(value) / largest)) if largest > 0 else 0
    verb = "pushed" if value > 0 else "pulled"
    kind = f"wb-cell wb-{verb} wb-share-{shade}"
    if not holds:
        kind += " wb-ends"
    name = f"row {found.source_S[s]} {verb} row {found.target_M[m]} by {nats(value)} nats"
    return (
        f'<td class="{kind}" role="button" aria-label="{name}" title="{all_digits(value)}">'
        f"{nats(value)}</td>"
    )


def _line(words: str, values_M: np.ndarray, holds_M: np.ndarray, css: str = "") -> str:
    cells = "".join(
        f'<td class="wb-number{"" if holds else " wb-ends"}" title="{all_digits(float(value))}">'
        f"{nats(float(value))}</td>"
        for value, holds in zip(values_M, holds_M, strict=True)
    )
    return f'<tr class="{css}"><th class="wb-words">{words}</th>{cells}</tr>'


def _verdicts(found: Influence) -> str:
    words = ["holds" if holds else "ends here" for holds in found.holds_M]
    cells = "".join(
        f'<td class="wb-number{"" if word == "holds" else " wb-ends"}">{word}</td>'
        for word in words
    )
    return f'<tr><th class="wb-words">is the sum near the truth?</th>{cells}</tr>'


def nats(value: float) -> str:
    """A change of log-probability with its sign."""
    return number_text(value, "+.3g")


def summary_html(found: Influence) -> str:
    """What the matrix says, and where it stops being true."""
    size_M = np.abs(found.real_M)
    m = int(size_M.argmax()) if len(size_M) else 0
    what = f"Row {found.target_M[m]}"
    if found.of_tokens:
        what = f"Token {found.position_M[m]} of row {found.target_M[m]}"
    ups = float(np.maximum(found.influence_SM[:, m], 0).sum())
    downs = float(np.minimum(found.influence_SM[:, m], 0).sum())
    of_earlier = ""
    if found.earlier_M.any():
        of_earlier = f"; answers of earlier steps, through the momentum, {nats(found.earlier_M[m])}"
    wrong = int((~found.holds_M).sum())
    if wrong:
        cure = "Tick “along the path”."
        if found.path_points:
            cure = "Ask for more points: who_taught(…, path_points=8)."
        ends = (
            f"<b>The sum has left the truth in {wrong} of {len(found.holds_M)} columns</b> (grey): "
            f"it misses the real change by more than {TOLERANCE:.0%}, so its parts are not to be "
            f"believed. {cure}"
        )
    elif found.path_points:
        ends = "Along the path the parts add up to the real change."
    else:
        ends = "First order holds for every column."
    return (
        f'<div role="status">{what} moved most of these, by {nats(found.real_M[m])} nats: '
        f"answers of this step pushed {nats(ups)} and pulled {nats(downs)}{of_earlier}. "
        f"{ends}</div>"
    )


def detail_html(found: Influence, texts: Texts, s: int, m: int) -> str:
    """Both texts of a cell, and what the one did to the other."""
    value = float(found.influence_SM[s, m])
    row = int(found.source_S[s])
    moved = int(found.target_M[m])
    verb = "pushed up" if value > 0 else "pulled down"
    whom = f"row {moved}"
    if found.of_tokens:
        piece = safe_text(texts.pieces_M[m], 40)
        whom = f'the token <span class="wb-text">{piece}</span> of row {moved}'
    before = float(found.before_M[m])
    after = before + float(found.real_M[m])
    learnt = (
        f"advantage {nats(float(texts.samples['advantage'].iloc[row]))}, its tokens' coefficients "
        f"add up to {nats(float(found.weight_S[s]))}"
    )
    really = (
        f"probability {np.exp(before):.4g} before the step, {np.exp(after):.4g} after it "
        f"({nats(float(found.real_M[m]))} nats)"
    )
    return (
        f'<div role="status">Row {row} {verb} {whom} by {nats(value)} nats.</div>'
        '<div class="wb-two">'
        f"{_text('learnt from', row, learnt, texts)}{_text('moved', moved, really, texts)}</div>"
    )


def _text(role: str, row: int, words: str, texts: Texts) -> str:
    sample = texts.samples.iloc[row]
    return (
        f"<div><b>{role}: row {row}</b>, {words}"
        f'<div class="wb-dim wb-text">{safe_text(str(sample["prompt"]), 600)}</div>'
        f'<div class="wb-text">{safe_text(str(sample["completion"]), 1200)}</div></div>'
    )
