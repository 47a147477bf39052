"""The GRPO workbench: see Group Relative Policy Optimization happen.

Nothing heavy is imported here: torch and transformers load when a name that needs them is first
used.
"""

from workbench.lazy import lazy_names

__version__ = "0.1.0"

_HOMES = {
    "GRPOConfig": "workbench.config",
    "ConfigError": "workbench.config_fields",
    "Trainer": "workbench.training.trainer",
    "Session": "workbench.training.session",
    "Dashboard": "workbench.widgets.dashboard",
    "load_policy": "workbench.policy.load",
    "load_task": "workbench.tasks",
    "Run": "workbench.runs",
    "group_advantages": "workbench.objective",
    "policy_loss": "workbench.objective",
}
__all__ = ["__version__", *_HOMES]


__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
