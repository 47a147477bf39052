"""A row of buttons, one for each of some numbers: made once and filled again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets as widgets


class PickButtons:
    """`pick(number)` is called when its button is clicked; a second click on the same one counts,
    too."""

    def __init__(self, description: str, pick: Callable[[int], None]) -> None:
        self._pick = pick
        self.widget = widgets.ToggleButtons(
            options=[],
            value=None,
            description=description,
            style={"description_width": "150px", "button_width": "56px"},
        )
        self.widget.observe(self._clicked, "value")

    def offer(self, tooltips: Mapping[int, str]) -> None:
        """A button for each number, with its tooltip."""
        # The space: ipywidgets 7 takes a button labelled with its own place (0, 1 …) for one that
        # is there already.
        options = tuple((f"{number} ", number) for number in tooltips)
        if options != self.widget.options:
            with self.widget.hold_sync():
                self.widget.options = options
                self.widget.tooltips = list(tooltips.values())
                self.widget.value = None

    def _clicked(self, change: dict[str, int | None]) -> None:
        number = change["new"]
        if number is not None:
            self._pick(number)
            self.widget.value = None
