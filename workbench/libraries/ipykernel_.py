"""ipykernel: which shell answers a widget's message, and that a page is answered at all while a
cell waits.

Held against the installed version by `tests/libraries/test_ipykernel.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
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


FOR_WIDGETS = ("comm_info_request", "comm_open", "comm_msg")
"""What a page asks, in this order, that wants to show widgets which were there before it."""
CHANNEL_THREAD = "shell_channel_thread"
"""From ipykernel 7 on a thread of its own receives what pages ask, and hands it to the main thread
unless the page named another shell."""


@contextmanager
def answering_new_pages(kernel: Any) -> Iterator[None]:
    """While the main thread is in a cell, let a page that was loaded anew find its widgets.

    JupyterLab asks the main thread which widgets there are, before it shows any: it would say
    "Loading widget..." until the cell ends. Meanwhile the receiving thread answers these questions
    itself. Kernels before 7 have no such thread; there `jupyter_ui_poll` answers.
    """
    thread = getattr(kernel, CHANNEL_THREAD, None)
    if thread is None:
        yield
        return
    stream = kernel.shell_stream
    hand_on = kernel.shell_channel_thread_main

    async def answer(message: Any) -> None:
        asked = _asked_of_the_main_thread(kernel, message)
        if asked is None:
            await hand_on(message)
        else:
            await _answered(kernel, *asked)

    # A stream belongs to its thread.
    thread.io_loop.add_callback(stream.on_recv, answer, copy=False)
    try:
        yield
    finally:
        thread.io_loop.add_callback(stream.on_recv, hand_on, copy=False)


def _asked_of_the_main_thread(kernel: Any, message: Any) -> tuple[Any, Any] | None:
    """The sender and the question, where it is one of `FOR_WIDGETS` to the main thread."""
    sender, parts = kernel.session.feed_identities(message, copy=False)
    header = kernel.session.deserialize(parts, content=False, copy=False)["header"]
    if header["msg_type"] not in FOR_WIDGETS or header.get("subshell_id") is not None:
        return None
    return sender, kernel.session.deserialize(parts, content=True, copy=False)


async def _answered(kernel: Any, sender: Any, question: Any) -> None:
    # Only here: what the waiting cell prints meanwhile stays its own. A page that asks for one
    # widget's state waits for an answer that names its question.
    before = kernel._shell_parent.set(question)
    kernel._publish_status("busy", "shell", parent=question)
    try:
        answer = kernel.shell_handlers[question["header"]["msg_type"]]
        done = answer(kernel.shell_stream, sender, question)
        if inspect.isawaitable(done):
            await done
    finally:
        kernel._publish_status("idle", "shell", parent=question)
        kernel._shell_parent.reset(before)
