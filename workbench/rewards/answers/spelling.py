"""The many ways to write one thing, made one: Unicode's look-alikes, Markdown's emphasis, LaTeX's
spacing, text and box commands.

Every pattern takes time linear in the text: what a policy writes is hostile.
"""

from __future__ import annotations

import re
import unicodedata

_THOUSANDS_SPACE = re.compile(r"(?<=[0-9])[\u00a0\u2007\u2009\u202f](?=[0-9]{3}(?![0-9]))")
_VULGAR = re.compile("(?<=[0-9])(?=[\u00bc-\u00be\u2150-\u215e])")
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
_SUPERSCRIPT = re.compile(f"[{_SUPERSCRIPTS}]+")
_SUBSCRIPT = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_LOOK_ALIKE = str.maketrans(
    {
        **dict.fromkeys("−–—‐‑‒―﹣", "-"),
        **dict.fromkeys("⁄∕", "/"),
        **dict.fromkeys("“”„«»", '"'),
        **dict.fromkeys("‘’′", "'"),
        # What only adorns an answer; a cross denies it.
        **dict.fromkeys("✓✔✅☑🎉🎊\ufe0f", " "),
        **dict.fromkeys(map(chr, range(0x1F600, 0x1F650)), " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", None),
    }
)
_EMPHASIS = tuple(
    re.compile(rf"({marks}{{1,3}})(?!\s)([^{marks}]+)(?<!\s)\1([.,;:!]?)")
    for marks in (r"\*", "_", "`")
)
_TEXT_COMMANDS = "text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|mbox|operatorname"
_REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rf"\\(?:{_TEXT_COMMANDS})\{{([^{{}}]*)\}}", r" \1 "),
        (r"\\(?:displaystyle|textstyle|limits|bf|rm)(?![A-Za-z])", " "),
        (r"\\[dtc]frac", r"\\frac"),
        (r"\\left(?![a-z])|\\right(?![a-z])", ""),
        (r"\\%", "%"),
        (r"\^ ?\{ ?\\circ ?\}|\^ ?\\circ|\^?°", " degrees"),
        (r"\{,\}|(?<=[0-9])\\[,;:](?=[0-9]{3}(?![0-9]))", ","),
        (r"\\!", ""),
        (r"\\\$", "$"),
        (r"\\[()\[\]]|\\[,;: ]|(?<=\S)~|\\q?quad(?![A-Za-z])", " "),
        (r"\$\$", "$"),
    )
]
_DOLLARS = re.compile(r"\$(?=\S)([^$]*)(?<=\S)\$(?![0-9A-Za-z])")
_BOX = re.compile(r"\\(?:boxed|fbox) ?")


def unified(text: str) -> str:
    """`text` in Unicode's compatibility form, with one kind of dash, quote and fraction stroke;
    raised and lowered digits become `^{2}` and `_1`."""
    text = _THOUSANDS_SPACE.sub(",", text)
    text = _VULGAR.sub(" ", text)
    text = _SUPERSCRIPT.sub(_raised, text)
    text = _SUBSCRIPT.sub(_lowered, text)
    return unicodedata.normalize("NFKC", text.translate(_LOOK_ALIKE)).translate(_LOOK_ALIKE)


def plain(text: str) -> str:
    """`text` as `unified`, and without emphasis, boxes, mathematics delimiters, LaTeX's spacing and
    text commands, and needless white space."""
    text = without_emphasis(unified(text).strip())
    text = without_box(text)
    text = re.sub(r"\\(?:text|math)(?:bf|it|rm)?\{\$([^${}]*)\$\}", r"\1", text)
    # The order matters: what stands in \text is bared before what is around it is read.
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = _DOLLARS.sub(r" \1 ", text)
    # The marks may stand inside the mathematics, and the box inside the marks.
    return " ".join(without_box(without_emphasis(text.strip())).split())


def without_emphasis(text: str) -> str:
    """`text` without the Markdown marks around all of it; marks around a part of it stay."""
    for pattern in _EMPHASIS:
        match = pattern.fullmatch(text)
        if match is not None:
            text = match[2] + match[3]
    return text


def without_box(text: str) -> str:
    """What the LaTeX box around all of `text` holds; `text` itself where there is none."""
    bare = text.strip().strip("$").strip()
    match = _BOX.match(bare)
    if match is None:
        return text
    rest = bare[match.end() :]
    if not rest.startswith("{"):
        # LaTeX's own rule: without braces a box holds the next character.
        return rest if len(rest.rstrip(".")) == 1 else text
    end = closing(rest, 0)
    return rest[1:end] if end is not None and not rest[end + 1 :].strip(" .$") else text


def closing(text: str, start: int) -> int | None:
    """Where the brace that opens at `start` is closed; None when it is not."""
    depth = 0
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
    return None


def _raised(match: re.Match[str]) -> str:
    digits = unicodedata.normalize("NFKC", match[0]).replace("\u2212", "-")
    return f"^{{{digits}}}"


def _lowered(match: re.Match[str]) -> str:
    return "_" + unicodedata.normalize("NFKC", match[0])
