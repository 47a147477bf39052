"""The equations that a text writes out (`7+8=15`), each right or wrong by exact arithmetic.

Nothing is evaluated: a scanner cuts the text into numbers, signs and words, and a parser of four
rules reckons with fractions. What has a variable, a percent sign or a power in it is no equation
here, and so is `4=4`, which states nothing. Bounds on digits, terms and brackets keep hostile texts
cheap; the time is linear in the text. A rounded quotient (`17/3=5.67`) is wrong, as it is written.

    equation    = sum ("=" sum)+
    sum         = product (("+" | "-") product)*
    product     = factor (("*" | "/") factor)*
    factor      = "-" factor | "+" factor | (number | word | "(" sum ")") power*
    power       = "^" factor | "**" factor | "%" | "!"        (of a value that nobody knows)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_DIGITS = 40
"""Of a number; a longer one is read as a word, whose value nobody knows."""
MAX_TERMS = 64
"""Numbers of one side; with more of them its value counts as unknown."""
MAX_DEPTH = 16
"""Of brackets and signs within each other."""

_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?)"
    r"|(?P<times>\\times|\\cdot|(?:(?<=[0-9)])|(?<=[0-9)] ))[xX](?=[ ]?[0-9(]))"
    r"|(?P<over>\\div)"
    r"|(?P<money>\\?[$€£])"
    r"|(?P<word>\\?[^\W\d_]+|[0-9_])"
    r"|(?P<sign>\*\*|[<>!=]=|<<|>>|.)",
    re.DOTALL,
)
_SIGNS = {"−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/"}
_POWERS = ("^", "**")
_BEHIND = ("%", "!")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Equation:
    """One equality of a text."""

    start: int
    """Its first character."""
    end: int
    """The first character behind it."""
    is_right: bool
    """Whether both sides are the same number."""


@dataclass(frozen=True)
class _Token:
    kind: str
    """number, word, an operator or a bracket by its sign, or "other"."""
    start: int
    end: int
    value: Fraction | None = None
    starts_anew: bool = False
    """A sign with white space before it and none behind: `15 -4+3` is two things side by side."""


@dataclass(frozen=True)
class _Side:
    """A sum that was read."""

    value: Fraction | None
    """None: not known, because of a word or too many terms."""
    terms: int
    """Numbers in it."""
    undefined: bool = False
    """Whether something is divided by 0."""


def equations(text: str) -> list[Equation]:
    """The equations of `text` whose sides are numbers, at least one of them with an operator, in
    their order. `a=b=c` is two."""
    parser = _Parser(_tokens(text))
    found: list[Equation] = []
    while parser.place < len(parser.tokens):
        began = parser.place
        found += parser.equation()
        # What no equation begins with is passed over.
        parser.place = max(parser.place, began + 1)
    return found


def _tokens(text: str) -> list[_Token]:
    tokens = []
    place = 0
    while place < len(text):
        space = _SPACE.match(text, place)
        if space:
            # No equation goes on in the next line, where a dash may open an item of a list.
            if "\n" in space.group():
                tokens.append(_Token("other", *space.span()))
            place = space.end()
            continue
        match = _TOKEN.match(text, place)
        assert match is not None, "the last alternative takes any character"
        token = _token(text, match)
        if token is not None:
            tokens.append(token)
        place = match.end()
    return tokens


def _token(text: str, match: re.Match[str]) -> _Token | None:
    """None for a sign of money, which changes no sum."""
    kind = match.lastgroup
    start, end = match.span()
    written = match.group()
    if kind == "money":
        return None
    if kind == "number":
        digits = written.replace(",", "")
        if len(digits) > MAX_DIGITS:
            return _Token("word", start, end)
        return _Token("number", start, end, Fraction(digits))
    if kind in ("times", "over"):
        return _Token("*" if kind == "times" else "/", start, end)
    if kind == "word":
        return _Token("word", start, end)
    sign = _SIGNS.get(written, written)
    if sign not in ("+", "-", "*", "/", "(", ")", "=", *_POWERS, *_BEHIND):
        return _Token("other", start, end)
    space_before = start > 0 and text[start - 1].isspace()
    space_behind = end >= len(text) or text[end].isspace()
    return _Token(sign, start, end, starts_anew=space_before and not space_behind)


class _Parser:
    """Reads one equation after another."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.place = 0

    def _kind(self) -> str:
        return self.tokens[self.place].kind if self.place < len(self.tokens) else ""

    def _next_is(self, *kinds: str) -> bool:
        return self._kind() in kinds

    def equation(self) -> list[Equation]:
        """The equations of the chain that begins here; none where there is no chain."""
        start = self.place
        left = self._sum(0)
        found: list[Equation] = []
        while left is not None and self._next_is("="):
            self.place += 1
            start_of_right = self.place
            right = self._sum(0)
            if right is None:
                break
            found += self._compared(start, left, right)
            start = start_of_right
            left = right
        return found

    def _compared(self, start: int, left: _Side, right: _Side) -> list[Equation]:
        states_something = left.terms + right.terms > 2
        if not states_something:
            return []
        is_right = False
        if not (left.undefined or right.undefined):
            if left.value is None or right.value is None:
                return []
            is_right = left.value == right.value
        first = self.tokens[start].start
        last = self.tokens[self.place - 1].end
        return [Equation(first, last, is_right)]

    def _sum(self, depth: int) -> _Side | None:
        side = self._product(depth)
        while side is not None and self._next_is("+", "-"):
            if depth == 0 and self.tokens[self.place].starts_anew:
                break
            sign = self._kind()
            self.place += 1
            other = self._product(depth)
            side = None if other is None else _joined(side, sign, other)
        return side

    def _product(self, depth: int) -> _Side | None:
        side = self._factor(depth)
        while side is not None and self._next_is("*", "/"):
            sign = self._kind()
            self.place += 1
            other = self._factor(depth)
            side = None if other is None else _joined(side, sign, other)
        return side

    def _factor(self, depth: int) -> _Side | None:
        if depth > MAX_DEPTH or self.place >= len(self.tokens):
            return None
        token = self.tokens[self.place]
        if token.kind in ("+", "-"):
            self.place += 1
            # A dash with a space behind it opens an item of a list.
            if self.place >= len(self.tokens) or self.tokens[self.place].start != token.end:
                return None
            side = self._factor(depth + 1)
            return None if side is None else _joined(_Side(Fraction(0), 0), token.kind, side)
        return self._with_powers(self._atom(token, depth), depth)

    def _atom(self, token: _Token, depth: int) -> _Side | None:
        if token.kind in ("number", "word"):
            self.place += 1
            return _Side(token.value, 1)
        if token.kind != "(":
            return None
        self.place += 1
        side = self._sum(depth + 1)
        if side is None or not self._next_is(")"):
            return None
        self.place += 1
        return side

    def _with_powers(self, side: _Side | None, depth: int) -> _Side | None:
        """`side` with what makes another number of it, which is not reckoned."""
        while side is not None and self._next_is(*_POWERS, *_BEHIND):
            sign = self._kind()
            self.place += 1
            side = _Side(None, side.terms + 1)
            if sign in _POWERS and self._factor(depth + 1) is None:
                return None
        return side


def _joined(left: _Side, sign: str, right: _Side) -> _Side:
    """What both sides of an operator make."""
    terms = left.terms + right.terms
    undefined = left.undefined or right.undefined
    if left.value is None or right.value is None or undefined or terms > MAX_TERMS:
        return _Side(None, terms, undefined)
    if sign == "/":
        if right.value == 0:
            return _Side(None, terms, undefined=True)
        return _Side(left.value / right.value, terms)
    if sign == "*":
        return _Side(left.value * right.value, terms)
    return _Side(left.value + right.value if sign == "+" else left.value - right.value, terms)
