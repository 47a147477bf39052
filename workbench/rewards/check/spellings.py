"""Spellings of a gold answer that are the same answer, and near ones that are another.

What counts as the same is the table of docs/answers.md: numbers by value, words without regard to
case, nothing that would still have to be computed. A reward may be stricter on purpose; the check
shows by how much.
"""

from __future__ import annotations

from fractions import Fraction

from workbench.rewards.check.scene import Attempt, Scene

_FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")

Spelled = list[tuple[str, str]]
"""Pairs of a note and an answer."""


def equal_spellings(scene: Scene) -> list[Attempt]:
    """The gold answer, spelled differently."""
    found = [("in spaces", f" {scene.gold} "), *_wrapped(scene)]
    if scene.number is not None:
        found += _same_number(scene.number)
    elif scene.kind == "letter":
        letter = scene.gold.strip(" ().")
        found += [("in parentheses", f"({letter})"), ("small", letter.lower())]
    elif scene.kind == "words":
        found += [("capitals", scene.gold.upper())]
        # A name with numbers in it may be a formula in quotes.
        if not any(c.isdigit() for c in scene.gold):
            found += [("quoted", f'"{scene.gold}"')]
    return _attempts(scene, found, expected=True)


def other_spellings(scene: Scene) -> list[Attempt]:
    """Answers that look like the gold one and are not."""
    found = [
        ("beside another", f"{scene.gold} or {scene.wrong[0]}"),
        ("and another", f"{scene.gold}, {scene.wrong[0]}"),
    ]
    if scene.number is not None:
        found += _other_number(scene.number)
    elif scene.kind == "words":
        found += [("backwards", scene.gold[::-1]), ("cut short", scene.gold[:-1])]
        found = [pair for pair in found if pair[1].casefold() != scene.gold.casefold()]
    return _attempts(scene, found, expected=False)


def _attempts(scene: Scene, found: Spelled, *, expected: bool) -> list[Attempt]:
    # A form may be white space and the answer alone: what says nothing is another kind's matter.
    return [Attempt(note, scene.write(text), expected) for note, text in found if text.strip()]


def _wrapped(scene: Scene) -> Spelled:
    gold = scene.gold
    if scene.kind == "text":
        return [("bold", f"**{gold}**")]
    if "$" in gold or "\\" in gold:
        return []
    found = [("in dollars", f"${gold}$"), ("bold", f"**{gold}**")]
    # A formula is no text.
    if scene.number is not None or scene.kind != "value":
        found += [("\\text", f"\\text{{{gold}}}")]
    return found


def _same_number(number: Fraction) -> Spelled:
    found = _same_whole(int(number)) if number.denominator == 1 else _same_fraction(number)
    if number < 0:
        positive = str(-number)
        found += [("true minus sign", f"−{positive}"), ("minus as a word", f"minus {positive}")]
    else:
        found += [("plus sign", f"+{number}")]
    return found


def _same_whole(number: int) -> Spelled:
    found = [
        ("decimal", f"{number}.0"),
        ("full stop", f"{number}."),
        ("full width", str(number).translate(_FULL_WIDTH)),
        ("x =", f"x = {number}"),
    ]
    if number >= 0:
        found += [("leading zero", f"0{number}")]
    if abs(number) >= 1000:
        found += [
            ("thousands", f"{number:,}"),
            ("LaTeX thousands", f"{number:,}".replace(",", "{,}")),
        ]
    return found


def _same_fraction(number: Fraction) -> Spelled:
    top = abs(number.numerator)
    bottom = number.denominator
    sign = "-" if number < 0 else ""
    found = [
        ("fraction", f"{sign}{top}/{bottom}"),
        ("\\frac", f"{sign}\\frac{{{top}}}{{{bottom}}}"),
        ("not reduced", f"{sign}{2 * top}/{2 * bottom}"),
    ]
    decimal = _decimal(number)
    if decimal is not None:
        found += [("decimal", decimal), ("trailing zero", f"{decimal}0")]
    if top > bottom:
        found += [("mixed number", f"{sign}{top // bottom} {top % bottom}/{bottom}")]
    return found


def _decimal(number: Fraction) -> str | None:
    """The finite decimal that is exactly `number`; None where there is none of six places."""
    scaled = number * 10**6
    if scaled.denominator != 1:
        return None
    whole, places = divmod(abs(int(scaled)), 10**6)
    return f"{'-' if number < 0 else ''}{whole}.{places:06d}".rstrip("0")


def _other_number(number: Fraction) -> Spelled:
    found = [
        ("another", str(number + 1)),
        ("times ten and one", str(number * 10 + 1)),
        ("beside itself", f"{number} {number + 1}"),
        ("with a variable", f"{number}x"),
        ("still to be computed", f"{number - 1} + 1"),
        ("only a bound", f"at least {number}"),
    ]
    if number != 0:
        found += [("other sign", str(-number))]
    return found + (_other_whole(int(number)) if number.denominator == 1 else _other_part(number))


def _other_whole(number: int) -> Spelled:
    if abs(number) < 10:
        return []
    return [
        ("last digit dropped", str(number)[:-1]),
        ("decimal point moved", f"{str(number)[:-1]}.{str(number)[-1]}"),
    ]


def _other_part(number: Fraction) -> Spelled:
    found = [("numerator alone", str(number.numerator))]
    if abs(number) != 1:
        found += [("upside down", str(1 / number))]
    if number * 10 % 1 != 0:
        found += [("rounded", f"{float(number):.1f}")]
    return found
