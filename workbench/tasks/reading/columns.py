"""Which keys of a row hold what: the ones that were named, or the first known ones that are
there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.tasks.reading.choices import CHOICE_ANSWER_KEYS, choices_of
from workbench.tasks.reading.conversation import messages_in, taken_apart
from workbench.tasks.reading.naming import did_you_mean, names_in, where_it_breaks
from workbench.tasks.types import TaskError

QUESTION_KEYS = ("question", "problem", "prompt", "query", "messages", "conversations", "input")
CONTEXT_KEYS = ("context", "passage", "body", "paragraph", "article", "story")
"""What a question may be about: a text beside it, without which nobody could answer."""

ANSWER_KEYS = (
    "answer",
    "gold",
    "ground_truth",
    "reward_model.ground_truth",
    "final_answer",
    "expected_answer",
    "target",
    "solution",
    "completion",
    "response",
)
GOLD_COLUMNS = ("answer", "solution", "ground_truth", "gold")
"""What holds the gold answer beside another trainer's column `prompt`, the first one there: in its
data set, and in what it logs."""

SYSTEM_KEYS = ("system", "system_prompt")
SUBJECT_KEYS = ("subject", "category", "topic", "domain", "type")
"""What a problem is about: MATH calls it type, MATH-500 subject, MMLU-Pro category."""

LEVEL_KEYS = ("level", "difficulty")
INSTRUCTION = ("instruction", "input", "output")
"""What instruction sets call the question, what it is about, and the answer."""

REPLY = "the assistant's last message"
"""Stands for the answer's key where the answer is the end of the conversation itself."""

MISSING = object()


@dataclass(frozen=True)
class Keys:
    """Which key of a row holds what; a key with dots leads into nested objects."""

    question: str

    answer: str
    """A key, or `REPLY`."""

    system: str | None = None
    """None: a system message comes from a message list alone, or not at all."""

    about: str | None = None
    """An instruction set's `input`: text below the instruction, in those rows that have it."""

    context: str | None = None
    """Text that stands above the question, in those rows that have it."""

    subject: str | None = None
    level: str | None = None
    """What results are grouped by, in those rows that have it."""

    solution: str | None = None
    """A worked solution, where its key was named."""


def value_at(row: Mapping[str, Any], key: str) -> Any:
    """What stands at `key`, or `MISSING`. The whole of it as one key first, then its parts between
    the dots; a number counts into a list."""
    if key in row:
        return row[key]
    value: Any = row
    for part in key.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, (list, tuple)) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value


def find_keys(
    row: Mapping[str, Any],
    question_key: str | None = None,
    answer_key: str | None = None,
    system_key: str | None = None,
    solution_key: str | None = None,
    subject_key: str | None = None,
    level_key: str | None = None,
) -> Keys:
    """The keys of `row`. Raises `TaskError` when one is not there, and says how to name it."""
    instruction = question_key is None and _is_instruction(row)
    known_questions = ("instruction",) if instruction else QUESTION_KEYS
    question = _find(row, "question", question_key, known_questions)
    answer = _find_answer(row, question, answer_key, instruction)
    system = system_key
    if system_key is not None:
        system = _find(row, "system", system_key, ())
    else:
        system = next((k for k in SYSTEM_KEYS if isinstance(row.get(k), str)), None)
    about = "input" if instruction and "input" in row and answer != "input" else None
    context = _context(row, question, answer)
    used = {question, answer, system, about, context}
    subject = _named_or(row, "subject", subject_key, _first_text(row, SUBJECT_KEYS, used))
    known_level = next((key for key in LEVEL_KEYS if key in row and key not in used), None)
    level = _named_or(row, "level", level_key, known_level)
    solution = _named_or(row, "solution", solution_key, None)
    return Keys(question, answer, system, about, context, subject, level, solution)


def _named_or(
    row: Mapping[str, Any], what: str, given: str | None, otherwise: str | None
) -> str | None:
    return otherwise if given is None else _find(row, what, given, ())


def _first_text(
    row: Mapping[str, Any], known: tuple[str, ...], used: set[str | None]
) -> str | None:
    return next((k for k in known if k not in used and isinstance(row.get(k), str)), None)


def _is_instruction(row: Mapping[str, Any]) -> bool:
    others = set(QUESTION_KEYS) - {"input"}
    return "instruction" in row and not any(key in row for key in others)


def _context(row: Mapping[str, Any], question: str, answer: str) -> str | None:
    """The key of the text that the question is about, in whatever capitals."""
    by_small = {name.casefold(): name for name in row if isinstance(row[name], str)}
    found = (by_small[key] for key in CONTEXT_KEYS if key in by_small)
    return next((key for key in found if key not in (question, answer)), None)


def _find_answer(
    row: Mapping[str, Any], question: str, given: str | None, instruction: bool
) -> str:
    known: tuple[str, ...] = ANSWER_KEYS
    if given is None and _has_choices(row):
        known = (*CHOICE_ANSWER_KEYS, *ANSWER_KEYS)
    if instruction:
        known = (*known, "output")
    if given is None and _known(row, known) is None and _ends_in_reply(value_at(row, question)):
        return REPLY
    return _find(row, "answer", given, known)


def _has_choices(row: Mapping[str, Any]) -> bool:
    guess = next((row[key] for key in CHOICE_ANSWER_KEYS if key in row), None)
    return choices_of(row, guess) is not None


def _ends_in_reply(value: Any) -> bool:
    messages = messages_in(value)
    return messages is not None and taken_apart(messages).reply is not None


def _is_talk(row: Mapping[str, Any]) -> bool:
    talks = (row[key] for key in QUESTION_KEYS if key in row)
    return any(messages_in(value) is not None for value in talks)


def _known(row: Mapping[str, Any], known: tuple[str, ...]) -> str | None:
    """The first of the known keys that is there, else the first that differs in its capitals
    alone."""
    for key in known:
        if value_at(row, key) is not MISSING:
            return key
    by_small = {name.casefold(): name for name in reversed(list(row))}
    return next((by_small[key.casefold()] for key in known if key.casefold() in by_small), None)


def _find(row: Mapping[str, Any], what: str, given: str | None, known: tuple[str, ...]) -> str:
    key = given if given is not None else _known(row, known)
    if key is not None and value_at(row, key) is not MISSING:
        return key
    missing = "none of " + ", ".join(map(repr, known)) + " is"
    if given is not None:
        missing = f"{given!r} is not"
    hints = [f"{missing} among its keys {names_in(row)!r:.300}."]
    if what == "answer" and given is None and _is_talk(row):
        hints.append("Its conversation does not end in an assistant's turn either.")
    broken = where_it_breaks(row, given or "")
    if broken:
        hints.append(f"{broken}.")
    wanted = known if given is None else (given,)
    hints.append("" if broken else did_you_mean(row, wanted))
    said = " ".join(filter(None, hints))
    option = f"--{what}-key"
    if what not in ("question", "answer", "system"):
        option = f"--column {what}=KEY"
    raise TaskError(
        f"no {what}: {said} Name the right one with {what}_key= (on the command line "
        f"{option}); dots lead into nested objects and numbers into lists, as in "
        "reward_model.ground_truth or annotations.0.answer."
    )
