"""The recipe of the oracle's stored results: `python -m workbench.assets.oracle.make_oracle`.

It trains the embedded policy with three seeds, keeps the weights of every step, and writes what the
oracle's pages and notebook 16 open: trees along the steps (`trees.npz`), the gradients of two
policies (`worlds.npz`) and what a stale sampler and a clip make of the gradient (`turning.json`).
About five minutes on one core. To be run anew whenever the embedded policy changes.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.policy.policy import Policy
from workbench.rewards import DEFAULT_REWARDS, RewardSet
from workbench.tasks import load_task
from workbench.tasks.types import Problem, Task
from workbench.training.launch import start_run
from workbench.widgets.oracle.branch_gradients import make_world
from workbench.widgets.oracle.enumerating import along_weights, enumerated
from workbench.widgets.oracle.stored import save_trees, save_turned, save_worlds
from workbench.widgets.oracle.turning import Row, own_gradient_rows, stale_rows
from workbench.widgets.oracle.world import World

FOLDER = Path(__file__).parent
Weights = dict[str, Tensor]

SEEDS = (0, 1, 2)
EARLY, LATE = 8, 40
"""Steps after which the gradients are taken: while habits are about equal, and when one has won."""
BACK = 8
"""The oldest sampler, in steps."""
KINDS = 20
"""Problems of a world: so many held-out ones, spread over the kinds."""
TREES = 4
"""Problems whose trees are kept: those to which the untrained policy has most to say."""
TREE_STEPS = (0, 2, 4, 8, 12, 16, 24, 32, 40)
WORLD_MASS, TREE_MASS = 0.998, 0.999
"""A world needs a backward pass for each branch, a tree none."""
CONFIG: dict[str, Any] = dict(
    prompts_per_step=8,
    num_generations=8,
    learning_rate=1e-4,
    lr_scheduler_type="constant",
    beta=0.005,
    max_steps=LATE,
    eval_steps=0,
    num_eval_problems=20,
)


def embedded_sha256() -> str:
    """Which weights the results are of: the hash of the embedded policy's file."""
    weights = FOLDER.parent / "embedded" / "model.safetensors"
    return hashlib.sha256(weights.read_bytes()).hexdigest()


def trained(seed: int) -> tuple[Policy, list[Weights]]:
    """The policy after `LATE` steps, and its weights after each, those before the first
    included."""
    config = GRPOConfig(seed=seed, **CONFIG)
    policy = load_policy("embedded", config=config, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        trainer = start_run(
            Path(folder) / "run",
            policy=policy,
            task=load_task("arithmetic", seed=0),
            rewards=RewardSet(DEFAULT_REWARDS),
            config=config,
        )
        kept = [policy.copy_trainable_state()]
        trainer.train(on_step=lambda step: kept.append(policy.copy_trainable_state()))
    return policy, kept


def spread(problems: Sequence[Problem], count: int) -> list[Problem]:
    """So many problems, one kind after the other."""
    by_kind: dict[str, list[Problem]] = {}
    for problem in problems:
        by_kind.setdefault(problem.kind, []).append(problem)
    in_turn = [
        group[place]
        for place in range(max(map(len, by_kind.values())))
        for group in by_kind.values()
        if place < len(group)
    ]
    return in_turn[:count]


def most_varied(
    policy: Policy, task: Task, problems: Sequence[Problem], count: int
) -> list[Problem]:
    """The problems to which most completions have a probability of 1 % and more."""
    said = [
        int((enumerated(policy, task, problem, mass=WORLD_MASS).probability_SC > 0.01).sum())
        for problem in problems
    ]
    order = sorted(range(len(problems)), key=lambda i: -said[i])
    return [problems[i] for i in order[:count]]


def world_at(
    policy: Policy, task: Task, problems: Sequence[Problem], kept: Sequence[Weights], step: int
) -> World:
    """The world of the policy after `step`, with the samplers of the `BACK` steps before."""
    policy.load_trainable_state(kept[step])
    return make_world(
        policy,
        task,
        problems,
        name=f"after step {step}",
        about=f"The embedded policy after {step} steps of GRPO.",
        older=[kept[step - back] for back in range(1, BACK + 1)],
        reference=kept[0],
        mass=WORLD_MASS,
    )


def own_gradients(
    policy: Policy, task: Task, problems: Sequence[Problem], weights: Mapping[str, Weights]
) -> list[Row]:
    """Samples that are stale along each prompt's own gradient, under each of the `weights`."""
    rows = []
    for name, state in weights.items():
        for problem in problems:
            policy.load_trainable_state(state)
            rows += own_gradient_rows(policy, task, problem, name, mass=WORLD_MASS)
    return rows


def main(out: Annotated[Path, typer.Option(help="Folder of the results.")] = FOLDER) -> None:
    """Make the oracle's stored results."""
    torch.set_num_threads(1)
    task = load_task("arithmetic", seed=0)
    problems = spread(task.held_out, KINDS)
    rows: list[Row] = []
    for seed in SEEDS:
        policy, kept = trained(seed)
        worlds = [world_at(policy, task, problems, kept, step) for step in (EARLY, LATE)]
        rows += [row for world in worlds for row in stale_rows(world, seed)]
        print(f"seed {seed}: {[len(world.ref_logp_E) for world in worlds]} edges", flush=True)
        if seed == SEEDS[0]:
            save_worlds(out / "worlds.npz", worlds)
            moments = {f"step {step}": kept[step] for step in TREE_STEPS}
            policy.load_trainable_state(kept[0])
            varied = most_varied(policy, task, problems, TREES)
            trees = along_weights(policy, task, varied, moments, mass=TREE_MASS)
            save_trees(out / "trees.npz", trees)
            ends = {"before training": kept[0], f"after step {LATE}": kept[LATE]}
            rows += own_gradients(policy, task, problems, ends)
    save_turned(out / "turning.json", rows)
    made = {"embedded_sha256": embedded_sha256(), "seeds": list(SEEDS), "torch": torch.__version__}
    (out / "made.json").write_text(json.dumps(made, indent=2) + "\n")
    for file in ("trees.npz", "worlds.npz", "turning.json"):
        print(f"{file}: {(out / file).stat().st_size / 1e3:,.0f} kB", flush=True)


if __name__ == "__main__":
    typer.run(main)
