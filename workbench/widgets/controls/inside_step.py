"""`InsideStep`: one line under the bar that says what the step in hand is doing, and what the
policy is writing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import anywidget
import pandas as pd
import traitlets

from workbench.widgets.base.guarded import set_if_changed
from workbench.widgets.base.page import module_beside
from workbench.widgets.base.text import tail_text

if TYPE_CHECKING:
    from workbench.training.in_hand import InHand

PHASES = {
    "rollout": "rollout",
    "reward": "rewards",
    "logprobs": "log-probs",
    "update": "updates",
}
"""The phases of a step in their order, as the record names their seconds, and what each is called
here. Whatever else is in hand (an evaluation) stands behind them by its own name."""
CHARACTERS = 200
"""Of the newest completion: its end, where it is being written."""


class InsideStep(anywidget.AnyWidget):
    """The phases of a step, the one in hand marked, with the seconds that each took in the last
    step; its speed; the end of the newest completion.

    phase      what is in hand; '' at rest
    counted    completions finished and wanted of a rollout in hand; empty outside one
    seconds    phase -> seconds of the last step
    speed      what the last step made of them, in words; `about` says it in full
    newest     the end of the newest completion, in one line of plain text
    seen       a page shows the line: while none does, nothing is sent between two steps
    """

    _esm = module_beside(__file__)
    _css = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

    names: traitlets.Dict[str, str] = traitlets.Dict(PHASES).tag(sync=True)
    phase = traitlets.Unicode().tag(sync=True)
    counted: traitlets.List[int] = traitlets.List(traitlets.Int()).tag(sync=True)
    seconds: traitlets.Dict[str, str] = traitlets.Dict().tag(sync=True)
    speed = traitlets.Unicode().tag(sync=True)
    about = traitlets.Unicode().tag(sync=True)
    newest = traitlets.Unicode().tag(sync=True)
    seen = traitlets.Bool(True).tag(sync=True)

    def follow(self, in_hand: InHand | None, trains: bool) -> None:
        """Show what is in hand, where a new step is; else that nothing is. As one message."""
        with self.hold_sync():
            if in_hand is None or not trains:
                set_if_changed(self, "phase", "")
                set_if_changed(self, "counted", [])
                return
            set_if_changed(self, "phase", in_hand.phase)
            set_if_changed(self, "counted", list(in_hand.rollout or ()))
            set_if_changed(self, "newest", tail_text(in_hand.newest, CHARACTERS))

    def show_last(self, metrics: pd.DataFrame) -> None:
        """Say what the last of these steps took."""
        row = metrics.iloc[-1].to_dict() if len(metrics) else {}
        with self.hold_sync():
            taken = {name: row.get(f"seconds/{name}", math.nan) for name in PHASES}
            seconds = {name: _seconds(s) for name, s in taken.items() if math.isfinite(s)}
            set_if_changed(self, "seconds", seconds)
            set_if_changed(self, "speed", speed_words(row))
            set_if_changed(self, "about", speed_in_full(row))


def speed_words(row: dict[str, float]) -> str:
    """'1,453 tokens/s'; '' where the record does not say."""
    speed = _speed(row, "seconds/step")
    return f"{_whole(speed)} tokens/s" if speed is not None else ""


def speed_in_full(row: dict[str, float]) -> str:
    """What the speed is of, and that of the rollout alone."""
    if _speed(row, "seconds/step") is None:
        return ""
    words = (
        f"step {row['step']:.0f}: {row['tokens']:,.0f} sampled tokens in "
        f"{_seconds(row['seconds/step'])}, all phases together"
    )
    rollout = _speed(row, "seconds/rollout")
    return words if rollout is None else f"{words}; the rollout alone {_whole(rollout)} tokens/s"


def _speed(row: dict[str, float], of: str) -> float | None:
    """Sampled tokens over these seconds; None where either is not known."""
    tokens = row.get("tokens", math.nan)
    seconds = row.get(of, math.nan)
    known = math.isfinite(tokens) and math.isfinite(seconds) and seconds > 0
    return tokens / seconds if known else None


def _whole(speed: float) -> str:
    """'4,406', '38', '3.1': a speed is not known to more."""
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}"


def _seconds(seconds: float) -> str:
    """'0.61 s', '12.4 s'."""
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
