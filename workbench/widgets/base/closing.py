"""Giving widgets back: ipywidgets keeps every widget of a kernel, and closing one leaves its
children open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import ipywidgets as w


def close_all(widgets: Iterable[w.Widget]) -> None:
    """Close these widgets and all that belongs to them: children, layouts, styles."""
    for widget in list(_everything(widgets)):
        widget.close()


def _everything(widgets: Iterable[w.Widget]) -> Iterator[w.Widget]:
    for widget in widgets:
        yield widget
        yield from _everything(
            part for name in widget.keys for part in _widgets_in(getattr(widget, name))
        )


def _widgets_in(value: Any) -> list[w.Widget]:
    parts = value if isinstance(value, (list, tuple)) else [value]
    return [part for part in parts if isinstance(part, w.Widget)]
