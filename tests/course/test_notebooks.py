"""The course keeps its frame: one look, links that lead somewhere, names that exist, exercises that
can be solved."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import nbformat
import notebook_text as text
import pytest
from nbclient import NotebookClient

ALL = pytest.mark.parametrize("path", text.NOTEBOOKS, ids=lambda p: p.stem)
REPOSITORY = (
    "https://colab.research.google.com/github/grpo-workbench/grpo-workbench/blob/main/notebooks/"
)
PACKAGE = "git+https://github.com/grpo-workbench/grpo-workbench"
SETUP = f'''import importlib.util

if importlib.util.find_spec("workbench") is None:  # a fresh Colab runtime
    %pip install -q "grpo-workbench @ {PACKAGE}" "jupyterlab<4.6"'''


@ALL
def test_the_frame(path: Path) -> None:
    book = text.read(path)
    first, *_, last = book.cells
    assert first.source.startswith(f"# {path.stem[:2]} · ")
    assert (
        f"[![Open in Colab](../docs/open-in-colab.svg)]({REPOSITORY}{path.name}) · [the "
        "course](README.md) · [glossary](GLOSSARY.md)" in first.source
    )
    for part in (
        "**After this notebook you can**",
        "**You will see**",
        "| device | time | memory |",
        "| two CPU cores | about",
    ):
        assert part in first.source, part
    assert book.cells[1].source.strip() == SETUP
    assert 18 <= len(book.cells) <= 45
    assert len(text.code(book).splitlines()) <= 300
    assert 2 <= len(text.exercises(book)) <= 4
    assert "## What to remember" in last.source + book.cells[-2].source
    assert "Next: [" in last.source


@pytest.mark.parametrize(
    "path", sorted((text.ROOT / "notebooks").glob("*.*")), ids=lambda p: p.name
)
def test_no_placeholder_is_in_print(path: Path) -> None:
    assert re.findall(r"@+\w*@+", path.read_text()) == []


@ALL
def test_links_and_badges(path: Path) -> None:
    assert text.broken_links(text.prose(text.read(path)), path.parent) == []


@pytest.mark.parametrize("page", ["README.md", "notebooks/README.md", "notebooks/GLOSSARY.md"])
def test_links_of_pages(page: str) -> None:
    path = text.ROOT / page
    assert text.broken_links(path.read_text(), path.parent) == []


@ALL
def test_names_in_prose_exist(path: Path) -> None:
    """Whatever stands between backticks is a name of the package, of this notebook's code, of
    Python or of TRL."""
    book = text.read(path)
    known = (
        package_words()
        | words(text.code(book))
        | words(" ".join(e.solution for e in text.exercises(book)))
    )
    said = {
        w
        for span in text.CODE.findall(text.prose(book))
        if not _is_file(span)
        for w in words(_without_strings(span))
    }
    assert sorted(said - known) == []


@ALL
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_exercises(path: Path, tmp_path: Path) -> None:
    """As it stands every check says what is missing; with the folded solutions, after Run All, each
    says solved. No noise."""
    book = text.read(path)
    solved = with_solutions(book)
    NotebookClient(solved, timeout=800, resources={"metadata": {"path": str(tmp_path)}}).execute()
    noise = [
        o.text
        for c in solved.cells
        for o in c.get("outputs", [])
        if o.output_type == "stream" and o.name == "stderr"
    ]
    assert noise == []


def with_solutions(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook, then, as a learner does after "Run All": each check has failed with words, the
    solution, the check again."""
    cells, new = list(book.cells), nbformat.v4.new_code_cell
    cells.append(
        new("from workbench.course import results as _results\n_unsolved = dict(_results)")
    )
    for exercise in text.exercises(book):
        name = re.search(r'check\("([^"]+)"', cells[exercise.check].source)[1]
        cells += [
            new(f"assert len(_unsolved[{name!r}]) > 20, 'unsolved, but not a word'"),
            new(exercise.solution),
            new(cells[exercise.check].source),
            new(f"assert _results[{name!r}] == '', _results[{name!r}]"),
        ]
    return nbformat.v4.new_notebook(cells=cells, metadata=book.metadata)


def words(source: str) -> set[str]:
    return set(re.findall(r"[^\W\d]\w*", source))


@cache
def package_words() -> frozenset[str]:
    sources = "\n".join(
        p.read_text() for p in (text.ROOT / "workbench").rglob("*.py") if "assets" not in p.parts
    )
    return frozenset(words(sources)) | {"pip", "install", "nbmake", "pytest"}


def _without_strings(span: str) -> str:
    return re.sub(r"\"[^\"]*\"|'[^']*'", "", span)


def _is_file(span: str) -> bool:
    return (
        (text.ROOT / span).exists()
        or (text.ROOT / "notebooks" / span).exists()
        or span.startswith("runs/")
    )
