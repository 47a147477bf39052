"""The boxes and buttons of the lab."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import ipywidgets as widgets

from workbench.widgets.base.labelled import labelled_menu

LABEL = "90px"
STYLE = {"description_width": LABEL}


def _button(text: str, tip: str) -> widgets.Button:
    return widgets.Button(description=text, tooltip=tip, layout=widgets.Layout(width="110px"))


def _menu(name: str, width: str = "560px") -> Any:
    return labelled_menu(name, [("none", 0)], width, LABEL)


@dataclass(frozen=True)
class Boxes:
    """What a person chooses with, from the top."""

    rewards: Any = field(
        default_factory=lambda: widgets.Text(
            description="rewards",
            continuous_update=False,
            layout={"width": "560px", "max_width": "100%"},
            style=STYLE,
        )
    )
    """Names and specs of reward functions, with commas."""
    again: Any = field(
        default_factory=lambda: _button("Read again", "Read the files of the rewards again")
    )
    step: Any = field(
        default_factory=lambda: widgets.BoundedIntText(
            value=0, min=0, max=0, description="step", layout={"width": "190px"}, style=STYLE
        )
    )
    newest: Any = field(
        default_factory=lambda: _button("Newest", "Go to the newest step of the run")
    )
    group: Any = field(default_factory=lambda: _menu("group"))
    row: Any = field(default_factory=lambda: _menu("completion"))
    asked: Any = field(default_factory=widgets.HTML)
    """Question and gold answer."""
    text: Any = field(
        default_factory=lambda: widgets.Textarea(
            description="answer",
            # Less its own margins: with all of the width the page would scroll sideways.
            layout={"width": "calc(100% - 4px)", "height": "130px"},
            style=STYLE,
        )
    )
    """The completion that is edited."""
    restore: Any = field(
        default_factory=lambda: _button("As it was", "Put back the text of the completion")
    )
    remarks: Any = field(default_factory=widgets.HTML)
