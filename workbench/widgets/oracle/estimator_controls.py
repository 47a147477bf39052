"""The controls of the estimator page: one for each field of a `Setting`, by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets

from workbench.widgets.base.labelled import in_a_row, labelled_menu, tick_box
from workbench.widgets.oracle.settings import LOSS_TYPES, Setting

GENERATIONS = (2, 4, 8, 16, 32, 64)
BASELINES = ("group", "leave_one_out", "batch", "none")
SCALINGS = ("group", "batch", "none")
MOST_UPDATES, MOST_STALE = 4, 5
"""The oldest sampler that both ask for together, `MOST_UPDATES + MOST_STALE - 1` = 8 steps, is
known to the worlds that ship."""
LABEL = "150px"
WIDTH = widgets.Layout(width="400px", max_width="100%")
ROWS = (
    ("loss_type", "advantage_baseline", "scale_rewards"),
    ("num_generations", "beta"),
    ("epsilon", "epsilon_high", "clip"),
    ("updates", "stale"),
)
"""Which controls stand side by side."""


def setting_controls() -> dict[str, Any]:
    """A control for each field of `Setting`, at its default."""
    usual = Setting()
    clip = tick_box("clip", "80px")
    clip.value = usual.clip
    generations = widgets.SelectionSlider(
        options=GENERATIONS,
        value=usual.num_generations,
        description="num_generations",
        style={"description_width": LABEL},
        layout=WIDTH,
    )
    return {
        "loss_type": menu("loss_type", LOSS_TYPES),
        "num_generations": generations,
        "advantage_baseline": menu("advantage_baseline", BASELINES),
        "scale_rewards": menu("scale_rewards", SCALINGS),
        "epsilon": _slider("epsilon", 0.01, 0.5, usual.epsilon),
        "epsilon_high": _slider("epsilon_high", 0.01, 1.0, usual.epsilon),
        "beta": _slider("beta", 0.0, 1.0, usual.beta),
        "updates": _whole("updates (mu)", usual.updates, MOST_UPDATES),
        "stale": _whole("sampler's age, steps", usual.stale, MOST_STALE),
        "clip": clip,
    }


def setting_of(controls: dict[str, Any]) -> Setting:
    """What the controls say. cispo's epsilon_high is a cap of the ratio, 1 above the slider's
    number."""
    values = {name: control.value for name, control in controls.items()}
    if values["loss_type"] == "cispo":
        values["epsilon_high"] += 1
    return Setting(**values)


def in_rows(controls: dict[str, Any]) -> list[widgets.Widget]:
    """The controls as they stand on the page."""
    return [in_a_row(*(controls[name] for name in row)) for row in ROWS]


def menu(label: str, options: Sequence[Any]) -> widgets.Dropdown:
    """A menu as wide as the others of the page."""
    return labelled_menu(label, options, "300px", LABEL)


def _slider(label: str, low: float, high: float, value: float) -> widgets.FloatSlider:
    return widgets.FloatSlider(
        value=value,
        min=low,
        max=high,
        step=0.01,
        description=label,
        style={"description_width": LABEL},
        layout=WIDTH,
    )


def _whole(label: str, low: int, high: int) -> widgets.IntSlider:
    return widgets.IntSlider(
        value=low,
        min=low,
        max=high,
        description=label,
        style={"description_width": LABEL},
        layout=WIDTH,
    )
