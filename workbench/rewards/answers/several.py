"""Several values in one answer: lists ("3 and 5"), tuples and intervals ("(1, 2]"), sets, unions.

A list and a set have no order; in a tuple and an interval the order and the brackets count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbench.rewards.answers.spelling import plain

MOST = 32
"""Items that one collection may have; a longer one is not read."""

_OPENING = {"(": ")", "[": "]", "\\{": "\\}"}
_PIECE = re.compile(r"\\[{}]|\\[A-Za-z]+|[()\[\]{},;]|[^\\()\[\]{},;]+|\\.?", re.DOTALL)
_JOINED = re.compile(r",? (?:and|or) | ?(?:\\vee|\\lor|∨)(?![A-Za-z]) ?")
_GROUP = re.compile(r"[0-9]{3}(?![0-9])")
_LETTERS = (
    r"\\?(?:alpha|beta|gamma|delta|(?:var)?epsilon|zeta|eta|(?:var)?theta|iota|kappa|lambda|mu|nu|xi"
    r"|rho|sigma|tau|upsilon|(?:var)?phi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Sigma|Phi|Psi"
    r"|Omega|ell)"
)
_INDEX = r"_(?:[A-Za-z0-9]|\{[A-Za-z0-9]{1,8}\})+"
# Any other word may say something of the value: "not = 5", "half = 5", `\ne = 5`.
_LABEL = re.compile(
    rf"((?:[A-Za-zα-ωΑ-Ω]|{_LETTERS}|[A-Z][A-Z](?<!NO))(?:{_INDEX})?(?: ?\([a-z](?:, ?[a-z])*\))?"
    r"|(?i:answer|ans|result|total)) ?"
    # What is in a set is known only where the set is written out.
    r"(?:=|(?:\\in(?![A-Za-z])|∈)(?= ?[\[({\\])) ?([^=<>]+)"
)


@dataclass(frozen=True)
class Collection:
    """The parts of an answer that holds several values."""

    kind: str
    """list, set or union (no order); else the two brackets, as in "[)"."""

    items: tuple[str, ...]
    """The text of each."""

    @property
    def ordered(self) -> bool:
        return self.kind not in ("list", "set", "union")


def split_label(text: str) -> tuple[str, str]:
    """The variable before one `=` and the rest: ("x", "42") of "x = 42"; ("", text) where there is
    no variable, or more than one `=`."""
    bare = plain(text).rstrip(".")
    if bare.startswith("=") and "=" not in bare[1:]:
        return "", bare[1:].strip()
    match = _LABEL.fullmatch(bare)
    if match is None:
        return "", text
    return match[1].replace(" ", "").strip("\\"), match[2]


def read_collection(text: str) -> Collection | None:
    """The items of `text`, None where it is a single value."""
    bare = plain(text).rstrip(".").strip()
    label, rest = split_label(bare)
    if label and "," not in label:
        bare = rest if _bracketed(rest) or "\\cup" in rest else bare
    parts = _cut(bare.replace("∪", "\\cup "), ("\\cup",))
    if len(parts) > 1:
        return _made("union", parts)
    bracketed = _bracketed(bare)
    if bracketed is not None:
        opening, inside, end = bracketed
        items = _cut(inside, (",", ";"))
        if opening == "\\{":
            return _made("set", items)
        return _made(opening + end, items) if len(items) > 1 else None
    return _list(bare)


def _list(text: str) -> Collection | None:
    text = re.sub(r"^(?:both|either) ", "", text)
    both = re.fullmatch(r"(?:\\pm|±) ?([^,]+)", text)
    if both is not None:
        return Collection("list", (both[1], "-" + both[1]))
    marked = _JOINED.sub(" ; ", text)
    apart = marked != text or ";" in text or ", " in text
    items = _cut(marked, (",", ";"), thousands=apart)
    return _made("list", items) if len(items) > 1 else None


def _made(kind: str, items: list[str]) -> Collection | None:
    # "1,080" is one number: nobody writes 80 as 080.
    if any(re.fullmatch("0[0-9]{2}", item) for item in items[1:]):
        return None
    items = [item.strip() for item in items]
    # 3, 5 and {3, 5} hold the same; so does a list with a comma before its "and".
    return Collection(kind, tuple(items)) if all(items) and len(items) <= MOST else None


def _bracketed(text: str) -> tuple[str, str, str] | None:
    """Opening bracket, inside and closing bracket, where the first bracket of `text` is closed by
    its last."""
    text = text.strip()
    opening = "\\{" if text.startswith("\\{") else text[:1]
    closing = "\\}" if text.endswith("\\}") else text[-1:]
    if opening not in _OPENING or closing not in _OPENING.values() or len(text) < 3:
        return None
    if (opening == "\\{") != (closing == "\\}"):
        return None
    inside = text[len(opening) : -len(closing)]
    return (opening, inside, closing) if _cut(inside, ()) else None


def _cut(text: str, marks: tuple[str, ...], *, thousands: bool = False) -> list[str]:
    """`text` cut at `marks` outside all brackets; empty where brackets do not match. With
    `thousands` a comma before three digits and after a digit is none."""
    items = [""]
    depth = 0
    position = 0
    for piece in _PIECE.findall(text):
        position += len(piece)
        depth += (piece in ("(", "[", "{", "\\{")) - (piece in (")", "]", "}", "\\}"))
        if depth < 0:
            return []
        inside_number = (
            thousands
            and piece == ","
            and items[-1][-1:].isdigit()
            and _GROUP.match(text, position) is not None
        )
        if depth == 0 and piece in marks and not inside_number:
            items.append("")
        else:
            items[-1] += piece
    return items if depth == 0 else []
