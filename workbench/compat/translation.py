"""What became of each setting of another system's config: the report of a translation."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = {
    "same": "taken over with the same meaning",
    "near": "taken over, with a difference",
    "none": "no counterpart here",
    "idle": "changes nothing that is learnt here",
    "unresolved": "a reference that cannot be resolved; the setting is left out",
    "unknown": "not known to this reader; left out",
}
"""What can become of a setting, in the order of the report."""

LONGEST = 60
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Setting:
    """One setting of the other system, and what became of it."""

    place: str
    """Its name there; dots lead into sections."""

    value: Any
    """Its value there."""

    kind: str
    """A key of `KINDS`."""

    ours: Mapping[str, Any] = field(default_factory=dict)
    """The fields of `GRPOConfig` that it sets, with their values."""

    note: str = ""
    """The difference, or why there is no counterpart, as a sentence; empty where nothing is to be
    said."""

    is_default: bool = False
    """True where the file does not have it, and the other system's default was taken."""

    def __str__(self) -> str:
        default = " (its default)" if self.is_default else ""
        text = f"{self.place} = {shown(self.value)}{default}"
        if self.ours:
            text += " -> " + ", ".join(f"{name}={shown(v)}" for name, v in self.ours.items())
        return f"{text}: {self.note}" if self.note else text


@dataclass(frozen=True)
class Translation:
    """All settings of another system's config, each once. Prints as text, shows as a table in a
    notebook."""

    source: str
    """The file, or what else was translated."""

    settings: tuple[Setting, ...]

    kept: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `GRPOConfig` that no setting touches, where their value is not the usual one."""

    def of_kind(self, kind: str) -> list[Setting]:
        """The settings of which that became."""
        return [setting for setting in self.settings if setting.kind == kind]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "source": self.source,
            "settings": [
                {
                    "place": setting.place,
                    "value": setting.value,
                    "kind": setting.kind,
                    "ours": dict(setting.ours),
                    "note": setting.note,
                    "is_default": setting.is_default,
                }
                for setting in self.settings
            ],
            "kept": dict(self.kept),
        }

    def __str__(self) -> str:
        lines = [self.source]
        for kind, words in KINDS.items():
            found = self.of_kind(kind)
            if found:
                lines.append(f"{words} ({len(found)}):")
                lines += _folded(found) if kind == "idle" else [f"  {each}" for each in found]
        if self.kept:
            fields = ", ".join(f"{name}={shown(value)}" for name, value in self.kept.items())
            lines.append(f"not said there, and set here: {fields}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        # Names and values come from a file of others, and are text here, never markup.
        rows = "".join(
            f"<tr><td>{html.escape(KINDS[kind])}</td><td>{html.escape(str(setting))}</td></tr>"
            for kind in KINDS
            for setting in self.of_kind(kind)
        )
        return f"<table><caption>{html.escape(self.source)}</caption>{rows}</table>"


def _folded(settings: list[Setting]) -> list[str]:
    """A line for each note, with the names that it is said of: these are many, and matter least."""
    names: dict[str, list[str]] = {}
    for setting in settings:
        names.setdefault(setting.note, []).append(setting.place)
    return [f"  {', '.join(places)}: {note}" for note, places in names.items()]


def shown(value: Any) -> str:
    """A value as the report shows it: as Python writes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
