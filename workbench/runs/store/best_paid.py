"""The best-paid distinct answers of a run: where a reward is hacked, the hack stands among them.

SQLite ranks the texts in one pass over the table of completions, without a look at anything else:
half a second for 5,000 steps of 64. What is then given of an answer comes from the checked reading
of the step that it came in; how often it came is counted as it stands.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import numpy as np

from workbench.runs.store.checked import Row
from workbench.runs.store.files import DamagedError, RunRecordError
from workbench.runs.store.queries import Columns, Marked, column, meta, samples

TIES: dict[str, str] = {
    "most often": "times DESC, size",
    "shortest": "size, times DESC",
    "longest": "size DESC, times DESC",
    "newest": "latest DESC, times DESC",
}
"""What comes first of equally paid answers -> how SQLite says it."""

MAX_DAMAGED = 64
"""Damaged steps that are passed over; a record with more of them has no ranking."""

COUNTED = ("times", "problems", "golds", "mean_pay")
"""Of each answer: how often it came, to how many problems, how many different gold answers it was
paid best for, and what it was paid on average."""

Counted = tuple[Any, Any, dict[str, float]]
"""Step and row of an answer, and `COUNTED`."""

_RANKING = """
    SELECT text, max(pay), count(*) AS times, length(text) AS size, max(step) AS latest
    FROM (SELECT step, CAST(completion AS BLOB) AS text, {pay} AS pay FROM samples
          WHERE step <= ? AND step NOT IN (SELECT value FROM json_each(?)))
    WHERE typeof(pay) IN ('real', 'integer')
    GROUP BY text ORDER BY max(pay) DESC, {ties}, text LIMIT ?"""
"""As bytes: a cell that is no UTF-8 is compared like any other, and found damaged when it is
read."""

_PLACES = """
    SELECT CAST(s.completion AS BLOB), s.step, s.row, {pay}, g.problem_id, g.gold_answer
    FROM samples s LEFT JOIN groups g ON g.step = s.step AND g.group_index = s.group_index
    WHERE s.step <= ? AND s.step NOT IN (SELECT value FROM json_each(?))
    AND CAST(s.completion AS BLOB) IN ({texts}) ORDER BY s.step, s.row"""


def best_paid(db: sqlite3.Connection, step: int, count: int, by: str | None, ties: str) -> Marked:
    """The `count` best-paid distinct completions of the steps up to `step`, the best first: of each
    the first time that it was paid so much, as `samples` gives it, and `COUNTED`.

    `by` is a reward function's name, None the total. Raises `RunRecordError` for a name that is
    not there, `DamagedError` where too many steps cannot be read.
    """
    if ties not in TIES:
        raise RunRecordError(f"order {ties!r} is unknown. Choose one of {', '.join(TIES)}.")
    pay = _pay(meta(db).reward_names, by)
    damaged: dict[int, str] = {}
    while len(damaged) <= MAX_DAMAGED:
        which = (int(step), json.dumps(list(damaged)))
        ranking = db.execute(_RANKING.format(pay=pay, ties=TIES[ties]), (*which, int(count)))
        texts = [row[0] for row in ranking]
        parts, wrong = _read(db, _counted(db, texts, pay, which))
        if not wrong:
            return _joined(db, parts), damaged
        # Once more without them, so that the next in rank come up.
        damaged |= wrong
    raise DamagedError(
        f"has more than {MAX_DAMAGED} damaged steps among the best-paid answers. Go back to a copy "
        "of it."
    )


def _pay(names: list[str], by: str | None) -> str:
    """The SQL of what ranks."""
    if by is None:
        return "reward"
    if by not in names:
        raise RunRecordError(
            f"reward function {by!r} is not in the record, which has {', '.join(names)}."
        )
    place = names.index(by)
    # A cell that is no JSON would end the whole query.
    return f"CASE WHEN json_valid(rewards) THEN json_extract(rewards, '$[{place}]') END"


def _counted(
    db: sqlite3.Connection, texts: list[bytes], pay: str, which: tuple[int, str]
) -> list[Counted]:
    """Where each text was first paid best, and what is counted of it, in their order."""
    query = _PLACES.format(pay=pay, texts=", ".join("?" * len(texts)))
    places: dict[bytes, list[Row]] = {text: [] for text in texts}
    for text, *place in db.execute(query, (*which, *texts)):
        places[text].append(tuple(place))
    return [_count(found) for found in places.values()]


def _count(places: list[Row]) -> Counted:
    paid = [row for row in places if type(row[2]) in (float, int)]
    best = max(paid, key=lambda row: float(row[2]))
    counted = {
        "times": len(places),
        "problems": len({row[3] for row in places}),
        "golds": len({row[4] for row in paid if row[2] == best[2]}),
        "mean_pay": float(np.mean([row[2] for row in paid])),
    }
    return best[0], best[1], counted


def _read(db: sqlite3.Connection, found: list[Counted]) -> tuple[list[Columns], dict[int, str]]:
    """The checked rows of these answers, and which of their steps are damaged."""
    parts: dict[int, Columns] = {}
    wrong = {}
    # A step is read and checked once, however many of its answers are among them, and only one is
    # in memory.
    for step in dict.fromkeys(step for step, _, _ in found):
        try:
            whole = samples(db, step)
        except DamagedError as error:
            wrong[step] = str(error)
            continue
        for rank, (its_step, row, counted) in enumerate(found):
            if its_step == step:
                mine = {name: values[whole["row"] == row] for name, values in whole.items()}
                parts[rank] = mine | {name: np.array([value]) for name, value in counted.items()}
    return [parts[rank] for rank in sorted(parts)], wrong


def _joined(db: sqlite3.Connection, parts: list[Columns]) -> Columns:
    empty = samples(db, -1) | {name: column(name, []) for name in COUNTED}
    return {name: np.concatenate([part[name] for part in parts or [empty]]) for name in empty}
