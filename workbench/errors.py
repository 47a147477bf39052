"""The one base of every error that the user can mend, and how a text of others is shown in it."""

from __future__ import annotations

import os
import unicodedata

UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that a terminal obeys or hides instead of showing them."""


class WorkbenchError(Exception):
    """Says what was wrong, with the value, and what to do. The command line shows it without a
    traceback."""


def inert(text: str) -> str:
    """`text` on one line, with control, bidirectional and zero-width characters as U+XXXX."""
    return "".join(f"U+{ord(c):04X}" if unicodedata.category(c) in UNSEEN else c for c in text)


def without_home(text: str) -> str:
    """`text` with this person's home folder as `~`: what is kept in a record may be given to
    others."""
    home = os.path.expanduser("~")
    # A home of "/" (a container's) is in every path, and tells nothing.
    return text.replace(home, "~") if len(home) > 1 else text
