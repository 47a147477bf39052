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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.widgets.base.diagnoses import Diagnoses
from workbench.widgets.base.selection import Selection
from workbench.widgets.base.source import RunSource, View
from workbench.widgets.base.stretch import Stretch
from workbench.widgets.behaviours.view import BehavioursView
from workbench.widgets.best_paid.view import BestPaidView
from workbench.widgets.compare.view import CompareView
from workbench.widgets.doctor.view import DoctorView
from workbench.widgets.evaluation.view import EvaluationView
from workbench.widgets.groups.view import GroupsView
from workbench.widgets.overview.view import Overview
from workbench.widgets.tokens.view import TokensView
from workbench.widgets.tornado.view import TornadoView
from workbench.widgets.what_if.view import WhatIfView

if TYPE_CHECKING:
    from workbench.training.session import Session


@dataclass(frozen=True)
class Links:
    """Where a page can lead a person."""

    show_step: Callable[[int], None]
    """Show a step on every page."""
    show_tokens: Callable[[int], None]
    """Open a completion of the groups' step, by its row, under the token microscope."""
    show_completion: Callable[[int, int], None]
    """Open a completion there by its step and row."""
    stretch: Stretch = field(default_factory=Stretch)
    """The stretch of steps that was chosen on the timeline."""
    diagnoses: Diagnoses = field(default_factory=Diagnoses)
    """The doctor's findings, shared with the timeline."""
    focus: Callable[[RunSource], None] = lambda source: None
    """Put a run in focus, with its controls where it is trained here."""
    follow: Callable[[Session], None] = lambda session: None
    """Put a session in focus that was just made (a branch)."""
    selection: Selection = field(default_factory=Selection)
    """The step and the completion that all pages share."""
    branch: Callable[[int, Mapping[str, Any]], str] | None = None
    """Branch the run in focus from a step with some knobs, and say the branch's name."""


PAGES: dict[str, Callable[[Links], View]] = {
    "overview": lambda links: Overview(on_pick=links.show_step),
    "groups": lambda links: GroupsView(links.show_tokens, links.selection, links.stretch),
    "tokens": lambda links: TokensView(links.selection),
    "what_if": lambda links: WhatIfView(links.selection),
    "compare": lambda links: CompareView(links.show_step, links.focus, links.follow),
    "tornado": lambda links: TornadoView(),
    "evaluation": lambda links: EvaluationView(),
    "best_paid": lambda links: BestPaidView(links.show_completion, links.selection),
    "behaviours": lambda links: BehavioursView(links.show_completion, links.stretch.chosen),
    "doctor": lambda links: DoctorView(
        links.branch, links.show_completion, links.stretch, links.diagnoses
    ),
}
"""name -> what makes the page, in the order of the tabs."""
