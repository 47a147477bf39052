"""Widgets: views over run records, live or stored, and small widgets for teaching. Nothing here
trains."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Dashboard": "workbench.widgets.dashboard",
    "AdvantageLab": "workbench.widgets.teach",
    "ClipLab": "workbench.widgets.teach",
    "KLLab": "workbench.widgets.teach",
    "LengthLab": "workbench.widgets.teach",
    "PlanView": "workbench.widgets.controls.plan_view",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench.widgets' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
