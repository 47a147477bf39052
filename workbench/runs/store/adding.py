"""An evaluation that is made after a run has ended, written into its record: the run stays as it
ended, and nobody becomes its writer."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from workbench.runs.sampled_evaluation import SampledEvaluation
from workbench.runs.store import rows
from workbench.runs.store.checksums import make_later_tables, start_checksums
from workbench.runs.store.files import RunRecordError, as_record_errors, read, record_path
from workbench.runs.store.opening import connect_for_writing
from workbench.runs.store.writer import check_left


def add_sampled_evaluation(path: str | Path, step: int, evaluation: SampledEvaluation) -> None:
    """Write it at `step`, in place of an earlier one of that step and split. Raises
    `RunRecordError` while another process writes the run, and for a step that it has not made."""
    file = record_path(path)
    check_left(file)
    last = read(file, rows.last_step)
    if not 0 <= step <= last:
        raise RunRecordError(
            f"{file} ends at step {last}: there is no step {step} to record an evaluation at."
        )
    with as_record_errors(file), closing(connect_for_writing(file)[0]) as db:
        # The lock from the start: a run that is being resumed goes first or last, never between.
        db.execute("BEGIN IMMEDIATE")
        start_checksums(db, last + 1)
        make_later_tables(db)
        rows.put_sampled_evaluation(db, step, evaluation)
        db.execute("COMMIT")
