"""Menus and boxes with their label, as the views put them above what they show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ipywidgets as widgets


def labelled_menu(
    label: str, options: Iterable[Any], width: str, label_width: str, **more: Any
) -> widgets.Dropdown:
    """A menu of `options`; its first one is chosen unless `value` among `more` says another."""
    return widgets.Dropdown(
        options=list(options),
        description=label,
        # On a narrow page it shrinks, rather than being cut off.
        layout=widgets.Layout(width=width, max_width="100%"),
        style={"description_width": label_width},
        **more,
    )


def tick_box(label: str, width: str) -> widgets.Checkbox:
    """A box to tick, empty at first."""
    return widgets.Checkbox(
        value=False, description=label, indent=False, layout=widgets.Layout(width=width)
    )


def in_a_row(*parts: widgets.Widget) -> widgets.HBox:
    """Side by side, and below one another where the page is narrow."""
    return widgets.HBox(
        list(parts), layout=widgets.Layout(flex_flow="row wrap", align_items="center")
    )


def beside_one_another(left: widgets.Widget, right: widgets.Widget) -> widgets.HBox:
    """At the two ends of a line, and below one another where the page is narrow."""
    layout = widgets.Layout(
        flex_flow="row wrap", align_items="center", justify_content="space-between"
    )
    return widgets.HBox([left, right], layout=layout)
