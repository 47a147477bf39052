"""What a run looks like in a terminal: a live panel for a person, lines for a log, JSON for a
program."""

from __future__ import annotations

import math
import warnings
from collections import deque
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from workbench.commands.printing import line_of, say, say_json, terminal
from workbench.rewards.functions import UNDECIDED

BARS = "▁▂▃▄▅▆▇█"
SHOWN = (
    ("reward", "reward, group mean"),
    ("reward_std", "reward, spread in a group"),
    ("dead_group_share", "dead groups"),
    ("kl", "KL to the reference"),
    ("clip_ratio_low", "clipped low"),
    ("clip_ratio_high", "clipped high"),
    ("entropy", "entropy, nats"),
    ("completion_length", "length, tokens"),
    ("seconds/step", "seconds a step"),
)


def sparkline(values: list[float], width: int = 40) -> str:
    """The last `width` values as bars between their smallest and largest; a gap where one is not
    finite."""
    shown = values[-width:]
    finite = [v for v in shown if math.isfinite(v)] or [0.0]
    low = min(finite)
    span = max(finite) - min(finite) or 1.0
    return "".join(
        BARS[int((v - low) / span * (len(BARS) - 1))] if math.isfinite(v) else " " for v in shown
    )


class JsonView:
    """JSON lines on standard output; warnings and notices go to standard error."""

    def notice(self, text: str) -> None:
        """Nothing: a program does not wait impatiently."""

    def begin(self, trainer: Any) -> None:
        """Nothing to lay out."""

    def __enter__(self) -> JsonView:
        return self

    def __exit__(self, *error: Any) -> None:
        return None

    def step(self, record: Any) -> None:
        """One line for the step, with its evaluation when there was one."""
        line = {
            "step": record.step,
            "reward": record.metrics["reward"],
            "seconds": record.metrics["seconds/step"],
        }
        if record.evaluations:
            line["accuracy"] = record.evaluations[-1].accuracy
        say_json(line)

    def result(self, values: dict[str, Any], planned: int, go_on: str) -> None:
        """The last line."""
        say_json(values)


class TerminalView:
    """A live panel on a terminal; on a pipe or in a log, one line every ten steps."""

    def __init__(self, out: Path, policy: str, task: str) -> None:
        self.console = terminal()
        self.title = f"{policy} on {task}, record in {out}"
        self.history: dict[str, deque[float]] = {}
        self.accuracies: list[tuple[int, float]] = []
        self.progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.live = (
            Live(console=self.console, refresh_per_second=4) if self.console.is_terminal else None
        )

    def notice(self, text: str) -> None:
        """One dim line."""
        say(f"{text} ...", self.console, style="dim")

    def begin(self, trainer: Any) -> None:
        """Lay out the panel from the trainer's position and what was evaluated so far."""
        from workbench.runs import Run

        evaluations = Run.open(trainer.run.path).evaluations()
        self.accuracies = [(int(r.step), float(r.accuracy)) for r in evaluations.itertuples()]
        self.task = self.progress.add_task(
            "", total=trainer.config.max_steps, completed=trainer.steps_done
        )

    def __enter__(self) -> TerminalView:
        warnings.simplefilter("default")
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.live:
            self.live.stop()

    def step(self, record: Any) -> None:
        """Take in a step and draw."""
        for name, value in record.metrics.items():
            self.history.setdefault(name, deque(maxlen=400)).append(value)
        self.accuracies += [(record.step, e.accuracy) for e in record.evaluations]
        self.progress.update(self.task, completed=record.step)
        if self.live:
            self.live.update(self.panel())
        elif record.step % 10 == 0 or record.evaluations:
            say(self.line(record.step), self.console)

    def line(self, step: int) -> str:
        """The step in one line of text."""
        last = {name: values[-1] for name, values in self.history.items()}
        at, accuracy = self.accuracies[-1]
        # Where no KL is measured there is no reference to differ from.
        kl = f"kl {last['kl']:.4f}  " if "kl" in last else ""
        undecided = sum(self.history.get(UNDECIDED, ()))
        unscored = f"  {undecided:.0f} answers not compared in time" if undecided else ""
        return (
            f"step {step}  reward {last['reward']:.3f}  accuracy {accuracy:.1%} (step {at})  {kl}"
            f"dead {last['dead_group_share']:.0%}  {last['seconds/step']:.2f} s{unscored}"
        )

    def panel(self) -> Group:
        """The whole picture."""
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        course = "  ".join(f"{a:.1%} ({s})" for s, a in self.accuracies[-6:])
        table.add_row("held-out accuracy (step)", "", line_of(course))
        for name, label in SHOWN:
            if name in self.history:
                values = list(self.history[name])
                figure = line_of(f"{values[-1]:.4g}")
                table.add_row(line_of(label), figure, line_of(sparkline(values)))
        hint = line_of("Ctrl-C stops after this step and keeps a checkpoint", "dim")
        return Group(line_of(self.title), self.progress, table, hint)

    def result(self, values: dict[str, Any], planned: int, go_on: str) -> None:
        """What the run came to, and what can be done with it now; `go_on` is the command that
        resumes it."""
        if values["steps"] < planned:
            say(
                f"stopped after step {values['steps']} of {planned}, with a checkpoint; accuracy "
                f"was last measured at step {values['accuracy_step']}.",
                self.console,
            )
            # One line, to be copied whole.
            say(f"Go on: {go_on}", self.console, copied=True)
            return
        self.accuracy(values)
        for judge in ("strict", "lenient"):
            if gain := values.get("sampled", {}).get(judge, {}).get("gain"):
                say(f"{judge}: {gain}", self.console)
        if "dead_group_share" in self.history and min(self.history["dead_group_share"]) == 1:
            say(
                "In every group all rewards were equal, so nothing was learnt. What to look at: "
                f"workbench doctor {values['run']}",
                self.console,
            )
        say(
            f"record: {values['run']}/run.sqlite   policy: {values['policy']}   list: workbench "
            "runs",
            self.console,
        )

    def accuracy(self, values: dict[str, Any]) -> None:
        """Before and after, or when it was last measured."""
        if values["accuracy_after"] is None:
            say(
                f"{values['steps']} steps, {values['seconds']:.0f} s; accuracy was measured at "
                f"step 0 only: {values['accuracy_before']:.1%}. "
                f"Measure it: workbench eval --policy {values['policy']}",
                self.console,
            )
            return
        low, high = values["interval_after"]
        at = ""
        if values["accuracy_step"] != values["steps"]:
            at = f", measured at step {values['accuracy_step']}"
        say(
            f"held-out accuracy {values['accuracy_before']:.1%} -> {values['accuracy_after']:.1%} "
            f"(95 % interval {low:.1%} to {high:.1%}, {values['problems']} problems, greedy, "
            f"strict{at}) in {values['steps']} steps, {values['seconds']:.0f} s",
            self.console,
        )
