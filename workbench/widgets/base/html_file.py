"""The one writer of HTML pages that stand alone."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.runs.whole_file import write_whole_file


class HtmlFileError(WorkbenchError, OSError):
    """A page that cannot be written: says where and why."""


def write_page(path: str | Path, page: str) -> Path:
    """Write an HTML page, whole or not at all; returns where it is. What UTF-8 cannot hold becomes
    a question mark. Raises `HtmlFileError` where it cannot be written."""
    path = Path(path).absolute()
    try:
        write_whole_file(path, page.encode("utf-8", errors="replace"))
    except OSError as error:
        raise HtmlFileError(
            f"{str(path)!r} cannot be written: {error.strerror}. Name a file in a folder that is "
            "there and may be written to."
        ) from error
    return path
