"""The JavaScript of our widgets: each module stands behind the part that a page needs once.

That part (`page.js`) keeps keys on our elements from JupyterLab's shortcuts, and lets a widget
whose module came late hear the kernel again. A module calls `wbArrived(model)` when it renders.
"""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
LIT = Path(__file__).with_name("lit.js")
"""Functions of the widgets that show completions: what is pointed at lights up everywhere."""
REDRAW = Path(__file__).with_name("redraw.js")
"""A function of the widgets that draw pictures: again with each change and size, once a frame."""


def module_beside(file: str) -> str:
    """The JavaScript module beside a Python file, behind the page's part."""
    return module_of(Path(file).with_suffix(".js"))


def module_of(*files: Path) -> str:
    """Several files joined to one JavaScript module, behind the page's part."""
    return PAGE + "".join(file.read_text(encoding="utf-8") for file in files)
