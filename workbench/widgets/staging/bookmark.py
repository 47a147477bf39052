"""A view of the dashboard as one line of code, and back: `Dashboard("runs/x", step=12,
page="tokens", row=3)`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.widgets.base.source import RunSource
from workbench.widgets.pages import PAGES
from workbench.widgets.tokens.row import QUANTITIES
from workbench.widgets.tokens.view import TokensView

if TYPE_CHECKING:
    from workbench.widgets.dashboard import Dashboard

FIRST_PAGE = next(iter(PAGES))
FIRST_COLOUR = "coefficient"


def check_view(page: str, step: int | None, row: int | None, colour: str) -> None:
    """Raises ValueError for a page, a colouring or a number that cannot be; whether the run has the
    step and the row is seen when they are shown."""
    if page not in PAGES:
        raise ValueError(f"Dashboard(page={page!r}): choose from {', '.join(PAGES)}.")
    if colour not in QUANTITIES:
        raise ValueError(f"Dashboard(colour={colour!r}): choose from {', '.join(QUANTITIES)}.")
    if step is not None and step < 1:
        raise ValueError(f"Dashboard(step={step}): the first step is 1; None shows the newest.")
    if row is not None and row < 0:
        raise ValueError(f"Dashboard(row={row}): the first completion of a step is row 0.")


def check_step(dashboard: Dashboard, step: int | None) -> None:
    """Raises ValueError for a step that the run in focus does not have."""
    last = dashboard.sources[0].last_step
    if step is not None and step > last:
        raise ValueError(
            f"Dashboard(step={step}): {dashboard.sources[0].label} has {last} steps. Give one from "
            "1 on, or None for the newest."
        )


def open_view(
    dashboard: Dashboard, page: str, step: int | None, row: int | None, colour: str
) -> None:
    """Show this page, step, completion and colouring."""
    tokens = tokens_of(dashboard)
    tokens.quantity_menu.value = colour
    if step is not None:
        dashboard.show_step(step)
    if row is not None:
        tokens.pick(row)
    dashboard.tabs.selected_index = list(PAGES).index(page)


def on_another_view(dashboard: Dashboard, tell: Callable[[], None]) -> None:
    """Call `tell` when a person chooses another view without another page being drawn."""
    tokens = tokens_of(dashboard)
    for menu in (tokens.row_menu, tokens.quantity_menu):
        menu.observe(lambda change: tell(), "value")
    dashboard.selection.observe(lambda change: tell(), "step")


def code_of(dashboard: Dashboard) -> str:
    """The line of code that brings back what the dashboard shows now."""
    page = list(PAGES)[dashboard.tabs.selected_index or 0]
    given: dict[str, Any] = {}
    if dashboard.shown_step is not None:
        given["step"] = dashboard.shown_step
    if page != FIRST_PAGE:
        given["page"] = page
    tokens = tokens_of(dashboard)
    if page == "tokens":
        if tokens.picked is not None:
            given["row"] = tokens.picked
        if tokens.quantity_menu.value != FIRST_COLOUR:
            given["colour"] = tokens.quantity_menu.value
    if dashboard.scale != 1:
        given["scale"] = dashboard.scale
    parts = [
        _runs(dashboard.sources),
        *(f"{name}={_written(value)}" for name, value in given.items()),
    ]
    return f"Dashboard({', '.join(parts)})"


def tokens_of(dashboard: Dashboard) -> TokensView:
    """The page of the dashboard that shows one completion."""
    return next(view for view in dashboard.views if isinstance(view, TokensView))


def _runs(sources: Sequence[RunSource]) -> str:
    """The path of the run, or a list of them."""
    paths = [_short(source.run.path) for source in sources]
    return _written(paths[0] if len(paths) == 1 else paths)


def _written(value: Any) -> str:
    """A number, a text or a list of texts as code, with double quotes."""
    return json.dumps(value, ensure_ascii=False)


def _short(path: Path) -> str:
    """A run's folder, from the working folder on where it lies below that."""
    folder = path.parent if path.name == "run.sqlite" else path
    here = Path.cwd()
    return (folder.relative_to(here) if folder.is_relative_to(here) else folder).as_posix()
