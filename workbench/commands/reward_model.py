"""`workbench reward train`: a reward model from what a policy samples, judged on held-out
problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.commands.printing import line_of, say, say_aside, say_json, terminal
from workbench.commands.train import lengths_of, set_threads
from workbench.config import ConfigError

if TYPE_CHECKING:
    from workbench.evaluation.reward_quality import RewardQuality
    from workbench.rewards.model import RewardModel, RewardTraining

HELD_OUT_PART = 4
"""Of the problems that are trained on, one in this many as many are held out and asked beside."""
EXAMPLES = {"pairs": "pairs", "outcome": "completions", "process": "steps"}
"""Kind -> what is counted."""


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    kind: str
    policy: str
    task: str
    gold: list[str]
    problems: int
    samples: int
    roll_ins: int
    steps_by: str | None
    epochs: int
    learning_rate: float | None
    max_completion_length: int | None
    temperature: float
    seed: int
    rollout: str | None
    out: Path


def reward_train_command(
    asked: Asked,
    *,
    keys: dict[str, str | None],
    system_prompt: str | None,
    skip_unreadable: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    """See `workbench reward train --help`."""
    _check_free(asked.out)
    from workbench.config import GRPOConfig
    from workbench.evaluation.prompts import check_prompts
    from workbench.evaluation.reward_quality import judge
    from workbench.policy import load_policy
    from workbench.rewards import RewardSet, with_readable_golds
    from workbench.rewards.model import (
        Collecting,
        reward_model_of,
        sample_examples,
        train_reward_model,
    )
    from workbench.rollout import check_engine, make_engine
    from workbench.tasks import load_task
    from workbench.tasks.for_config import prompt_of

    set_threads(threads, asked.policy)
    engine_name = asked.rollout or "native"
    check_engine(GRPOConfig(rollout_engine=engine_name))
    unreadable = "skip" if skip_unreadable else "refuse"
    read = load_task(
        asked.task,
        asked.seed,
        **keys,
        system_prompt=prompt_of(system_prompt),
        unreadable_golds=unreadable,
    )
    task = with_readable_golds(read, unreadable)
    gold = RewardSet(asked.gold)
    policy = load_policy(asked.policy)
    length = asked.max_completion_length or _usual_length(asked.policy)
    problems = task.train[: asked.problems]
    held_out = task.held_out[: max(asked.problems // HELD_OUT_PART, 1)]
    check_prompts(policy, task, [*problems, *held_out], length)
    how = Collecting(
        samples=asked.samples,
        max_completion_length=length,
        temperature=asked.temperature,
        roll_ins=asked.roll_ins,
        seed=asked.seed,
    )
    training = _training(asked)
    model = reward_model_of(policy, asked.kind, seed=asked.seed)
    model.steps_by = asked.steps_by or _usual_steps(asked.task)
    engine = make_engine(engine_name, policy.model, policy.eos_token_ids, policy.pad_token_id)
    try:
        with _bars(quiet=as_json) as progress:
            learned, unseen = (
                sample_examples(
                    asked.kind,
                    policy,
                    engine,
                    task,
                    part,
                    gold,
                    how,
                    steps_by=model.steps_by,
                    progress=progress,
                )
                for part in (problems, held_out)
            )
            hear = progress("training")
            losses = train_reward_model(
                model, learned, training, on_step=lambda step, steps, loss: hear(step, steps)
            )
    finally:
        engine.free()
    quality = judge(model, unseen, seed=asked.seed)
    result = _result(asked, model, training, how, losses, len(learned), quality)
    model.save(asked.out, result)
    if as_json:
        say_json(result)
    else:
        _print(asked, quality, len(learned))


def _check_free(out: Path) -> None:
    """Before anything is sampled. Raises `ConfigError`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(
            f"--out {out}: there is something already. Name a new folder for the reward model."
        )


def _training(asked: Asked) -> RewardTraining:
    """As asked, else the paper's rate, but for the embedded policy."""
    from workbench.rewards.model import EMBEDDED_LEARNING_RATE, RewardTraining

    rate = asked.learning_rate
    if rate is None:
        rate = RewardTraining.learning_rate
        if asked.policy == "embedded":
            rate = EMBEDDED_LEARNING_RATE
            say_aside(
                f"learning_rate={rate:g} for the embedded policy, unless named; DeepSeekMath's "
                f"{RewardTraining.learning_rate:g} is for models a thousand times its size."
            )
    return RewardTraining(learning_rate=rate, epochs=asked.epochs, seed=asked.seed)


def _usual_length(policy: str) -> int:
    """As in the run that the policy lies in; else 48 for the embedded one, and 256."""
    known = lengths_of(policy).get("max_completion_length")
    return int(known or (48 if policy == "embedded" else 256))


def _usual_steps(task: str) -> str:
    """Arithmetic writes its steps as equations."""
    return "equations" if task.startswith("arithmetic") else "auto"


@contextmanager
def _bars(quiet: bool) -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """What gives a bar for each piece of work, where somebody looks."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = terminal()
    if quiet or not console.is_terminal:
        yield lambda name: lambda done, of: None
        return
    columns = ("{task.description}", MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as drawn:

        def begin(name: str) -> Callable[[int, int], None]:
            bar = drawn.add_task(name, total=None)
            return lambda done, of: drawn.update(bar, completed=done, total=of)

        yield begin


def _result(
    asked: Asked,
    model: RewardModel,
    training: RewardTraining,
    how: Any,
    losses: Sequence[float],
    examples: int,
    quality: RewardQuality,
) -> dict[str, Any]:
    """What is recorded beside the model and printed as JSON."""
    tenth = max(len(losses) // 10, 1)
    return {
        "kind": asked.kind,
        "steps_by": model.steps_by,
        "policy": asked.policy,
        "task": asked.task,
        "gold": asked.gold,
        "problems": asked.problems,
        "sampling": asdict(how),
        "training": asdict(training),
        "examples": examples,
        "updates": len(losses),
        "loss_first": sum(losses[:tenth]) / tenth,
        "loss_last": sum(losses[-tenth:]) / tenth,
        "held_out": quality.as_dict(),
        "folder": str(asked.out),
    }


def _print(asked: Asked, quality: RewardQuality, examples: int) -> None:
    console = terminal()
    what = EXAMPLES[asked.kind]
    accuracy = quality.accuracy
    said = "" if quality.beats_chance else " It does not surely beat chance."
    say(
        f"{asked.kind} reward model of {asked.policy} on {asked.task}: {accuracy.value:.1%} of "
        f"{quality.examples} held-out {what} of {accuracy.n} problems (95 % interval "
        f"{accuracy.low:.1%} to {accuracy.high:.1%}; chance {quality.chance:.1%}), trained on "
        f"{examples} {what}.{said}",
        console,
    )
    if quality.auc is not None:
        auc = quality.auc
        say(f"  AUC {auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f})", console)
    error = quality.calibration_error
    say(f"  calibration error {error.value:.3f} ({error.low:.3f} to {error.high:.3f})", console)
    table = _reliability(quality)
    console.print(table)
    say("Train on it, the gold reward watched beside it:", console)
    say(
        f"  workbench train --reward model:{asked.out} --reward {asked.gold[0]} --set "
        "reward_weights=[1,0]",
        console,
        copied=True,
    )


def _reliability(quality: RewardQuality) -> Any:
    """A row for each bin that holds anything."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 2))
    for heading in ("predicted", "so many", "were right", "95 %"):
        table.add_column(line_of(heading))
    for one in quality.bins:
        if one.n:
            low, high = one.interval
            cells = (f"{one.predicted:.1%}", str(one.n), f"{one.observed:.1%}")
            table.add_row(*(line_of(c) for c in (*cells, f"{low:.1%} to {high:.1%}")))
    return table
