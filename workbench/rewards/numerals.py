"""Numbers as people and models write them, read exactly: no float, no expression, nothing
evaluated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_LENGTH = 256
"""Characters of an answer that are looked at; a longer one is not a number and no final answer
either."""

_REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:text|textbf|mathrm|mbox)\{([^{}]*)\}", r" \1 "),
        (r"\\boxed\{([^{}]*)\}", r"\1"),
        (r"\\[dt]frac", r"\\frac"),
        (r"\\frac\{([0-9]+)\}\{([0-9]+)\}|\\frac ?([0-9])([0-9])", r" \1\3/\2\4"),
        (r" ?(?:\\times|\\cdot|×) ?10\^(?:\{([+-]?[0-9]{1,3})\}|([0-9]))", r"E\1\2"),
        (r"\\%", "%"),
        (r"\^\{?\\circ\}?|\^?°", " degrees"),
        (r"\{,\}|(?<=[0-9])\\,(?=[0-9])", ","),
        (r"\\!", ""),
        (r"\\[()\[\]]|\\[,;: ]|\\\$|[$€£~]|\\left|\\right", " "),
    )
]
_INTEGER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
_DECIMAL = rf"(?:{_INTEGER}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?"
_NO_UNIT = (
    r"(?:(?:hundred|thousand|million|billion|trillion|dozen)s?|half|and|or|not|minus|plus"
    r"|times|over|pi|sqrt)\b"
)
_POWER = r"(?: ?\^\{?[23]\}?|[²³])"
_UNIT = rf"(?!{_NO_UNIT})[A-Za-z]{{2,}}(?:[/-][A-Za-z]+)?{_POWER}?"
_ATTACHED = rf"(?:cm|mm|km|kg|mg|ml|mi|ft|in|lb|lbs|oz|mph|hr|hrs|min|mins|sec){_POWER}?"
_FRACTION = rf"(?:(?P<whole>[0-9]+) )?(?P<top>{_INTEGER}) ?/ ?(?P<bottom>{_INTEGER})"
_NUMERAL = re.compile(
    rf"(?P<sign>[+-]?) ?(?:{_FRACTION}|(?P<decimal>{_DECIMAL}))"
    rf"(?: ?%| {_UNIT}(?: {_UNIT}){{0,2}}|{_ATTACHED})?\.?"
)


@dataclass(frozen=True)
class Numeral:
    """A number and whether it was written as an unfinished division, such as 10/2 for 5."""

    value: Fraction
    unfinished: bool = False


def plain(text: str) -> str:
    """`text` without LaTeX's spacing and text commands, currency signs and needless white space."""
    text = text.replace("−", "-")
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def read_numeral(text: str) -> Numeral | None:
    """The number that `text` is, or None when it is anything else.

    Taken: sign, thousands separators in their places, decimals, exponents, `a/b`, `\\frac{a}{b}`,
    mixed numbers, `$`,
    `%` and up to three words of unit after it ("72 clips", "5 km/h"). A unit, `%` included, is
    dropped, not converted: "5%" is 5. Not taken: anything that would have to be worked out ("3+5",
    "5 million"), a single letter after the number ("5x"), two numbers.
    """
    if len(text) > MAX_LENGTH:
        return None
    match = _NUMERAL.fullmatch(plain(text))
    if match is None:
        return None
    sign = -1 if match["sign"] == "-" else 1
    if match["decimal"]:
        return Numeral(sign * Fraction(_bare(match["decimal"])))
    bottom = int(_bare(match["bottom"]))
    if bottom == 0:
        return None
    value = int(match["whole"] or 0) + Fraction(int(_bare(match["top"])), bottom)
    return Numeral(sign * value, unfinished=value.denominator == 1)


def _bare(digits: str) -> str:
    return digits.replace(",", "")
