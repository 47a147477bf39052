"""Every term of the glossary leads to a heading of a notebook and to a name of the package, in the
file that it says."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import notebook_text as text
from helpers import in_one_test

GLOSSARY = text.ROOT / "notebooks/GLOSSARY.md"
ROW = re.compile(
    r"^\| \*\*(?P<term>.+?)\*\* \| (?P<meaning>.+) "
    r"\| \[(?P<place>\d\d §\d+)\]\((?P<link>.+?)\) "
    r"\| \[`(?P<name>.+?)`\]\((?P<file>.+?)\) \|$"
)
ROWS = [line for line in GLOSSARY.read_text().splitlines() if line.startswith("| **")]


@in_one_test([dict(row=row) for row in ROWS])
def test_every_term_leads_to_its_notebook_and_its_code(row: str) -> None:
    found = ROW.match(row)
    assert found, row
    assert found["link"].startswith(found["place"][:2])
    assert (GLOSSARY.parent / found["file"]).resolve() == home(found["name"])


def test_terms_stand_once_and_in_order() -> None:
    terms = [row.split("**")[1].lower() for row in ROWS]
    assert terms == sorted(set(terms))
    assert len(terms) > 50


def home(dotted: str) -> Path:
    """The file in which a dotted name is defined."""
    found = resolve(dotted)
    found = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
    return Path(inspect.getsourcefile(inspect.unwrap(found))).resolve()


def resolve(dotted: str) -> Any:
    """The object of a dotted name. Raises AttributeError, ModuleNotFoundError."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            found = (
                inspect.getattr_static(found, name)
                if inspect.isclass(found)
                else getattr(found, name)
            )
        return found
    raise ModuleNotFoundError(dotted)
