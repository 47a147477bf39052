"""Runs of other trainers: their completions and rewards as a run record that the dashboard and the
doctor open. What the files do not hold is said, and not made up. No torch is needed."""

from workbench.exchange.importing import Imported, import_completions
from workbench.exchange.readers import READERS
from workbench.exchange.values import ImportFileError

__all__ = ["READERS", "ImportFileError", "Imported", "import_completions"]
