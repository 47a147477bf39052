"""Text from a model or a data set, made inert and legible for HTML.

Everything is escaped; control, bidirectional and zero-width characters, which could hide or reorder
what stands around them, are shown as small marked code points; very long texts are cut in the
middle with the number of characters left out.
"""

from __future__ import annotations

import html
import re
import unicodedata

VISIBLE_LIMIT = 4000
"""Characters of one text that are shown before it is cut."""


def safe_text(text: str, limit: int = VISIBLE_LIMIT) -> str:
    """`text` as HTML that shows every character and does nothing. Line breaks stay (use
    white-space: pre-wrap)."""
    if len(text) > limit:
        half = limit // 2
        left_out = len(text) - 2 * half
        note = f'<span class="wb-cut">… {left_out:,} characters left out …</span>'
        return _escaped(text[:half]) + note + _escaped(text[-half:])
    return _escaped(text)


def menu_text(text: str, limit: int) -> str:
    """`text` as plain text for a menu, which shows no HTML: in one line, invisible characters
    spelled out, cut at the end."""
    # Cut before it is looked at, so that a huge text costs nothing.
    line = " ".join(text[: 4 * limit].split())
    shown = "".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in line)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def tail_text(text: str, limit: int) -> str:
    """The end of `text` as plain text in one line, invisible characters spelled out."""
    # Cut before it is looked at, as above.
    line = " ".join(text[-4 * limit :].split())
    shown = "".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in line)
    is_cut = len(shown) > limit or len(text) > 4 * limit
    return f"…{shown[1 - limit :]}" if is_cut else shown


def tokens_text(length: int, completion: str) -> str:
    """A completion's length in tokens; "?" where an imported run does not know it: no text has
    none."""
    return "?" if length == 0 and completion else f"{length:,}"


def own_part(completion: str, opened: str) -> str:
    """What the policy wrote of a completion, of which the chat template may have `opened` the
    answer."""
    return completion.removeprefix(opened)


def opened_html(opened: str) -> str:
    """What the chat template wrote of an answer, greyed; '' where it wrote nothing."""
    if not opened:
        return ""
    title = "written by the chat template, not by the policy"
    return f'<span class="wb-dim wb-opened" title="{title}">{safe_text(opened, 200)}</span>'


def _escaped(text: str) -> str:
    return _UNUSUAL.sub(_shown, html.escape(text, quote=True))


_UNUSUAL = re.compile("[^\n\t -~\u00a1-\u00ac\u00ae-\u02ff]")
"""Everything but plain and Latin letters is looked at one by one."""


def _shown(match: re.Match[str]) -> str:
    c = match.group()
    if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return (
            f'<span class="wb-code" title="{html.escape(unicodedata.name(c, "no name"))}">'
            f"U+{ord(c):04X}</span>"
        )
    return c
