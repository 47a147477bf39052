"""Pages of the exact oracle: what a small policy can say to a prompt, and what follows from it.

    AllItCanSay(load_trees())     the completions as a tree, along the steps of a run
    WhereDecided(load_trees())    V token by token, and the credit of each token
    EstimatorPage()               estimators of the gradient against the truth
    ClipTurns()                   what a clip makes of the expected gradient of old samples
    RunOracle(session)            the first two for a run of your own, made at a click and kept

Written as the last line of a cell each shows itself; each is usable from plain Python too. What
ships with the package opens without a policy (`load_trees`, `load_worlds`, `load_turned`);
`enumerated`, `along_weights` and `make_world` make the same of a policy of your own.
"""

from workbench.lazy import lazy_names

_HOMES = {
    "AllItCanSay": "workbench.widgets.oracle.all_it_can_say",
    "WhereDecided": "workbench.widgets.oracle.where_decided",
    "EstimatorPage": "workbench.widgets.oracle.estimator_page",
    "ClipTurns": "workbench.widgets.oracle.clip_turns",
    "RunOracle": "workbench.widgets.oracle.run_oracle",
    "Snapshots": "workbench.widgets.oracle.snapshots",
    "World": "workbench.widgets.oracle.world",
    "Setting": "workbench.widgets.oracle.settings",
    "quality": "workbench.widgets.oracle.estimates",
    "expected": "workbench.widgets.oracle.expectation",
    "decided": "workbench.widgets.oracle.credit",
    "enumerated": "workbench.widgets.oracle.enumerating",
    "along_weights": "workbench.widgets.oracle.enumerating",
    "along_run": "workbench.widgets.oracle.run_trees",
    "make_world": "workbench.widgets.oracle.branch_gradients",
    "load_trees": "workbench.widgets.oracle.stored",
    "save_trees": "workbench.widgets.oracle.stored",
    "load_worlds": "workbench.widgets.oracle.stored",
    "save_worlds": "workbench.widgets.oracle.stored",
    "save_turned": "workbench.widgets.oracle.stored",
    "load_turned": "workbench.widgets.oracle.stored",
}
__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
