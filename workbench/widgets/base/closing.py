"""Giving roots back: ipywidgets keeps every widget of a kernel, and closing one leaves its
children open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import ipywidgets as widgets


def close_all(roots: Iterable[widgets.Widget]) -> None:
    """Close these roots and all that belongs to them: children, layouts, styles."""
    for widget in list(_everything(roots)):
        widget.close()


def _everything(roots: Iterable[widgets.Widget]) -> Iterator[widgets.Widget]:
    for widget in roots:
        yield widget
        yield from _everything(
            part for name in widget.keys for part in _widgets_in(getattr(widget, name))
        )


def _widgets_in(value: Any) -> list[widgets.Widget]:
    parts = value if isinstance(value, (list, tuple)) else [value]
    return [part for part in parts if isinstance(part, widgets.Widget)]
