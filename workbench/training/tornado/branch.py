"""A trainer for steps that are thrown away again: it borrows all parts of another, records nothing,
saves nothing, and can begin anew from the same state."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

import torch

from workbench.config import GRPOConfig
from workbench.methods import Batch
from workbench.runs.sampled_evaluation import SampledEvaluation
from workbench.runs.step_record import Evaluation, StepRecord
from workbench.training.checkpoints import Checkpoint
from workbench.training.dynamic_sampling import Groups
from workbench.training.knobs import Knobs
from workbench.training.out_of_memory import explain_out_of_memory
from workbench.training.phases import Phases
from workbench.training.tornado.sharing import Shared, sampled_with
from workbench.training.trainer import Trainer

OldAndReference = tuple[torch.Tensor | None, torch.Tensor | None]


class BranchTrainer(Trainer):
    """Trains the model of `parent`, which must rest meanwhile and take its state back afterwards.

    `start` is what every branch begins from. With `shares` branches that would sample the same
    first rollout share it.
    """

    def __init__(self, parent: Trainer, start: Checkpoint, *, shares: bool = True) -> None:
        # Not made anew: a second optimizer, critic or engine would cost their memory again. The
        # parent's own attributes stay as they are; what both point to is given back.
        vars(self).update(vars(parent))
        self.knobs = Knobs(parent.config, parent.rewards.names)
        self.start = start
        self.shares = shares
        self.shared_groups: Shared[Groups] = Shared()
        self.shared_logps: Shared[OldAndReference] = Shared()

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

    def groups(
        self, cursor: int, count: int, config: GRPOConfig, step: int, phases: Phases
    ) -> Groups:
        """As the trainer's; those of the first step are the first branch's that sampled them."""

        def make() -> Groups:
            return super(BranchTrainer, self).groups(cursor, count, config, step, phases)

        if not self._is_shared(step):
            return make()
        key = (cursor, count, sampled_with(config))
        return self.shared_groups.get(key, self.generator, make)

    @torch.no_grad()
    def add_old_and_reference(self, batch: Batch, config: GRPOConfig) -> None:
        """As the trainer's; those of a rollout that is shared are computed once."""

        def make() -> OldAndReference:
            super(BranchTrainer, self).add_old_and_reference(batch, config)
            return batch.old_logp_BT, batch.ref_logp_BT

        if not self._is_shared(self.steps_done + 1):
            make()
            return
        if self.asks_reference(config):
            # A later step may mix the policy into it, so that it must be there in any case.
            self._reference()
        key = (_contents(batch), config.temperature, config.on_policy, self.asks_reference(config))
        shared = self.shared_logps.get(key, self.generator, make)
        batch.old_logp_BT, batch.ref_logp_BT = shared

    def _is_shared(self, step: int) -> bool:
        return self.shares and step == self.start.step + 1


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
