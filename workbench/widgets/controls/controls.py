"""Controls: start, pause, step, stop, rewind, branch, and a row for every live knob of a
session."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.config import GRPOConfig
from workbench.config.methods import foreign_fields
from workbench.widgets.base.guarded import set_if_changed, stylesheet
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import safe_text
from workbench.widgets.controls.knob_row import KnobRow, knob_grid

if TYPE_CHECKING:
    from workbench.training.session import Session

FIRST = (
    "beta",
    "learning_rate",
    "epsilon",
    "epsilon_high",
    "temperature",
    "delta",
    "loss_type",
    "scale_rewards",
)
"""The knobs that stand open, two in a row on a wide page; the others are folded away."""
LEFT_OUT = ("reward_weights",)
EPSILONS = ("epsilon", "epsilon_high", "delta")
INTERRUPTS = (
    "The notebook's ■ reaches the training only while a cell waits for it (<code>wait()</code>), "
    "and pauses it. Pause and Stop here always work."
)


class Controls:
    """The control strip of one session. `widget` is what is shown; `refresh` follows the session.

    Calls that may take a while (pause waits for the step in hand) only ask, and return; an error is
    said in the strip.
    """

    def __init__(
        self, session: Session, on_branch: Callable[[Session], None] = lambda child: None
    ) -> None:
        self.session, self._on_branch = session, on_branch
        self.message = widgets.HTML()
        self.status = widgets.HTML()
        self.hint = widgets.HTML()
        self.about = widgets.HTML(framed(_dim(INTERRUPTS)))
        self._last_offered = 0
        self._leading_to = ""
        self._failure_said = False
        self._refreshing = threading.RLock()
        self.progress = widgets.IntProgress(
            min=0, max=session.config.max_steps, layout=widgets.Layout(width="150px")
        )
        self.rows = self._make_rows()
        self.buttons = self._make_buttons()
        self.at_step = widgets.BoundedIntText(
            value=0,
            min=0,
            max=0,
            description="at step",
            layout=widgets.Layout(width="128px"),
            style={"description_width": "50px"},
            continuous_update=True,
        )  # else a step made takes away the digits
        self.branch_name = widgets.Text(
            value="branch",
            description="named",
            layout=widgets.Layout(width="172px"),
            style={"description_width": "50px"},
        )
        self.widget = self._laid_out()
        self.refresh()

    def _make_rows(self) -> dict[str, KnobRow]:
        """A row for each live knob that the method reads, at its value now."""
        left_out = {*LEFT_OUT, *foreign_fields(self.session.config.method)}
        return {
            name: KnobRow(
                name,
                getattr(self.session.config, name),
                self._ask,
                "118px" if name in FIRST else "245px",
            )
            for name in GRPOConfig.live_fields()
            if name not in left_out
        }

    def _laid_out(self) -> widgets.VBox:
        """The whole strip: the buttons, what is said of them, the knobs."""
        more = widgets.Accordion(
            [knob_grid((r for n, r in self.rows.items() if n not in FIRST), width=600)],
            selected_index=None,
        )
        more.set_title(0, "more knobs")
        return widgets.VBox(
            [
                stylesheet(),
                self._button_line(),
                self.about,
                self.message,
                knob_grid(self.rows[name] for name in FIRST),
                self.hint,
                more,
            ]
        )

    def _button_line(self) -> widgets.HBox:
        """Training forward on the left, going back on the right."""
        buttons = self.buttons
        train = widgets.HBox(
            [
                buttons["start"],
                buttons["pause"],
                buttons["step"],
                buttons["stop"],
                self.progress,
                self.status,
            ],
            layout=widgets.Layout(align_items="center"),
        )
        back = widgets.HBox(
            [self.at_step, buttons["rewind"], buttons["branch"], self.branch_name],
            layout=widgets.Layout(align_items="center"),
        )
        return widgets.HBox(
            [train, back],
            layout=widgets.Layout(flex_flow="row wrap", justify_content="space-between"),
        )

    def _make_buttons(self) -> dict[str, widgets.Button]:
        made = {}
        for name, text, tip in (
            ("start", "Start", "Train until max_steps; also goes on after a pause"),
            ("pause", "Pause", "Rest after the step in hand"),
            ("step", "Step", "Make one step and rest"),
            ("stop", "Stop", "End after the step in hand, with a checkpoint"),
            (
                "rewind",
                "Rewind",
                "Go back to the step written here; the steps after it leave the record",
            ),
            ("branch", "Branch", "A new run from the step written here, with the pending knobs"),
        ):
            made[name] = widgets.Button(
                description=text, tooltip=tip, layout=widgets.Layout(width="74px")
            )
            made[name].on_click(partial(self._clicked, getattr(self, f"_{name}")))
        return made

    def _clicked(self, act: Callable[[], Any], button: widgets.Button) -> None:
        self._guarded(act)

    def _guarded(self, act: Callable[[], Any]) -> None:
        """Whatever goes wrong in a callback is said here: elsewhere nobody would see it."""
        try:
            act()
        except Exception as e:
            self.say(f"{type(e).__name__}: {e}", error=True)
        else:
            self.say("")
        self.refresh()

    def say(self, text: str, error: bool = False) -> None:
        """A line under the buttons."""
        box = (
            f'<div class="{"wb-error" if error else "wb-note"}" '
            f'role="{"alert" if error else "status"}">{safe_text(text, 2000)}</div>'
        )
        set_if_changed(self.message, "value", framed(box) if text else "")

    def _ask(self, name: str, value: Any) -> None:
        self._guarded(lambda: self._set(name, value))

    def _set(self, name: str, value: Any) -> None:
        try:
            self.session.set(**{name: value})
        except Exception:
            self.rows[name].take_back()
            raise

    def _start(self) -> None:
        self._forgive()
        self.session.start()

    def _forgive(self) -> None:
        """The error that ended the training has been read in the strip: the next click tries
        again."""
        self.session.dismiss_error()

    def _pause(self) -> None:
        self._leading_to = "pausing"
        self.session.ask_to_rest("paused")

    def _stop(self) -> None:
        self._leading_to = "stopping"
        self.session.ask_to_rest("stopped")

    def _step(self) -> None:
        self._forgive()
        self.session.step()

    def _rewind(self) -> None:
        self.session.rewind(int(self.at_step.value))

    def _branch(self) -> None:
        at = int(self.at_step.value)
        knobs = self.session.pending
        child = self.session.branch(
            self.branch_name.value.strip() or "branch", from_step=at, **knobs
        )
        self._on_branch(child)

    def follow(self, session: Session) -> None:
        """Control another session (a branch) from now on."""
        self.session = session
        self.refresh()

    def refresh(self) -> None:
        """Show the session's state; cheap, and safe from any thread."""
        with self._refreshing:
            self._refresh(self.session)

    def _refresh(self, s: Session) -> None:
        running, trainer = (
            s.status == "running",
            s.trainer,
        )  # looked at once: another thread may free the session
        for name, button in self.buttons.items():
            button.disabled = (
                trainer is None
                or (name in ("start", "step") and running)
                or (name in ("pause", "stop") and not running)
            )
        self._offer_steps(s.step_number, running)
        self.progress.value = s.step_number
        if not running:
            self._leading_to = ""
        doing = self._leading_to or s.activity or s.status
        if trainer is not None:
            self.progress.max = trainer.config.max_steps
            self._refresh_rows(trainer.config, trainer.knobs.pending)
        self._show_status(f"{doing}, step {s.step_number} of {self.progress.max}")
        self._show_failure(s.error, running)

    def _show_failure(self, error: BaseException | None, running: bool) -> None:
        """What ended the training stays to be read until it trains again, whoever was told of it
        elsewhere."""
        if error is not None:
            self.say(f"training stopped: {type(error).__name__}: {error}", error=True)
            self._failure_said = True
        elif running and self._failure_said:
            self.say("")
            self._failure_said = False

    def _offer_steps(self, last: int, running: bool) -> None:
        """The steps to go back to. The box follows the run until a person writes into it; a rewind
        that makes steps again does not take away what was written."""
        followed = self.at_step.value == self._last_offered
        self.at_step.max = max(self.at_step.max, last) if running else last
        if followed:
            self.at_step.value = last
        self._last_offered = last

    def _show_status(self, text: str) -> None:
        set_if_changed(
            self.status, "value", framed(f'<span role="status">{html.escape(text)}</span>')
        )

    def _refresh_rows(self, config: GRPOConfig, pending: dict[str, Any]) -> None:
        idle = (
            "on-policy: with one update per rollout the ratio is exactly 1, and clipping cannot "
            "fire"
            if config.on_policy
            else ""
        )
        set_if_changed(self.hint, "value", framed(_dim(idle + ".")) if idle else "")
        for name, row in self.rows.items():
            row.show(
                getattr(config, name),
                pending.get(name),
                name in pending,
                idle if name in EPSILONS else "",
            )


def _dim(words: str) -> str:
    return f'<span class="wb-dim" style="font-size:13px">{words}</span>'
