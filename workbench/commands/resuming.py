"""Going on with a run from the command line: what its record says of policy, task and rewards, and
the command that says the rest.

A record has the names, not the places: a task from a file and a reward function of one's own have
to be named again.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.config import ConfigError, GRPOConfig
from workbench.runs import Run, is_run_record, plain_name


@dataclass(frozen=True)
class Parts:
    """What a run is made of besides its config, as the command line writes it."""

    policy: str
    task: str
    rewards: list[str] | None
    control: str | None
    """A key of `workbench.rewards.CONTROLS`; None = the rewards as they are."""


def parts_of(
    out: Path,
    resume: bool,
    policy: str | None,
    task: str | None,
    rewards: Sequence[str] | None,
    control: str | None,
) -> Parts:
    """What was asked for; the rest from the record where one is resumed, else the defaults. Raises
    `ConfigError` for what has to be named."""
    given = list(rewards) if rewards else None
    if not resume or not is_run_record(out / "run.sqlite"):
        return Parts(policy or "embedded", task or "arithmetic", given, control)
    meta = Run.open(out).meta
    plain, controls = zip(*map(plain_name, meta.reward_names), strict=True)
    # One control makes all names, or none.
    own = controls[0] if len(set(controls)) == 1 else None
    return Parts(
        policy or meta.policy,
        task or _known_task(meta.task, out),
        given or _known_rewards(plain, out),
        control or own,
    )


def _known_task(name: str, out: Path) -> str:
    from workbench.tasks import TASKS, is_hub_name

    if name not in TASKS and not is_hub_name(name):
        raise ConfigError(
            f"the task {name!r} of {out} is none that the workbench knows by name. Name its file "
            f"again: --task {name}.jsonl"
        )
    return name


def _known_rewards(names: Sequence[str], out: Path) -> list[str]:
    from workbench.rewards.resolve import spec_of_recorded

    specs = {name: spec_of_recorded(name) for name in names}
    if unknown := [name for name in names if specs[name] is None]:
        flags = " ".join(f"--reward {specs[name] or f'FILE.py:{name}'}" for name in names)
        raise ConfigError(
            f"the reward functions of {out} are {', '.join(names)}; where {unknown[0]!r} lies is "
            f"not in its record. Name all again: {flags}"
        )
    return [spec for spec in specs.values() if spec is not None]


def check_says_the_same(named: str, out: Path, own: GRPOConfig, asked: GRPOConfig) -> None:
    """Raises `ConfigError` where a preset or a file, `named` beside --resume, says other settings
    than the run's own, which hold."""
    there = own.to_dict()
    differing = {
        name: value
        for name, value in asked.to_dict().items()
        # What the file leaves open was found out when the run began.
        if value != there[name] and name not in FOUND_OUT and value is not None
    }
    if not differing:
        return
    shown = [f"{name}={value} (the run: {there[name]})" for name, value in differing.items()]
    more = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""
    raise ConfigError(
        f"{named} beside --resume says other settings than the run in {out}: "
        f"{', '.join(shown[:MOST_SHOWN])}{more}. A resumed run keeps its own: leave {named} away "
        "and name what is to change with --set name=value, or start a new run in another folder."
    )


FOUND_OUT = ("dtype", "gradient_checkpointing")
"""Settings whose recorded value is that of the policy as it was loaded."""
MOST_SHOWN = 5
"""Differing settings that an error lists."""


def resume_command(out: Path, parts: Parts, threads: int | None, processes: int = 1) -> str:
    """The command that goes on with a run: the flags that its record cannot give, quoted for a
    shell."""
    from workbench.rewards import REWARDS
    from workbench.tasks import TASKS

    words = ["workbench", "train", "--resume", "--out", str(out)]
    if parts.task not in TASKS:
        words += ["--task", parts.task]
    if any(spec not in REWARDS for spec in parts.rewards or ()):
        words += [word for spec in parts.rewards or () for word in ("--reward", spec)]
    if threads is not None:
        words += ["--threads", str(threads)]
    if processes > 1:
        words += ["--processes", str(processes)]
    return shlex.join(words)
