"""What a stale sampler and a clip make of the expected gradient: the angle to the truth, prompt by
prompt, as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.rewards import DEFAULT_REWARDS
from workbench.widgets.oracle.expectation import expected
from workbench.widgets.oracle.settings import Setting
from workbench.widgets.oracle.world import World

if TYPE_CHECKING:
    import torch

    from workbench.policy.policy import Policy
    from workbench.tasks import Problem, Task

CLIPS: dict[str, Setting] = {
    "no clip": Setting("dr_grpo", clip=False),
    "clip .2": Setting("dr_grpo", epsilon=0.2),
    "clip .2 / .28": Setting("dr_grpo", epsilon=0.2, epsilon_high=0.28),
    "CISPO": Setting("cispo", epsilon_high=5.0),
}
"""What is compared, by the name that it has in the picture."""
OWN = "along the prompt's own gradient"
ADAM = "steps of training"
KL = 0.1
"""How far, in nats, a sampler is left behind along a prompt's own gradient."""
HALVINGS, DOUBLINGS = 14, 40


@dataclass(frozen=True)
class Row:
    """One prompt under one sampler and one clip."""

    policy: str
    """'after step 40'."""

    stale: str
    """`OWN` or `ADAM`."""

    steps: int
    """Steps that the sampler is old; 0 where it is not old by steps."""

    seed: int
    """Of the training."""

    question: str
    """The prompt; '' where all of them count together."""

    clip: str
    """A key of `CLIPS`."""

    cosine: float | None
    """Cosine of the expected gradient with the truth; None where one of them is 0."""

    clipped: float
    """Share of the tokens that are clipped."""

    kl: float
    """KL(sampler || policy) of a completion, in nats."""


def stale_rows(
    world: World, seed: int, steps: Sequence[int] = (1, 2, 4, 8), kind: str = ADAM
) -> list[Row]:
    """A world under samplers of some steps ago: each prompt, and all together."""
    rows = []
    for back in steps:
        for clip, setting in CLIPS.items():
            for n, question in [(None, ""), *enumerate(world.questions)]:
                found = expected(world, _stale(setting, back), n)
                cosine = None if found.cosine != found.cosine else round(found.cosine, 5)
                row = Row(
                    policy=world.name,
                    stale=kind,
                    steps=back if kind == ADAM else 0,
                    seed=seed,
                    question=question,
                    clip=clip,
                    cosine=cosine,
                    clipped=round(found.clipped, 6),
                    kl=round(found.kl, 6),
                )
                rows.append(row)
    return rows


def _stale(setting: Setting, steps: int) -> Setting:
    from dataclasses import replace

    return replace(setting, stale=steps)


def own_gradient_rows(
    policy: Policy, task: Task, problem: Problem, name: str, *, mass: float, kl: float = KL
) -> list[Row]:
    """The sampler is left behind along the gradient of this one prompt, by `kl` nats: the extreme
    case. The policy keeps the weights that it was moved to."""
    from workbench.widgets.oracle.branch_gradients import make_world

    old = policy.copy_trainable_state()
    if not move_along_gradient(policy, task, problem, mass=mass, kl=kl):
        return []
    world = make_world(
        policy, task, [problem], name=name, about="", older=[old], reference=old, mass=mass
    )
    # With one prompt, "all together" says the same twice.
    return [row for row in stale_rows(world, 0, (1,), OWN) if row.question]


def move_along_gradient(
    policy: Policy, task: Task, problem: Problem, *, mass: float, kl: float = KL
) -> bool:
    """Move the weights uphill along the prompt's exact gradient until KL(before || now) of its
    completions is `kl`. False where nothing is left to learn, and then nothing moved."""
    import numpy as np

    from workbench.oracle import oracle_of, policy_gradient
    from workbench.widgets.oracle.branch_gradients import edge_logps
    from workbench.widgets.oracle.branches import tree_of
    from workbench.widgets.oracle.enumerating import as_reward_set
    from workbench.widgets.oracle.world import NO_EDGE

    rewards = as_reward_set(DEFAULT_REWARDS)
    scored = oracle_of(policy, task, problem, rewards, max_new_tokens=48, mass=mass)
    tree = tree_of(scored.enumeration)
    direction = policy_gradient(policy, scored)
    old = policy.copy_trainable_state()
    before_E = edge_logps(policy, tree)
    there_CD = tree.edge_CD != NO_EDGE

    def moved(size: float) -> float:
        _step(policy, old, direction, size)
        now_E = edge_logps(policy, tree)
        old_C = np.where(there_CD, before_E[tree.edge_CD], 0.0).sum(1)
        gap_C = np.where(there_CD, (before_E - now_E)[tree.edge_CD], 0.0).sum(1)
        return float(np.exp(old_C) @ gap_C)

    length = float(direction.norm())
    if tree.edges == 0 or length < 1e-6:
        return False
    high = 1e-3 / length
    for _ in range(DOUBLINGS):
        if moved(high) >= kl:
            break
        high *= 2
    else:
        policy.load_trainable_state(old)
        return False
    low = 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if moved(middle) < kl else (low, middle)
    moved(high)
    return True


def _step(
    policy: Policy, old: dict[str, torch.Tensor], direction: torch.Tensor, size: float
) -> None:
    """The old weights, and so much of a direction."""
    at = 0
    state = {}
    for name, tensor in old.items():
        part = direction[at : at + tensor.numel()].reshape(tensor.shape)
        state[name] = tensor + size * part.to(tensor)
        at += tensor.numel()
    policy.load_trainable_state(state)
