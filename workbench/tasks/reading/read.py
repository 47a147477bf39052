"""Rows made into problems, each question once, with a note of everything that was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workbench.tasks.reading.columns import Keys, find_keys
from workbench.tasks.reading.golds import is_sentence, may_have_decimal_commas
from workbench.tasks.reading.report import PLACES, Dropped, Example, Reading
from workbench.tasks.reading.rows import MissingGoldError, ReadRow, problem_of_row
from workbench.tasks.sources.kinds import Source
from workbench.tasks.types import Problem, TaskError

FEW_INDICES = 3
"""Fewer golds say nothing about where their indices begin."""


def read_problems(source: Source, reading: Reading) -> list[Problem]:
    """The problems of one source, each question once; what was done goes into `reading`. Raises
    `TaskError` naming the row."""
    keys: Keys | None = None
    kept: dict[str, tuple[int, Problem]] = {}
    repeated: list[int] = []
    contradicted: dict[str, list[tuple[int, str]]] = {}
    totals = {"choices": 0, "unused_reply": 0}
    indices: Counter[int] = Counter()
    missing: dict[int, str] = {}
    reserved: Counter[str] = Counter()
    for number, row in source.rows:
        try:
            keys, read = _read_row(source, number, row, keys, reading)
        except MissingGoldError as error:
            missing[number] = f"{str(error).rstrip('.')}. The {source.unit} holds: {_shown(row)}"
            continue
        problem = read.problem
        first, same = kept.setdefault(problem.asked, (number, problem))
        if same.answer != problem.answer:
            places = contradicted.setdefault(problem.asked, [(first, same.answer)])
            places.append((number, problem.answer))
        elif same is not problem:
            repeated.append(number)
        for what in totals:
            totals[what] += getattr(read, what)
        if read.index is not None:
            indices[read.index] += 1
        reserved.update(read.reserved)
        _note_example(source, number, read, reading)
    _drop_or_refuse(source, missing, reading)
    reading.rows += (
        len(missing) + len(kept) + len(repeated) + sum(len(x) - 1 for x in contradicted.values())
    )
    for asked in contradicted:
        del kept[asked]
    _note_dropped(source, repeated, contradicted, reading)
    _note_done(totals, keys, reading)
    _note_reserved(reserved, reading)
    _note_indices(indices, reading)
    _note_golds([problem.answer for _, problem in kept.values()], reading)
    if not kept or keys is None:
        raise TaskError(
            f"{source.label}: no problems in it; the file is empty, or no row can be used. "
            "Expected a question and an answer in each row."
        )
    reading.sources.append(f"{source.label} ({_named(keys)})")
    return [problem for _, problem in kept.values()]


def _read_row(
    source: Source, number: int, row: Mapping[str, Any], keys: Keys | None, reading: Reading
) -> tuple[Keys, ReadRow]:
    try:
        if keys is None:
            asked = {k: v for k, v in reading.asked.items() if k.endswith("_key")}
            keys = find_keys(row, **asked)
        read = problem_of_row(row, keys)
        place = f"{source.label}, {source.place(number)}"
        return keys, replace(read, problem=replace(read.problem, place=place))
    except MissingGoldError:
        raise
    except TaskError as error:
        raise TaskError(
            f"{source.label}, {source.place(number)}: {str(error).rstrip('.')}. The "
            f"{source.unit} holds: {_shown(row)}"
        ) from error


def _shown(row: Mapping[str, Any]) -> str:
    return f"{dict(row)!r:.120}"


def _named(keys: Keys) -> str:
    names = {"question": keys.question, "answer": keys.answer, "system": keys.system}
    names["above the question"] = keys.context
    names["below the question"] = keys.about
    return ", ".join(f"{what}: {key!r:.60}" for what, key in names.items() if key is not None)


def _drop_or_refuse(source: Source, missing: Mapping[int, str], reading: Reading) -> None:
    """Rows without a gold: noted where they are to be left out, else a `TaskError` for all."""
    if not missing:
        return
    places = tuple(source.place(number) for number in list(missing)[:PLACES])
    dropped = Dropped("row(s) without a gold left out", len(missing), places)
    if reading.skip_missing:
        reading.dropped.append(dropped)
        return
    more = ", …" if len(missing) > len(places) else ""
    raise TaskError(
        f"{source.label}, {places[0]}: {next(iter(missing.values()))}. {len(missing)} row(s) have "
        f"no gold: {', '.join(places)}{more}. Fill them in, or leave them out with "
        "--skip-unreadable (in Python unreadable_golds='skip')."
    )


def _note_example(source: Source, number: int, read: ReadRow, reading: Reading) -> None:
    problem = read.problem
    place = source.place(number)
    reading.take_example(Example(place, problem.question, read.full, problem.answer, read.found))


def _note_dropped(
    source: Source,
    repeated: list[int],
    contradicted: dict[str, list[tuple[int, str]]],
    reading: Reading,
) -> None:
    if repeated:
        places = tuple(source.place(number) for number in repeated[:PLACES])
        reading.dropped.append(Dropped("repeated question(s) left out", len(repeated), places))
    if contradicted:
        places = tuple(
            " and ".join(f"{source.place(n)} (gold {gold!r:.40})" for n, gold in golds[:3])
            for golds in list(contradicted.values())[:PLACES]
        )
        why = "question(s) left out because they have different golds"
        reading.dropped.append(Dropped(why, len(contradicted), places))


def _note_done(totals: Mapping[str, int], keys: Keys | None, reading: Reading) -> None:
    if keys is not None and keys.context is not None:
        note = (
            f"the text in {keys.context!r:.60} is put above the question of its row. Where it does "
            "not belong there, rename the key."
        )
        # The held-out split says the same.
        if note not in reading.notes:
            reading.notes.append(note)
    if totals["choices"]:
        reading.notes.append(
            f"the choices of {totals['choices']} row(s) are put below their question with letters, "
            "and the gold is the letter."
        )
    if totals["unused_reply"]:
        reading.notes.append(
            f"in {totals['unused_reply']} row(s) the assistant's last message is left out: the "
            "answer is read from its own key."
        )


def _note_indices(indices: Counter[int], reading: Reading) -> None:
    """Golds counted from 1 would each name the choice behind the right one. That no gold is the
    first choice is the one sign of it, where none is beyond the last either."""
    if indices.total() < FEW_INDICES or 0 in indices:
        return
    reading.notes.append(
        f"the golds of {indices.total()} row(s) are indices of choices from {min(indices)} to "
        f"{max(indices)}, counted from 0, and none is 0. If the data counts from 1 each gold is "
        "wrong by one: compare the examples, and write letters or texts in place of the indices."
    )


def _note_golds(golds: list[str], reading: Reading) -> None:
    """Golds that are probably not compared as their writer meant them."""
    commas = may_have_decimal_commas(golds)
    if commas:
        reading.notes.append(
            f"{len(commas)} gold(s) such as {commas[0]!r:.40} are compared as several values: a "
            "comma is no decimal sign here. Where it is meant as one write 3.5 for 3,5."
        )
    sentences = [gold for gold in golds if is_sentence(gold)]
    if sentences:
        reading.notes.append(
            f"{len(sentences)} gold(s) are sentences, for example {sentences[0]!r:.80}: only the "
            "whole sentence would score. Name the key of the short answer, or mark it in the text "
            "with '#### x' or '\\boxed{x}'."
        )


def _note_reserved(reserved: Counter[str], reading: Reading) -> None:
    for name, count in sorted(reserved.items()):
        reading.notes.append(
            f"the column {name!r:.60} of {count} row(s) is left out: reward functions get "
            "something else by that name. Rename it where they are to have it."
        )
