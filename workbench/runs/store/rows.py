"""The SQL of a record: what goes into its tables and how they are cut and copied. Transactions are
the caller's."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from workbench.runs.sampled_evaluation import SampledEvaluation
from workbench.runs.step_record import Evaluation, Event, KnobChange, Samples, StepRecord
from workbench.runs.store.arrays import pack
from workbench.runs.store.cells import check_fact, check_row
from workbench.runs.store.checksums import (
    copy_seals,
    cut_seals_after,
    has_table,
    last_sealed_step,
    seal,
    seal_meta,
    seal_pieces,
    unseal,
)
from workbench.runs.store.schema import ALL_STEP_TABLES, number_to_json, to_cell, to_json

Packed = dict[str, tuple[str, str, bytes]]


def put_meta(db: sqlite3.Connection, **facts: Any) -> None:
    """Set facts of the run."""
    for key, value in facts.items():
        cell = to_json(value, key)
        check_fact(key, cell)
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, cell))
    seal_meta(db)


def last_step(db: sqlite3.Connection) -> int:
    """The last step recorded; 0 when there is none."""
    last = int(db.execute("SELECT coalesce(max(step), 0) FROM steps").fetchone()[0])
    sealed = last_sealed_step(db)
    # A step whose row is lost counts, and is marked where it is read; one that strayed does not.
    return last if sealed is None or sealed > last + 1 else sealed


def packed_arrays(record: StepRecord) -> Packed:
    """The token arrays of a step as blobs, by name."""
    if record.tokens is None:
        return {}
    flat = {"lengths": record.tokens.lengths, "ids": record.tokens.ids, **record.tokens.floats}
    return {name: pack(array) for name, array in flat.items()}


def put_step(db: sqlite3.Connection, record: StepRecord, arrays: Packed) -> None:
    """All rows of a step but the vocabulary's."""
    step = record.step
    metrics = ", ".join(
        f"{json.dumps(name)}: {number_to_json(value)}" for name, value in record.metrics.items()
    )
    values = (step, record.time, f"{{{metrics}}}")
    check_row("steps", values)
    db.execute("INSERT INTO steps VALUES (?, ?, ?)", values)
    for knob in record.knobs:
        put_knob(db, step, knob)
    for evaluation in record.evaluations:
        put_evaluation(db, step, evaluation)
    for sampled in record.sampled_evaluations:
        put_sampled_evaluation(db, step, sampled)
    for event in record.events:
        put_event(db, step, event)
    seal(db, "steps", step)
    if record.samples is not None:
        _put_samples(db, step, record.samples)
    if arrays:
        _put_arrays(db, step, arrays)


def put_pieces(db: sqlite3.Connection, pieces: Mapping[int, str]) -> None:
    """The texts of token ids."""
    found = [(i, to_cell(p, f"the text of token {i}")) for i, p in pieces.items()]
    db.executemany("INSERT INTO vocab VALUES (?, ?)", found)
    seal_pieces(db, found)


def put_knob(db: sqlite3.Connection, step: int, knob: KnobChange) -> None:
    """A knob change that took effect at `step`."""
    old = to_json(knob.old, f"old value of {knob.name}")
    new = to_json(knob.new, f"new value of {knob.name}")
    values = (step, knob.name, old, new, knob.who, knob.time)
    check_row("knobs", values)
    db.execute("INSERT INTO knobs VALUES (?, ?, ?, ?, ?, ?)", values)
    seal(db, "knobs", step)


def put_evaluation(db: sqlite3.Connection, step: int, evaluation: Evaluation) -> None:
    """An evaluation; the newest of a step and split counts."""
    values = (
        step,
        evaluation.split,
        evaluation.n,
        evaluation.correct,
        evaluation.accuracy,
        evaluation.low,
        evaluation.high,
        to_json(dict(evaluation.extra), "evaluation.extra"),
        evaluation.time,
    )
    check_row("evaluations", values)
    db.execute("INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    seal(db, "evaluations", step)


def put_sampled_evaluation(
    db: sqlite3.Connection, step: int, evaluation: SampledEvaluation
) -> None:
    """An evaluation with samples; the newest of a step and split counts."""
    found = {
        "sampled_evaluations": _figure_rows(step, evaluation),
        "sampled_answers": _answer_rows(step, evaluation),
    }
    for table, table_rows in found.items():
        db.execute(f"DELETE FROM {table} WHERE step = ? AND split = ?", (step, evaluation.split))
        for values in table_rows:
            check_row(table, values)
            places = ", ".join("?" * len(values))
            db.execute(f"INSERT INTO {table} VALUES ({places})", values)
        # A checksum of no rows would be read as rows that are gone: answers need not be kept.
        if db.execute(f"SELECT 1 FROM {table} WHERE step = ?", (step,)).fetchone():
            seal(db, table, step)
        else:
            unseal(db, table, step)


def _figure_rows(step: int, evaluation: SampledEvaluation) -> list[tuple[Any, ...]]:
    """A row of `sampled_evaluations` for each figure."""
    asked = to_json(dict(evaluation.asked), "sampled_evaluation.asked")
    return [
        (
            step,
            evaluation.split,
            one.judge,
            one.grouping,
            to_cell(one.label, "a label"),
            one.figure,
            one.value,
            one.low,
            one.high,
            one.n,
            asked,
            evaluation.time,
        )
        for one in evaluation.figures
    ]


def _answer_rows(step: int, evaluation: SampledEvaluation) -> list[tuple[Any, ...]]:
    """A row of `sampled_answers` for each problem."""
    return [
        (
            step,
            evaluation.split,
            one.problem,
            to_cell(one.question, "a question"),
            to_cell(one.answer, "a gold answer"),
            to_cell(one.kind, "a kind"),
            to_cell(one.greedy, "a completion"),
            to_json(one.samples, "the samples of a problem"),
            None if one.subject is None else to_cell(one.subject, "a subject"),
            None if one.level is None else to_cell(one.level, "a level"),
        )
        for one in evaluation.answers
    ]


def put_event(db: sqlite3.Connection, step: int, event: Event) -> None:
    """An event."""
    values = (
        step,
        event.time,
        event.kind,
        to_cell(event.text, "event.text"),
        to_json(dict(event.data), "event.data"),
    )
    check_row("events", values)
    db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", values)
    seal(db, "events", step)


def cut_after(db: sqlite3.Connection, step: int) -> None:
    """Remove everything that belongs to later steps."""
    for table in ALL_STEP_TABLES:
        db.execute(f"DELETE FROM {table} WHERE step > ?", (step,))
    cut_seals_after(db, step)


def copy_up_to(source: sqlite3.Connection, target: sqlite3.Connection, step: int) -> None:
    """Copy everything up to `step`, and the vocabulary, into an empty record."""
    for table in ALL_STEP_TABLES:
        if not has_table(source, table):
            continue
        found = source.execute(f"SELECT * FROM {table} WHERE step <= ? ORDER BY rowid", (step,))
        copy_rows(found, target, table)
        copy_seals(source, target, table, range(step + 1))
    copy_rows(source.execute("SELECT * FROM vocab"), target, "vocab")
    copy_seals(source, target, "vocab", None)


def copy_rows(found: sqlite3.Cursor, target: sqlite3.Connection, table: str) -> None:
    """Put the rows that a query found into a table of the same columns."""
    places = ", ".join("?" * len(found.description))
    target.executemany(f"INSERT INTO {table} VALUES ({places})", found)


def _put_samples(db: sqlite3.Connection, step: int, samples: Samples) -> None:
    group_rows = _group_rows(step, samples)
    db.executemany("INSERT INTO groups VALUES (?, ?, ?, ?, ?, ?)", group_rows)
    completion_rows = _completion_rows(step, samples)
    db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", completion_rows)
    seal(db, "groups", step)
    seal(db, "samples", step)


def _put_arrays(db: sqlite3.Connection, step: int, arrays: Packed) -> None:
    found = [(step, name, *packed) for name, packed in arrays.items()]
    db.executemany("INSERT INTO arrays VALUES (?, ?, ?, ?, ?)", found)
    seal(db, "arrays", step)


def _group_rows(step: int, samples: Samples) -> list[tuple[Any, ...]]:
    """A row of the table `groups` for each prompt."""
    by_group = zip(
        samples.problem_ids,
        samples.prompts,
        samples.gold_answers,
        samples.dead_N,
        strict=True,
    )
    return [
        (
            step,
            group,
            to_cell(problem, "a problem id"),
            to_cell(prompt, "a prompt"),
            None if gold is None else to_cell(gold, "a gold answer"),
            int(dead),
        )
        for group, (problem, prompt, gold, dead) in enumerate(by_group)
    ]


def _completion_rows(step: int, samples: Samples) -> list[tuple[Any, ...]]:
    """A row of the table `samples` for each completion."""
    # tolist() makes Python numbers of them, which is what SQLite takes.
    by_completion = zip(
        samples.completions,
        samples.rewards_BK.tolist(),
        samples.reward_B.tolist(),
        samples.advantage_B.tolist(),
        samples.baseline_B.tolist(),
        samples.length_B.tolist(),
        samples.truncated_B.tolist(),
        strict=True,
    )
    return [
        (
            step,
            row,
            row // samples.num_generations,
            to_cell(text, "a completion"),
            "[" + ", ".join(map(number_to_json, rewards)) + "]",
            *numbers,
        )
        for row, (text, rewards, *numbers) in enumerate(by_completion)
    ]
