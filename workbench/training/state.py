"""From a trainer's moving parts to a checkpoint and back: weights, optimizer, random generators,
position, knobs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.policy.reference import Reference
from workbench.training.checkpoints import Checkpoint
from workbench.training.optim import load_optimizer, optimizer_tensors

if TYPE_CHECKING:
    from workbench.training.trainer import Trainer


def checkpoint_of(trainer: Trainer) -> Checkpoint:
    """The state after the last whole step. Raises RuntimeError when a step was broken off after an
    update."""
    if trainer.dirty:
        raise RuntimeError(
            f"step {trainer.steps_done + 1} was broken off after an update, so there is no whole state to save. Resume from "
            "the last checkpoint."
        )
    tensors = {
        "weights": trainer.policy.trainable_state(),
        "optimizer": optimizer_tensors(trainer.optimizer),
        "random": random_tensors(trainer.generator),
    }
    if (
        trainer.reference is not None
        and trainer.reference.weights is not None
        and trainer.steps_done > 0
    ):
        tensors["reference"] = trainer.reference.weights
    config, pending = trainer.knobs.snapshot()
    values = {
        "cursor": trainer.cursor,
        "config": config.to_dict(),
        "pending": pending,
        "random": random_values(),
    }
    return Checkpoint(trainer.steps_done, tensors, values)


def load_checkpoint(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Take over the state of a checkpoint: the trainer goes on as if it had never stopped."""
    trainer.policy.load_trainable_state(checkpoint.tensors["weights"])
    load_optimizer(trainer.optimizer, checkpoint.tensors["optimizer"])
    load_random_tensors(trainer.generator, checkpoint.tensors["random"])
    load_random_values(checkpoint.state["random"])
    pending = {name: (value, who) for name, (value, who) in checkpoint.state["pending"].items()}
    trainer.knobs.restore((GRPOConfig.from_dict(checkpoint.state["config"]), pending))
    trainer.steps_done, trainer.cursor, trainer.dirty = (
        checkpoint.step,
        checkpoint.state["cursor"],
        False,
    )
    trainer.reference = None
    if "reference" in checkpoint.tensors:
        trainer.reference = Reference(trainer.policy, checkpoint.tensors["reference"])
        return
    # The reference is the adapter switched off, or the weights that were just loaded. In all other
    # cases the first step that asks for one takes it from the checkpoint of step 0.
    at_hand = trainer.policy.has_adapter or checkpoint.step == 0
    if at_hand and trainer.asks_reference(trainer.config):
        trainer.reference = Reference(trainer.policy)


def random_tensors(generator: torch.Generator) -> dict[str, Tensor]:
    """The states of the rollout's generator and of torch's global ones."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"rollout": generator.get_state(), "torch": torch.get_rng_state()} | {
        f"cuda.{i}": s for i, s in enumerate(cuda)
    }


def load_random_tensors(generator: torch.Generator, tensors: dict[str, Tensor]) -> None:
    """Put those states back."""
    generator.set_state(tensors["rollout"])
    torch.set_rng_state(tensors["torch"])
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda.{i}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda.{i}"], i)


def random_values() -> dict[str, Any]:
    """The states of Python's and NumPy's global generators, which a reward function may use, as
    plain values."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
    }


def load_random_values(values: dict[str, Any]) -> None:
    """Put those states back."""
    version, words, gauss = values["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = values["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
