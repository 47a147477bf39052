"""What a kernel needs so that widgets answer while a cell is running."""

from __future__ import annotations

from typing import Any

from workbench.libraries.ipykernel_ import reply_where_the_page_asks


def answer_in_the_subshell(widget: Any) -> None:
    """Let ipykernel deliver the browser's messages to its subshell, for `widget` and all its
    children."""
    reply_where_the_page_asks(getattr(widget, "comm", None))
    for child in getattr(widget, "children", ()):
        answer_in_the_subshell(child)
