"""`workbench lab`: JupyterLab on the notebooks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from workbench.commands.own_notebooks import copy_for_a_person
from workbench.commands.printing import say_aside
from workbench.errors import WorkbenchError


class LabError(WorkbenchError):
    """JupyterLab cannot be opened."""


def lab_command(arguments: Sequence[str], browser: bool) -> None:
    """See `workbench lab --help`. Returns when JupyterLab is closed."""
    if find_spec("jupyterlab") is None:
        raise LabError("JupyterLab is not installed here. Run: pip install jupyterlab")
    folder, passed_on = _folder_and_options(arguments)
    place = folder or _notebooks()
    if not place.is_dir():
        raise LabError(
            f"there is no folder {str(place)!r}. Name the folder of notebooks: workbench lab FOLDER"
        )
    raise SystemExit(subprocess.call(_jupyterlab(_own(place.resolve()), browser, passed_on)))


def _folder_and_options(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The folder, where the first argument is one, and what belongs to JupyterLab."""
    if arguments and not arguments[0].startswith("-"):
        return Path(arguments[0]), list(arguments[1:])
    return None, list(arguments)


def _jupyterlab(place: Path, browser: bool, passed_on: Sequence[str]) -> list[str]:
    """The command line of JupyterLab; what the person gave comes last, and so has the last word."""
    command = [sys.executable, "-m", "jupyterlab", *_opening(place)]
    if not browser:
        command.append("--no-browser")
    # In a container everybody is root, and JupyterLab refuses to start.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return [*command, *passed_on]


def _own(place: Path) -> Path:
    """A copy of the notebooks where these are the repository's, else the folder itself."""
    if not _is_tracked(place):
        return place
    try:
        copied = copy_for_a_person(place)
    except OSError as error:
        raise LabError(
            f"the notebooks could not be copied to {str(place.parent)!r}: {error}. Copy them to a "
            "folder where you may write, and name it: workbench lab FOLDER"
        ) from error
    say_aside(f"your copy of the notebooks: {copied.folder}")
    if copied.kept:
        say_aside(f"you changed these, so the course's newer ones are not there: {copied.kept}")
    return copied.folder


def _is_tracked(place: Path) -> bool:
    """True of the course in a checkout of the workbench."""
    return place.name == "notebooks" and (place.parent / "pyproject.toml").is_file()


def _opening(place: Path) -> list[str]:
    """Where JupyterLab begins. In the repository that is its root, or the notebooks' links into
    docs/ and the code lead nowhere."""
    first = next(iter(sorted(place.glob("*.ipynb"))), None)
    root = place.parent if (place.parent / "pyproject.toml").is_file() else place
    path = (first or place).relative_to(root).as_posix()
    return [f"--notebook-dir={root}", f"--LabApp.default_url=/lab/tree/{path}"]


def _notebooks() -> Path:
    """The notebooks of the repository that one stands in, else of the checkout that the package
    runs from."""
    own = Path(__file__).parents[2] / "notebooks"
    return own if not Path("notebooks").is_dir() and own.is_dir() else Path("notebooks")
