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
    from workbench.policy import Policy
    from workbench.rewards import RewardSet
    from workbench.rewards.model import Collecting, RewardModel, RewardTraining
    from workbench.tasks.types import Problem, Task

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

    @property
    def engine(self) -> str:
        """The rollout engine's name."""
        return self.rollout or "native"


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
    from workbench.rewards import RewardSet
    from workbench.rollout import check_engine

    set_threads(threads, asked.policy)
    check_engine(GRPOConfig(rollout_engine=asked.engine))
    task = _task(asked, keys, system_prompt, skip_unreadable)
    gold = RewardSet(asked.gold)
    policy = load_policy(asked.policy)
    how = _how_to_collect(asked)
    parts = _parts(task, asked.problems)
    check_prompts(policy, task, [*parts.learned, *parts.unseen], how.max_completion_length)
    training = _training(asked)
    with _bars(quiet=as_json) as progress:
        made = _trained(asked, policy, task, parts, gold, how, training, progress)
    quality = judge(made.model, made.unseen, seed=asked.seed)
    result = _result(asked, made, training, how, quality)
    made.model.save(asked.out, result)
    if as_json:
        say_json(result)
    else:
        _print(asked, quality, made.examples)


@dataclass(frozen=True)
class Parts:
    """The problems that are asked."""

    learned: Sequence[Problem]
    """To train on what is answered to them."""
    unseen: Sequence[Problem]
    """To judge by."""


@dataclass(frozen=True)
class Made:
    """A reward model as it was trained."""

    model: RewardModel
    losses: Sequence[float]
    """Of each update."""
    examples: int
    """That it was trained on."""
    unseen: Any
    """Examples of problems that it has not seen."""


def _task(
    asked: Asked, keys: dict[str, str | None], system_prompt: str | None, skip_unreadable: bool
) -> Task:
    """The task with the problems whose gold answers can be compared."""
    from workbench.rewards import with_readable_golds
    from workbench.tasks import load_task
    from workbench.tasks.for_config import prompt_of

    unreadable = "skip" if skip_unreadable else "refuse"
    read = load_task(
        asked.task,
        asked.seed,
        **keys,
        system_prompt=prompt_of(system_prompt),
        unreadable_golds=unreadable,
    )
    return with_readable_golds(read, unreadable)


def _parts(task: Task, problems: int) -> Parts:
    held_out = max(problems // HELD_OUT_PART, 1)
    return Parts(task.train[:problems], task.held_out[:held_out])


def _how_to_collect(asked: Asked) -> Collecting:
    from workbench.rewards.model import Collecting

    return Collecting(
        samples=asked.samples,
        max_completion_length=asked.max_completion_length or _usual_length(asked.policy),
        temperature=asked.temperature,
        roll_ins=asked.roll_ins,
        seed=asked.seed,
    )


def _trained(
    asked: Asked,
    policy: Policy,
    task: Task,
    parts: Parts,
    gold: RewardSet,
    how: Collecting,
    training: RewardTraining,
    progress: Callable[[str], Callable[[int, int], None]],
) -> Made:
    """Sample from the policy, then train on it; the engine's memory is given back at the end."""
    from workbench.rewards.model import reward_model_of, sample_examples, train_reward_model
    from workbench.rollout import make_engine

    model = reward_model_of(policy, asked.kind, seed=asked.seed)
    model.steps_by = asked.steps_by or _usual_steps(asked.task)
    engine = make_engine(asked.engine, policy.model, policy.eos_token_ids, policy.pad_token_id)

    def sampled(problems: Sequence[Problem]) -> Any:
        return sample_examples(
            asked.kind,
            policy,
            engine,
            task,
            problems,
            gold,
            how,
            steps_by=model.steps_by,
            progress=progress,
        )

    try:
        learned = sampled(parts.learned)
        unseen = sampled(parts.unseen)
        hear = progress("training")
        losses = train_reward_model(
            model, learned, training, on_step=lambda step, steps, loss: hear(step, steps)
        )
    finally:
        engine.free()
    return Made(model, losses, len(learned), unseen)


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
    made: Made,
    training: RewardTraining,
    how: Collecting,
    quality: RewardQuality,
) -> dict[str, Any]:
    """What is recorded beside the model and printed as JSON."""
    losses = made.losses
    tenth = max(len(losses) // 10, 1)
    return {
        "kind": asked.kind,
        "steps_by": made.model.steps_by,
        "policy": asked.policy,
        "task": asked.task,
        "gold": asked.gold,
        "problems": asked.problems,
        "sampling": asdict(how),
        "training": asdict(training),
        "examples": made.examples,
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
