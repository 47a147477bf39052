"""What a counterfactual tornado found: kept in the run's folder, opened without computing anything.

    result.py    the branches, their effects, and whether chance alone would do as much
    band.py      how far a change of the sampling seed alone may lead
    stored.py    as a small file in the run's folder, and back
    picture.py   the bars as one SVG
    words.py     the same in sentences and as a table

No torch is imported here.
"""

from workbench.runs.tornado.band import Band
from workbench.runs.tornado.result import Branch, TornadoResult
from workbench.runs.tornado.stored import open_tornado, stored_tornados

__all__ = ["Band", "Branch", "TornadoResult", "open_tornado", "stored_tornados"]
