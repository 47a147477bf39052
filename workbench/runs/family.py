"""The runs that a run shares steps with: what it branched from and what branched from it."""

from __future__ import annotations

from workbench.runs.control import neighbours
from workbench.runs.store.reader import Run


def relatives(run: Run) -> list[Run]:
    """The records beside `run` that belong to its tree of branches (parent, children, their
    children …), without itself; the oldest first. A branch knows its parent by id, so that renamed
    folders are found, too."""
    beside = {other.meta.id: other for other in neighbours(run)}
    beside.pop(run.meta.id, None)
    parent_of = {other_id: other.meta.parent_id for other_id, other in beside.items()}
    parent_of[run.meta.id] = run.meta.parent_id
    known = {run.meta.id}
    while True:
        # A parent of one that is known, or a child of one; until nobody is added.
        added = {
            other
            for other in beside
            if other not in known
            and (parent_of[other] in known or other in {parent_of[one] for one in known})
        }
        if not added:
            break
        known |= added
    found = [beside[other] for other in known if other in beside]
    return sorted(found, key=lambda other: (other.meta.started, other.meta.name))
