"""Is a piece of HTML inert? It may hold our tags and attributes and nothing else, whatever text
went into it."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

TAGS = {
    "style",
    "div",
    "span",
    "b",
    "table",
    "tr",
    "th",
    "td",
    "mark",
    "br",
    "wbr",
    "details",
    "summary",
    "pre",
    "ul",
    "li",
    "button",
}
VOID = {"br", "wbr"}
ATTRIBUTES = {
    *("class", "title", "tabindex", "role", "aria-label", "aria-hidden", "style", "scope"),
    *("aria-valuemin", "aria-valuemax", "aria-valuenow"),
    *("type", "data-row", "data-rows", "data-group"),
}
PLAIN = {
    "class": r"[A-Za-z0-9 -]*",
    "tabindex": "0",
    "role": "[a-z]+",
    "aria-hidden": "true",
    "scope": "row|col",
    "type": "button",
    "data-row": r"\d+",
    "data-rows": r"\d+( \d+)*",
    "data-group": r"\d+",
    "aria-valuemin": "0",
    "aria-valuemax": "100",
    "aria-valuenow": r"\d{1,3}",
    "style": r"width:\d+%",
}
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"\' onmouseover=alert(1) x=\'" style="position:fixed"',
    "--></style></div></table></textarea><svg/onload=alert(1)>",
    "&lt;b&gt; &#x3c;script&#x3e; &amp;amp;",
    "\x1b[31mred\x1b[0m \x9b31m \x07\x08\x7f",
    "user\u202eevil\u2066 \u200bzero\u200d \ufeff\u2028\u2029",
    "NUL \x00 lone \ud800 and \udfff \U000e0041\ue000\uffff",
    "%s %d %(x)s {0} {row} \\n </span>" * 3,
    "x" * 100_000,
    "\u202e<\x00" * 34_000,
    "Z\u0351\u036b\u0343a\u0363l\u0356g\u0321o 👩‍👩‍👧 مرحبا",
)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in TAGS:
            self.wrong.append(f"tag <{tag}>")
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name not in ATTRIBUTES:
                self.wrong.append(f"attribute {name}={value!r}")
            if name in PLAIN and not re.fullmatch(PLAIN[name], value or ""):
                self.wrong.append(f"value {name}={value!r:.80}")
            if name in ("title", "aria-label"):
                self._check(value or "", name)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"end tag </{tag}> out of place")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)
            self._check(data, "text")

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"comment {data!r:.80}")

    def handle_decl(self, decl: str) -> None:
        self.wrong.append(f"declaration {decl!r:.80}")

    handle_pi = unknown_decl = handle_decl

    def _check(self, text: str, where: str) -> None:
        bad = sorted(
            {
                f"U+{ord(c):04X}"
                for c in text
                if c not in "\n\t" and unicodedata.category(c) in HIDDEN
            }
        )
        if bad:
            self.wrong.append(f"{where} with {bad}")


def read_html(html: str) -> _Reader:
    """The parsed HTML: `tags` as (name, attributes), `text` in pieces, `wrong`: what should not be
    there."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader.wrong += [f"<{tag}> is never closed" for tag in reader.open]
    return reader


def text_of(html: str) -> str:
    """What a person reads."""
    return "".join(read_html(html).text)


def assert_inert(html: str) -> None:
    """Only our tags and attributes, all closed, no hidden characters, and no lone surrogate that
    cannot be sent."""
    assert read_html(html).wrong == []
    html.encode()
    assert "\x00" not in html
