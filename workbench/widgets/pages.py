"""The pages of the dashboard, one file or room each, and the table of them.

One more page takes three things:

1. A file of its own with a class that has `title`, `widget` and `show(sources, step)`, as
   `base.source.View` says. A page about one step descends from `base.step_view.StepView`, which
   chooses and reads the step; any other from `base.guarded.Guarded`, which shows its errors.
2. A line in `PAGES`, where its tab is to stand.
3. A test in `tests/widgets`. One test there finds every page that was left out of `PAGES`.

What a page needs of the others comes as a function from `Links`, so that no page knows another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.widgets.base.source import View
from workbench.widgets.best_paid.view import BestPaidView
from workbench.widgets.doctor.view import DoctorView
from workbench.widgets.evaluation.view import EvaluationView
from workbench.widgets.groups.view import GroupsView
from workbench.widgets.overview.view import Overview
from workbench.widgets.tokens.view import TokensView
from workbench.widgets.tornado.view import TornadoView
from workbench.widgets.what_if.view import WhatIfView


@dataclass(frozen=True)
class Links:
    """Where a page can lead a person."""

    show_step: Callable[[int], None]
    """Show a step on every page."""
    show_tokens: Callable[[int], None]
    """Open a completion of the groups' step, by its row, under the token microscope."""
    show_completion: Callable[[int, int], None]
    """Open a completion there by its step and row."""
    branch: Callable[[int, Mapping[str, Any]], str] | None = None
    """Branch the run in focus from a step with some knobs, and say the branch's name."""


PAGES: dict[str, Callable[[Links], View]] = {
    "overview": lambda links: Overview(on_pick=links.show_step),
    "groups": lambda links: GroupsView(on_pick=links.show_tokens),
    "tokens": lambda links: TokensView(),
    "what_if": lambda links: WhatIfView(),
    "tornado": lambda links: TornadoView(),
    "evaluation": lambda links: EvaluationView(),
    "best_paid": lambda links: BestPaidView(on_pick=links.show_completion),
    "doctor": lambda links: DoctorView(links.branch, links.show_completion),
}
"""name -> what makes the page, in the order of the tabs."""
