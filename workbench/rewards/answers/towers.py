"""Powers, exponentials and factorials piled on one another, seen without working any of them out:
what is written so costs more than any limit, or cannot be compared at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from workbench.rewards.answers.spelling import closing

_HUGE = re.compile(
    r"\^ ?\{? ?\(?[0-9]+ ?\)? ?\^"  # a power of a power: 9^{9^9}
    r"|\^ ?\{? ?[0-9]{6}"
    r"|(?:[0-9]{5}|[)}\]!]) ?!"
    r"|binom ?\{[^{}]{0,40}(?:\^|[0-9]{5})"
    r"|[0-9.] ?[eE] ?[+-]? ?[0-9]{4}"  # 1e-999999999, which is worked out digit by digit
)
_NUISANCE = re.compile(r"\\(?:left|right|mathrm|text|operatorname|,|;|!)(?![a-z])")
_TOKEN = re.compile(r"\\?[A-Za-z]+|[0-9.]+|\*\*|\S")
_FUNCTION = re.compile(r"\\?(?:exp|(?:arc)?(?:sin|cos|tan)h?|cot|sec|csc|gamma)", re.IGNORECASE)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_BUILT = 3
"""Storeys from which a tower is one; two are common, as in e^{x^2}."""


def piles_up(given: str, gold: str) -> bool:
    """Whether `given` piles up powers, exponentials or factorials as `gold` does not."""
    if _is_huge(given) and not _is_huge(gold):
        return True
    return _storeys(given) >= max(_BUILT, _storeys(gold) + 1)


def _is_huge(text: str) -> bool:
    return bool(_HUGE.search(text)) or any(_is_large(inside) for inside in _exponents(text))


def _is_large(exponent: str) -> bool:
    """Whether an exponent of numbers alone has to be worked out to something large."""
    numbers = _COMMAND.sub(" ", exponent)
    if re.search("[A-Za-z]", numbers):
        return False
    product = re.search(r"[*×·]|\\cdot|\\times|\) ?\(", exponent)
    digits = sum(character.isdigit() for character in numbers)
    return "^" in numbers or "!" in numbers or (product is not None and digits >= 6)


def _exponents(text: str) -> Iterator[str]:
    """What stands in the braces after each `^` of `text`."""
    for match in re.finditer(r"(?:\^|\*\*) ?(?=\{)", text):
        end = closing(text, match.end())
        yield text[match.end() + 1 : end]


def _storeys(text: str) -> int:
    """How many exponents, exponentials and circular functions stand in one another."""
    tokens = _TOKEN.findall(_NUISANCE.sub(" ", text))
    outside: list[tuple[int, int]] = []
    level = 0
    # Exponents that have begun and not been closed by an operand: 9^9^9 is one in another.
    begun = 0
    highest = 0
    for token, following in pairwise([*tokens, ""]):
        if token in ("^", "**") or _FUNCTION.fullmatch(token):
            begun += 1
            highest = max(highest, level + begun)
            continue
        if token in ("(", "[", "{"):
            outside.append((level, begun))
            level += begun
            begun = 0
            continue
        if token in (")", "]", "}") and outside:
            level, begun = outside.pop()
        is_sign = token in ("+", "-") and begun > 0
        if following not in ("^", "**") and not is_sign:
            begun = 0
    return highest
