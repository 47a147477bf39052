"""What the oracle's pages share: the dashboard's look for menus and sliders, and a menu of
prompts."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets

from workbench.widgets.base.lab import Lab
from workbench.widgets.base.labelled import labelled_menu
from workbench.widgets.base.text import menu_text
from workbench.widgets.controls.slider_names import SliderNames
from workbench.widgets.oracle.snapshots import Snapshots


class OraclePage(Lab):
    """A page; its sliders have names for screen readers."""

    def __init__(self) -> None:
        super().__init__()
        self.widget.children = (*self.widget.children, SliderNames())
        self.widget.add_class("wb-scaled")


def prompt_menu(prompts: Sequence[Snapshots]) -> widgets.Dropdown:
    """A menu of prompts, hidden where there is one. Its value is the prompt's place."""
    options = [(f"{i + 1}: {menu_text(p.question, 80)}", i) for i, p in enumerate(prompts)]
    menu = labelled_menu("prompt", options, "560px", "90px")
    menu.layout.display = None if len(options) > 1 else "none"
    return menu


def as_list(prompts: Snapshots | Sequence[Snapshots]) -> list[Snapshots]:
    """One prompt or several as a list. Raises ValueError where there is none."""
    found = [prompts] if isinstance(prompts, Snapshots) else list(prompts)
    if not found:
        raise ValueError("no prompt was given. Give one `Snapshots` or more.")
    return found
