"""A token's text as it is shown: white space and special tokens visible, everything odd as its code
point, all of it inert."""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbench.widgets.base.text import safe_text

PIECE_LIMIT = 200
"""Characters of one token that are shown; real tokens are shorter."""
SPECIAL = re.compile(
    r"<\|.*\|>|</?(s|bos|eos|pad|unk)>|<(start|end)_of_turn>|\[(CLS|SEP|PAD|UNK)\]"
)
"""What special tokens look like: the record does not say which ones are."""
BREAK = "<br>"
WHITE = {
    " ": '<span class="ws">·</span><wbr>',
    "\n": '<span class="ws">⏎</span>' + BREAK,
    "\t": '<span class="ws">⇥</span>\t',
}


@dataclass(frozen=True)
class Piece:
    """A token's text as HTML, and its class."""

    shown: str
    css: str


def piece_of(token_id: int, text: str | None) -> Piece:
    """A token as it is shown; one without a text by its id."""
    if not text:
        name = f"id {token_id}" if text is None else "empty"
        return Piece(f'<span class="ws">⟨{name}⟩</span>', "sp")
    parts = re.split(r"([ \n\t])", text) if len(text) <= PIECE_LIMIT else [text]
    shown = "".join(WHITE.get(part) or safe_text(part, PIECE_LIMIT) for part in parts if part)
    return Piece(shown, "sp" if SPECIAL.fullmatch(text) else "")
