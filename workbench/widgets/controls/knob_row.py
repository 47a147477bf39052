"""One live field of the config as a row of controls: slider, number box or menu, and the value in
force where it is another than the one shown."""

from __future__ import annotations

import html
import math
import threading
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any

import ipywidgets as widgets

from workbench.config import GRPOConfig, range_text
from workbench.widgets.base.guarded import set_if_changed, show_if
from workbench.widgets.base.hosts import TOOLTIP
from workbench.widgets.base.slider import Slider

FIELDS: dict[str, Field[Any]] = {f.name: f for f in fields(GRPOConfig)}
SLIDER_RANGES: dict[str, tuple[float, float]] = {
    "beta": (1e-4, 10.0),
    "learning_rate": (1e-7, 1e-1),
    "epsilon": (0.01, 0.9),
    "epsilon_high": (0.01, 6.0),
    "delta": (1.05, 10.0),
    "divergence_threshold": (0.01, 1.0),
    "clip_cov_ratio": (1e-4, 0.2),
    "clip_cov_min": (0.0, 5.0),
    "clip_cov_max": (0.0, 20.0),
    "kl_cov_ratio": (1e-4, 0.2),
    "kl_cov_coef": (0.0, 10.0),
    "temperature": (0.1, 2.0),
    "top_p": (0.05, 1.0),
    "top_entropy_quantile": (0.05, 1.0),
    "max_grad_norm": (0.0, 5.0),
    "weight_decay": (0.0, 0.3),
    "off_policy_mask_threshold": (0.01, 2.0),
    "importance_sampling_clip_max": (1.0, 10.0),
    "importance_sampling_clip_min": (0.0, 1.0),
    "ref_model_mixup_alpha": (0.01, 1.0),
    "sapo_temperature_pos": (0.1, 5.0),
    "sapo_temperature_neg": (0.1, 5.0),
    "curriculum_floor": (0.01, 1.0),
    "curriculum_pass_reward": (0.0, 5.0),
    "entropy_coef": (0.0, 0.1),
    "entropy_target": (0.0, 3.0),
    "entropy_coef_delta": (1e-5, 0.01),
    "entropy_coef_min": (0.0, 0.1),
    "entropy_coef_max": (0.0, 1.0),
    "accept_reward": (0.0, 5.0),
    "dpo_beta": (0.01, 1.0),
    "kl_coef": (0.0, 0.5),
    "lam": (0.0, 1.0),
    "cliprange_value": (0.01, 2.0),
    "critic_learning_rate": (1e-7, 1e-1),
    "replay_share": (0.0, 0.9),
    "reward_model_learning_rate": (1e-7, 1e-1),
    "vespo_k_pos": (0.0, 5.0),
    "vespo_k_neg": (0.0, 5.0),
    "vespo_lambda_pos": (0.0, 5.0),
    "vespo_lambda_neg": (0.0, 5.0),
}
"""Where a slider goes from and to; the number box takes every value that the field takes."""
BEGIN = {"epsilon_high": 0.28, "delta": 4.0, "accept_reward": 1.0}
"""What an optional field has when it leaves None: DAPO's value, and INTELLECT-2's; for others their
default."""
LOG_STEP = 0.05
"""A step of a logarithmic slider, in powers of ten."""
NOTHING = ""
"""None in a menu, for which None itself means that no line of it is chosen: it would stand there
empty."""
HIDDEN = {"description_width": "0px"}
"""The name of an input: read out by a screen reader, and seen already in the label of the row."""
NO_HOME = object()
"""A row that leads back nowhere."""


class KnobRow:
    """The row of one field. `ask(name, value)` is called when a person moves it; `show` is told
    what is in force.

    Slider and number box move together. A field that may be None has a chip for it, which folds
    them away. `label_width` lines rows up; a `symbol` stands for the name where room is scarce.
    `foresee(name, value)` says what a value would do while the hand is on the slider; the row then
    asks once, when the hand lets go. `home` is where ↺ leads back to.
    """

    def __init__(
        self,
        name: str,
        value: Any,
        ask: Callable[[str, Any], None],
        label_width: str = "216px",
        *,
        symbol: str = "",
        foresee: Callable[[str, float], str] | None = None,
        home: Any = NO_HOME,
    ) -> None:
        self.name = name
        self.symbol = symbol
        self.home = home
        self._ask = ask
        self._foresee = foresee
        self._told = value
        # Of this thread: a move that a person makes meanwhile, in another, counts.
        self._telling = threading.local()
        self._field = FIELDS[name]
        self.state = widgets.HTML().add_class("wb-knob-state")
        self.label = widgets.HTML(
            f'<b title="{html.escape(self._tip)}">{symbol or name}</b>',
            layout=widgets.Layout(flex="0 0 auto" if symbol else f"0 0 {label_width}"),
        )
        self.inputs = self._make_inputs(value)
        for control in self.inputs:
            control.observe(self._moved, "value")
        if self.slider is not None and foresee is not None:
            self.slider.observe(self._hand_moved, "preview")
        self.back = self._make_back()
        parts = [self.label, *self.inputs, self.back, self.state]
        self.widget = widgets.HBox(parts).add_class("wb-knob")
        if symbol:
            self.widget.add_class("wb-knob-short")
        self.show(value, None)

    @property
    def _tip(self) -> str:
        return f"{self.name}: {self._field.metadata['meaning']} Range: {range_text(self._field)}"

    # ---------------------------------------------------------------- making

    def _make_inputs(self, value: Any) -> list[widgets.Widget]:
        self.slider: Slider | None = None
        self.off: widgets.Widget | None = None
        kind = str(self._field.type)
        if self._is_menu:
            self.box: widgets.Widget = self._make_menu(value)
            return [self.box]
        if kind.startswith("bool"):
            self.box = widgets.Checkbox(
                value=value,
                indent=False,
                description="on",
                layout=widgets.Layout(flex="0 0 92px"),
                **{TOOLTIP: self._tip},
            )
            return [self.box]
        if kind.startswith("int"):
            lowest = int(self._field.metadata["low"] or 0)
            self.box = widgets.BoundedIntText(value=value, min=lowest, max=10**9, **self._looks())
            return [self.box]
        self.box = widgets.FloatText(value=_or_begin(value, self.name), step=None, **self._looks())
        self.slider = self._make_slider(value)
        if self._field.metadata["optional"]:
            self.off = widgets.ToggleButton(
                value=value is None,
                description="none",
                tooltip=f"{self.name}: none, or a value",
                layout=widgets.Layout(flex="0 0 auto", width="auto"),
            ).add_class("wb-chip")
        return [c for c in (self.slider, self.box, self.off) if c is not None]

    def _make_menu(self, value: Any) -> widgets.Widget:
        options = [(str(choice), choice) for choice in self._field.metadata["choices"]]
        if self._field.metadata["optional"]:
            options.insert(0, ("none", NOTHING))
        chosen = NOTHING if value is None else value
        return widgets.Dropdown(
            options=options,
            value=chosen,
            description=self.name,
            style=HIDDEN,
            **{TOOLTIP: self._tip},
            layout=widgets.Layout(flex="0 1 254px", min_width="120px"),
        )

    def _make_slider(self, value: Any) -> Slider:
        low, high = SLIDER_RANGES[self.name]
        log = self._field.metadata["log_scale"]
        return Slider(
            value=_within(value, self.name),
            min=low,
            max=high,
            step=LOG_STEP if log else _step(low, high),
            log=log,
            live=self._foresee is None,
            description=self.name,
            symbol=self.symbol,
            tooltip=self._tip,
            layout=widgets.Layout(
                flex="1 1 60px" if self.symbol else "0 1 150px", min_width="44px"
            ),
        )

    def _make_back(self) -> widgets.Button:
        """The way back to where the field began."""
        has_home = self.home is not NO_HOME
        goes_to = plain_value(self.home) if has_home else ""
        button = widgets.Button(
            description="↺",
            tooltip=f"{self.name}: back to {goes_to}, as the run began",
            layout=widgets.Layout(width="24px", flex="0 0 24px"),
        )
        button.add_class("wb-quiet").add_class("wb-back")
        button.on_click(lambda _: self._ask_for(self.home))
        show_if(button, has_home)
        return button

    def _looks(self) -> dict[str, Any]:
        size = "0 0 68px" if self.symbol else "0 0 100px"
        return {
            "description": self.name,
            "style": HIDDEN,
            TOOLTIP: self._tip,
            "layout": widgets.Layout(flex=size, min_width="60px", width="auto"),
        }

    # --------------------------------------------------------- a person's move

    def _moved(self, change: dict[str, Any]) -> None:
        if getattr(self._telling, "now", False):
            return
        moved = change["owner"]
        # Moving the slider or the box turns a field on that was None.
        value = moved.value
        if self.off is not None and moved is self.off:
            value = None if self.off.value else self.box.value
        if isinstance(value, float):
            # What a hand can set, and what the box has room for.
            digits = 4 if moved is self.slider else 6
            value = float(f"{value:.{digits}g}")
        if self._is_menu and value == NOTHING:
            value = None
        self._ask_for(value)

    def _ask_for(self, value: Any) -> None:
        self._put(value)
        self._ask(self.name, value)
        self._told = self._reading()

    def _hand_moved(self, change: dict[str, Any]) -> None:
        """The hand is on the slider: say what would be, before anything is changed."""
        assert self.slider is not None
        assert self._foresee is not None
        words = "" if change["new"] is None else self._foresee(self.name, change["new"])
        set_if_changed(self.slider, "said", words)

    def _put(self, value: Any) -> None:
        """Make all inputs of the row show `value` without asking for it."""
        self._telling.now = True
        try:
            if self.off is not None:
                self.off.value = value is None
            if value is None and not self._is_menu:
                return
            self.box.value = NOTHING if value is None else value
            if self.slider is not None and math.isfinite(value):  # a page cannot be sent a NaN
                self.slider.value = _within(value, self.name)
        finally:
            self._telling.now = False
            self._fold()

    def _fold(self) -> None:
        """A field that is None has nothing to slide."""
        if self.off is not None and self.slider is not None:
            show_if(self.slider, not self.off.value)
            show_if(self.box, not self.off.value)

    # ------------------------------------------------------------- being told

    def show(
        self, in_force: Any, pending: Any, is_pending: bool = False, idle_because: str = ""
    ) -> None:
        """Say what is in force where it is another value than the one asked for. Inputs follow what
        changed since the last time, and are left alone else: a person may be moving one."""
        wanted = pending if is_pending else in_force
        if wanted != self._told:
            self._told = wanted
            self._follow()
        self._fold()
        waits = wanted != in_force
        words = ""
        if waits:
            words = f"{_text(in_force)} &rarr; <b>{_text(pending)}</b> next step"
        # That a field does nothing matters more than when it would begin to.
        if idle_because:
            words = f'<i title="{html.escape(idle_because)}">does nothing</i>'
        text = f'<span role="status">{words}</span>' if words else ""
        # The same text again would be a message to the page for nothing.
        set_if_changed(self.state, "value", text)
        set_if_changed(self.back, "disabled", self.home is NO_HOME or wanted == self.home)
        if self.slider is not None:
            ghost = _within(in_force, self.name) if waits and in_force is not None else None
            set_if_changed(self.slider, "in_force", ghost)

    def enable(self, can_move: bool) -> None:
        """Let a person move the row, or not."""
        for control in self.inputs:
            set_if_changed(control, "disabled", not can_move)
        if not can_move:
            set_if_changed(self.back, "disabled", True)

    def take_back(self) -> None:
        """What was asked for is refused: the inputs show again what holds, or what was asked for
        before."""
        self._follow()

    def _follow(self) -> None:
        if self._reading() != self._told:
            self._put(self._told)

    def _reading(self) -> Any:
        if self._is_menu:
            nothing = self.box.value == NOTHING
        else:
            nothing = self.off is not None and self.off.value
        return None if nothing else self.box.value

    @property
    def _is_menu(self) -> bool:
        return bool(self._field.metadata["choices"])


def plain_value(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)


def _text(value: Any) -> str:
    return html.escape(plain_value(value))


def _within(value: Any, name: str) -> float:
    """Where the slider stands for a value: at its end for one beyond it."""
    low, high = SLIDER_RANGES[name]
    begin = _or_begin(value, name)
    return float(min(max(begin, low), high))


def _or_begin(value: Any, name: str) -> Any:
    """The value itself, or where its inputs begin for None."""
    if value is not None:
        return value
    default: Any = BEGIN.get(name, FIELDS[name].default)
    return SLIDER_RANGES[name][0] if default is None else default


def _step(low: float, high: float) -> float:
    return 0.01 if high - low <= 2 else 0.05
