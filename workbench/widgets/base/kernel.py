"""What a kernel needs so that widgets answer while a cell is running."""

from __future__ import annotations

from typing import Any

from workbench.libraries.ipykernel_ import reply_where_the_page_asks
from workbench.libraries.ipywidgets_ import answer_pages_whole


def answer_in_the_subshell(widget: Any) -> None:
    """Let ipykernel deliver the browser's messages to its subshell, for `widget` and all its
    children, and a page that is loaded anew find them all."""
    answer_pages_whole()
    _answer_each(widget)


def _answer_each(widget: Any) -> None:
    reply_where_the_page_asks(getattr(widget, "comm", None))
    for child in getattr(widget, "children", ()):
        _answer_each(child)
