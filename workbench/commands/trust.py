"""`workbench runs --check` and `workbench repair`: is what was stored whole, and what of it is?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from workbench.commands.printing import say, say_json
from workbench.runs import RunRecordError
from workbench.runs.integrity.check import Health, check_runs
from workbench.runs.integrity.repair import repair


def check_command(folder: Path, as_json: bool) -> None:
    """See `workbench runs --help`."""
    damaged = 0
    count = 0
    for health in check_runs(folder):
        count += 1
        damaged += not health.whole
        if as_json:
            say_json(_plain(health))
            continue
        for line in _words(health):
            say(line)
    if not as_json:
        say(f"{count} runs looked through, {damaged} of them damaged.")
    if damaged:
        raise typer.Exit(1)


def _plain(health: Health) -> dict[str, object]:
    return asdict(health) | {"path": str(health.path), "whole": health.whole}


def _words(health: Health) -> list[str]:
    if health.whole:
        kept = ", ".join(map(str, health.checkpoints)) or "none"
        return [f"{health.path}: whole, {health.steps} steps, checkpoints {kept}"]
    lines = [f"▲ {problem}" for problem in health.problems]
    if health.steps is None:
        return lines
    return [*lines, f"  What is whole of it: workbench repair {health.path.parent}"]


def repair_command(run: Path, out: Path | None, as_json: bool) -> None:
    """See `workbench repair --help`."""
    try:
        found = repair(run, out)
    except RunRecordError:  # one kind of them is an OSError
        raise
    except OSError as error:
        raise RunRecordError(
            f"the repaired run could not be written: {error.strerror}. Make room, or name a folder "
            "on another disk: --out FOLDER."
        ) from error
    if as_json:
        say_json(asdict(found) | {"out": None if found.out is None else str(found.out)})
        return
    if found.out is None:
        say(f"{run} is whole: {found.steps} steps. Nothing was written.")
        return
    for line in found.left_out:
        say(f"left out: {line}")
    kept = ", ".join(map(str, found.checkpoints)) or "none"
    say(f"written to {found.out}: {found.steps} steps, checkpoints {kept}. {run} is as it was.")
    if found.checkpoints:
        say(f"Go on: workbench train --resume --out {found.out}")
