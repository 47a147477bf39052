"""The settings of one AReaL file while they are read: each is said once, and none is forgotten."""

from __future__ import annotations

from typing import Any

from workbench.compat.areal.files import Unresolved
from workbench.compat.areal.tables import ELSEWHERE, IDLE, NEUTRAL, RENAMED
from workbench.compat.translation import Setting
from workbench.config import ConfigError

_NOTHING = object()


class Reader:
    """`flat` is the file. `values` collects the fields of `GRPOConfig`, `settings` what became of
    each setting."""

    def __init__(self, flat: dict[str, Any]) -> None:
        self.flat = flat
        self.values: dict[str, Any] = {}
        self.settings: dict[str, Setting] = {}
        # What cannot be resolved has no value that a rule could read.
        for place, value in flat.items():
            if isinstance(value, Unresolved):
                self.settings[place] = Setting(place, str(value), "unresolved")

    def has(self, place: str) -> bool:
        """Whether the file says it, in a way that can be read."""
        return place in self.flat and not isinstance(self.flat[place], Unresolved)

    def section(self, name: str) -> bool:
        """Whether the file has the section."""
        return bool(self.below(name))

    def below(self, section: str) -> list[str]:
        """The settings of a section."""
        return [place for place in self.flat if place.startswith(f"{section}.")]

    def value(self, place: str, default: Any = None) -> Any:
        """What the file says, else `default`."""
        return self.flat[place] if self.has(place) else default

    def number(self, place: str, default: Any = None) -> Any:
        """What the file says, where that is a number or nothing. Raises `ConfigError`."""
        value = self.value(place, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ConfigError(f"{place}={value!r:.60}: expected a number.")
        return value

    def said(
        self, place: str, kind: str, note: str = "", *, default: Any = _NOTHING, **ours: Any
    ) -> None:
        """Note what became of a setting, and take its fields. What the file does not have is noted
        only where its `default` is given; then the default is what was taken."""
        if place in self.settings:
            return
        if not self.has(place) and default is _NOTHING:
            return
        value = self.value(place, default)
        self.settings[place] = Setting(place, value, kind, ours, note, not self.has(place))
        self.values |= ours

    def renamed(self) -> None:
        """The settings that are a field by another name."""
        for place, row in RENAMED.items():
            above = place.rpartition(".")[0]
            if not self.has(place) and not self.section(above or place):
                continue
            value = self.value(place, row.default)
            ours = row.convert(value) if row.convert else value
            kind = "near" if row.note and value is not None else "same"
            self.said(place, kind, row.note, default=row.default, **{row.field: ours})

    def neutral(self) -> None:
        """The settings without a field, which may have the value that holds here."""
        for place, (harmless, note) in NEUTRAL.items():
            kind = "idle" if self.value(place) in harmless else "none"
            self.said(place, kind, note)

    def left(self) -> None:
        """All that no rule has spoken of."""
        for place in self.flat:
            kind, note = _left(place)
            self.said(place, kind, note)


def _left(place: str) -> tuple[str, str]:
    """What becomes of a setting that has no rule of its own: by the longest name above it."""
    parts = place.split(".")
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    for name in names:
        if name in IDLE:
            return "idle", IDLE[name]
        if name in ELSEWHERE:
            return "none", ELSEWHERE[name]
    return "unknown", ""
