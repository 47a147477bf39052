"""One row of a data set made into a `Problem`, with what was done to it on the way."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from workbench.tasks.reading.choices import Choices, choices_of
from workbench.tasks.reading.columns import MISSING, REPLY, Keys, value_at
from workbench.tasks.reading.conversation import Conversation, last_reply, messages_in, taken_apart
from workbench.tasks.reading.golds import LETTER, Gold, gold_in
from workbench.tasks.reading.groups import level_of, subject_of
from workbench.tasks.reading.pictures import check_no_tools, check_text_alone
from workbench.tasks.reading.worked import worked_solution
from workbench.tasks.types import RESERVED_COLUMNS, Message, Problem, TaskError


@dataclass(frozen=True)
class ReadRow:
    """A problem, and how it was read from its row."""

    problem: Problem

    found: str
    """How the gold was found, a sentence of `golds.py`."""

    full: str
    """The data's whole answer."""

    system: bool
    """Whether the row has a system message of its own."""

    choices: bool
    """Whether its choices were put into the question."""

    index: int | None
    """The gold, where it is the index of a choice counted from 0."""

    reserved: tuple[str, ...]
    """Columns that were left out because reward functions get their names from elsewhere."""

    unused_reply: bool
    """Whether its conversation ends in an assistant's turn that is not the answer."""


class MissingGoldError(TaskError):
    """A row that has no answer, or one in which no gold is found, which may be left out where that
    was asked for."""


def problem_of_row(row: Mapping[str, Any], keys: Keys) -> ReadRow:
    """The problem in `row`. Raises `MissingGoldError` where it has no answer, `TaskError` for all
    else that is wrong.

    When the answer is a worked solution the gold is its final answer and the whole of it becomes
    the column `solution`. Other keys become columns, save reserved names.
    """
    check_no_tools(row)
    talk = _conversation(row, keys)
    value = talk.reply if keys.answer == REPLY else value_at(row, keys.answer)
    if _is_missing(value):
        raise MissingGoldError(_without_answer(value, keys.answer))
    choices = choices_of(row, value)
    question = talk.question
    index = None
    if choices is None:
        full = _text(value, keys.answer, "answer")
        gold = _gold_in(full)
    else:
        full = str(value)
        plain = _plain(value)
        gold = Gold(_letter_of(choices, plain), LETTER)
        if choices.first == 0:
            index = choices.index_in(plain)
        question = choices.put_into(question)
    check_text_alone(row, "\n".join([question, *(m["content"] for m in talk.before)]))
    problem = Problem(
        question,
        gold.text,
        _kind(row),
        _columns(row, keys, gold, full),
        _before(talk),
        subject=subject_of(row, keys.subject),
        level=level_of(row, keys.level),
        solution=worked_solution(row, keys, gold, full),
    )
    return ReadRow(
        problem,
        gold.found,
        full,
        system=talk.system is not None,
        choices=question != talk.question,
        index=index,
        reserved=_reserved(row, keys),
        unused_reply=talk.reply is not None and keys.answer != REPLY,
    )


def _gold_in(full: str) -> Gold:
    try:
        return gold_in(full)
    except TaskError as error:
        raise MissingGoldError(str(error)) from error


def _letter_of(choices: Choices, gold: Any) -> str:
    try:
        return choices.letter_of(gold)
    except TaskError as error:
        raise MissingGoldError(str(error)) from error


def _is_missing(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_missing(inner) for inner in value)
    if isinstance(value, str):
        return not value.strip()
    return value is None or value is MISSING


def _without_answer(value: Any, key: str) -> str:
    if key == REPLY:
        return "no answer: the conversation ends in the user's turn, and no key holds one"
    if value is MISSING:
        return f"no answer: the key {key!r:.60} is missing"
    what = "blank" if isinstance(value, str) else f"{value!r:.60}"
    return f"the answer (key {key!r:.60}) is {what}"


def _conversation(row: Mapping[str, Any], keys: Keys) -> Conversation:
    """System message, earlier turns and question of `row`, from a message list or from texts."""
    value = value_at(row, keys.question)
    messages = messages_in(value)
    if messages is not None:
        talk = taken_apart(messages)
        question = _text(talk.question, keys.question, "question")
    else:
        talk = Conversation(None, (), "", None)
        question = _text(value, keys.question, "question")
    context = row.get(keys.context) if keys.context is not None else None
    # Some data sets repeat it in the question.
    if context not in (None, "") and str(context) not in question:
        question = f"{_text(context, str(keys.context), 'context')}\n\n{question}"
    about = row.get(keys.about) if keys.about is not None else None
    if about not in (None, ""):
        question = f"{question}\n\n{_text(about, str(keys.about), 'input')}"
    return Conversation(_system(row, keys, talk), talk.before, question, talk.reply)


def _system(row: Mapping[str, Any], keys: Keys, talk: Conversation) -> str | None:
    beside = value_at(row, keys.system) if keys.system is not None else None
    if beside in (None, "", MISSING):
        return talk.system
    text = _text(beside, str(keys.system), "system message")
    if talk.system is not None and talk.system != text:
        raise TaskError(
            f"the row has two system messages: {text!r:.60} (key {keys.system!r}) and "
            f"{talk.system!r:.60} in its message list. Take one of them out."
        )
    return text


def _before(talk: Conversation) -> tuple[Message, ...]:
    if talk.system is None:
        return talk.before
    return ({"role": "system", "content": talk.system}, *talk.before)


def _columns(row: Mapping[str, Any], keys: Keys, gold: Gold, full: str) -> dict[str, Any]:
    left_out = {keys.question, keys.system, keys.about, keys.context}
    columns = {k: v for k, v in row.items() if k not in left_out | RESERVED_COLUMNS}
    # A worked solution that the row has beside its short answer stays as it is.
    if gold.found != LETTER and (gold.text != full or keys.answer == "solution"):
        columns.setdefault("solution", full)
    return columns


def _reserved(row: Mapping[str, Any], keys: Keys) -> tuple[str, ...]:
    """The columns that no reward function will see, those apart that were read as what they are."""
    named = (keys.question, keys.answer, keys.system, keys.about, keys.context)
    used = {key.partition(".")[0] for key in named if key is not None} | {"kind"}
    holding = (key for key in row if row[key] not in (None, "", [], {}))
    return tuple(key for key in holding if key in RESERVED_COLUMNS and key not in used)


def _kind(row: Mapping[str, Any]) -> str:
    kind = row.get("kind") or row.get("type")
    return kind if isinstance(kind, str) else ""


def _plain(value: Any) -> Any:
    """A gold that stands alone in a list, or in the JSON of one, or as the assistant's turn, as
    itself. Raises `TaskError` for several."""
    messages = messages_in(value)
    if messages is not None:
        return last_reply(messages)
    # Skywork's golds are such texts. "[1, 2]" may be an interval.
    if isinstance(value, str) and value.lstrip().startswith('["'):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value
    if isinstance(value, (list, tuple)):
        if len(value) != 1:
            raise TaskError(
                f"the row has {len(value)} golds, {list(value)!r:.80}, and one is expected. Give "
                "one text that holds the whole answer."
            )
        return value[0]
    return value


def _text(value: Any, key: str, what: str) -> str:
    if value is MISSING:
        raise TaskError(f"no {what}: the key {key!r} is missing.")
    is_list = isinstance(value, (list, tuple))
    if what == "answer":
        value = _plain(value)
    is_text = isinstance(value, (str, int, float, Decimal)) and not isinstance(value, bool)
    if isinstance(value, Mapping):
        inner = next(iter(value), "")
        # A list of one was unwrapped, and its number is a part of the path.
        key = f"{key}.0" if is_list else key
        raise TaskError(
            f"the {what} (key {key!r}) is an object with the keys {list(value)!r:.120}. Name one, "
            f"as {key}.{inner:.40}: {what}_key= (on the command line --{what}-key)."
        )
    if not is_text or (isinstance(value, (float, Decimal)) and not math.isfinite(value)):
        option = what.partition(" ")[0]
        other = ""
        if option in ("question", "answer", "system"):
            other = f", or name another key: {option}_key= (on the command line --{option}-key)"
        raise TaskError(
            f"the {what} (key {key!r}) is {value!r:.80}, expected text or a number. Mend the "
            f"row, leave it out{other}."
        )
    text = _spelled(value).strip()
    if not text:
        raise TaskError(f"the {what} (key {key!r}) is blank.")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise TaskError(
            f"the {what} (key {key!r}) holds half a surrogate pair, which no tokenizer takes: "
            f"{text!r:.80}"
        )
    return text


def _spelled(value: Any) -> str:
    """A fraction in the digits that a float surely holds: 0.1 + 0.2 is 0.3, as its writer meant."""
    if isinstance(value, float) and math.isfinite(value) and not value.is_integer():
        return repr(float(f"{value:.15g}"))
    return str(value)
