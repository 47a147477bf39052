"""Controls: a bar to train, go back and branch with, a line of the knobs that matter most, and all
others in a drawer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.config import GRPOConfig
from workbench.widgets.base.guarded import set_if_changed, show_if
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import safe_text
from workbench.widgets.controls.foresight import Foresight
from workbench.widgets.controls.inside_step import InsideStep
from workbench.widgets.controls.knob_row import KnobRow
from workbench.widgets.controls.knobs import EPSILONS, Knobs
from workbench.widgets.controls.pace import Pace
from workbench.widgets.controls.progress import TRAINING, Progress

if TYPE_CHECKING:
    from workbench.training.session import Session

BUTTONS = (
    ("start", "Start", "Train until max_steps; also goes on after a pause"),
    ("pause", "Pause", "Rest after the step in hand"),
    ("step", "Step", "Make one step and rest"),
    ("stop", "Stop", "End after the step in hand, with a checkpoint"),
    ("branch", "Branch", "A new run from the step shown, with the pending knobs"),
    ("rewind", "Rewind", "Go back to the step shown; the steps after it leave the record"),
    ("load", "Load again", "Load the policy again and go on from the last checkpoint"),
)
"""name, words, what it does."""
FREED = "This session gave its memory back. Its record stays; to train on, load it again."
NOTHING_TO_REWIND = (
    "Rewind did nothing: step {0} is where the run stands. Choose an earlier step first, with the "
    "step slider or by a click in a chart."
)
ON_POLICY = (
    "on-policy: with one update per rollout the ratio is exactly 1, and clipping cannot fire"
)


class Controls:
    """The controls of one session. `widget` is what is shown; `refresh` follows the session.

    Calls that may take a while (pause waits for the step in hand) only ask, and return; an error is
    said below the bar. `shown_step` is the step that the pages show, None = the newest: branch and
    rewind go by it. `on_branch` is given the new session, `on_reopened` the one that was loaded
    again, `on_rewind` is called when the run goes back. `beside` stands at the bar's end.
    """

    def __init__(
        self,
        session: Session,
        on_branch: Callable[[Session], None] = lambda child: None,
        *,
        on_reopened: Callable[[Session], None] = lambda again: None,
        on_rewind: Callable[[], None] = lambda: None,
        beside: widgets.Widget | None = None,
    ) -> None:
        self.session = session
        self.shown_step: int | None = None
        self._on_branch = on_branch
        self._on_reopened = on_reopened
        self._on_rewind = on_rewind
        self.message = widgets.HTML()
        self.status = widgets.HTML(layout=widgets.Layout(flex="1 1 120px", min_width="0"))
        self.inside = InsideStep()
        self._pace = Pace()
        self._leading_to = ""
        self._loading = False
        self._failure_said = False
        # The knob that the message is about, and what was in force or pending when it was said.
        self._refused: tuple[str, Any] | None = None
        self._refreshing = threading.RLock()
        self.buttons = self._make_buttons()
        self.knobs = Knobs(session, self._ask, Foresight(session).sentence)
        self.widget = self._laid_out(beside)
        self.refresh()

    @property
    def rows(self) -> dict[str, KnobRow]:
        """The knobs by name; those of the drawer are made when it is opened."""
        return self.knobs.rows

    @property
    def branch_name(self) -> widgets.Text:
        """The name that the next branch gets."""
        return self.knobs.branch_name

    # ---------------------------------------------------------------- making

    def _make_buttons(self) -> dict[str, widgets.Button]:
        made = {}
        for name, text, tip in BUTTONS:
            button = widgets.Button(description=text, tooltip=tip)
            button.add_class("wb-icon").add_class(f"wb-icon-{name}")
            button.on_click(partial(self._clicked, getattr(self, f"_{name}")))
            made[name] = button
        return made

    def _laid_out(self, beside: widgets.Widget | None) -> widgets.VBox:
        buttons = self.buttons
        train = widgets.HBox([buttons[name] for name in ("start", "pause", "step", "stop")])
        train.add_class("wb-transport")
        at_the_end = [] if beside is None else [beside]
        back = [buttons["load"], buttons["branch"], buttons["rewind"], *at_the_end]
        bar = widgets.HBox([train, self.status, *back]).add_class("wb-bar")
        rows = [bar, self.inside, self.message, self.knobs.strip, self.knobs.drawer]
        return widgets.VBox(rows).add_class("wb-controls")

    # ---------------------------------------------------------------- clicks

    def _clicked(self, act: Callable[[], Any], button: widgets.Button) -> None:
        self._guarded(act)

    def _guarded(self, act: Callable[[], Any]) -> None:
        """Whatever goes wrong in a callback is said here: elsewhere nobody would see it."""
        self._refused = None
        try:
            words = act()
        except Exception as e:
            self.say(f"{type(e).__name__}: {e}", error=True)
        else:
            self.say(words if isinstance(words, str) else "")
        self.refresh()

    def say(self, text: str, error: bool = False) -> None:
        """A line under the bar."""
        kind, role = ("wb-error", "alert") if error else ("wb-note", "status")
        box = f'<div class="{kind}" role="{role}">{safe_text(text, 2000)}</div>'
        set_if_changed(self.message, "value", framed(box) if text else "")

    def _ask(self, name: str, value: Any) -> None:
        """A person moved a knob."""
        self._guarded(lambda: self._set(name, value))

    def _set(self, name: str, value: Any) -> None:
        try:
            self.session.set(**{name: value})
        except Exception:
            self.rows[name].take_back()
            self._refused = (name, self._wanted(name))
            raise

    def _wanted(self, name: str) -> Any:
        """What is asked for of a knob, or in force; None of a freed session."""
        trainer = self.session.trainer
        if trainer is None:
            return None
        return trainer.knobs.pending.get(name, getattr(trainer.config, name))

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

    def _rewind(self) -> str:
        at = self._target()
        if at == self.session.step_number and self.session.status != "running":
            return NOTHING_TO_REWIND.format(at)
        self.session.rewind(at)
        # What was shown is now the newest step, and the run goes on from it.
        self._on_rewind()
        return ""

    def _branch(self) -> None:
        knobs = self.session.pending
        name = self.branch_name.value.strip() or "branch"
        child = self.session.branch(name, from_step=self._target(), **knobs)
        self._on_branch(child)

    def _target(self) -> int:
        """The step that branch and rewind go by: the one shown."""
        newest = self.session.step_number
        return newest if self.shown_step is None else min(self.shown_step, newest)

    def _load(self) -> None:
        """In a thread: a policy may take a minute to load."""
        if not self._loading:
            self._loading = True
            threading.Thread(target=self._load_again, name="workbench load", daemon=True).start()

    def _load_again(self) -> None:
        try:
            again = self.session.reopen()
        except Exception as error:
            self._loading = False
            self.say(f"{type(error).__name__}: {error}", error=True)
            self.refresh()
            return
        self._loading = False
        self.say("")
        self._on_reopened(again)

    # ------------------------------------------------------------- following

    def follow(self, session: Session) -> None:
        """Control another session (a branch, or the same run loaded again) from now on."""
        self.session = session
        self._pace = Pace()
        self.knobs.follow(session, Foresight(session).sentence)
        self.refresh()

    def refresh(self) -> None:
        """Show the session's state; cheap, and safe from any thread."""
        with self._refreshing:
            self._refresh(self.session)

    def glance(self) -> None:
        """Show what has come of the step in hand; that alone, since it changes often."""
        with self._refreshing:
            s = self.session
            # Looked at once: another thread may free the session.
            trainer = s.trainer
            if self.inside.seen and trainer is not None:
                of = max(trainer.config.max_steps, s.step_number)
                self._show_progress(self._doing(s), s, of)

    def _doing(self, s: Session) -> str:
        return "loading again" if self._loading else self._leading_to or s.activity or s.status

    def _refresh(self, s: Session) -> None:
        # Looked at once: another thread may free the session.
        running = s.status == "running"
        trainer = s.trainer
        freed = trainer is None
        self._enable_buttons(running, freed)
        if not running:
            self._leading_to = ""
        of = s.run.config["max_steps"] if trainer is None else trainer.config.max_steps
        self._show_progress(self._doing(s), s, max(of, s.step_number))
        if trainer is not None:
            self._refresh_rows(trainer.config, trainer.knobs.pending)
        else:
            self._show_record(s)
        self.knobs.enable(not freed)
        self._show_failure(s.error, running)
        self._forget_refusal()

    def _show_record(self, s: Session) -> None:
        """Of a freed session: what held at its last step, and that nothing waits for another."""
        config = s.run.config_at(s.step_number)
        for name, row in list(self.rows.items()):
            row.show(config.get(name, row.home), None)
        if not self.message.value:
            self.say(FREED)

    def _enable_buttons(self, running: bool, freed: bool) -> None:
        for name, button in self.buttons.items():
            off = freed or name not in {*self.session.actions, "load"}
            off |= name in ("start", "step") and running
            off |= name in ("pause", "stop") and not running
            set_if_changed(button, "disabled", self._loading if name == "load" else off)
        show_if(self.buttons["load"], freed)
        step = self._target()
        chosen = step != self.session.step_number
        set_if_changed(self.buttons["rewind"], "description", _to("Rewind", "to", step, chosen))
        set_if_changed(self.buttons["branch"], "description", _to("Branch", "at", step, chosen))

    def _show_progress(self, doing: str, s: Session, of: int) -> None:
        now = time.monotonic()
        self._pace.saw(s.step_number, now, doing in TRAINING)
        in_hand = s.in_hand
        rollout = None if in_hand is None else in_hand.rollout
        left = self._pace.seconds_left(of, now)
        progress = Progress(doing, s.step_number, of, rollout, left)
        set_if_changed(self.status, "value", framed(progress.markup))
        self.inside.follow(in_hand, doing in TRAINING)

    def _show_failure(self, error: BaseException | None, running: bool) -> None:
        """What ended the training stays to be read until it trains again, whoever was told of it
        elsewhere."""
        if error is not None:
            self.say(f"training stopped: {type(error).__name__}: {error}", error=True)
            self._failure_said = True
        elif running and self._failure_said:
            self.say("")
            self._failure_said = False

    def _forget_refusal(self) -> None:
        """A refused value is over when its knob has got another one, wherever that was set."""
        if self._refused is not None and self._wanted(self._refused[0]) != self._refused[1]:
            self._refused = None
            self.say("")

    def _refresh_rows(self, config: GRPOConfig, pending: dict[str, Any]) -> None:
        idle = ON_POLICY if config.on_policy else ""
        for name, row in list(self.rows.items()):
            row.show(
                getattr(config, name),
                pending.get(name),
                name in pending,
                idle if name in EPSILONS else "",
            )


def _to(word: str, where: str, step: int, chosen: bool) -> str:
    """'Rewind to 8', or the bare word while nobody chose a step."""
    return f"{word} {where} {step}" if chosen else word
