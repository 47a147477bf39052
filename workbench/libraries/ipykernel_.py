"""ipykernel: which shell answers a widget's message.

Held against the installed version by `tests/libraries/test_ipykernel.py`.
"""

from __future__ import annotations

from typing import Any

REPLY_SHELL = "_reply_subshell_for"
"""The method of a comm, from ipykernel 7.4 on, that picks the shell for a reply."""


def reply_where_the_page_asks(comm: Any) -> None:
    """Let the browser's messages to `comm` be answered by the shell that they were sent to.

    ipykernel 7.4 remembers the shell that last wrote to a comm and sends replies there: a slider
    made in a cell would be answered by the main thread, that is after the cell. Comms without that
    memory, and None, are left alone.
    """
    if comm is not None and hasattr(comm, REPLY_SHELL):
        setattr(comm, REPLY_SHELL, lambda data, default: default)
