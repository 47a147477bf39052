"""What watching refuses."""

from __future__ import annotations

from workbench.errors import WorkbenchError


class WatchError(WorkbenchError, RuntimeError):
    """A trainer that cannot be watched, or a call that only the trainer's own code can answer."""
