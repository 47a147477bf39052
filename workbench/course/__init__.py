"""What the notebooks of the course share: exercises with a check, charts, printed-against-exact
tables, recorded runs.

The box under an exercise, solved or with what is still wrong:

    with check("Exercise 1", answer):
        assert answer == 3, "count again"

Lines over numbers, in the look of the dashboard; what a source prints beside what is right; and the
path of a run that ships with the package, which `Dashboard(...)` shows:

    chart(panel("title", x, {"name": y}))
    compare([("what", printed, exact, "why")])
    recorded("long")
"""

from workbench.course.chart import chart, panel
from workbench.course.check import check, results
from workbench.course.compare import compare
from workbench.course.recorded import recorded, recorded_names
from workbench.course.reward_model import reliability_chart, stale_chart

__all__ = [
    "chart",
    "check",
    "compare",
    "panel",
    "recorded",
    "recorded_names",
    "reliability_chart",
    "results",
    "stale_chart",
]
