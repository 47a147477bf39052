"""Numbers as people and models write them, read exactly: no float, no expression, nothing
evaluated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from workbench.rewards.answers.spelling import plain
from workbench.rewards.answers.units import may_count, unit_of

MAX_LENGTH = 256
"""Characters of an answer that are looked at; a longer one is not a number and no final answer
either."""

_EXPONENT = r"(?:\^|\*\*) ?(?:\{ ?([+-]?[0-9]{1,3}) ?\}|([+-]?[0-9]{1,3}))(?![0-9.,]*[0-9^!])"
_REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rf"(?<=[0-9.]) ?(?:\\times|\\cdot|[×·*x]) ?10 ?{_EXPONENT}", r"E\1\2"),
        (rf"(?<![0-9A-Za-z.,^_)}}\]/*!])10 ?{_EXPONENT}", r"1E\1\2"),
        (r"\\frac ?([0-9]) ?([0-9])(?![0-9])", r"\\frac{\1}{\2}"),
        (r"\\frac ?\{ ?([+-]?[0-9,]+) ?\} ?\{ ?([+-]?[0-9,]+) ?\}", r" \1/\2"),
        (r"^\{ ?([+-]?[0-9,]+) ?\\over ?([+-]?[0-9,]+) ?\}$", r"\1/\2"),
        (r"^(?:minus|negative) ", "-"),
        (r"^([0-9]{1,9}) and ([0-9]{1,9} ?/ ?[0-9]{1,9})", r"\1 \2"),
    )
]
# In turn: 1,234 or 1 234 or 1'234, each with a decimal point; 1.234.567; 1.234,5; 1234.
# The first group never begins with 0: "0,125" is an eighth with a decimal comma, and not 125.
_GROUPED = (
    r"[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?: [0-9]{3})+|(?:'[0-9]{3})+)(?![0-9])"
    r"|[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}(?![0-9.])|[1-9][0-9]{0,2}(?:\.[0-9]{3})+(?=,[0-9])"
)
_INTEGER = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)"
_DECIMAL = (
    rf"(?:(?:{_GROUPED})(?:[.,][0-9]+|\.)?|[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?"
)
_NO_UNIT = (
    # how many of it
    r"(?:(?:hundred|thousand|million|billion|trillion|dozen|score|gross|lakh|crore|myriad|googol)s?"
    r"|half|bn|mn|mln|mio|mil|tn"
    # what is done to it, or where it is read
    r"|minus|plus|times|over|pi|sqrt|modulo|mod|factorial|doubled|tripled|quadrupled|halved|negative"
    r"|negated|inverted|reciprocal|base|radix|binary|octal|hex|hexadecimal|decimal"
    # how far it holds
    r"|below|above|under|beyond|upwards?|downwards?|minimum|maximum|max|approx|approximately"
    r"|roughly|about|around|nearly|almost|maybe|perhaps|possibly|probably|always|ish"
    # what a sentence goes on with
    r"|and|or|not|no|none|never|nor|if|but|to|is|isn|was|fails?|wrong|incorrect|false|untrue|does|do)"
    r"\b"
)
_POWERED = r"(?:squared|cubed)\b"
_POWER = r"(?: ?\^ ?\{? ?[23] ?\}?)"
_UNIT = rf"(?!{_NO_UNIT})[A-Za-z]{{2,}}(?:[/-][A-Za-z]+)?{_POWER}?"
_LETTER = rf"[mgshlLNJWVKCF](?:/[A-Za-z]+)?(?![A-Za-z]){_POWER}?"
_ATTACHED = (
    rf"(?:cm|mm|km|kg|mg|ml|mi|ft|in|lb|lbs|oz|mph|hr|hrs|min|mins|sec)(?![A-Za-z]){_POWER}?"
)
_MONEY = r"(?:US)?\$|[€£¥₹]"
_SIGNED = r"[+-]?"
_FRACTION = (
    rf"(?:(?P<whole>[0-9]+) )?(?P<top>{_SIGNED}{_INTEGER}) ?/ ?(?P<bottom>{_SIGNED}{_INTEGER})"
)
_NUMERAL = re.compile(
    rf"(?P<sign>[+-]?) ?(?P<money>{_MONEY})? ?(?P<sign2>[+-]?) ?"
    rf"(?:{_FRACTION}|(?P<decimal>{_DECIMAL}))"
    rf"(?P<unit> ?%| ?(?:{_MONEY}|¢)"
    rf"| (?!{_POWERED})(?:{_UNIT}|{_LETTER})(?: {_UNIT}){{0,2}}|{_ATTACHED})?\.?"
)


@dataclass(frozen=True)
class Numeral:
    """A number as it was written."""

    value: Fraction
    """The number, exactly."""

    unfinished: bool = False
    """Whether it was written as an unfinished division, such as 10/2 for 5."""

    unit: tuple[str, ...] = ()
    """The unit or currency that stood with it, in `units.unit_of`'s form."""

    counts: bool = True
    """Whether the words after it are known to name only what it counts."""


def read_numeral(text: str) -> Numeral | None:
    """The number that `text` is, or None when it is anything else.

    Taken: sign, thousands separators in their places, decimals, exponents of ten, `a/b`,
    `\\frac{a}{b}`, mixed numbers, a currency sign, `%` and up to three words of unit after it ("72
    clips", "5 km/h"). A unit, `%` included, is kept beside the number, not converted: "5%" is 5.
    Not taken: anything that would have to be worked out ("3+5", "5 million"), a letter that may be
    a variable ("5x"), two numbers. The whole table stands in docs/answers.md.
    """
    if len(text) > MAX_LENGTH:
        return None
    text = _ready(text)
    if len(text) > MAX_LENGTH:
        return None
    match = _NUMERAL.fullmatch(text)
    if match is None or (match["sign"] and match["sign2"]):
        return None
    value = _value(match)
    if value is None:
        return None
    sign = -1 if "-" in (match["sign"], match["sign2"]) else 1
    finished = bool(match["decimal"]) or value.denominator != 1
    words = match["unit"] or ""
    return Numeral(
        sign * value,
        unfinished=not finished,
        unit=unit_of(f"{match['money'] or ''} {words}"),
        counts=may_count(words, singular=abs(value) <= 1),
    )


def may_be_list(text: str) -> bool:
    """Whether `text`, a number with thousands separators, could as well be a list of numbers:
    `100,200`, but not `1,080`, `$100,200` or `1,234.50`.

    Nothing tells the two apart where every group has three digits, none begins with 0, and neither
    sign, unit nor decimals say that it is one number.
    """
    return re.fullmatch(r"[1-9][0-9]{2}(?:,[1-9][0-9]{2})+", plain(text)) is not None


def _ready(text: str) -> str:
    text = plain(text)
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def _value(match: re.Match[str]) -> Fraction | None:
    if match["decimal"]:
        return Fraction(_bare(match["decimal"]))
    bottom = int(_bare(match["bottom"]))
    whole = match["whole"]
    # A mixed number's fraction has no sign of its own and is smaller than 1.
    signed = match["top"][0] in "+-" or match["bottom"][0] in "+-"
    if bottom == 0 or (whole and signed):
        return None
    part = Fraction(int(_bare(match["top"])), bottom)
    if whole and part >= 1:
        return None
    return int(whole or 0) + part


def _bare(digits: str) -> str:
    """`digits` as Python reads them: without thousands separators, with a decimal point."""
    continental = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{3})+),([0-9]+)(.*)", digits)
    if continental is not None:
        return continental[1].replace(".", "") + "." + continental[2] + continental[3]
    if digits.count(".") > 1:
        digits = digits.replace(".", "")
    return re.sub("[, ']", "", digits)
