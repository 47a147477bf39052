"""`workbench export trl` and `verl`: a run or a config as a folder of another trainer."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.commands.printing import say
from workbench.commands.resuming import Parts, parts_of
from workbench.commands.runs import beside
from workbench.compat.export import Exported, ExportFolderError, Report, export_trl, export_verl
from workbench.config import GRPOConfig
from workbench.rewards import DEFAULT_REWARDS, with_readable_golds
from workbench.runs import Run, is_run_record
from workbench.tasks.for_config import load_task_for
from workbench.training.same_run import check_same_problems

CONFIGS = (".yaml", ".yml", ".json")


PEERS = {"trl": (export_trl, "python train.py"), "verl": (export_verl, "bash train.sh")}
"""What writes the folder, and the command that trains with it, by the other trainer's name."""


def export_to_command(
    peer: str,
    source: Path,
    out: Path | None,
    policy: str | None,
    task: str | None,
    rewards: Sequence[str] | None,
    changes: dict[str, Any],
) -> None:
    """See `workbench export trl --help` and `workbench export verl --help`; `peer` is a key of
    `PEERS`."""
    write, command = PEERS[peer]
    exported = exported_from(source, policy, task, rewards, changes)
    folder = out or beside(_plain(source), f"-{peer}")
    _say(write(exported, folder), folder, command)


def exported_from(
    source: Path,
    policy: str | None,
    task: str | None,
    rewards: Sequence[str] | None,
    changes: dict[str, Any],
) -> Exported:
    """What a run was made of as it began, or what a config file says with the usual rest; `changes`
    are fields of the config. Raises `ExportFolderError`, `ConfigError`, `TaskError`."""
    folder = source.parent if source.name == "run.sqlite" else source
    if is_run_record(folder / "run.sqlite"):
        return _of_run(folder, policy, task, rewards, changes)
    if source.suffix.lower() not in CONFIGS or not source.is_file():
        raise ExportFolderError(
            f"{source}: neither the folder of a run nor a file of settings ({', '.join(CONFIGS)})."
        )
    parts = Parts(policy or "embedded", task or "arithmetic", list(rewards or ()) or None, None)
    config = GRPOConfig.load(source).replace(**changes)
    return Exported(
        config,
        with_readable_golds(load_task_for(config, parts.task), config.unreadable_golds),
        parts.rewards or list(DEFAULT_REWARDS),
        policy=parts.policy,
        origin=source.name,
        opened="" if parts.policy == "embedded" else None,
    )


def _of_run(
    folder: Path,
    policy: str | None,
    task: str | None,
    rewards: Sequence[str] | None,
    changes: dict[str, Any],
) -> Exported:
    run = Run.open(folder)
    if "loss_type" not in run.config or not (policy or run.meta.policy):
        raise ExportFolderError(
            f"{folder}: the record holds completions of another trainer, and not its settings. "
            "Export a config."
        )
    parts = parts_of(folder, True, policy, task, rewards, None)
    if parts.control is not None:
        raise ExportFolderError(
            f"{folder} is a control run, whose rewards are {parts.control}. Export the run that it "
            "is a control of, or its config."
        )
    config = GRPOConfig.from_dict(run.config).replace(**changes)
    problems = with_readable_golds(load_task_for(config, parts.task), config.unreadable_golds)
    check_same_problems(run, problems)
    return Exported(
        config,
        problems,
        parts.rewards or list(DEFAULT_REWARDS),
        policy=parts.policy,
        origin=folder.name,
        happened=_happened(run),
        opened=run.meta.environment.get("opened_answer"),
    )


def _happened(run: Run) -> list[str]:
    """What a setting was moved to, and a mistake that was made on purpose."""
    moved = [
        f"{row.name} was moved from {row.old!r} to {row.new!r} at step {row.step}; the folder has "
        "the first value all along."
        for row in run.knobs().itertuples()
    ]
    fault = run.meta.environment.get("fault")
    return [*moved, *([f"A fault was injected on purpose: {fault}."] if fault else [])]


def _plain(source: Path) -> Path:
    """A source by the name that its folder is called after."""
    if source.name == "run.sqlite":
        return source.parent
    return source.with_suffix("") if source.suffix.lower() in CONFIGS else source


def _say(report: Report, folder: Path, command: str) -> None:
    for line in report.said():
        say(line)
    say(f"written to {folder}; its README.md has all of this.")
    # One line, to be copied whole.
    say(f"Train with it: cd {shlex.quote(str(folder))} && {command}", copied=True)
