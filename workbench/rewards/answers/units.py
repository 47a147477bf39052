"""Units of measure and what else follows a number, and whether two of them are the same.

Nothing is converted: 5000 m and 5 km are two answers. A unit is compared only where both have one.
"""

from __future__ import annotations

import re

_NAMES = {
    "meter": "m metre",
    "centimeter": "cm centimetre",
    "millimeter": "mm millimetre",
    "kilometer": "km kilometre",
    "foot": "ft feet",
    "inch": "in inche",
    "yard": "yd",
    "mile": "mi",
    "gram": "g gramme",
    "kilogram": "kg kilo",
    "milligram": "mg",
    "pound": "lb £",
    "ounce": "oz",
    "ton": "tonne",
    "liter": "l litre",
    "milliliter": "ml millilitre",
    "gallon": "gal",
    "second": "s sec",
    "minute": "min",
    "hour": "h hr",
    "day": "",
    "week": "wk",
    "month": "mo",
    "year": "yr",
    "degree": "deg",
    "radian": "rad",
    "dollar": "$ usd buck us$",
    "cent": "¢ penny pennie",
    "euro": "€ eur",
    "yen": "¥ jpy",
    "rupee": "₹ inr",
    "percent": "%",
    "newton": "n",
    "joule": "j",
    "watt": "w",
    "volt": "v",
    "kelvin": "k",
    "hertz": "hz",
    "pascal": "pa",
    "mole": "mol",
    "ampere": "amp",
    "calorie": "cal",
    "decibel": "db",
    "celsius": "c",
    "fahrenheit": "f",
    "person": "people",
}
_SAME = {name: name for name in _NAMES}
_SAME |= {other: name for name, others in _NAMES.items() for other in others.split()}
_RATES = {"mph": ("mile", "/", "hour"), "kph": ("kilometer", "/", "hour")}
_POWERS = {"square": "2", "sq": "2", "cubic": "3", "squared": "2", "cubed": "3"}
_TOKEN = re.compile(r"[A-Za-z]+\$?|[$€£¥₹¢%/]|\^ ?\{? ?[23] ?\}?")
_FILLERS = frozenset(
    ("of", "the", "in", "total", "a", "an", "each", "altogether", "all", "left", "only", "more")
)

_MEGA = {"Mm": "megameter", "Mg": "megagram", "Ml": "megaliter", "ML": "megaliter"}
"""Symbols in which the upper case says million and not thousandth."""

_PLURAL = re.compile(
    r"[a-z]+[a-hj-rtv-z]s|[a-z]+sses|people|(?:[a-z]*wo|gentle)?men|children|teeth|geese"
    r"|(?:dor)?mice|fish|sheep|deer|dice|oxen|cattle",
    re.IGNORECASE,
)
_PARTS = re.compile(
    r"(?:hal(?:f|ve)|third|quarter|fourth|fifth|sixth|seventh|eighth|ninth|tenth|twelfth|[a-z]*tieth"
    r"|(?:ten |hundred )?(?:hundred|thousand|million|billion)th)s?",
    re.IGNORECASE,
)

KNOWN = frozenset(_SAME) | frozenset(_RATES)
"""Every word and sign that names a unit of measure here, in lower case and without the plural."""


def unit_of(text: str) -> tuple[str, ...]:
    """The unit in `text` as a tuple of names in one form: "m²" and "square metres" are both
    ("meter", "^2")."""
    names: list[str] = []
    power = ""
    words = _TOKEN.findall(text)
    for i, word in enumerate(words):
        lower = word.lower()
        # "in" at the end is the inch; before another word it is the preposition.
        filler = lower in _FILLERS and not (lower == "in" and i == len(words) - 1 == 0)
        if filler:
            continue
        if lower == "per":
            names.append("/")
        elif lower in ("squared", "cubed"):
            names.append("^" + _POWERS[lower])
        elif lower in _POWERS:
            power = "^" + _POWERS[lower]
        elif word.startswith("^"):
            names.append("^" + word.strip("^{} "))
        else:
            known = (_MEGA.get(word) or _name(lower),)
            names += [*_RATES.get(lower, known), *([power] if power else [])]
            power = ""
    return tuple(names)


def may_count(text: str, *, singular: bool) -> bool:
    """Whether the words of `text`, which follow a number, name what it counts, so that the number
    alone says the same: a unit of measure is among them, or a plural ("72 red clips"), and with
    `singular` any noun; "5 maybe" and "5 tenths" are not 5."""
    words = [word for word in re.findall("[A-Za-z]+", text) if word.lower() not in _FILLERS]
    if any(_PARTS.fullmatch(word) for word in words):
        return False
    named = any(is_measure(word) or _PLURAL.fullmatch(word) for word in words)
    return named or singular or not words


def is_measure(word: str) -> bool:
    """Whether `word` names a unit of measure, and not only what was counted."""
    return word.lower() in KNOWN or _singular(word.lower()) in KNOWN


def agree(given: tuple[str, ...], gold: tuple[str, ...]) -> bool:
    """Whether a given unit does not contradict the gold one: it is the same, one of them is
    missing, or one says more of what is counted ("red clips" for "clips")."""
    if not given or not gold or given == gold:
        return True
    longer, shorter = sorted((set(given), set(gold)), key=len, reverse=True)
    more = longer - shorter
    return shorter < longer and not any(_decides(name) for name in more)


def _decides(name: str) -> bool:
    return name == "/" or name.startswith("^") or name in _NAMES


def _name(word: str) -> str:
    return _SAME.get(word) or _SAME.get(_singular(word)) or _singular(word)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 2 else word
