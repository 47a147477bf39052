"""*All it can say*: the completions of a prompt as a tree, at several moments of a policy."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np

from workbench.widgets.base.guarded import set_if_changed
from workbench.widgets.base.lab import table
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import safe_text
from workbench.widgets.oracle.page import OraclePage, as_list, prompt_menu
from workbench.widgets.oracle.snapshots import Snapshots
from workbench.widgets.oracle.still import tree_picture
from workbench.widgets.oracle.tree_box import TreeBox
from workbench.widgets.oracle.words import moment_words

IN_TABLE = 12
"""Completions that the table names; the likeliest ones."""


class AllItCanSay(OraclePage):
    """One or several prompts, each a `Snapshots`. `tree` is the picture; `tree.moment` and
    `tree.colour` can be set, and follow the page."""

    heading = "All it can say"
    lead = (
        "Every completion of one prompt that the policy gives any probability worth naming. A "
        "block is as high as it is probable; behind it stands what may follow. Move the slider and "
        "see the probability flow from one habit to another."
    )

    def __init__(self, prompts: Snapshots | Sequence[Snapshots]) -> None:
        self.prompts = as_list(prompts)
        self.tree = TreeBox()
        self.menu = prompt_menu(self.prompts)
        self._shown: Snapshots | None = None
        super().__init__()

    @property
    def snapshots(self) -> Snapshots:
        """The prompt that is shown."""
        place: int = self.menu.value
        return self.prompts[place]

    def controls(self) -> Sequence[widgets.Widget]:
        self.answer(self.menu, self._update)
        self.tree.observe(lambda change: self._answer(self._update), "moment")
        return [self.menu]

    def pictures(self) -> Sequence[widgets.Widget]:
        return [self.tree]

    def picture(self) -> str:
        return tree_picture(self.snapshots)

    def refresh(self) -> tuple[str, str]:
        snapshots = self.snapshots
        says = tuple(moment_words(snapshots, i) for i in range(len(snapshots.moments)))
        if self._shown is not snapshots:
            with self.filling():
                self.tree.show(snapshots, says)
            self._shown = snapshots
        return says[self.tree.moment], completions_table(snapshots)

    def _update(self) -> None:
        self.summary, inner = self.refresh()
        # Without the summary: it stands in the tree, where it follows the slider by itself.
        set_if_changed(self.output, "value", framed(inner))
        self._say("")


def completions_table(snapshots: Snapshots) -> str:
    """The likeliest completions with their probabilities at each moment, folded, as HTML."""
    order = np.argsort(-snapshots.probability_SC.max(0), kind="stable")[:IN_TABLE]
    rows = [
        [
            f"<span class='wb-text'>{safe_text(snapshots.text(int(c)), 400)}</span>",
            number_text(float(snapshots.reward_C[c])),
            *(f"{p:.3%}" for p in snapshots.probability_SC[:, c]),
        ]
        for c in order
    ]
    heads = ["completion", "reward", *(safe_text(name, 60) for name in snapshots.moments)]
    more = len(snapshots.ids) - len(rows)
    rest = f"<p class='wb-dim'>{more} more are less probable.</p>" if more > 0 else ""
    inner = table(heads, rows, "the likeliest completions")
    return f"<details><summary>as a table</summary>{inner}{rest}</details>"
