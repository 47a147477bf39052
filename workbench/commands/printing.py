"""Everything that a command prints goes through here, so that no text of others reaches the
terminal as a command to it.

A path, a status, a name out of a record may hold what rich reads as markup (`[red]`, `[/x]`), as an
emoji (`:bug:`), or what the terminal itself obeys (escape sequences, a carriage return). The
consoles made here read neither, and `inert` spells out the rest. `tests/test_repository.py` finds a
command that prints past this file.
"""

from __future__ import annotations

import json
import sys
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from workbench.errors import inert

if TYPE_CHECKING:
    from workbench.doctor.report import Line

STYLES = {"problem": "bold red", "warning": "bold magenta", "note": "bold blue", "good": "green"}
"""How a severity looks on a terminal; its sign and word stand beside the colour."""

_plain_warning = warnings.formatwarning
_PACKAGE = Path(__file__).parents[1]
_said: set[str] = set()
"""Warnings of ours that were shown since the command began."""


def terminal() -> Console:
    """A console on standard output that takes every string as it is written."""
    return Console(highlight=False, markup=False, emoji=False)


def line_of(value: object, style: str = "") -> Text:
    """One line, or a cell of a table, with whatever a terminal would obey spelled out."""
    return Text(inert(str(value)), style=style)


def say(
    text: str, console: Console | None = None, *, style: str = "", copied: bool = False
) -> None:
    """Print one line; `copied`: not broken at the terminal's width, to be copied whole."""
    (console or terminal()).print(line_of(text, style), soft_wrap=copied)


def say_lines(text: str) -> None:
    """Print a text whose line ends are our own."""
    print(_inert_lines(text))


def say_wrapped(text: str, console: Console | None = None) -> None:
    """Print a text whose line ends are our own; on a terminal a line that is too long for it goes
    on a little to the right. Plain and as it is where no terminal reads it."""
    console = console or terminal()
    if not console.is_terminal:
        say_lines(text)
        return
    for line in text.split("\n"):
        margin = " " * (len(line) - len(line.lstrip()) + 2)
        parts = textwrap.wrap(
            inert(line),
            max(console.width, 2 * len(margin)),
            subsequent_indent=margin,
            break_on_hyphens=False,
        )
        for part in parts or [""]:
            console.print(Text(part.rstrip()), soft_wrap=True)


def say_paragraphs(found: Sequence[Sequence[Line]], console: Console | None = None) -> None:
    """Print the doctor's paragraphs at the terminal's width, the severities in colour; plain where
    no terminal reads them."""
    # Every command prints; the doctor, which loads pandas, is needed by this alone.
    from workbench.doctor.report import WIDTH

    console = console or terminal()
    width = console.width if console.is_terminal else WIDTH
    for place, paragraph in enumerate(found):
        if place:
            console.print()
        for line in paragraph:
            shown = Text(_inert_lines(line.wrapped(width)))
            if line.severity:
                shown.stylize(STYLES[line.severity], 0, len(line.label))
            console.print(shown, soft_wrap=True)


def say_aside(text: str) -> None:
    """Print a text whose line ends are our own to standard error, beside what a program reads."""
    print(_inert_lines(text), file=sys.stderr, flush=True)


def say_json(values: Any) -> None:
    """Print one line of JSON, in ASCII: what a terminal would obey is spelled out by it."""
    print(json.dumps(values), flush=True)


def make_warnings_inert() -> None:
    """From now on a warning is shown with what a terminal would obey spelled out: it may quote a
    path or a record. One of ours is shown once, without the place in our code."""
    _said.clear()
    warnings.formatwarning = _inert_warning


def _inert_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    # The place of a warning in a person's own file, or in another library, is worth knowing.
    if not (category.__module__.startswith("workbench.") or _is_ours(filename)):
        return _inert_lines(_plain_warning(message, category, filename, lineno, line))
    text = f"warning: {_inert_lines(str(message))}\n"
    if text in _said:
        return ""
    _said.add(text)
    return text


def _is_ours(filename: str) -> bool:
    return Path(filename).is_relative_to(_PACKAGE)


def _inert_lines(text: str) -> str:
    return "\n".join(map(inert, text.split("\n")))
