"""How far a session is, in words and as a bar."""

from __future__ import annotations

import html
from dataclasses import dataclass

from workbench.widgets.controls.pace import clock

TRAINING = ("training", "pausing", "stopping")
"""What a session does while a new step is in hand."""


@dataclass(frozen=True)
class Progress:
    """Where a session stands.

    doing      its status, or what it does while it runs
    step       whole steps made, `of` how many
    rollout    completions finished and wanted of the step in hand; None outside a rollout
    left       seconds until the last step; None where it cannot be told
    """

    doing: str
    step: int
    of: int
    rollout: tuple[int, int] | None = None
    left: float | None = None

    @property
    def words(self) -> str:
        """'training, step 1 of 32 · 0:24 left'; the rollout is told in the line below."""
        if self.doing not in TRAINING:
            if self.step == 0:
                return f"{self.doing}, {self.of} steps to go"
            return f"{self.doing}, step {self.step} of {self.of}"
        # The step in hand is the one that a person waits for.
        parts = [f"{self.doing}, step {min(self.step + 1, self.of)} of {self.of}"]
        if self.left is not None and self.doing == "training":
            parts.append(f"{clock(self.left)} left")
        return " · ".join(parts)

    @property
    def markup(self) -> str:
        """A bar, and the words."""
        done = self.step / max(self.of, 1)
        in_hand = done
        if self.rollout is not None:
            in_hand += self.rollout[0] / max(self.rollout[1], 1) / max(self.of, 1)
        words = html.escape(self.words)
        bar = (
            f'<span class="wb-progress" role="progressbar" aria-valuemin="0" '
            f'aria-valuemax="{self.of}" aria-valuenow="{self.step}" aria-label="steps made" '
            f'style="--wb-done:{done:.4f};--wb-in-hand:{min(in_hand, 1):.4f}"></span>'
        )
        return f'{bar}<span class="wb-progress-words" role="status" title="{words}">{words}</span>'
