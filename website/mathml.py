"""Formulas as MathML, which every present browser draws by itself: no script, no font from
elsewhere."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

_MATH = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)


def with_mathml(page: str) -> str:
    """HTML in which each formula that arithmatex marked is MathML."""

    def drawn(match: re.Match[str]) -> str:
        display = "block" if match[2] == "[" else "inline"
        return convert(html.unescape(match[3]), display=display)

    return _MATH.sub(drawn, page)
