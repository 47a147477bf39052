"""The run record: one SQLite file per run. Writing, reading live or stored, listing, comparing,
exporting.

No torch is imported here, so that a stored run opens on any machine with numpy and pandas.
"""

from workbench.runs.compare import align_metrics, diff_configs
from workbench.runs.control import (
    accuracy_band,
    controls_beside,
    controls_for,
    is_control,
    plain_name,
)
from workbench.runs.export import export_csv
from workbench.runs.family import relatives
from workbench.runs.learning import Learned, learned
from workbench.runs.listing import list_runs
from workbench.runs.sampled_evaluation import Answered, Figure, SampledEvaluation
from workbench.runs.step_record import (
    Evaluation,
    Event,
    KnobChange,
    Samples,
    StepRecord,
    TokenArrays,
)
from workbench.runs.store.files import (
    DamagedError,
    RunNotFoundError,
    RunRecordError,
    RunWarning,
    is_run_record,
    record_path,
)
from workbench.runs.store.queries import RunMeta
from workbench.runs.store.reader import Run
from workbench.runs.store.writer import RunWriter, StepExistsError, TakenOverError

__all__ = [
    "Answered",
    "DamagedError",
    "Evaluation",
    "Event",
    "Figure",
    "KnobChange",
    "Learned",
    "Run",
    "RunMeta",
    "RunNotFoundError",
    "RunRecordError",
    "RunWarning",
    "RunWriter",
    "SampledEvaluation",
    "Samples",
    "StepExistsError",
    "StepRecord",
    "TakenOverError",
    "TokenArrays",
    "accuracy_band",
    "align_metrics",
    "controls_beside",
    "controls_for",
    "diff_configs",
    "export_csv",
    "is_control",
    "is_run_record",
    "learned",
    "list_runs",
    "plain_name",
    "record_path",
    "relatives",
]
