"""The table of pages holds every page, and the style sheet stands once in each view."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from made_runs import make_run

import workbench.widgets
from workbench.widgets import AdvantageLab, Dashboard, PlanView
from workbench.widgets.base.source import RunSource
from workbench.widgets.pages import PAGES, Links


def all_pages() -> set[type]:
    """Every class in widgets/ that is made like a page: `title`, and `show(sources, step)`."""
    found = set()
    for module in pkgutil.walk_packages(workbench.widgets.__path__, "workbench.widgets."):
        for one in vars(importlib.import_module(module.name)).values():
            is_page = inspect.isclass(one) and isinstance(getattr(one, "title", None), str)
            if is_page and hasattr(one, "show") and one.__module__ == module.name:
                found.add(one)
    return found


def test_no_page_is_left_out_of_the_table() -> None:
    links = Links(
        show_step=lambda step: None,
        show_tokens=lambda row: None,
        show_completion=lambda step, row: None,
    )
    made = {name: make(links) for name, make in PAGES.items()}
    assert {type(page) for page in made.values()} == all_pages()
    assert len({page.title for page in made.values()}) == len(PAGES)


def test_every_page_is_tested_by_name() -> None:
    texts = [p.read_text() for p in Path(__file__).parent.rglob("test_*.py")]
    untested = [page.__name__ for page in all_pages() if not any(page.__name__ in t for t in texts)]
    assert untested == []


def values_of(widget: Any) -> list[str]:
    """The values of all HTML widgets below."""
    below = [value for child in getattr(widget, "children", ()) for value in values_of(child)]
    return [widget.value, *below] if isinstance(widget, ipywidgets.HTML) else below


@pytest.mark.parametrize("name", PAGES)
def test_a_page_brings_the_style_sheet_once_and_hidden(name: str, tmp_path: Path) -> None:
    page = PAGES[name](Links(lambda step: None, lambda row: None, lambda step, row: None))
    page.show([RunSource(make_run(tmp_path / "run", steps=2))], None)
    sheets = [value for value in values_of(page.widget) if "<style>" in value]
    assert [value.count(".wb {") for value in sheets] == [1]


@pytest.mark.slow
def test_every_other_view_brings_it_too(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=2))
    own = [child for child in dashboard.children if isinstance(child, ipywidgets.HTML)]
    assert sum(child.value.count(".wb {") for child in own) == 1
    for lab in (AdvantageLab(), PlanView()):
        assert sum(value.count(".wb {") for value in values_of(lab.widget)) == 1


def test_no_value_that_changes_repeats_it(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=2))
    header = dashboard.pages["overview"].header.value
    assert "finished at step 2" in header
    assert "<style" not in header
    assert len(header) < 4000
