"""The GRPO workbench: see Group Relative Policy Optimization happen.

Nothing heavy is imported here: torch and transformers load when a name that needs them is first
used.
"""

import warnings

from grpo_workbench import CLASH, REMEDY, lies_beside
from workbench.lazy import lazy_names

__version__ = "0.1.0"

_HOMES = {  # the public API; tests/public_api.txt pins its signatures
    "GRPOConfig": "workbench.config",
    "ConfigError": "workbench.config",
    "WorkbenchError": "workbench.errors",
    "Trainer": "workbench.training.trainer",
    "start_run": "workbench.training.launch",
    "Session": "workbench.training.session",
    "Experiment": "workbench.experiment",
    "ExperimentView": "workbench.widgets.experiment",
    "Dashboard": "workbench.widgets.dashboard",
    "load_policy": "workbench.policy.load",
    "load_task": "workbench.tasks",
    "RewardSet": "workbench.rewards",
    "Run": "workbench.runs",
    "Advantages": "workbench.objective",
    "AdvantageRule": "workbench.objective",
    "group_advantages": "workbench.objective",
    "policy_loss": "workbench.objective",
    "plan": "workbench.plan.planner",
    "evaluate": "workbench.evaluation.asking",
    "watch": "workbench.watch.trl",
}
__all__ = ["__version__", *_HOMES]


if lies_beside(__path__[0]):
    warnings.warn(f"{CLASH}. {REMEDY}", stacklevel=2)

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
