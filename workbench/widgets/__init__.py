"""Widgets: views over run records, live or stored, and small widgets for teaching. Nothing here
trains."""

from workbench.lazy import lazy_names

_HOMES = {
    "Dashboard": "workbench.widgets.dashboard",
    "ExperimentView": "workbench.widgets.experiment",
    "AdvantageLab": "workbench.widgets.teach",
    "ClipLab": "workbench.widgets.teach",
    "DrawFirst": "workbench.widgets.teach",
    "KLLab": "workbench.widgets.teach",
    "LengthLab": "workbench.widgets.teach",
    "RewardLab": "workbench.widgets.reward_lab",
    "AllItCanSay": "workbench.widgets.oracle",
    "WhereDecided": "workbench.widgets.oracle",
    "EstimatorPage": "workbench.widgets.oracle",
    "ClipTurns": "workbench.widgets.oracle",
    "RunOracle": "workbench.widgets.oracle",
    "PlanView": "workbench.widgets.controls.plan_view",
}
__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
