"""What a session refuses."""

from __future__ import annotations

from workbench.errors import WorkbenchError


class SessionError(WorkbenchError, RuntimeError):
    """A call that the session's state does not allow, or the training's own error handed on."""


class RewindError(WorkbenchError, ValueError):
    """A step that the run cannot go back to, or a branch's name that cannot be one."""


class StatusError(WorkbenchError, RuntimeError):
    """A change of status that the table of transitions does not have: a mistake in the workbench
    itself, worth reporting."""
