"""Questions with choices: the choices put into the question with their letters, the gold as the
letter of the right one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Any

from workbench.tasks.reading.golds import gold_in
from workbench.tasks.types import TaskError

CHOICE_KEYS = ("choices", "options", "endings")
"""Keys that hold a list of choices."""

CHOICE_ANSWER_KEYS = (
    "answerKey",
    "answer_key",
    "answer",
    "label",
    "correct",
    "correct_answer",
    "answer_index",
    "answer_idx",
    "gold",
    "target",
    "cop",
)
"""Keys that say which choice is right, by letter, index or text."""

_COLUMNS = ("op", "opt", "option", "choice", "answer")
"""What a table calls one column for each choice, before its letter or number."""

_MARKS = re.compile(r"[\s_.:()-]+")
"""What stands between that and the letter or number: "Option 1", "choice_a", "Answer (B)"."""

ASKED = "Answer with the letter of the right choice."


@dataclass(frozen=True)
class Choices:
    """The choices of one question, in order."""

    labels: tuple[str, ...]
    texts: tuple[str, ...]

    named: bool
    """Whether the data gave the labels; otherwise they are letters from A on."""

    numbers: bool
    """Whether the data wrote a choice as a number, so that a number may mean a choice's text."""

    first: int = 0
    """The index of the first choice: 1 where the columns themselves are numbered from 1."""

    def put_into(self, question: str) -> str:
        """The question with the choices below it, one a line; as it is where it shows them
        already."""
        if all(self._is_shown(question, i) for i in range(len(self.labels))):
            return question
        lines = [f"{label}. {text}" for label, text in zip(self.labels, self.texts, strict=True)]
        return "\n".join([question, "", *lines, "", ASKED])

    def _is_shown(self, question: str, i: int) -> bool:
        shown = rf"(?<!\w){re.escape(self.labels[i])}\s*[).:\]]\s*{re.escape(self.texts[i])}"
        return re.search(shown, question) is not None

    def letter_of(self, gold: Any) -> str:
        """The label of the choice that `gold` names, as a label, a text or an index from `first`.
        Raises `TaskError` where it names none, or two."""
        places = {place for place in self._places(gold) if place is not None}
        if len(places) == 1:
            return self.labels[places.pop()]
        shown = ", ".join(f"{k}: {t[:30]!r}" for k, t in zip(self.labels, self.texts, strict=True))
        what = "could be more than one" if places else "is none"
        beyond = ""
        if _whole_number(gold) == len(self.labels) + self.first:
            beyond = f" It is the last one where they are counted from {self.first + 1}."
        raise TaskError(
            f"the answer {gold!r:.40} {what} of the choices ({shown:.200}).{beyond} Give its "
            f"letter, its text, or its index counted from {self.first}."
        )

    def index_in(self, gold: Any) -> int | None:
        """The index that `gold` is, counted from `first`; None where it names a choice in another
        way."""
        number = _whole_number(gold)
        if number is None or not 0 <= number - self.first < len(self.labels):
            return None
        names = (self._by_label(str(gold)), self._by_text(str(gold)))
        if isinstance(gold, str) and names != (None, None):
            return None
        return number

    def _places(self, gold: Any) -> list[int | None]:
        if isinstance(gold, bool):
            return [None]
        number = _whole_number(gold)
        by_index = None
        if number is not None and 0 <= number - self.first < len(self.labels):
            by_index = number - self.first
        if not isinstance(gold, str) and number is not None:
            return [by_index, self._by_number(number) if self.numbers else None]
        text = str(gold).strip()
        # A worked solution that ends in its letter, or the letter with the choice's text behind it.
        if "####" in text or "\\boxed" in text or "\\fbox" in text:
            text = gold_in(text).text
        found = [self._by_label(text), self._by_text(text)]
        if not self.named and by_index is not None:
            found.append(by_index)
        if found == [None, None]:
            found = [self._by_label_and_text(text)]
        return found

    def _by_label(self, text: str) -> int | None:
        bare = text.strip("(). ").casefold()
        return next((i for i, x in enumerate(self.labels) if x.casefold() == bare), None)

    def _by_text(self, text: str) -> int | None:
        # A text that stands there twice names neither of them.
        return self.texts.index(text) if self.texts.count(text) == 1 else None

    def _by_number(self, number: int) -> int | None:
        # A table with a gap in its column writes all its whole numbers as 7.0.
        spellings = (self._by_text(str(number)), self._by_text(str(float(number))))
        return next((place for place in spellings if place is not None), None)

    def _by_label_and_text(self, text: str) -> int | None:
        for i, label in enumerate(self.labels):
            behind = _behind_label(text, label)
            if behind is not None and behind == self.texts[i]:
                return i
        return None


def _whole_number(gold: Any) -> int | None:
    """`gold` as an index: a whole number, also as 2.0 and as text of up to two digits."""
    if isinstance(gold, bool):
        return None
    if isinstance(gold, (int, float)) and gold == gold // 1:
        return int(gold)
    is_digits = isinstance(gold, str) and re.fullmatch(r"\s*[0-9]{1,2}(?:\.0)?\s*", gold)
    return int(float(gold)) if is_digits else None


def choices_of(row: Mapping[str, Any], answer: Any) -> Choices | None:
    """The choices that `row` holds, in a list, a table of letters, or a column for each; None where
    it holds none. Raises `TaskError` for choices that cannot be read.

    Columns that are called A, B, C are choices only where `answer` is one of those letters.
    """
    for key in CHOICE_KEYS:
        if row.get(key) not in (None, "", [], {}, ()):
            return _checked(_of_value(row[key], key), key)
    return _of_columns(row, answer)


def _of_value(value: Any, key: str) -> Choices:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = str(value)
    if isinstance(value, Mapping):
        value = _of_mapping(value)
    if not isinstance(value, (list, tuple)):
        raise TaskError(
            f"the choices (key {key!r}) are {value!r:.80}, expected a list. Write them as one, or "
            "give the key another name where it holds no choices."
        )
    if all(isinstance(choice, Mapping) for choice in value):
        pairs = [_of_pair(choice, key) for choice in value]
        return _made([p[1] for p in pairs], [p[0] for p in pairs])
    return _made(list(value), None)


def _of_mapping(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """{"text": [...], "label": [...]} or {"A": ..., "B": ...}, as a list of pairs."""
    texts = value.get("text")
    labels = value.get("label")
    if isinstance(texts, (list, tuple)) and isinstance(labels, (list, tuple)):
        if len(texts) != len(labels):
            raise TaskError(f"{len(texts)} choices have {len(labels)} labels. Give one to each.")
        return [{"label": x, "text": t} for x, t in zip(labels, texts, strict=True)]
    # A table from parquet has every letter as a key, with nothing behind those that a row lacks.
    return [{"label": x, "text": t} for x, t in value.items() if t is not None]


def _of_pair(choice: Mapping[str, Any], key: str) -> tuple[Any, Any]:
    for label, text in (("label", "text"), ("key", "text"), ("key", "value"), ("id", "text")):
        if label in choice and text in choice:
            return choice[label], choice[text]
    raise TaskError(f"a choice (key {key!r}) is {dict(choice)!r:.80}, expected label and text.")


def _made(texts: list[Any], labels: list[Any] | None) -> Choices:
    named = labels is not None
    shown = labels if labels is not None else list(ascii_uppercase[: len(texts)])
    for text in texts:
        if isinstance(text, bool) or not isinstance(text, (str, int, float)):
            raise TaskError(f"a choice is {text!r:.60}, expected text or a number.")
    plain = [str(text).strip() for text in texts]
    # "A) 21" says its letter itself.
    behind = [_behind_label(text, str(label)) for text, label in zip(plain, shown, strict=False)]
    if len(shown) == len(plain) and all(behind):
        plain = [text for text in behind if text]
    numbers = any(not isinstance(text, str) for text in texts)
    return Choices(tuple(str(x).strip() for x in shown), tuple(plain), named, numbers)


def _behind_label(text: str, label: str) -> str | None:
    found = re.match(rf"\(?{re.escape(label)}\s*[).:]\s*", text)
    return None if found is None else text[found.end() :].strip()


def _of_columns(row: Mapping[str, Any], answer: Any) -> Choices | None:
    names = {_MARKS.sub("", name).casefold(): name for name in reversed(list(row))}
    for stem in _COLUMNS:
        choices = _of_lettered(row, names, stem) or _of_numbered(row, names, stem, answer)
        if choices is not None:
            return choices
    letters = [x for x in ascii_uppercase if row.get(x) not in (None, "")]
    contiguous = "".join(letters) == ascii_uppercase[: len(letters)]
    if len(letters) > 1 and contiguous and str(answer).strip() in letters:
        return _checked(_made([row[x] for x in letters], None), letters[0])
    return None


def _of_lettered(row: Mapping[str, Any], names: Mapping[str, str], stem: str) -> Choices | None:
    keys = _run_of(row, names, [f"{stem}{letter}" for letter in ascii_uppercase.lower()])
    if len(keys) < 2:
        return None
    return _checked(_made([row[key] for key in keys], None), keys[0])


def _of_numbered(
    row: Mapping[str, Any], names: Mapping[str, str], stem: str, answer: Any
) -> Choices | None:
    """Columns that are numbered from 1 or from 0: a gold that is a number counts as they do."""
    first = 0 if f"{stem}0" in names else 1
    numbers = range(first, first + len(ascii_uppercase))
    keys = _run_of(row, names, [f"{stem}{number}" for number in numbers])
    if len(keys) < 2:
        return None
    choices = replace(_made([row[key] for key in keys], None), first=first)
    # answer_1 and answer_2 may be two people's answers, where neither is what is asked for.
    if stem == "answer" and not _names_a_choice(choices, answer):
        return None
    return _checked(choices, keys[0])


def _names_a_choice(choices: Choices, answer: Any) -> bool:
    try:
        choices.letter_of(answer)
    except TaskError:
        return False
    return True


def _run_of(row: Mapping[str, Any], names: Mapping[str, str], forms: list[str]) -> list[str]:
    """The columns from the first on; a row with fewer choices leaves the last ones blank."""
    found: list[str] = []
    for form in forms:
        key = names.get(form)
        if key is None or row[key] in (None, ""):
            break
        found.append(key)
    return found


def _checked(choices: Choices, key: str) -> Choices:
    if not 2 <= len(choices.texts) <= len(choices.labels) or not all(choices.texts):
        raise TaskError(
            f"the row has {len(choices.texts)} choices (key {key!r}), one of them blank or more "
            "than letters, or fewer than two. Mend them, or leave the row out."
        )
    if len(set(choices.labels)) < len(choices.labels):
        raise TaskError(
            f"two choices (key {key!r}) have one label: {list(choices.labels)!r:.120}. Rename one."
        )
    return choices
