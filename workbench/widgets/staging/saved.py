"""The dashboard in a cell's output: the widget, and behind it a picture that the notebook keeps.

They are two outputs. A front end that finds the widget's output draws the widget or says that it
cannot, and looks at nothing else there; and only an output of its own can be replaced later without
making the widget anew. The picture hides while its dashboard lives (`stage.js` sees to that), and
hides JupyterLab's "model not found" once it does not.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from workbench.widgets.base.hosts import in_colab, picture_html

if TYPE_CHECKING:
    from workbench.widgets.dashboard import Dashboard

AGAIN = 60.0
"""Seconds between two pictures of a run that goes on; one that rests is drawn at once."""
HIDE_WHAT_FAILED = (
    "<style>.jp-OutputArea-child:has(+ .jp-OutputArea-child .wb-saved) "
    "> .lm-Panel.jp-OutputArea-output:not(:has(*)) { display: none }</style>"
)
"""The widget's own output, where it holds no more than a line of text: it waits, or has failed."""


class SavedPicture:
    """What a saved notebook shows of a dashboard; `follow` keeps it up to date."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._shown: list[Any] = []
        self._drawn: tuple[int, str] = (0, "")
        self._next = 0.0

    def display(self) -> None:
        """Show the dashboard as a cell's output."""
        from IPython.display import display

        data, metadata = self._dashboard._repr_mimebundle_()
        if in_colab():  # each output has a page of its own there: a second one would not hide
            display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
            return
        picture = data.pop("image/svg+xml", "")
        data.pop("text/html")  # it stands in the other output
        display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
        bundle = self._bundle(picture, data["text/plain"])
        self._shown.append(display(bundle, raw=True, display_id=True))  # type: ignore[no-untyped-call]

    def follow(self, step: int, status: str) -> None:
        """Draw the picture again, if the run has gone on: when it rests, and now and then."""
        due = status != "running" or time.monotonic() >= self._next
        if not self._shown or not due or self._drawn == (step, status):
            return
        self._drawn = (step, status)
        self._next = time.monotonic() + AGAIN
        data, _ = self._dashboard._repr_mimebundle_()
        bundle = self._bundle(data.get("image/svg+xml", ""), data["text/plain"])
        for shown in self._shown:
            shown.update(bundle, raw=True)

    def _bundle(self, svg: str, words: str) -> dict[str, str]:
        """As HTML first: it is shown in a notebook that nobody has trusted yet, too."""
        if not svg:
            return {"text/html": '<span class="wb-saved"></span>', "text/plain": ""}
        image = picture_html(svg, words, f"wb-saved wb-saved-{self._dashboard.stage.key}")
        return {
            "text/html": HIDE_WHAT_FAILED + image,
            "image/svg+xml": svg,
            "text/plain": words,
        }
