"""The recipe of the recorded runs: `python -m workbench.assets.recorded.make_recorded [NAME ...]`.

Each run is made by the workbench itself, with the embedded policy on generated arithmetic, and then
thinned: every step keeps its figures; the first steps, the last ones and every `keep`-th keep
completions and tokens. About a second a step on one core. The full runs stay in the work folder,
where `branch` looks for its parent. `vllm` needs vLLM and is left out, with a word, where it is not
installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.rewards import RewardSet, shuffled
from workbench.runs.store.opening import remove_database
from workbench.runs.thin import spread_steps, thin
from workbench.tasks import load_task
from workbench.training.session import Session

FOLDER = Path(__file__).parent
COMMON: dict[str, Any] = dict(
    prompts_per_step=8,
    num_generations=8,
    learning_rate=1e-4,
    lr_scheduler_type="constant",
    beta=0.005,
)
"""A setting in which a policy may go far from where it began, and the KL shows it."""
DEFAULT = GRPOConfig()


def brevity_reward(
    completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], **columns: Any
) -> list[float]:
    """A point for every token left unused: meant as a small nudge, worth more than a right
    answer."""
    return [48.0 - len(ids) for ids in completion_ids]


@dataclass(frozen=True)
class Recipe:
    """One recorded run: what it is for, its settings, and the steps before which knobs are moved.

    config   fields of `GRPOConfig` beside those of `COMMON`
    moves    step -> knobs that take effect at it
    parent   the run that it branches from, after `from_step` and with the knobs `fork`
    keep     every so many steps completions and tokens are kept
    needs    a package that only some environments have
    """

    about: str
    config: Mapping[str, Any] = field(default_factory=dict)
    rewards: Sequence[str | Callable[..., list[float]]] = ("format", "answer")
    moves: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    control: bool = False
    parent: str = ""
    from_step: int = 0
    fork: Mapping[str, Any] = field(default_factory=dict)
    keep: int = 20
    needs: str = ""


RECIPES: dict[str, Recipe] = {
    "long": Recipe(
        "200 steps of a policy that learns; beta and epsilon are moved on the way",
        dict(max_steps=200, eval_steps=20, num_eval_problems=500, save_total_limit=11),
        moves={101: {"beta": 0.5}, 141: {"epsilon": 0.02}},
        keep=25,
    ),
    "branch": Recipe(
        "a child of `long` on a short leash",
        parent="long",
        from_step=60,
        fork={"beta": 1.0},
        keep=50,
    ),
    "control": Recipe(
        "the start of `long` with rewards dealt to the wrong completions: nothing can be learned",
        dict(max_steps=60, eval_steps=20, num_eval_problems=500),
        control=True,
    ),
    "start_control": Recipe(
        "the run of notebook 00, with the default settings, as a control",
        dict(
            max_steps=32,
            eval_steps=8,
            num_eval_problems=300,
            prompts_per_step=DEFAULT.prompts_per_step,
            learning_rate=DEFAULT.learning_rate,
            lr_scheduler_type=DEFAULT.lr_scheduler_type,
            beta=DEFAULT.beta,
        ),
        control=True,
        keep=8,
    ),
    "hacked": Recipe(
        "a brevity bonus that outweighs being right",
        dict(max_steps=60, eval_steps=10, num_eval_problems=300, learning_rate=3e-4),
        rewards=("format", "answer", brevity_reward),
    ),
    "kl_blow_up": Recipe(
        "a learning rate fifteen times too high, and a beta that measures the KL but does not "
        "hold it",
        dict(max_steps=40, eval_steps=5, num_eval_problems=300, learning_rate=1.5e-3, beta=1e-6),
    ),
    "truncated": Recipe(
        "completions are cut off before most of them can end",
        dict(max_steps=30, eval_steps=10, num_eval_problems=300, max_completion_length=16),
    ),
    "patient": Recipe(
        "the unlabelled run of an exercise: a temperature at which a group hardly differs",
        dict(max_steps=40, eval_steps=20, num_eval_problems=300, temperature=0.1),
    ),
    "vllm": Recipe(
        "rollouts by vLLM in the trainer's process, with the adapter alone handed over before each",
        dict(
            max_steps=30,
            eval_steps=10,
            num_eval_problems=300,
            rollout_engine="vllm",
            lora_rank=8,
            learning_rate=3e-3,
            lr_scheduler_type="cosine",
            seed=11,
        ),
        keep=15,
        needs="vllm",
    ),
}


def make(name: str, work: Path, out: Path) -> Path:
    """Make the run `name` in `work` and its thinned record in `out`, replacing what was there;
    returns the record."""
    recipe = RECIPES[name]
    session = _branched(name, recipe, work) if recipe.parent else _started(name, recipe, work)
    for step in sorted(recipe.moves):
        if step > session.step_number + 1:
            session.step(step - 1 - session.step_number).wait()
        session.set(**recipe.moves[step])
    session.start().wait()
    session.free()
    record = out / f"{name}.sqlite"
    remove_database(record)
    return thin(work / name, record, spread_steps(session.run.last_step(), recipe.keep, ends=5))


def _started(name: str, recipe: Recipe, work: Path) -> Session:
    shutil.rmtree(work / name, ignore_errors=True)
    rewards = RewardSet(list(recipe.rewards))
    config = GRPOConfig(**{**COMMON, **recipe.config})
    return Session(
        load_policy("embedded", config=config, device="cpu"),
        load_task("arithmetic", seed=0),
        shuffled(rewards) if recipe.control else rewards,
        config,
        out=work / name,
        name=name,
    )


def _branched(name: str, recipe: Recipe, work: Path) -> Session:
    """The parent, opened again, and its child at the fork. Raises when the parent was not made here
    before."""
    if not (work / recipe.parent).is_dir():
        raise typer.BadParameter(
            f"{name} branches from {recipe.parent}, which is not in {work}. Make that one first."
        )
    shutil.rmtree(work / name, ignore_errors=True)
    origin = RECIPES[recipe.parent]
    parent = Session(
        load_policy("embedded", device="cpu"),
        load_task("arithmetic", seed=0),
        RewardSet(list(origin.rewards)),
        GRPOConfig(**{**COMMON, **origin.config}),
        out=work / recipe.parent,
        resume=True,
    )
    return parent.branch(name, from_step=recipe.from_step, **recipe.fork).wait()


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(help=f"Which: {', '.join(RECIPES)}; all of them unless said."),
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder for the full runs.")] = Path("runs/recorded"),
    out: Annotated[Path, typer.Option(help="Folder for the thinned records.")] = FOLDER,
) -> None:
    """Make recorded runs and thin them."""
    torch.set_num_threads(1)
    if unknown := [name for name in names or [] if name not in RECIPES]:
        raise typer.BadParameter(
            f"{unknown[0]!r} is no recorded run. Choose from {', '.join(RECIPES)}."
        )
    absent = (
        []
        if names
        else [
            name
            for name, recipe in RECIPES.items()
            if recipe.needs and find_spec(recipe.needs) is None
        ]
    )
    for name in absent:
        print(f"{name}: left out, because {RECIPES[name].needs} is not installed here", flush=True)
    for name in names or [name for name in RECIPES if name not in absent]:
        record = make(name, work, out)
        print(f"{name}: {RECIPES[name].about}; {record.stat().st_size / 1e3:,.0f} kB", flush=True)


if __name__ == "__main__":
    typer.run(main)
