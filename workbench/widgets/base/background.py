"""Work that takes longer than a click: in a thread of its own, with progress and a button that
cancels it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from workbench.errors import WorkbenchError
from workbench.widgets.base.guarded import Guarded, set_if_changed, show_if
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import safe_text

OnProgress = Callable[[int, int], None]
ShouldStop = Callable[[], bool]


class WorkCancelledError(WorkbenchError, RuntimeError):
    """The work was cancelled by a person."""


class Background:
    """A button that starts `work(on_progress, should_stop)`, its progress, and a button that
    cancels.

    `done(result)` is called, guarded by the view, when it has ended. `work` raises
    `WorkCancelledError`, or anything of its own, when `should_stop()` answers True. One piece of
    work at a time: the start button rests meanwhile.
    """

    def __init__(
        self,
        view: Guarded,
        start: str,
        tooltip: str,
        work: Callable[[OnProgress, ShouldStop], Any],
        done: Callable[[Any], None],
    ) -> None:
        self._view = view
        self._work = work
        self._done = done
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._ended.set()
        self.button = widgets.Button(
            description=start, tooltip=tooltip, layout=widgets.Layout(width="auto")
        )
        self.cancel_button = widgets.Button(
            description="Cancel", tooltip="Stop this work", layout=widgets.Layout(width="90px")
        )
        self.progress = widgets.IntProgress(0, 0, 1, layout=widgets.Layout(width="200px"))
        self.words = widgets.HTML()
        self.widget = widgets.HBox(
            [self.button, self.progress, self.cancel_button, self.words],
            layout=widgets.Layout(flex_flow="row wrap", align_items="center"),
        )
        self._show_running(False)
        self.button.on_click(lambda _: self.start())
        self.cancel_button.on_click(lambda _: self.cancel())

    @property
    def running(self) -> bool:
        """Whether work is going on."""
        return not self._ended.is_set()

    def start(self) -> None:
        """Begin, unless it is under way."""
        if self.running:
            return
        self._stop.clear()
        self._ended.clear()
        self._show_running(True)
        self._say("")
        threading.Thread(target=self._run, name="workbench work", daemon=True).start()

    def cancel(self) -> None:
        """Ask the work to stop; it does so at its next piece."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False where it has not within so many seconds. For notebooks
        and tests."""
        return self._ended.wait(timeout)

    def _run(self) -> None:
        try:
            result = self._work(self._progressed, self._stop.is_set)
        except Exception as error:
            if self._stop.is_set():
                # Whatever a cancelled work raises on its way out is the cancelling.
                self._say("Cancelled.")
            elif isinstance(error, WorkbenchError):
                self._say(str(error), is_error=True)
            else:
                self._view.fail(error)
        else:
            self._say("")
            self._view.guarded(self._done, result)
        finally:
            self._show_running(False)
            self._ended.set()

    def _progressed(self, done: int, of: int) -> None:
        if self._stop.is_set():
            raise WorkCancelledError
        self.progress.max = max(of, 1)
        self.progress.value = done
        self._say(f"{done} of {of}")

    def _show_running(self, running: bool) -> None:
        self.button.disabled = running
        show_if(self.progress, running)
        show_if(self.cancel_button, running)

    def _say(self, words: str, is_error: bool = False) -> None:
        kind = "wb-error" if is_error else "wb-dim"
        role = "alert" if is_error else "status"
        inner = f"<span class='{kind}' role='{role}'>{safe_text(words, 800)}</span>"
        set_if_changed(self.words, "value", framed(inner) if words else "")
