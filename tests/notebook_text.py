"""Reading the course's notebooks: cells, exercises with their solutions, links, names in prose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOLUTION = re.compile(
    r"<details>\s*<summary>Solution</summary>\s*\n```python\n(?P<code>.*?)\n```\n.*</details>",
    re.DOTALL,
)
FENCE = re.compile(r"```.*?```", re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Exercise:
    """One exercise: where its cell and its check stand, and the code of its solution."""

    cell: int
    check: int
    solution: str


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def exercises(book: nbformat.NotebookNode) -> list[Exercise]:
    """The exercises in order. Raises AssertionError for one without check or solution."""
    found, cells = [], book.cells
    for i in tagged(book, "exercise"):
        check = next((j for j in tagged(book, "check") if j > i), None)
        assert check is not None, f"cell {i}: an exercise without a cell tagged check"
        match = SOLUTION.search(cells[check + 1].source) if check + 1 < len(cells) else None
        assert match, f"cell {check + 1}: a folded solution should follow the check"
        found.append(Exercise(i, check, match["code"]))
    assert len(found) == len(tagged(book, "check"))
    return found


def tagged(book: nbformat.NotebookNode, tag: str) -> list[int]:
    return [i for i, cell in enumerate(book.cells) if tag in cell.metadata.get("tags", [])]


def prose(book: nbformat.NotebookNode) -> str:
    """All markdown, without fenced code."""
    return FENCE.sub("", "\n\n".join(c.source for c in book.cells if c.cell_type == "markdown"))


def code(book: nbformat.NotebookNode) -> str:
    return "\n".join(c.source for c in book.cells if c.cell_type == "code")


def broken_links(text: str, folder: Path) -> list[str]:
    """Relative links of `text` that lead nowhere, seen from `folder`; a #heading has to exist,
    too."""
    return [
        target
        for target in LINK.findall(FENCE.sub("", text))
        if not target.startswith(("http:", "https:")) and not _leads(target, folder)
    ]


def _leads(target: str, folder: Path) -> bool:
    name, _, heading = target.partition("#")
    path = (folder / name) if name else None
    if path is None or not path.exists():
        return False
    if not heading:
        return True
    text = prose(read(path)) if path.suffix == ".ipynb" else path.read_text()
    headings = [line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#")]
    return heading in {form for h in headings for form in (anchor(h), anchor(h).lower())}


def anchor(heading: str) -> str:
    """A heading's anchor in JupyterLab: blanks become dashes, nothing else changes. (GitHub also
    lowers it.)"""
    return heading.replace(" ", "-")
