"""`workbench lab`: JupyterLab on the notebooks."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from workbench.errors import WorkbenchError


class LabError(WorkbenchError):
    """JupyterLab cannot be opened."""


def lab_command(folder: Path | None, browser: bool) -> None:
    """See `workbench lab --help`. Returns when JupyterLab is closed."""
    if find_spec("jupyterlab") is None:
        raise LabError("JupyterLab is not installed here. Run: pip install jupyterlab")
    place = folder or _notebooks()
    if not place.is_dir():
        raise LabError(
            f"there is no folder {str(place)!r}. Name the folder of notebooks: workbench lab FOLDER"
        )
    command = [sys.executable, "-m", "jupyterlab", *_opening(place.resolve())]
    raise SystemExit(subprocess.call(command if browser else [*command, "--no-browser"]))


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
