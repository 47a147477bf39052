"""Where it was decided, drawn: V as a step curve, the tokens twice, and what else could have been
said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.widgets.base.lab import fixed, share_bar, table
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.style import GREEN
from workbench.widgets.base.text import safe_text
from workbench.widgets.oracle.credit import NOISE, Decided
from workbench.widgets.oracle.layout import visible
from workbench.widgets.oracle.snapshots import Snapshots, alternatives
from workbench.widgets.plots import Chart
from workbench.widgets.plots.pieces import SMALL, make_chart, marker, plot_text
from workbench.widgets.tokens.box import Column, Readings
from workbench.widgets.tokens.markup import page, token_list
from workbench.widgets.tokens.pieces import piece_of
from workbench.widgets.tokens.row import Quantity
from workbench.widgets.tokens.scales import Scale

CREDIT = Quantity("credit Q − V", "", "diverging", NOISE, "What this token changed of V.")


def value_chart(f: Decided, pieces: Sequence[str]) -> Chart:
    """V as a step curve: over each token stands V before it, and behind it V after it."""
    count = len(pieces)
    # Two points a token: the step is drawn where the token stands.
    x = np.repeat(np.arange(count + 1), 2)[1:-1]
    y = np.repeat(f.value_T1[1:], 2)
    line = {
        "type": "scatter",
        "x": np.concatenate([[-1.0, 0.0], x]).astype("f4"),
        "y": np.concatenate([np.repeat(f.value_T1[0], 2), y]).astype("f4"),
        "name": "V",
        "mode": "lines",
        "line": {"color": GREEN, "width": 2.5, "dash": "solid"},
        "hovertemplate": "%{y:.4~g}",
        "showlegend": False,
    }
    chart = make_chart(
        "V along the completion",
        "expected reward once the token has been said",
        [line],
        x_range=(-1.0, float(count)),
        y={"rangemode": "tozero", "title": {"text": "expected reward"}},
    )
    layout = chart["layout"]
    layout["xaxis"] |= {
        "tickvals": [t + 0.5 for t in range(count)],
        "ticktext": [plot_text(visible(piece), 12) for piece in pieces],
        "tickfont": {"size": SMALL, "family": "monospace"},
        "tickangle": -60,
        "title": {"text": ""},
    }
    layout["shapes"] = [marker(float(t)) for t in f.strongest]
    layout["hovermode"] = "closest"
    layout["margin"]["b"] = 76
    said = [f"after {visible(pieces[t])!r} {f.value_T1[t + 1]:.3g}" for t in f.strongest]
    layout["meta"]["summary"] = (
        f"V begins at {f.value_T1[0]:.3g} and ends at {f.value_T1[-1]:.3g}; its largest steps: "
        f"{', '.join(said) or 'none'}."
    )
    return chart


def token_page(f: Decided, pieces: Sequence[str], ids: Sequence[int]) -> tuple[str, list[Readings]]:
    """The tokens twice: coloured by credit, and by what GRPO pays; with their values for the
    read-out."""
    advantage_T = np.full(len(ids), f.advantage)
    limit = max(float(np.abs(f.credit_T).max()), abs(f.advantage), NOISE)
    scale = Scale(CREDIT, limit, True)
    shown = [piece_of(i, text) for i, text in zip(ids, pieces, strict=True)]
    panes = []
    for title, values_T in (
        ("exact credit: Q − V of each token", f.credit_T),
        ("GRPO: the same advantage for every token", advantage_T),
    ):
        css = [scale.class_of(level) for level in scale.levels(values_T).tolist()]
        tokens = token_list(list(zip(css, shown, strict=True)), f"tokens, {title}")
        panes.append(f"<div class='wb-pane'><b>{title}</b>{tokens}</div>")
    columns = [
        Column("V before", "", "number", f.value_T1[:-1]),
        Column("Q", "", "number", f.value_T1[1:]),
        Column("credit Q − V", "", "signed", f.credit_T),
        Column("GRPO's advantage", "", "signed", advantage_T),
    ]
    key = (
        "<div class='wb-dim'>Blue: above 0. Orange with stripes: below. Both rows have one "
        f"scale, whose deepest colour is {number_text(limit, '.3g')}.</div>"
    )
    return page(panes) + key, [Readings(0, columns), Readings(0, columns)]


def decision_tables(snapshots: Snapshots, f: Decided, completion: int, moment: int) -> str:
    """What else could have been said at the tokens that decided, as HTML."""
    parts = []
    for t in sorted(f.strongest):
        found = alternatives(snapshots, completion, t, moment)
        before = number_text(float(f.value_T1[t]))
        own = snapshots.pieces[completion][t]
        caption = f"token {t}, {_quoted(own)}: V before it is {before}"
        rows = [
            [_quoted(text), share_bar(chance, 1.0, f"{chance:.2%}"), fixed(value, 3)]
            for text, chance, value in found[:6]
        ]
        parts.append(
            table(["it could say", "probability", "Q: expected reward then"], rows, caption)
        )
    return "".join(parts) or "<p class='wb-dim'>No token of it decided anything: V is flat.</p>"


def _quoted(text: str) -> str:
    return f"<span class='wb-text'>«{safe_text(visible(text), 60)}»</span>"


def credit_words(f: Decided, pieces: Sequence[str]) -> str:
    start, end = (number_text(float(v)) for v in (f.value_T1[0], f.value_T1[-1]))
    text = f"V goes from J = {start} to the reward {end}. "
    if not f.strongest:
        return text + "No token decided anything."
    first = f.strongest[0]
    share = abs(f.credit_T[first]) / np.abs(f.credit_T).sum()
    step = number_text(float(f.credit_T[first]), "+.3g")
    whole = number_text(float(f.value_T1[-1] - f.value_T1[0]), "+.3g")
    return text + (
        f"The largest step is at token {first}, {visible(pieces[first])!r}: {step}, {share:.0%} of "
        f"all steps up and down. GRPO pays each of the {len(pieces)} tokens "
        f"{number_text(f.advantage, '+.3g')}; the exact credits add up to r − J = {whole}."
    )
