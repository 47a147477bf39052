"""`workbench import`: another trainer's completions as a run."""

from __future__ import annotations

import shlex
from pathlib import Path

from workbench.commands.printing import say
from workbench.exchange import import_completions


def import_command(
    files: list[Path],
    source: str,
    out: Path,
    policy: str,
    rewards: list[str],
    total: str | None,
    evaluation: list[str],
) -> None:
    """See `workbench import --help`."""
    made = import_completions(
        files, source, out, policy=policy, rewards=rewards, total=total, evaluation=evaluation
    )
    say(f"{made.completions} completions of {len(made.steps)} steps are in {made.path}.")
    for note in made.notes:
        say(note)
    say(f"Look at it: {shlex.join(['workbench', 'doctor', str(made.path)])}", copied=True)
