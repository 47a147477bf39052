"""`workbench lab`: JupyterLab on the notebooks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from workbench.commands.own_notebooks import FOLDER, Course, copy_for_a_person, put_back
from workbench.commands.printing import say_aside
from workbench.errors import WorkbenchError

PACKAGE = Path(__file__).parents[1]
INSTALLED = PACKAGE / "assets" / "notebooks"
"""The course as the wheel brings it; a checkout has it elsewhere, and nothing here."""


class LabError(WorkbenchError):
    """JupyterLab cannot be opened."""


def lab_command(arguments: Sequence[str], browser: bool, reset: str | None = None) -> None:
    """See `workbench lab --help`. Returns when JupyterLab is closed."""
    if find_spec("jupyterlab") is None:
        raise LabError("JupyterLab is not installed here. Run: pip install jupyterlab")
    folder, passed_on = _folder_and_options(arguments)
    if folder is not None and not folder.is_dir():
        raise LabError(
            f"there is no folder {str(folder)!r}. Name the folder of notebooks: workbench lab "
            "FOLDER"
        )
    place, first = _place(folder, reset)
    raise SystemExit(subprocess.call(_jupyterlab(place, browser, passed_on, first)))


def _place(folder: Path | None, reset: str | None) -> tuple[Path, Path | None]:
    """The folder that is opened, and the notebook in it; None = its first."""
    if folder is not None and not _is_checkout(folder.resolve()):
        if reset is not None:
            raise LabError(
                f"--reset {reset} puts a notebook of the course back into its copy, and "
                f"{str(folder)!r} is a folder of yours. Leave the folder out."
            )
        return folder.resolve(), None
    course = _course_in(folder.resolve()) if folder is not None else _course()
    with _said_where_nothing_can_be_written(course):
        first = None if reset is None else _reset(course, reset)
        _copy(course)
    return course.folder, first


def _folder_and_options(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The folder, where the first argument is one, and what belongs to JupyterLab."""
    if arguments and not arguments[0].startswith("-"):
        return Path(arguments[0]), list(arguments[1:])
    return None, list(arguments)


def _jupyterlab(
    place: Path, browser: bool, passed_on: Sequence[str], first: Path | None = None
) -> list[str]:
    """The command line of JupyterLab; what the person gave comes last, and so has the last word."""
    command = [sys.executable, "-m", "jupyterlab", *_opening(place, first)]
    if not browser:
        command.append("--no-browser")
    # In a container everybody is root, and JupyterLab refuses to start.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return [*command, *passed_on]


def _opening(place: Path, first: Path | None = None) -> list[str]:
    """Where JupyterLab begins. In the repository that is its root, or the notebooks' links into
    docs/ and the code lead nowhere."""
    first = first or next(iter(sorted(place.glob("*.ipynb"))), None)
    root = place.parent if (place.parent / "pyproject.toml").is_file() else place
    path = (first or place).relative_to(root).as_posix()
    return [f"--notebook-dir={root}", f"--LabApp.default_url=/lab/tree/{path}"]


def _copy(course: Course) -> None:
    """A person's own copy, or what is new for it."""
    copied = copy_for_a_person(course)
    say_aside(f"your copy of the notebooks: {copied.folder}")
    if copied.kept:
        say_aside(
            f"you changed these, so the course's newer ones are not there: {copied.kept} "
            "(workbench lab --reset NAME brings one, and keeps yours beside it)"
        )


def _reset(course: Course, asked: str) -> Path:
    """The notebook, as the course has it. Raises `LabError` where none, or several, are meant."""
    notebooks = [name for name in course.names() if name.endswith(".ipynb")]
    meant = [name for name in notebooks if asked in (name, Path(name).stem, name[:2])]
    if len(meant) != 1:
        raise LabError(
            f"--reset {asked}: the course has no such notebook. Choose from "
            f"{', '.join(Path(name).stem for name in notebooks)}."
        )
    own, kept = put_back(course, meant[0])
    said = "it was not changed" if kept is None else f"yours is kept as {kept.name}"
    say_aside(f"{own.name} is the course's own again; {said}")
    return own


@contextmanager
def _said_where_nothing_can_be_written(course: Course) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LabError(
            f"the notebooks could not be copied to {str(course.folder)!r}: {error}. Go to a "
            "folder where you may write, and run workbench lab there; or copy them from "
            f"{str(course.source)!r}, and name their folder: workbench lab FOLDER"
        ) from error


def _is_checkout(notebooks: Path) -> bool:
    """True of the course in a checkout of the workbench."""
    project = notebooks.parent / "pyproject.toml"
    if notebooks.name != "notebooks" or not project.is_file():
        return False
    return 'name = "grpo-workbench"' in project.read_text(encoding="utf-8")


def _course() -> Course:
    """The course of the repository that one stands in, else of the checkout that the package runs
    from, else of the installed package, whose copy belongs into the working folder."""
    here = Path("notebooks").resolve()
    beside_the_package = PACKAGE.parent / "notebooks"
    for notebooks in (here, beside_the_package):
        if notebooks.is_dir() and _is_checkout(notebooks):
            return _course_in(notebooks)
    if not INSTALLED.is_dir():
        raise LabError(
            f"the course is missing from the installation ({str(INSTALLED)!r}). Reinstall "
            "grpo-workbench, or name a folder of notebooks: workbench lab FOLDER"
        )
    return Course(INSTALLED, Path.cwd() / FOLDER, has_repository=False)


def _course_in(notebooks: Path) -> Course:
    return Course(notebooks, notebooks.parent / FOLDER)
