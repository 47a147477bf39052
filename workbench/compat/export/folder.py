"""A folder that is whole or not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench import assets
from workbench.compat.export.source import ExportFolderError
from workbench.errors import WorkbenchError
from workbench.runs.whole_folder import whole_folder

SCRIPTS = Path(assets.__file__).parent / "export"
"""The scripts that are copied into a folder."""


def filled(out: str | Path, write: Callable[[Path], None]) -> None:
    """Make the folder at `out` and have it filled; what fails leaves nothing. Raises
    `ExportFolderError` where something stands there, and where the disk refuses."""
    folder = Path(out).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportFolderError(f"{out} is there already. Name another folder: --out FOLDER.")
    try:
        with whole_folder(folder) as draft:
            write(draft)
    except WorkbenchError:  # one of them is an OSError
        raise
    except OSError as error:
        raise ExportFolderError(
            f"{out} was not written: {error.strerror}. Make room, or name another folder: --out "
            "FOLDER."
        ) from error
