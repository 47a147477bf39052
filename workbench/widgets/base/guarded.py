"""What every view with controls needs: one lock, controls that can be filled without answering,
errors shown in place."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets

from workbench.widgets.base.style import CSS, framed
from workbench.widgets.base.text import safe_text


class Guarded:
    """Base of a view. Callbacks may come from any thread; what goes wrong in one is shown in
    `message`, never lost."""

    def __init__(self) -> None:
        self.message = widgets.HTML()
        self._lock = threading.RLock()
        self._filling = False

    def guarded(self, act: Callable[..., Any], *given: Any) -> None:
        """Call `act` alone; an exception is shown in the view and ends here, since the page has
        nowhere else to show it."""
        with self._lock:
            try:
                act(*given)
            except Exception as error:
                self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Show an error in the view."""
        set_if_changed(self.message, "value", framed(error_html(error)))

    def settled(self) -> None:
        """The view was drawn anew: an error shown before is over."""
        set_if_changed(self.message, "value", "")

    @contextmanager
    def filling(self) -> Iterator[None]:
        """While the view itself changes its controls, they do not answer."""
        before, self._filling = self._filling, True
        try:
            yield
        finally:
            self._filling = before

    def is_filling(self) -> bool:
        """Whether it is the view that changes its controls, and no person."""
        # Another thread may be filling just now: what a person did meanwhile counts after it.
        with self._lock:
            return self._filling

    def answer(self, control: widgets.Widget, act: Callable[[], Any]) -> None:
        """Call `act`, guarded, when a person changes the value of `control`."""
        control.observe(lambda change: self._answer(act), "value")

    def _answer(self, act: Callable[[], Any]) -> None:
        with self._lock:
            if not self._filling:
                self.guarded(act)


def stylesheet(*more: str) -> widgets.HTML:
    """The style sheet of the workbench and `more` of a view's own, as a widget that takes no room.
    Every view that can stand alone has one among its children, so that no HTML value repeats it."""
    rules = "".join([CSS, *more])
    return widgets.HTML(f"<style>{rules}</style>", layout=widgets.Layout(display="none"))


def set_if_changed(widget: widgets.Widget, trait: str, value: Any) -> None:
    """Set a trait when it differs: an equal value need not be compared by the front end."""
    if getattr(widget, trait) != value:
        setattr(widget, trait, value)


def show_if(widget: widgets.Widget, visible: bool) -> None:
    """Show or hide a widget, which stays where it is."""
    set_if_changed(widget.layout, "display", None if visible else "none")


def error_html(error: BaseException) -> str:
    """An exception in words, with its traceback folded away."""
    trace = "".join(traceback.format_exception(error))
    return (
        '<div class="wb-error" role="alert"><b>This view could not be drawn.</b> '
        f"{type(error).__name__}: {safe_text(str(error), 600)}"
        f'<details><summary>traceback</summary><pre class="wb-text">{safe_text(trace)}</pre>'
        "</details></div>"
    )
