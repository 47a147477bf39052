"""The knobs of a session: the four that matter most in one line, the others in a drawer that opens
over the page, so that nothing below moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.config import GRPOConfig
from workbench.config.methods import foreign_fields
from workbench.widgets.base.guarded import set_if_changed, show_if
from workbench.widgets.base.hosts import TOOLTIP
from workbench.widgets.base.style import framed
from workbench.widgets.controls.knob_row import KnobRow

if TYPE_CHECKING:
    from workbench.training.session import Session

STRIP = {"beta": "β", "epsilon": "ε", "learning_rate": "lr", "temperature": "T"}
"""The knobs of the line, with the sign that stands for each."""
FIRST = ("epsilon_high", "delta", "loss_type", "scale_rewards")
"""The knobs on top of the drawer."""
LEFT_OUT = ("reward_weights",)
EPSILONS = ("epsilon", "epsilon_high", "delta")
INTERRUPTS = (
    "The notebook's ■ reaches the training only while a cell waits for it (<code>wait()</code>), "
    "and pauses it. Pause and Stop here always work."
)


class Knobs:
    """`strip` is the line, `drawer` what opens below it; `rows` those that were made.

    `ask(name, value)` is called when a person moves one, `foresee(name, value)` while the hand is
    still on it.
    """

    def __init__(
        self,
        session: Session,
        ask: Callable[[str, Any], None],
        foresee: Callable[[str, float], str],
    ) -> None:
        self._session = session
        self._ask = ask
        self._foresee = foresee
        self._can_move = True
        self._began = session.run.config
        left_out = {*LEFT_OUT, *foreign_fields(session.config.method)}
        live = [name for name in GRPOConfig.live_fields() if name not in left_out]
        shown = [name for name in STRIP if name in live]
        first = [name for name in FIRST if name in live]
        self._in_drawer = [*first, *(name for name in live if name not in {*shown, *first})]
        self.rows = {name: self._row(name) for name in shown}
        self.branch_name = widgets.Text(
            value="branch",
            description="next branch",
            **{TOOLTIP: "The name that the next branch gets"},
            layout=widgets.Layout(width="auto"),
            style={"description_width": "216px"},
        )
        self.about = widgets.HTML(framed(f'<p class="wb-dim">{INTERRUPTS}</p>'))
        self.reset = _button("↺ all", "All knobs back to where the run began", self._all_back)
        self.all = widgets.ToggleButton(
            value=False, description="all knobs", tooltip="Every live knob, in a drawer"
        )
        self.all.add_class("wb-quiet").add_class("wb-all")
        self.all.observe(lambda change: self._open(change["new"]), "value")
        rows = [row.widget for row in self.rows.values()]
        self.strip = widgets.HBox([*rows, self.reset, self.all]).add_class("wb-strip")
        self.drawer = widgets.VBox([self.about, self.branch_name]).add_class("wb-drawer")
        show_if(self.drawer, False)

    def _row(self, name: str) -> KnobRow:
        return KnobRow(
            name,
            getattr(self._session.config, name),
            self._ask,
            foresee=lambda name, value: self._foresee(name, value),
            symbol=STRIP.get(name, ""),
            home=self._began_at(name),
        )

    def _began_at(self, name: str) -> Any:
        """What the run began with."""
        if name in self._began:
            return self._began[name]
        # A record that is older than the field.
        return getattr(self._session.config, name)

    def _open(self, is_open: bool) -> None:
        # Made when they are first asked for: a dashboard opens faster without them.
        if is_open and not self.rows.keys() & set(self._in_drawer):
            made = {name: self._row(name) for name in self._in_drawer}
            self.rows |= made
            self.enable(self._can_move)
            rows = [row.widget for row in made.values()]
            self.drawer.children = [*self.drawer.children, *rows]
        show_if(self.drawer, is_open)

    def _all_back(self) -> None:
        """Only what differs is asked for: each is a change of its own in the record."""
        pending = self._session.pending
        config = self._session.config
        for name in GRPOConfig.live_fields():
            began = self._began_at(name)
            differs = pending.get(name, getattr(config, name)) != began
            if name in self._session.movable and name not in LEFT_OUT and differs:
                self._ask(name, began)

    def follow(self, session: Session, foresee: Callable[[str, float], str]) -> None:
        """The knobs of another session."""
        self._session = session
        self._foresee = foresee
        self._began = session.run.config
        for name, row in self.rows.items():
            row.home = self._began_at(name)

    def enable(self, can_move: bool) -> None:
        """Let a person move the knobs, or not."""
        self._can_move = can_move
        set_if_changed(self.reset, "disabled", not can_move)
        for name, row in list(self.rows.items()):
            row.enable(can_move and name in self._session.movable)


def _button(words: str, tip: str, act: Callable[[], None]) -> widgets.Button:
    button = widgets.Button(description=words, tooltip=tip).add_class("wb-quiet")
    button.on_click(lambda _: act())
    return button
