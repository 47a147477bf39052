"""An experiment as a page: table, curves with bands, forest plot of the paired differences."""

from workbench.widgets.experiment.view import ExperimentView

__all__ = ["ExperimentView"]
