"""`TokenBox`: completions as coloured tokens that a pointer and a keyboard can walk through.

The text is inert HTML made here; a short script beside it moves the focus (one tab stop per
completion, arrow keys within it), shows the values of the token under the pointer or in focus, and
copies them exactly. The values travel as float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anywidget
import numpy as np
import traitlets

from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.page import module_beside
from workbench.widgets.base.style import CSS
from workbench.widgets.tokens.markup import TOKENS_CSS

KINDS = ("id", "number", "signed", "logp", "side")
"""How the script writes a value: a whole number, four digits, with its sign, with its probability,
low or high or neither."""


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


class TokenBox(anywidget.AnyWidget):
    """Shows `html`. Each list of tokens in it (`wb-box`) has its `Readings`, in the order of the
    page."""

    _esm = module_beside(__file__)
    _css = CSS + TOKENS_CSS

    page: traitlets.Dict[str, Any] = traitlets.Dict({"html": "", "panes": [], "values": b""}).tag(
        sync=True
    )
    locked: traitlets.List[int] = traitlets.List(trait=traitlets.Int(), default_value=[-1, -1]).tag(
        sync=True
    )
    """The completion and the position of the token that a person clicked, or pressed Enter on; -1
    before."""

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
            }
            for r in readings
        ]
        values = b"".join(
            np.ascontiguousarray(c.values_T, "<f8").tobytes() for r in readings for c in r.columns
        )
        page = {"html": f'<div class="wb">{html}</div>', "panes": panes, "values": values}
        if page != self.page:
            self.page = page
