"""What is exported: a config with its task, rewards and policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.config import LOSSES, GRPOConfig
from workbench.errors import WorkbenchError
from workbench.tasks.types import Task


class ExportFolderError(WorkbenchError, ValueError):
    """What cannot be exported, or not there: says why, and what to do."""


@dataclass(frozen=True)
class Exported:
    """A run as it began, or one that was not made yet."""

    config: GRPOConfig
    task: Task

    rewards: Sequence[str]
    """As `--reward` takes them."""

    policy: str = "embedded"
    """As `--policy` takes it."""

    origin: str = "a config"
    """Where it comes from, for the README."""

    happened: Sequence[str] = field(default_factory=tuple)
    """What was done to the run while it went on, a sentence each: no other trainer repeats that."""

    opened: str | None = None
    """What the chat template writes of an answer before the policy does: '' for most, None where it
    is not known."""

    @property
    def weights(self) -> tuple[float, ...]:
        """A weight for each reward function."""
        return self.config.reward_weights or (1.0,) * len(self.rewards)


def check_exportable(exported: Exported, whose: str, losses: Sequence[str]) -> None:
    """Raises `ExportFolderError` for what the other trainer would have to replace by something
    else, and `TaskError` for a task without prompts to train on."""
    config = exported.config
    exported.task.check_trainable()
    if config.method != "grpo":
        raise ExportFolderError(
            f"method={config.method!r} has no counterpart in {whose}'s GRPO. Export a run of grpo."
        )
    if config.loss_type not in losses:
        raise ExportFolderError(
            f"loss_type={config.loss_type!r} ({LOSSES[config.loss_type].words}) has no counterpart "
            f"in {whose}, which knows {', '.join(losses)}. Choose another one: --set loss_type="
            f"{losses[0]}."
        )
    if len(exported.weights) != len(exported.rewards):
        raise ExportFolderError(
            f"reward_weights has {len(exported.weights)} numbers for {len(exported.rewards)} "
            "reward functions. Name as many rewards as there are weights: --reward."
        )
