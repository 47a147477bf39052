"""`workbench compare`: variants over seeds with controls, and an answer in words; or the answer of
an experiment that lies in a folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn

from workbench.commands.bench import drawn
from workbench.commands.printing import say, say_json, terminal
from workbench.config import ConfigError, value_of
from workbench.experiment import Experiment, Result, Variant
from workbench.experiment.outcomes import ACCURACY
from workbench.experiment.table import cells, columns_of
from workbench.rewards import CONTROLS, DEFAULT_REWARDS

PROBLEMS = 300
"""Held-out problems of an evaluation unless a setting says otherwise."""
TEXTS = ("policy", "method", "preset")
"""Keys of a variant whose values are texts as they stand; "reward" may come several times."""


def compare_command(
    *,
    folder: Path | None,
    variants: list[str] | None,
    policy: str,
    task: str,
    rewards: list[str] | None,
    preset: str | None,
    changes: dict[str, Any],
    seeds: int | None,
    controls: str,
    control_of: str | None,
    metric: str | None,
    interval: str | None,
    out: Path | None,
    resume: bool,
    processes: int | None,
    as_json: bool,
) -> None:
    """See `workbench compare --help`."""
    if folder is not None:
        making = {
            "--variant": bool(variants),
            "--policy": policy != "embedded",
            "--task": task != "arithmetic",
            "--reward": bool(rewards),
            "--preset": preset is not None,
            "--set, --steps or --problems": bool(changes),
            "--controls": controls != ",".join(CONTROLS),
            "--control-of": control_of is not None,
            "--out": out is not None,
            "--seeds": seeds is not None and not resume,
        }
        _check_shown_alone(folder, [name for name, given in making.items() if given])
        experiment = Experiment.open(folder, metric=metric, interval=interval)
        if seeds is not None:
            experiment = experiment.with_seeds(seeds)
    else:
        base = _Base(policy, task, rewards or DEFAULT_REWARDS, preset, changes)
        experiment = Experiment(
            _variants(variants, base),
            8 if seeds is None else seeds,
            [kind.strip() for kind in controls.split(",") if kind.strip() not in ("", "none")],
            out=out or Path("runs") / datetime.now().strftime("compare-%Y%m%d-%H%M%S"),
            control_of=control_of,
            metric=metric or ACCURACY,
            interval=interval or "t",
        )
    result = experiment.result()
    if folder is None or resume:
        result = made_with_progress(experiment, processes, quiet=as_json)
    if as_json:
        say_json(result.to_dict())
        return
    _print(experiment, result)


def _check_shown_alone(folder: Path, making: Sequence[str]) -> None:
    if making == ["--seeds"]:
        raise ConfigError(
            f"{str(folder)!r} is shown as it is stored, all seeds. To make more of them: --resume "
            "--seeds N."
        )
    if making:
        raise ConfigError(
            f"{str(folder)!r} is shown as it is stored, and {', '.join(making)} says how an "
            "experiment is made. To make one in that folder, or add to it, without naming it "
            f"first: --out {shlex.quote(str(folder))}"
        )


# ------------------------------------------------------------ variants


class _Base:
    """What all variants begin from."""

    def __init__(
        self,
        policy: str,
        task: str,
        rewards: Sequence[str],
        preset: str | None,
        changes: dict[str, Any],
    ) -> None:
        self.policy = policy
        self.task = task
        self.rewards = tuple(rewards)
        self.preset = preset
        self.changes = {"num_eval_problems": PROBLEMS} | changes


def _variants(texts: list[str] | None, base: _Base) -> dict[str, Variant]:
    if not texts:
        raise ConfigError(
            "nothing to compare. Name variants: --variant plain --variant tight:epsilon=0.05; or "
            "the folder of an experiment, to see its result."
        )
    made: dict[str, Variant] = {}
    for text in texts:
        name, settings = parse_variant(text)
        if name in made:
            raise ConfigError(f"--variant {text!r}: {name!r} is named twice.")
        made[name] = _variant(name, settings, base)
    return made


def _variant(name: str, settings: dict[str, Any], base: _Base) -> Variant:
    from workbench.commands.train import make_config

    own = {
        key: value for key, value in settings.items() if key not in ("policy", "reward", "preset")
    }
    for key in ("seed", "task"):
        if key in own:
            raise ConfigError(
                f"--variant {name}: {key} is the same for all, or their differences would not be "
                f"paired. Give it beside: --{key if key == 'task' else 'seeds'}."
            )
    policy = settings.get("policy", base.policy)
    preset = settings.get("preset", base.preset)
    return Variant(
        name=name,
        config=make_config(policy, preset, base.changes | own, None),
        policy=policy,
        task=base.task,
        rewards=tuple(settings.get("reward", base.rewards)),
    )


def parse_variant(text: str) -> tuple[str, dict[str, Any]]:
    """NAME or NAME:KEY=VALUE,... as a name and settings. A comma in brackets or quotes divides
    nothing; `reward` may come several times. Raises `ConfigError`."""
    name, _, rest = text.partition(":")
    settings: dict[str, Any] = {}
    for part in _split(rest):
        key, found, value = (piece.strip() for piece in part.partition("="))
        if not found or not key:
            raise ConfigError(
                f"--variant {text!r}: {part!r} is no KEY=VALUE. For example --variant "
                "tight:epsilon=0.05,beta=0, or --variant rloo:method=rloo,reward=answer."
            )
        if key == "reward":
            settings.setdefault("reward", []).append(value.strip("\"'"))
        else:
            settings[key] = value if key in TEXTS else value_of(key, value)
    return name.strip(), settings


def _split(text: str) -> list[str]:
    """The parts between commas that stand outside of brackets and quotes."""
    parts = [""]
    depth = 0
    quote = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]


# ------------------------------------------------------------ making and showing


def made_with_progress(experiment: Experiment, processes: int | None, quiet: bool) -> Result:
    """Make what is missing, with a bar on a terminal and a line for each run in a log."""
    console = terminal()
    bar = Progress(
        BarColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        disable=quiet or not console.is_terminal,
    )
    row = bar.add_task("", total=1.0)
    said: set[str] = set()

    def show(progress: Any) -> None:
        bar.update(row, completed=progress.share, description=str(progress))
        lines = [progress.at_once]
        if not console.is_terminal:
            lines.append(f"{progress.done} of {progress.runs} runs are made")
        for line in lines:
            if line and line not in said and not quiet:
                said.add(line)
                say(line, console, style="dim")

    with bar:
        return experiment.run(processes, show)


def _print(experiment: Experiment, result: Result) -> None:
    console = terminal()
    title = f"COMPARED: {result.plan.metric}, in {experiment.out}"
    table = drawn(title, columns_of(result), cells(result))
    console.print(table)
    say("", console)
    for sentence in result.sentences():
        say(sentence, console)
    progress = experiment.progress()
    if progress.done < progress.runs:
        say(f"{progress.done} of {progress.runs} runs are made. Go on:", console)
        command = ["workbench", "compare", str(experiment.out), "--resume"]
        say(shlex.join(command), console, copied=True)
        return
    say(
        "Look at it in a notebook: from workbench.widgets import ExperimentView; "
        f"ExperimentView({str(experiment.out)!r}). Each run is a folder there: "
        "Dashboard(FOLDER), workbench doctor FOLDER.",
        console,
        style="dim",
    )
