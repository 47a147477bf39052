"""*Where it was decided*: the exact value V token by token along a completion, and Q − V as credit
beside the advantage that GRPO pays to all tokens alike."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets

from workbench.widgets.base.labelled import in_a_row, labelled_menu
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.text import menu_text
from workbench.widgets.oracle.credit import decided
from workbench.widgets.oracle.credit_markup import (
    credit_words,
    decision_tables,
    token_page,
    value_chart,
)
from workbench.widgets.oracle.page import OraclePage, as_list, prompt_menu
from workbench.widgets.oracle.snapshots import Snapshots
from workbench.widgets.plots.liveplot import LivePlot
from workbench.widgets.tokens.box import TokenBox

IN_MENU = 30
"""Completions that the menu offers, the likeliest ones."""


class WhereDecided(OraclePage):
    """Choose a prompt, a moment and a completion; `figures` is what is drawn."""

    heading = "Where it was decided"
    lead = (
        "V is the expected reward, given the tokens so far; exact, since all continuations are "
        "known. Where the curve steps, the answer was decided. The step itself, Q − V, is the "
        "credit that the token has earned; GRPO pays each token of the completion the same."
    )

    def __init__(self, prompts: Snapshots | Sequence[Snapshots]) -> None:
        self.prompts = as_list(prompts)
        self.menu = prompt_menu(self.prompts)
        self.moment_menu = labelled_menu("moment", [("", 0)], "260px", "90px")
        self.completion_menu = labelled_menu("completion", [("", 0)], "560px", "90px")
        self.plot = LivePlot(columns=1, height=260, label="V along the completion")
        self.tokens = TokenBox()
        self._offered: Snapshots | None = None
        super().__init__()

    @property
    def snapshots(self) -> Snapshots:
        """The prompt that is shown."""
        place: int = self.menu.value
        return self.prompts[place]

    def controls(self) -> Sequence[widgets.Widget]:
        self.answer(self.menu, self._update)
        self.answer(self.moment_menu, self._moment_changed)
        self.answer(self.completion_menu, self._update)
        return [in_a_row(self.menu, self.moment_menu), self.completion_menu]

    def pictures(self) -> Sequence[widgets.Widget]:
        return [self.plot, self.tokens]

    def picture(self) -> str:
        return self.plot.picture()

    def show(self, completion: int, moment: int | str = 0) -> None:
        """Draw this completion at this moment. Raises ValueError for one that cannot be."""
        decided(self.snapshots, completion, moment)
        with self.filling():
            self.moment_menu.value = self.snapshots.moment(moment)
            self._offer_completions()
            if completion not in [value for _, value in self.completion_menu.options]:
                extra = self._named(completion)
                self.completion_menu.options = (*self.completion_menu.options, extra)
            self.completion_menu.value = completion
        self.update()

    def _moment_changed(self) -> None:
        with self.filling():
            self._offer_completions()
        self._update()

    def _offer(self) -> None:
        """The moments and completions of another prompt."""
        with self.filling():
            names = [(menu_text(name, 60), i) for i, name in enumerate(self.snapshots.moments)]
            self.moment_menu.options = names
            self.moment_menu.value = 0
            self.completion_menu.options = [("", -1)]
            self._offer_completions()
        self._offered = self.snapshots

    def _offer_completions(self) -> None:
        """Those that are probable at the moment, the likeliest first; a choice that still stands
        stays."""
        chosen = self.completion_menu.value
        probability_C = self.snapshots.probability_SC[self.moment_menu.value]
        order = self.snapshots.likeliest(self.moment_menu.value)
        there = [c for c in order if probability_C[c] > 0]
        kept = there[:IN_MENU] + [c for c in there[IN_MENU:] if c == chosen]
        self.completion_menu.options = [self._named(c) for c in kept]
        self.completion_menu.value = chosen if chosen in kept else kept[0]

    def _named(self, completion: int) -> tuple[str, int]:
        share = self.snapshots.probability_SC[self.moment_menu.value, completion]
        reward = number_text(float(self.snapshots.reward_C[completion]))
        text = menu_text(self.snapshots.text(completion), 90)
        return f"{share:.2%}, reward {reward}: {text}", completion

    def refresh(self) -> tuple[str, str]:
        if self._offered is not self.snapshots:
            self._offer()
        snapshots = self.snapshots
        completion = self.completion_menu.value
        moment = self.moment_menu.value
        self.figures = f = decided(snapshots, completion, moment)
        pieces = snapshots.pieces[completion]
        self.plot.show([value_chart(f, pieces)])
        self.tokens.show(*token_page(f, pieces, snapshots.ids[completion]))
        return credit_words(f, pieces), decision_tables(snapshots, f, completion, moment)
