"""Mistakes in the update itself."""

from __future__ import annotations

from typing import Any

from workbench.faults.base import Fault


class LearningRateTimes100(Fault):
    """The optimizer works with a hundred times the learning rate that config and record name.

    Had by: jjyaoao/HelloAgents#107 (a learning rate that was set and never reached the optimizer,
    50 times too large: 57.0 % -> 2.4 %). One sees the KL jump within a step or two, an entropy that
    explodes or collapses, completions that turn to noise.
    """

    name = "learning_rate_x100"
    reports = ("jjyaoao/HelloAgents#107",)
    finding_keys = ("update_too_large",)

    def optimized(self, optimizer: Any) -> None:
        """Larger for the length of each `step()`, so that whoever looks sees the right one."""
        optimizer.register_step_pre_hook(lambda *_: _scale(optimizer, 100.0))
        optimizer.register_step_post_hook(lambda *_: _scale(optimizer, 0.01))


def _scale(optimizer: Any, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] *= factor
