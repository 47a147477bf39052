"""`TokenBox`: completions as coloured tokens that a pointer and a keyboard can walk through.

The text is inert HTML made here; a short script beside it moves the focus (one tab stop per
completion, arrow keys within it), shows the values of the token under the pointer or in focus, and
copies them exactly. The values travel as float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.page import LIT, module_of
from workbench.widgets.base.style import CSS
from workbench.widgets.tokens.markup import TOKENS_CSS

KINDS = (
    *("id", "number", "signed", "logp", "side", "word"),
    *("before", "after", "likely_id", "likely_logp"),
)
"""How the script writes a value: a whole number, four digits, with its sign, with its probability,
low or high or neither, a place among the pane's words. Then log-probabilities that are shown
together as one change; the likeliest tokens, ids and log-probabilities by turns."""
NOT_LOCKED = [-1, -1]


@dataclass(frozen=True)
class Column:
    """A number per token: what it is called, its unit ('' = none), its kind, the values (T,) with
    NaN = not known."""

    label: str
    unit: str
    kind: str
    values_T: np.ndarray


@dataclass(frozen=True)
class Readings:
    """The values of the tokens of one completion that are drawn, of which the first one stands at
    position `first`."""

    first: int
    columns: Sequence[Column]
    words: Sequence[str] = ()
    """What the values of a column of words stand for."""
    texts: Mapping[int, str] = field(default_factory=dict)
    """The text of each token id among the likeliest."""


class TokenBox(anywidget.AnyWidget):
    """Shows `html`. Each list of tokens in it (`wb-box`) has its `Readings`, in the order of the
    page. `locked` is the token that a person holds: which list, and its position in the
    completion; [-1, -1] for none."""

    _esm = module_of(LIT, Path(__file__).with_suffix(".js"))
    _css = CSS + TOKENS_CSS

    page: traitlets.Dict[str, Any] = traitlets.Dict({"html": "", "panes": [], "values": b""}).tag(
        sync=True
    )
    locked: traitlets.List[int] = traitlets.List(traitlets.Int(), NOT_LOCKED, 2, 2).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.layout.width, self.layout.margin = "auto", "2px"
        answer_in_the_subshell(self)

    @property
    def html(self) -> str:
        """The page as it is drawn."""
        return str(self.page["html"])

    @property
    def readings(self) -> list[dict[str, list[float]]]:
        """The values that the script has, by label, for each completion."""
        values, found, at = np.frombuffer(self.page["values"], "<f8"), [], 0
        for pane in self.page["panes"]:
            columns = {}
            for column in pane["columns"]:
                columns[column["label"]] = values[at : at + pane["count"]].tolist()
                at += pane["count"]
            found.append(columns)
        return found

    def show(self, html: str, readings: Sequence[Readings] = ()) -> None:
        """Draw this page; an equal one is not sent again."""
        panes: list[dict[str, Any]] = [
            {
                "first": r.first,
                "count": len(r.columns[0].values_T),
                "columns": [{"label": c.label, "unit": c.unit, "kind": c.kind} for c in r.columns],
                "words": list(r.words),
                "texts": {str(i): text for i, text in r.texts.items()},
            }
            for r in readings
        ]
        values = b"".join(
            np.ascontiguousarray(c.values_T, "<f8").tobytes() for r in readings for c in r.columns
        )
        page = {"html": f'<div class="wb">{html}</div>', "panes": panes, "values": values}
        if page != self.page:
            self.page = page
