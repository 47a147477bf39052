"""`RunWriter`: writes one run's record, a transaction per step.

`kill -9` at any instant loses at most the step in flight and never leaves half of one; a power cut
loses no step whose
`write_step` has returned. The file comes into being whole: it is prepared beside its place and
moved there. It may be written from any thread, one call at a time, while any number of readers look
on.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from workbench.runs.environment import changed_environment, sign_in, works_beside
from workbench.runs.sampled_evaluation import SampledEvaluation
from workbench.runs.step_record import Evaluation, Event, StepRecord
from workbench.runs.store import rows
from workbench.runs.store.cells import SEALED_FROM
from workbench.runs.store.checked import checked, fact_of, facts_of
from workbench.runs.store.checksums import make_later_tables, mark_of_step, start_checksums
from workbench.runs.store.files import (
    RunRecordError,
    RunWarning,
    as_record_errors,
    read,
    record_path,
)
from workbench.runs.store.in_place import OpenFiles
from workbench.runs.store.opening import BEGINNING, connect_for_writing, copy_record, new_record
from workbench.runs.store.schema import MAX_METRICS, STATUSES

T = TypeVar("T")
Pieces = Callable[[Sequence[int]], Sequence[str]]
"""Turns token ids into the text of each: one text per id."""


class StepExistsError(RunRecordError):
    """That step is already in the record."""


class TakenOverError(RunRecordError):
    """Another writer has resumed the run since."""


class RecordGoneError(RunRecordError):
    """The file was deleted, moved or replaced while it was being written."""


class RunWriter:
    """Writes one record. Make it with `create`, `resume` or `branch`; use it as a context manager,
    or `close` it."""

    def __init__(self, file: Path, pieces: Pieces | None) -> None:
        """Opens an existing record as it is; `create`, `resume` and `branch` are the ways to
        call."""
        self.path = file
        self._pieces = pieces
        self._lock = threading.RLock()
        # What the record says of who writes it.
        self._mark = sign_in(self)
        self._files: OpenFiles | None = None
        # Names of all steps; read when the first step is written.
        self._figures: set[str] = set()
        self._figures_said = False
        with as_record_errors(file):
            connection, journal_mode = connect_for_writing(file)
            self._db: sqlite3.Connection | None = connection
            self._known = {row[0] for row in connection.execute("SELECT id FROM vocab")}
            self._reward_names = fact_of(connection, "reward_names")
        # Whoever opens it last owns it: with this the writer before is shut out.
        start = {
            "writer": self._mark,
            "status": "running",
            "reason": "",
            "finished": None,
            "journal_mode": journal_mode,
        }
        with self._transaction("the start", taking_over=True) as db:
            start_checksums(db, rows.last_step(db) + 1)
            make_later_tables(db)
            rows.put_meta(db, **start)
        # Known from here on, since the first write makes the log.
        self._files = OpenFiles(file, journal_mode)

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        config: Mapping[str, Any],
        name: str = "",
        policy: str = "",
        task: str = "",
        reward_names: Sequence[str] = (),
        seed: int | None = None,
        pieces: Pieces | None = None,
    ) -> RunWriter:
        """A new record at `path` (a run's folder, made if need be, or a .sqlite file).

        `config` is JSON values; `seed` defaults to the config's; `pieces` gives the text of token
        ids, so that views need no tokenizer. Raises `RunRecordError` when there is a record
        already, ValueError for doubled reward names.
        """
        if len(set(reward_names)) < len(reward_names):
            raise ValueError(
                f"reward_names={list(reward_names)}: two are the same. Give each function its "
                "own __name__."
            )
        file = record_path(path)
        facts = {
            "policy": policy,
            "task": task,
            "reward_names": list(reward_names),
            "config": dict(config),
            "seed": config.get("seed") if seed is None else seed,
        }
        with new_record(file, facts | _names(name)):
            pass
        return cls(file, pieces)

    @classmethod
    def resume(
        cls, path: str | Path, step: int, *, pieces: Pieces | None = None, take_over: bool = False
    ) -> RunWriter:
        """An existing record, cut back in one transaction to what it was when `step` had been
        recorded.

        Later steps, knobs, evaluations and events go, to be made again; an event says how many.
        `step` 0 keeps what came before the first step. A writer that still has the record open is
        shut out: its next call raises
        `TakenOverError`. Raises `RunRecordError` when the record ends before `step`, or when
        another process of this machine is writing it, unless `take_over` is set.
        """
        file = record_path(path)
        meta, last = read(file, lambda db: (facts_of(db), rows.last_step(db)))
        _check_step(file, step, last)
        if not take_over:
            _check_left(file, meta["writer"])
        writer = cls(file, pieces)
        with writer._transaction(f"the return to step {step}") as db:
            rows.cut_after(db, step)
            sealed_from = min(fact_of(db, SEALED_FROM), step + 1)
            if (newest := meta.get("newest_checkpoint")) is not None:
                rows.put_meta(db, newest_checkpoint=min(newest, step))
            # It tells readers that steps which they have read may be made anew.
            rows.put_meta(db, revision=meta["revision"] + 1, **{SEALED_FROM: sealed_from})
            changed = changed_environment(meta["environment"])
            if changed:
                rows.put_meta(db, environment=meta["environment"] | changed)
            rows.put_event(db, step, _resume_event(step, last, changed))
        return writer

    @classmethod
    def branch(
        cls,
        parent: str | Path,
        path: str | Path,
        step: int,
        *,
        name: str = "",
        pieces: Pieces | None = None,
    ) -> RunWriter:
        """A new run at `path` that begins as a copy of `parent` up to `step` and knows where it
        came from.

        The parent may be running; it is not touched. Raises `RunRecordError` as `create` and
        `resume` do.
        """
        origin = record_path(parent)
        old, last = read(origin, lambda db: (facts_of(db), rows.last_step(db)))
        _check_step(origin, step, last)
        facts = {key: old[key] for key in ("policy", "task", "reward_names", "config", "seed")}
        # A parent of before there were checksums hands on steps without.
        facts[SEALED_FROM] = min(old.get(SEALED_FROM, step + 1), step + 1)
        file = record_path(path)
        with new_record(
            file, facts | _names(name or f"{old['name']} from step {step}", old, step)
        ) as db:
            # One consistent state, even while the parent is being written.
            read(origin, lambda source: rows.copy_up_to(source, db, step))
            rows.put_event(
                db,
                step,
                Event("branch", f"branched from {old['name']} ({old['id']}) after step {step}"),
            )
        return cls(file, pieces)

    def copy(self, path: str | Path) -> RunWriter:
        """A writer of a copy of this record, as far as it was recorded, at another `path`.

        Its own file need not be there any more: what is open stays readable. Raises
        `RunRecordError` when something is at `path` already.
        """
        file = record_path(path)
        with self._lock:
            if self._db is None:
                read(self.path, lambda db: copy_record(db, file))
            else:
                copy_record(self._db, file)
        return RunWriter(file, self._pieces)

    @property
    def closed(self) -> bool:
        """True once the record was finished or closed."""
        return self._db is None

    @property
    def last_step(self) -> int:
        """The last step recorded; 0 when there is none."""
        with self._lock:
            return rows.last_step(self._connection())

    def write_step(self, record: StepRecord) -> None:
        """All of a step, or nothing of it. Raises `StepExistsError`, and `RunRecordError` for a gap
        before the step."""
        self._check_rewards(record)
        arrays = rows.packed_arrays(record)  # the slow part, outside the transaction
        with self._transaction(f"step {record.step}") as db:
            self._check_next(record.step, rows.last_step(db))
            record = self._with_room_for_its_figures(db, record)
            learned = self._new_pieces(record)
            rows.put_step(db, record, arrays)
            rows.put_pieces(db, learned)
        # After the commit: texts of a step that failed have to come with the next one.
        self._known.update(learned)
        self._figures.update(record.metrics)

    def write_evaluation(self, step: int, evaluation: Evaluation) -> None:
        """An evaluation made after `step` (0 = before the first); it replaces an earlier one of
        that step and split."""
        with self._transaction(f"the evaluation at step {step}") as db:
            rows.put_evaluation(db, step, evaluation)

    def write_sampled_evaluation(self, step: int, evaluation: SampledEvaluation) -> None:
        """An evaluation with samples, made after `step`; it replaces an earlier one of that step
        and split."""
        with self._transaction(f"the sampled evaluation at step {step}") as db:
            rows.put_sampled_evaluation(db, step, evaluation)

    def add_to_environment(self, **facts: Any) -> None:
        """More facts of how the run is made, beside versions and machine; JSON values. A resumed
        run says them anew."""
        with self._transaction("a fact of the environment") as db:
            rows.put_meta(db, environment=fact_of(db, "environment") | facts)

    def note_checkpoint(self, step: int) -> None:
        """The newest checkpoint of the run is that of `step`: so it is known when one has been
        removed."""
        with self._transaction("the newest checkpoint") as db:
            rows.put_meta(db, newest_checkpoint=step)

    def mark_of(self, step: int) -> str | None:
        """What tells this making of a step from every other (see `checksums.mark_of_step`)."""
        return self._asked(lambda db: mark_of_step(db, step))

    def lasting_facts(self) -> dict[str, Any]:
        """The facts of the run that stay as they are while it goes on: policy, task, settings,
        versions, names."""
        facts = self._asked(facts_of)
        return {key: value for key, value in facts.items() if key not in BEGINNING}

    def _asked(self, query: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            if self._db is None:
                return read(self.path, query)
            with as_record_errors(self.path):
                return query(self._db)

    def check_in_place(self) -> None:
        """Raises `RecordGoneError` where the files that were opened are no longer in their place,
        `TakenOverError` where another writer has them."""
        with self._lock:
            self._check_files("what comes next")
            if self._db is not None and not self._owns(self._db):
                raise self._taken_over("what comes next")

    def write_event(self, event: Event, step: int | None = None) -> None:
        """Something that happened after `step` (the last one unless said)."""
        with self._transaction("an event") as db:
            rows.put_event(db, rows.last_step(db) if step is None else step, event)

    def finish(self, status: str = "finished", reason: str = "") -> None:
        """Says how the run ended ('finished', 'stopped' or 'failed', with a reason) and closes the
        record."""
        if status not in STATUSES[1:]:
            raise ValueError(f"status={status!r}: must be one of {STATUSES[1:]}.")
        with self._transaction("the end") as db:
            rows.put_meta(db, status=status, reason=reason, finished=time.time())
        self.close()

    def close(self) -> None:
        """Leaves one complete file behind. A run that was not finished counts as interrupted. Twice
        does nothing."""
        with self._lock:
            if self._db is None:
                return
            if self._files is None or self._files.are_in_place(closed=False):
                self._sign_out()
            elif not self._files.said:
                warnings.warn(self._gone("the closing"), RunWarning, stacklevel=2)
            with as_record_errors(self.path), closing(self._db) as connection:
                self._db = None
                # Moves the log into the file, so that the one file is the whole record.
                busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                warnings.warn(
                    f"{self.path}: another program holds the record open, so a part of it stays "
                    "in the -wal file beside it. Keep both together.",
                    RunWarning,
                    stacklevel=2,
                )

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: Any
    ) -> None:
        # A writer that was shut out must not say how the other one's run ended.
        if error is not None and self._db is not None and not isinstance(error, TakenOverError):
            self.finish("failed", f"{type(error).__name__}: {error}")
        self.close()

    def _sign_out(self) -> None:
        # A writer that was shut out closes quietly, and leaves the mark of the other one alone.
        with self._transaction("the closing", taking_over=True) as db:
            if self._owns(db):
                rows.put_meta(db, writer=None)

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise RunRecordError(
                f"the record {self.path} is closed. RunWriter.resume(path, step) opens it again."
            )
        return self._db

    @contextmanager
    def _transaction(self, what: str, *, taking_over: bool = False) -> Iterator[sqlite3.Connection]:
        with self._lock:
            db = self._connection()
            try:
                # The write lock from the start: whose record it is can then not change before the
                # commit.
                db.execute("BEGIN IMMEDIATE")
                if not taking_over and not self._owns(db):
                    raise self._taken_over(what)
                yield db
                # SQLite would go on writing into files that have no name any more.
                self._check_files(what)
                db.execute("COMMIT")
            except sqlite3.Error as error:
                raise RunRecordError(
                    f"{self.path}: {what} was not recorded: {error}. What was there before is "
                    "whole."
                ) from error
            finally:
                # For errors of any kind, an interrupt included.
                if db.in_transaction:
                    db.execute("ROLLBACK")

    def _check_files(self, what: str) -> None:
        if self._files is not None and not self._files.are_in_place(self._db is None):
            self._files.said = True
            raise RecordGoneError(self._gone(what))

    def _gone(self, what: str) -> str:
        return (
            f"{self.path} was deleted, moved or replaced while its run went on: {what} was not "
            "recorded. What memory holds is whole: save_copy(FOLDER) of the session or trainer "
            "writes it to another folder, where the run can be resumed."
        )

    def _taken_over(self, what: str) -> TakenOverError:
        return TakenOverError(
            f"{self.path}: {what} was not recorded: another writer has taken the run over."
        )

    def _owns(self, db: sqlite3.Connection) -> bool:
        return bool(fact_of(db, "writer") == self._mark)

    def _check_next(self, step: int, last: int) -> None:
        if step <= last:
            raise StepExistsError(
                f"{self.path}: step {step} is recorded already (the record ends at step {last}). "
                f"To make it again: RunWriter.resume(path, {step - 1})."
            )
        if step > last + 1:
            raise RunRecordError(
                f"{self.path}: step {step} cannot follow step {last}: steps are recorded without "
                "a gap."
            )

    def _check_rewards(self, record: StepRecord) -> None:
        found = (
            len(self._reward_names)
            if record.samples is None
            else record.samples.rewards_BK.shape[1]
        )
        if found != len(self._reward_names):
            raise RunRecordError(
                f"step {record.step}: rewards_BK has {found} columns, but the run has the reward "
                f"functions {self._reward_names}. Give one column for each."
            )

    def _with_room_for_its_figures(self, db: sqlite3.Connection, record: StepRecord) -> StepRecord:
        """The step without figures of new names for which the run has no room; the first time that
        is said."""
        if not self._figures:
            self._figures.update(name for row in checked(db, "steps").rows for name in row[2])
        new = [name for name in record.metrics if name not in self._figures]
        left_out = new[max(MAX_METRICS - len(self._figures), 0) :]
        if not left_out:
            return record
        if not self._figures_said:
            self._figures_said = True
            warnings.warn(
                f"{self.path}: {MAX_METRICS} different figures are kept of a run. From step "
                f"{record.step} on new ones are left out, such as {left_out[0]!r:.60}. Log under "
                "fewer names.",
                RunWarning,
                stacklevel=4,
            )
        dropped = set(left_out)
        kept = {name: v for name, v in record.metrics.items() if name not in dropped}
        return replace(record, metrics=kept)

    def _new_pieces(self, record: StepRecord) -> dict[int, str]:
        """The texts of the ids of this step that the record does not know yet."""
        if self._pieces is None or record.tokens is None:
            return {}
        # Each text once in a record: a vocabulary is small beside the tokens of a run.
        ids = sorted(set(record.tokens.ids.tolist()) - self._known)
        return dict(zip(ids, self._pieces(ids), strict=True))


def newest_checkpoint(path: str | Path) -> int | None:
    """The step of the newest checkpoint that the record knows of; None where it knows none, as in
    records of earlier versions."""
    step = read(record_path(path), facts_of).get("newest_checkpoint")
    return None if step is None else int(step)


def mark_of(path: str | Path, step: int) -> str | None:
    """The mark that the record has of a step (see `RunWriter.mark_of`); None where it has none."""
    return read(record_path(path), lambda db: mark_of_step(db, step))


def check_left(path: str | Path) -> None:
    """Raises `RunRecordError` while another process of this machine writes the record."""
    file = record_path(path)
    # That fact alone: the others may be damaged.
    _check_left(file, read(file, lambda db: fact_of(db, "writer")))


def _check_left(file: Path, mark: Mapping[str, Any] | None) -> None:
    # Only a process that surely lives is in the way; after a crash the run goes on unasked.
    if mark is not None and works_beside(dict(mark)):
        raise RunRecordError(
            f"{file} is being written by process {mark['pid']} on {mark['host']}. Stop that run "
            "first; if it is surely gone, pass take_over=True."
        )


def _resume_event(step: int, last: int, changed: Mapping[str, Any]) -> Event:
    """Says what a resume removed, and what of versions and machine is another from here on."""
    text = f"resumed after step {step}; {last - step} later steps removed"
    if not changed:
        return Event("resume", text)
    text += f", on another environment ({', '.join(changed)})"
    return Event("resume", text, {"environment": dict(changed)})


def _check_step(file: Path, step: int, last: int) -> None:
    if not 0 <= step <= last:
        raise RunRecordError(
            f"{file} holds steps 1 to {last}: it cannot go on from step {step}. Choose a step "
            f"from 0 to {last}."
        )


def _names(
    name: str, parent: Mapping[str, Any] | None = None, branch_step: int | None = None
) -> dict[str, Any]:
    """A fresh id, the name (the id where none is given), and the run that a branch comes from."""
    run_id = uuid.uuid4().hex[:12]
    origin = {
        "parent_id": parent and parent["id"],
        "parent_name": parent and parent["name"],
        "branch_step": branch_step,
    }
    return {"id": run_id, "name": name or run_id, **origin}
