"""What the notebooks of the course share: exercises with a check, charts, printed-against-exact
tables, recorded runs.

with check("Exercise 1", answer):            the box under an exercise: solved, or what is still wrong
    assert answer == 3, "count again"
chart(panel("title", x, {"name": y}))        lines over numbers, in the look of the dashboard
compare([("what", printed, exact, "why")])   what a source prints beside what is right
recorded("long")                             the path of a run that ships with the package; Dashboard(...) shows it
"""

from workbench.course.chart import chart, panel
from workbench.course.check import check, results
from workbench.course.compare import compare
from workbench.course.recorded import recorded, recorded_names

__all__ = ["chart", "check", "compare", "panel", "recorded", "recorded_names", "results"]
