"""A trainer for steps that are thrown away again: it borrows all parts of another, records nothing,
saves nothing, and can begin anew from the same state."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import torch

from workbench.config import GRPOConfig
from workbench.methods import Batch
from workbench.runs.sampled_evaluation import SampledEvaluation
from workbench.runs.step_record import Evaluation, StepRecord
from workbench.training.checkpoints import Checkpoint
from workbench.training.dynamic_sampling import Groups
from workbench.training.in_hand import InHand
from workbench.training.knobs import Knobs
from workbench.training.out_of_memory import explain_out_of_memory
from workbench.training.phases import Phases
from workbench.training.tornado.sharing import HASHED_UP_TO, Shared, digest_of, sampled_with
from workbench.training.trainer import Trainer

OldAndReference = tuple[torch.Tensor | None, torch.Tensor | None]


class BranchTrainer(Trainer):
    """Trains the model of `parent`, which must rest meanwhile and take its state back afterwards.

    `start` is what every branch begins from. With `shares` branches that would sample the same
    rollout share it.
    """

    def __init__(self, parent: Trainer, start: Checkpoint, *, shares: bool = True) -> None:
        # Not made anew: a second optimizer, critic or engine would cost their memory again. The
        # parent's own attributes stay as they are; what both point to is given back.
        vars(self).update(vars(parent))
        # Branches are made in this process alone: others know nothing of their weights.
        self.engine = parent.own_engine
        self.knobs = Knobs(parent.config, parent.rewards.names)
        # Whoever watches the run's steps is told nothing of these.
        self.in_hand = InHand(parent.policy.text_of)
        self.start = start
        self.shares = shares
        self.shared_groups: Shared[Groups] = Shared()
        self.shared_logps: Shared[OldAndReference] = Shared()
        self.shared_measures: Shared[dict[str, float]] = Shared()

    def begin(self) -> None:
        """Back to the state from which every branch begins."""
        self.knobs.forget()
        self.restore(own_copy(self.start))

    def step(self) -> StepRecord:
        """Make the next step, as the parent would have made it; only the figures are left of it."""
        with explain_out_of_memory("record", self.config, self.policy.source):
            return self._step()

    def is_cancelled(self) -> bool:
        """Whether the rollout or the scoring in hand is to be broken off."""
        return self._cancelled.is_set()

    def reference_active(self) -> AbstractContextManager[None]:
        """Inside, the model computes with the reference's weights."""
        return self._reference().active()

    # ------------------------------------------------------------ what is not done here

    def write(self, step: StepRecord) -> None:
        """A branch's step stands in no record."""

    def evaluations_after(self, step: int) -> list[Evaluation]:
        """None: a branch is measured after its last step, by `measure`."""
        return []

    def evaluate_with_samples(self, step: int) -> list[SampledEvaluation]:
        """None."""
        return []

    # ------------------------------------------------------------ what is shared

    def state_key(self) -> bytes | None:
        """What tells the weights of now from others, where nothing else decides what is sampled
        and measured with them; None where something does, or they are too many to be read."""
        if not self.shares:
            return None
        if self.steps_done == self.start.step:
            # All branches begin alike, whatever they are made of.
            return b"start"
        # What else changes from step to step: the reference, the curriculum, a method's own models.
        config = self.config
        own_past = config.sync_ref_model or config.curriculum != "none" or self.method.tensors()
        weights = self.policy.trainable_state()
        if own_past or sum(weight.nbytes for weight in weights.values()) > HASHED_UP_TO:
            return None
        return digest_of(weights)

    def groups(
        self, cursor: int, count: int, config: GRPOConfig, step: int, phases: Phases
    ) -> Groups:
        """As the trainer's, or those of another branch that sampled them from the same state."""

        def make() -> Groups:
            return super(BranchTrainer, self).groups(cursor, count, config, step, phases)

        state = self.state_key()
        if state is None:
            return make()
        key = (state, step, cursor, count, sampled_with(config))
        return self.shared_groups.get(key, self.generator, make)

    @torch.no_grad()
    def add_old_and_reference(self, batch: Batch, config: GRPOConfig) -> None:
        """As the trainer's, or those of another branch for the same rollout and weights."""

        def make() -> OldAndReference:
            super(BranchTrainer, self).add_old_and_reference(batch, config)
            return batch.old_logp_BT, batch.ref_logp_BT

        state = self.state_key()
        if state is None:
            make()
            return
        asks_reference = self.asks_reference(config)
        if asks_reference:
            # A later step may mix the policy into it, so that it must be there in any case.
            self._reference()
        key = (state, _contents(batch), config.temperature, config.on_policy, asks_reference)
        shared = self.shared_logps.get(key, self.generator, make)
        batch.old_logp_BT, batch.ref_logp_BT = shared

    def measured(self, make: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What `make()` measures of the weights of now, or what was measured of the same ones."""
        state = self.state_key()
        return make() if state is None else self.shared_measures.get(state, self.generator, make)


def _contents(batch: Batch) -> bytes:
    """What was sampled: with groups replaced by others, equal rollouts are other objects."""
    rollout = batch.rollout
    parts = (rollout.prompt_ids_NP, rollout.completion_ids_BT, rollout.mask_BT)
    return b"".join(part.cpu().numpy().tobytes() for part in parts)


def own_copy(checkpoint: Checkpoint) -> Checkpoint:
    """The same with tensors that nothing else holds: a trainer goes on from a checkpoint's own
    tensors, and moves them. On the CPU, so that a GPU need not hold them twice."""
    tensors = {
        file: {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in named.items()
        }
        for file, named in checkpoint.tensors.items()
    }
    return replace(checkpoint, tensors=tensors)
