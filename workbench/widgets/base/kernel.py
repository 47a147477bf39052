"""What a kernel needs so that widgets answer while a cell is running."""

from __future__ import annotations

from typing import Any


def answer_in_the_subshell(widget: Any) -> None:
    """Let ipykernel 7.4 deliver the browser's messages to its subshell again, for `widget` and all
    its children.

    7.4 remembers the shell that last wrote to a comm and sends replies there: a slider made in a
    cell would be answered by the main thread, that is after the cell. Kernels without that memory
    are left alone.
    """
    comm = getattr(widget, "comm", None)
    if comm is not None and hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default
    for child in getattr(widget, "children", ()):
        answer_in_the_subshell(child)
