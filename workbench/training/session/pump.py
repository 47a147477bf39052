"""Waiting in a notebook cell without starving the widgets.

ipykernel 7 answers widget messages in a thread of its own, all but the first ones of a page, which
`libraries/ipykernel_.py` answers; older kernels (Colab runs 6.17) answer them only when the main
thread lets them, which jupyter_ui_poll does. Outside IPython there is nothing to do.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from workbench.libraries.ipykernel_ import answering_new_pages

PUBLISHERS: list[Callable[[bool], None]] = []
"""Called now and then while a cell waits, with True when it ends: in Colab only what is drawn
before that reaches the page."""


def old_kernel() -> bool:
    """True inside a kernel whose main thread must poll for widget messages."""
    if "ipykernel" not in sys.modules:
        return False
    major = int(str(sys.modules["ipykernel"].__version__).split(".")[0])
    return kernel_here() is not None and major < 7


def kernel_here() -> Any:
    """The kernel that runs this, None outside one."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None)


@contextmanager
def ui_events() -> Iterator[Callable[[], None]]:
    """Gives a function that lets pending widget messages in."""
    if old_kernel():
        from jupyter_ui_poll import ui_events as poll_events

        with poll_events() as poll:
            yield lambda: poll(10)
    else:
        with answering_new_pages(kernel_here()):
            yield lambda: None


def pumped_wait(done: threading.Event, timeout: float | None) -> bool:
    """Wait for `done` while widgets stay alive; False when `timeout` seconds passed."""
    deadline = None if timeout is None else time.monotonic() + timeout
    with ui_events() as poll:
        # Short waits: messages of the page come in between, and so does what is drawn.
        while not done.wait(0.05):
            poll()
            _publish(False)
            if deadline is not None and time.monotonic() > deadline:
                break
    _publish(True)
    return done.is_set()


def _publish(at_once: bool) -> None:
    for publish in PUBLISHERS.copy():  # drawing may close a dashboard
        publish(at_once)
