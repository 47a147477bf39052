"""A true picture before anything is computed: until a session has made its first step, its
dashboard shows a run that ships with the package, greyed and labelled as recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ipywidgets as widgets

from workbench.widgets.base.guarded import show_if
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import framed

RECORDED = Path(__file__).parents[2] / "assets" / "recorded" / "long.sqlite"
BEFORE_THE_FIRST_STEP = ("ready", "running", "paused")
"""What a session may be doing meanwhile. One that failed has words of its own to show."""
GREYED = "wb-recorded"
NOTE = framed(
    '<div class="wb-note" role="status"><b>Recorded earlier:</b> the policy of the package on its '
    "arithmetic, 200 steps. Your run takes its place with its first step.</div>"
)


class Preview:
    """`note` says that what `tabs` hold is recorded; `instead_of` decides whether it is."""

    def __init__(self, tabs: widgets.Tab) -> None:
        self.note = widgets.HTML(NOTE)
        self._tabs = tabs
        self._recorded: RunSource | None = None
        self._show(False)

    def instead_of(self, sources: Sequence[RunSource]) -> Sequence[RunSource]:
        """`sources`, or the recorded run where none of them has anything to show yet."""
        wanted = all(_has_nothing_yet(source) for source in sources)
        self._show(wanted)
        if not wanted:
            return sources
        if self._recorded is None:
            self._recorded = RunSource(RECORDED)
        return [self._recorded]

    def _show(self, recorded: bool) -> None:
        show_if(self.note, recorded)
        if recorded:
            self._tabs.add_class(GREYED)
        else:
            self._tabs.remove_class(GREYED)


def _has_nothing_yet(source: RunSource) -> bool:
    """True of a session before its first step; going back to step 0 is not that."""
    times_cut_back, _ = source.run.position()
    waits = source.live and source.status in BEFORE_THE_FIRST_STEP
    return waits and not source.last_step and not times_cut_back
