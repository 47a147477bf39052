"""Which runs stand side by side: those of the dashboard, and the branches that lie beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.runs import Run, relatives
from workbench.widgets.base.source import RunSource


@dataclass(frozen=True)
class Member:
    """A run in the comparison."""

    source: RunSource

    place: int
    """Its place in the order of the page, which its look follows."""

    parent: int | None
    """The place of its parent; None where that is not here."""

    fork: int | None
    """The last step that it shares with its parent."""

    given: bool
    """True where the dashboard was given it; the others were found beside."""

    @property
    def id(self) -> str:
        """The record's id."""
        return self.source.id


def family(sources: Sequence[RunSource], found: Sequence[RunSource]) -> list[Member]:
    """The members by when they began, parents before their branches."""
    everyone = {source.id: source for source in [*found, *sources]}
    given = {source.id for source in sources}
    ordered = _parents_first(everyone)
    places = {run_id: place for place, run_id in enumerate(ordered)}
    return [
        Member(
            source=everyone[run_id],
            place=place,
            parent=places.get(everyone[run_id].parent_id or ""),
            fork=everyone[run_id].fork,
            given=run_id in given,
        )
        for run_id, place in places.items()
    ]


def found_beside(sources: Sequence[RunSource]) -> list[RunSource]:
    """The runs of the trees of these runs that the dashboard was not given."""
    given = {source.id for source in sources}
    found: dict[str, Run] = {}
    for source in sources:
        for run in relatives(source.run):
            if run.meta.id not in given:
                found.setdefault(run.meta.id, run)
    return [RunSource(run) for run in found.values()]


def _parents_first(everyone: dict[str, RunSource]) -> list[str]:
    """The ids by when their runs began, each branch after its parent."""
    # Not in the order given, which changes with the focus: a run keeps its place and its look.
    waiting = sorted(everyone, key=lambda one: everyone[one].started)
    ordered: list[str] = []
    while waiting:
        ready = [one for one in waiting if everyone[one].parent_id not in waiting]
        # Two records that name each other as parents are nobody's: take them as they come.
        ready = ready or waiting[:1]
        ordered += ready
        waiting = [one for one in waiting if one not in ready]
    return ordered
