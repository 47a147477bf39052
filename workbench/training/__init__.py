"""Training: the loop, its knobs, its checkpoints, and how a run starts or goes on."""

from workbench.training.launch import start_run
from workbench.training.trainer import Trainer

__all__ = ["Trainer", "start_run"]
