"""`workbench areal`: an AReaL config as a config of the workbench, and what became of each of its
settings."""

from __future__ import annotations

from pathlib import Path

from workbench.commands.printing import say, say_aside, say_json, say_lines
from workbench.compat.areal import read_areal


def areal_command(
    source: Path, *, train_problems: int | None, save: Path | None, as_json: bool
) -> None:
    """See `workbench areal --help`."""
    config, translation = read_areal(source, train_problems=train_problems)
    if save is not None:
        config.save(save)
    if as_json:
        say_json(translation.to_dict() | {"config": config.to_dict(), "saved": save and str(save)})
        return
    say_lines(str(translation))
    say(
        "The reward stands in AReaL's script, not in its config: --reward lenient_answer pays a "
        "right answer in any form, --reward file.py:function your own."
    )
    if save is None:
        say_aside("To train with it: add --save OUT.yaml.")
        return
    # One line, to be copied whole.
    say(f"Train with it: {translation.command(str(save))}", copied=True)
