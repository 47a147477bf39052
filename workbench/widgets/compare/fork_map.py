"""`ForkMap`: the tree of branches. Each run is a lane over the steps, as thick as its held-out
accuracy; a branch leaves its parent's lane at the fork, with what was changed on the edge. Every
evaluation and every end is a node that can be chosen, by pointer and by keyboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.page import REDRAW, module_of
from workbench.widgets.base.style import CSS
from workbench.widgets.base.text import menu_text
from workbench.widgets.compare.family import Member
from workbench.widgets.compare.words import knob_difference
from workbench.widgets.plots.pieces import look


class ForkMap(anywidget.AnyWidget):
    """show(members, focus)   draws the tree

    chosen   {"run": place of the member, "step": …} of the node that a person chose last
    """

    _esm = module_of(REDRAW, Path(__file__).with_suffix(".js"))
    _css = CSS + Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

    tree: traitlets.Dict[str, Any] = traitlets.Dict({"lanes": []}).tag(sync=True)
    chosen: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.layout.width = "calc(100% - 4px)"
        answer_in_the_subshell(self)

    def show(self, members: Sequence[Member], focus: Member) -> None:
        """Draw these runs; an equal tree is not sent again."""
        tree = {
            "last": max([1, *(member.source.last_step for member in members)]),
            "lanes": [_lane(member, member is focus) for member in members],
        }
        if tree != self.tree:
            self.tree = tree


def _lane(member: Member, in_focus: bool) -> dict[str, Any]:
    source = member.source
    start = (member.fork or 0) if member.parent is not None else 0
    return {
        "name": menu_text(source.label, 28),
        "colour": look(member.place).colour,
        "parent": member.parent,
        "start": start,
        "last": source.last_step,
        "edge": menu_text(knob_difference(source), 40) if member.parent is not None else "",
        "nodes": _nodes(member, start),
        "focus": in_focus,
    }


def _nodes(member: Member, start: int) -> list[dict[str, Any]]:
    """The evaluations from the fork on, and the end of the run."""
    source = member.source
    table = source.evaluations
    if len(table):
        table = table[table["split"] == table["split"].iloc[0]]
    accuracy = {int(row.step): float(row.accuracy) for row in table.itertuples()}
    # The fork itself is a node of the parent's lane.
    steps = {step for step in accuracy if step > start or member.parent is None}
    if source.last_step > start:
        steps.add(source.last_step)
    return [{"step": step, "accuracy": accuracy.get(step)} for step in sorted(steps)]
