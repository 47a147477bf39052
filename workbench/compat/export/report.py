"""What became of each setting of ours in another trainer's folder, and the README that says so."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.compat.translation import shown

KINDS = {
    "differs": "Differs",
    "none": "No counterpart",
    "mapped": "Mapped",
    "idle": "Does nothing in this run",
}
"""What can become of a setting, in the order of the README."""

WORDS = {
    "mapped": "Set to mean the same; a default that was another one is named.",
    "differs": "In this folder, and not the same: expect other numbers from these.",
    "none": "Not in this folder. Where one of these matters to you, train in the workbench, or "
    "change it before the export.",
    "idle": "Other values of these would have changed nothing, so they are not in the folder.",
}
"""What is said above each table."""


@dataclass(frozen=True)
class Row:
    """One setting of ours, or one habit of the loop, and what became of it."""

    name: str
    """A field of `GRPOConfig`, or a few words."""

    kind: str
    """A key of `KINDS`."""

    value: Any = None
    """Its value here; None for a habit."""

    theirs: Mapping[str, Any] = field(default_factory=dict)
    """The other trainer's settings that it becomes."""

    note: str = ""
    """The difference, or why there is nothing, as a sentence."""

    is_field: bool = True
    """False for a habit of the loop, which has no value."""


@dataclass(frozen=True)
class Report:
    """All rows of an export."""

    rows: tuple[Row, ...]

    defaults: Mapping[str, Any]
    """The other trainer's own defaults of what was set."""

    def of_kind(self, kind: str) -> list[Row]:
        """The rows of which that became."""
        return [row for row in self.rows if row.kind == kind]

    @property
    def settings(self) -> dict[str, Any]:
        """The other trainer's settings, by name."""
        return {name: value for row in self.rows for name, value in row.theirs.items()}

    def said(self) -> list[str]:
        """What a person should hear at once: what differs and what is not there, a line each."""
        return [
            f"{KINDS[kind].lower()}: {row.name}"
            + (f"={shown(row.value)}" if row.is_field else "")
            + f". {row.note}"
            for kind in ("none", "differs")
            for row in self.of_kind(kind)
        ]

    def tables(self, whose: str) -> str:
        """The tables of the README, as Markdown."""
        return "\n\n".join(self._section(kind, whose) for kind in KINDS if self.of_kind(kind))

    def _section(self, kind: str, whose: str) -> str:
        head = f"## {KINDS[kind]}\n\n{WORDS[kind]}\n"
        rows = self.of_kind(kind)
        if kind == "idle":
            return f"{head}\n{_folded(rows)}"
        theirs = "" if kind == "none" else f" In {whose} | {whose}'s default |"
        heading = f"| In the workbench | Value |{theirs} Note |"
        ruler = "|" + " --- |" * (heading.count("|") - 1)
        return "\n".join([head, heading, ruler, *(self._line(row) for row in rows)])

    def _line(self, row: Row) -> str:
        cells = [code(row.name) if row.is_field else plain(row.name)]
        cells.append(code(shown(row.value)) if row.is_field else "")
        if row.kind != "none":
            cells.append("<br>".join(code(f"{n}={shown(v)}") for n, v in row.theirs.items()))
            cells.append("<br>".join(filter(None, map(self._default, row.theirs.items()))))
        return "| " + " | ".join([*cells, plain(row.note)]) + " |"

    def _default(self, setting: tuple[str, Any]) -> str:
        """The other trainer's default where it is another value."""
        name, value = setting
        usual = self.defaults.get(name, value)
        # True is 1 to Python, and another setting to a reader.
        same = usual == value and isinstance(usual, bool) == isinstance(value, bool)
        return "" if same else code(f"{name.rpartition('.')[2]}={shown(usual)}")


def _folded(rows: Iterable[Row]) -> str:
    """A line for each note, with the fields that it is said of."""
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row.note, []).append(code(row.name))
    return "\n".join(f"- {plain(note)}: {', '.join(found)}" for note, found in names.items())


def code(text: str) -> str:
    """A text as code in Markdown: whatever stands in it is shown, and never obeyed."""
    visible = _printable(text)
    if "`" in visible or "|" in visible or not visible.strip():
        return f"<code>{plain(visible)}</code>"
    return f"`{visible}`"


def plain(text: str) -> str:
    """A text in which neither HTML nor Markdown finds a tag, a link, a picture, code or the end of
    a cell, on one line."""
    escaped = html.escape(_printable(text), quote=False)
    return re.sub(r"[|`*\[\]\\~]", lambda found: f"&#{ord(found[0])};", escaped)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
