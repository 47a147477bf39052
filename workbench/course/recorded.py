"""Runs that ship with the package, for cells that show what would take too long, or a GPU, to make
live.

Each was recorded by `workbench/assets/recorded/make_recorded.py` with the workbench itself, then
thinned: every step keeps its figures, and the steps named in the recipe keep their completions and
tokens.
"""

from __future__ import annotations

from pathlib import Path

from workbench.errors import WorkbenchError

FOLDER = Path(__file__).parents[1] / "assets" / "recorded"


def recorded_names() -> list[str]:
    """The names that `recorded` takes."""
    return sorted(path.stem for path in FOLDER.glob("*.sqlite"))


def recorded(name: str) -> Path:
    """The record of a shipped run: `Dashboard(recorded("long"))`, `Run.open(recorded("long"))`.
    Raises `WorkbenchError`."""
    if name not in recorded_names():
        raise WorkbenchError(
            f"there is no recorded run {name!r}. Choose from {', '.join(recorded_names())}."
        )
    return FOLDER / f"{name}.sqlite"
