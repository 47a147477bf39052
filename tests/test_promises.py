"""`docs/promises.md` names tests: each is there under its name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROMISES = ROOT / "docs" / "promises.md"
NAMED = re.compile(r"`([\w./-]+\.(?:py|sh|md))(?:::(\w+))?`|`(\.ci/\w+)`")


def rows() -> list[list[str]]:
    """The cells of every row of every table, headings and rules left out."""
    lines = [line for line in PROMISES.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] not in ("promise",) and set(row[0]) != {"-"}]


def functions_of(file: Path) -> set[str]:
    """The names of all functions that a file defines."""
    tree = ast.parse(file.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_a_test_that_is_there() -> None:
    assert len(rows()) > 20
    for promise, tests, *_ in rows():
        named = list(NAMED.finditer(tests))
        assert named, f"{promise!r} names no test"
        for match in named:
            file = ROOT / (match[1] or match[3])
            assert file.is_file(), f"{promise!r} names {file}"
            assert match[2] is None or match[2] in functions_of(file), f"{promise!r}: {match[0]}"


def test_every_promise_says_how_often_it_was_tried_and_what_came_of_it() -> None:
    for row in rows():
        assert len(row) == 4, row
        assert all(row), row
