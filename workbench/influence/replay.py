"""A recorded step made again, update by update, from the checkpoint before it.

Nothing is sampled and no reward function is called: the record has the tokens, their old and
reference log-probabilities and the advantages, so the updates alone lead from one step to the next.
On a CPU they give the same bits. What a method keeps beside the policy (a critic, a reward model)
is not needed, because what came of it is in the recorded advantages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from workbench.config import GRPOConfig
from workbench.influence.gradients import flat, put_weights
from workbench.influence.kept_step import KeptStep, config_at, kept_step
from workbench.influence.result import InfluenceError
from workbench.objective import EntropyControl
from workbench.policy.optim import load_optimizer, make_optimizer, optimizer_tensors
from workbench.policy.policy import Policy
from workbench.runs import Run
from workbench.tasks.types import Task
from workbench.training import checkpoints
from workbench.training.checkpoints import Checkpoint, CheckpointError
from workbench.training.update import accumulate_gradient, apply_gradient


@dataclass(frozen=True)
class PolicyState:
    """What the next step depends on, as copies: weights, optimizer, an adapting bonus."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    entropy: EntropyControl


class Replay:
    """`policy` and an optimizer of its own, moved along the steps of `run`. It changes the weights
    of `policy`: whoever needs them as they were keeps a copy."""

    def __init__(self, run: Run, policy: Policy, task: Task) -> None:
        self.run = run
        self.policy = policy
        self.task = task
        config = config_at(run, 1)
        self.optimizer = make_optimizer(policy.trainable_parameters(), config)
        self.entropy = EntropyControl(config.entropy_coef)

    def start_from(self, checkpoint: Checkpoint) -> None:
        """Take over weights, optimizer and bonus. Raises `PolicyError` where the weights are those
        of another policy."""
        self.policy.load_trainable_state(checkpoint.tensors["weights"])
        load_optimizer(self.optimizer, checkpoint.tensors["optimizer"])
        config = GRPOConfig.from_dict(checkpoint.state["config"])
        self.entropy = EntropyControl.from_list(checkpoint.state.get("entropy"), config)

    def state(self) -> PolicyState:
        """A copy of where it stands."""
        tensors = {n: t.clone() for n, t in optimizer_tensors(self.optimizer).items()}
        return PolicyState(self.policy.copy_trainable_state(), tensors, self.entropy)

    def return_to(self, state: PolicyState) -> None:
        """Stand there again."""
        self.policy.load_trainable_state(state.weights)
        load_optimizer(self.optimizer, {n: t.clone() for n, t in state.optimizer.items()})
        self.entropy = state.entropy

    def kept(self, step: int) -> KeptStep:
        """A step of the record, see `kept_step`."""
        return kept_step(self.run, self.policy, self.task, step)

    def gradient(self, step: KeptStep, rows_R: Tensor) -> dict[str, float]:
        """Put the gradient of an update into the parameters, as training did; its metrics."""
        for group in self.optimizer.param_groups:
            group.update(lr=step.learning_rate, weight_decay=step.config.weight_decay)
        config = self.entropy.in_force(step.config)
        return accumulate_gradient(
            self.policy, step.method, step.batch, rows_R, config, step.number
        )

    def move(self, step: KeptStep, metrics: Mapping[str, float]) -> None:
        """Clip that gradient and move the weights, as training did."""
        apply_gradient(self.policy, self.optimizer, step.config)
        self.entropy = self.entropy.after(metrics, step.config)

    def move_by(self, step: KeptStep, way_W: Tensor, metrics: Mapping[str, float]) -> None:
        """Move the weights by this instead, and leave the optimizer as it is."""
        put_weights(self.policy, flat(self.policy.trainable_parameters()) + way_W)
        self.optimizer.zero_grad(set_to_none=True)
        self.entropy = self.entropy.after(metrics, step.config)

    def make(self, step: KeptStep) -> None:
        """Make all updates of a step again."""
        for rows_R in step.updates():
            self.move(step, self.gradient(step, rows_R))


def checkpoint_before(run: Run, step: int) -> Checkpoint:
    """The newest whole checkpoint from before `step`. Raises `InfluenceError` where there is
    none."""
    folder = run.path.parent / "checkpoints"
    why = []
    for candidate in reversed([s for s in checkpoints.steps_in(folder) if s < step]):
        try:
            return checkpoints.load(folder, candidate)
        # A damaged one costs some steps that are made again.
        except CheckpointError as error:
            why.append(str(error))
    raise InfluenceError(
        f"{folder} holds no usable checkpoint from before step {step}, so the weights that the "
        f"step began with are not known. {' '.join(why)}Ask in the folder where the run was "
        "trained."
    )
