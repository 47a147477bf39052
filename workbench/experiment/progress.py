"""How far an experiment is, for whoever waits for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """The state of a moment. `str()` of it is a line of text."""

    status: str
    """ready, running, stopping, stopped, finished or failed."""

    runs: int
    """Of the whole experiment."""

    done: int
    """Finished ones, those of earlier sittings too."""

    failed: int

    running: tuple[str, ...]
    """Folders of the runs that are being made."""

    steps: int
    """Of all runs together."""

    steps_done: int

    seconds_left: float | None
    """By the pace of this sitting; None before its first step."""

    at_once: str
    """How many runs are made at once and why so many, in words; empty before the start."""

    @property
    def share(self) -> float:
        """Of all steps, those that are made; in [0, 1]."""
        return self.steps_done / self.steps if self.steps else 1.0

    def __str__(self) -> str:
        said = [f"{self.done} of {self.runs} runs, {self.share:.0%} of the steps"]
        if self.failed:
            said.append(f"{self.failed} failed")
        if self.status == "running":
            said.append(left_words(self.seconds_left))
        elif self.status != "finished":
            said.append(self.status)
        return ", ".join(said)


def left_words(seconds: float | None) -> str:
    """A time left, rounded to what can be known of it."""
    if seconds is None:
        return "time left not known yet"
    if seconds < 90:
        return f"about {max(round(seconds / 10) * 10, 10)} seconds left"
    minutes = seconds / 60
    if minutes < 90:
        return f"about {round(minutes)} minutes left"
    return f"about {minutes / 60:.1f} hours left"


def seconds_left(steps_left: int, steps_made: int, seconds: float) -> float | None:
    """By the pace of `steps_made` in `seconds`, runs side by side and evaluations included; None
    before the first step."""
    if steps_left == 0:
        return 0.0
    return None if steps_made <= 0 else seconds * steps_left / steps_made
