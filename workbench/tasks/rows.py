"""One row of a data set of problems (a JSON object) made into a `Problem`: which keys, and which
part is the gold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.tasks.format import boxed_answer
from workbench.tasks.types import RESERVED_COLUMNS, Problem, TaskError

QUESTION_KEYS = ("question", "problem", "prompt")
ANSWER_KEYS = ("answer", "gold", "target", "solution")
MAX_GOLD_LENGTH = 200
"""Characters; a longer text without a mark for the final answer is a worked solution, not a gold
answer."""

_GROUPED = re.compile(r"([+-]?\$?)([0-9]{1,3}(?:,[0-9]{3})+)(\.[0-9]+)?")


@dataclass(frozen=True)
class Keys:
    """Which key of a row holds the question and which one the answer."""

    question: str
    answer: str


def find_keys(
    row: Mapping[str, Any], question_key: str | None = None, answer_key: str | None = None
) -> Keys:
    """The keys of `row`, the given ones or the first known ones. Raises `TaskError` when one is not
    there."""
    return Keys(
        _find_key(row, "question", question_key, QUESTION_KEYS),
        _find_key(row, "answer", answer_key, ANSWER_KEYS),
    )


def problem_of_row(row: Mapping[str, Any], keys: Keys) -> Problem:
    """The problem in `row`. Raises `TaskError` saying what is missing.

    When the answer is a worked solution (GSM8K's ends in `#### 72`, MATH's holds `\\boxed{72}`) the
    gold is its final answer and the whole of it becomes the column `solution`. Other keys become
    columns, save reserved names.
    """
    question = _text(row, keys.question, "question")
    full = _text(row, keys.answer, "answer")
    gold = gold_answer(full)
    columns = {k: v for k, v in row.items() if k != keys.question and k not in RESERVED_COLUMNS}
    if gold != full or keys.answer == "solution":
        columns["solution"] = full
    kind = row.get("kind") or row.get("type")
    return Problem(question, gold, kind if isinstance(kind, str) else "", columns)


def gold_answer(text: str) -> str:
    """The final answer in `text`: after the last `####`, else in the last `\\boxed{}`, else all of
    a short text.

    Thousands separators of a plain number are dropped ("1,080" becomes "1080"). Raises `TaskError`.
    """
    marked = "####" in text or "\\boxed{" in text
    if not marked and (len(text) > MAX_GOLD_LENGTH or "\n" in text):
        raise TaskError(
            "the answer is a long text without a final answer: neither '#### x' nor '\\boxed{x}' "
            "is in it. Add one, or name the key of the short answer with answer_key=."
        )
    final = text
    if "####" in text:
        final = text.rpartition("####")[2].strip()
    elif marked:
        final = (boxed_answer(text) or "").strip()
    if not final:
        raise TaskError("the gold answer after '####' or in '\\boxed{}' is blank or not closed.")
    return final.replace(",", "") if _GROUPED.fullmatch(final) else final


def _find_key(row: Mapping[str, Any], what: str, given: str | None, known: tuple[str, ...]) -> str:
    key = given if given is not None else next((k for k in known if k in row), None)
    if key is None or key not in row:
        wanted = repr(given) if given is not None else "none of " + ", ".join(map(repr, known))
        raise TaskError(
            f"no {what}: {wanted} {'is not' if given is not None else 'is'} among its keys "
            f"{sorted(row)!r:.300}. Name the right one with {what}_key=."
        )
    return key


def _text(row: Mapping[str, Any], key: str, what: str) -> str:
    if key not in row:
        raise TaskError(
            f"no {what}: the key {key!r} is missing; its keys are {sorted(row)!r:.300}."
        )
    value = row[key]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TaskError(f"the {what} (key {key!r}) is {value!r:.80}, expected text or a number.")
    text = str(value).strip()
    if not text:
        raise TaskError(f"the {what} (key {key!r}) is blank.")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise TaskError(
            f"the {what} (key {key!r}) holds half a surrogate pair, which no tokenizer takes: "
            f"{text!r:.80}"
        )
    return text
