"""The GRPO workbench: see Group Relative Policy Optimization happen.

Nothing heavy is imported here: torch and transformers load when a name that needs them is first
used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "GRPOConfig": "workbench.config",
    "ConfigError": "workbench.config",
    "Trainer": "workbench.training.trainer",
    "Session": "workbench.training.session",
    "Dashboard": "workbench.widgets.dashboard",
    "load_policy": "workbench.policy.load",
    "load_task": "workbench.tasks",
    "Run": "workbench.runs",
    "Advantages": "workbench.objective",
    "AdvantageRule": "workbench.objective",
    "group_advantages": "workbench.objective",
    "policy_loss": "workbench.objective",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
