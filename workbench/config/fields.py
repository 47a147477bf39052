"""How a field of `GRPOConfig` carries its own documentation and its own bounds.

A field says once what it means, in which unit, where it comes from, which values it takes and
whether it may change while a run is going on. Validation, the sliders, `describe()` and the
documentation all read that one place.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, Field, field
from typing import Any

from workbench.errors import WorkbenchError


class ConfigError(WorkbenchError, ValueError):
    """A setting that cannot work: names the field, the value and the remedy."""


class ConfigWarning(UserWarning):
    """A setting that works, but probably not the way it was meant."""


def setting(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    source: str = "",
    live: bool = False,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[Any, ...] | None = None,
    optional: bool = False,
    log_scale: bool = False,
) -> Any:
    """A dataclass field with its documentation.

    `low` and `high` are inclusive bounds, `above` an exclusive lower bound, `choices` the only
    values allowed, `optional` lets the value be None, `live` lets it change between two steps,
    `log_scale` is a hint for a slider.
    """
    facts = dict(
        meaning=meaning,
        unit=unit,
        source=source,
        live=live,
        low=low,
        high=high,
        above=above,
        choices=choices,
        optional=optional,
        log_scale=log_scale,
    )
    return field(default=default, metadata=facts)


def range_text(entry: Field[Any]) -> str:
    """The values that a field takes, in words."""
    facts = entry.metadata
    if facts["choices"]:
        return "one of " + ", ".join(repr(choice) for choice in facts["choices"])
    parts = []
    if facts["above"] is not None:
        parts.append(f"> {facts['above']:g}")
    if facts["low"] is not None:
        parts.append(f">= {facts['low']:g}")
    if facts["high"] is not None:
        parts.append(f"<= {facts['high']:g}")
    text = " and ".join(parts) or "any value"
    return text + (" or None" if facts["optional"] else "")


def describe_field(entry: Field[Any]) -> str:
    """One paragraph on a field: default, meaning, range, unit, source, live or not."""
    facts = entry.metadata
    default = "no default" if entry.default is MISSING else f"default {entry.default!r}"
    parts = [f"{entry.name} ({default}): {facts['meaning']}", f"Range: {range_text(entry)}."]
    if facts["unit"]:
        parts.append(f"Unit: {facts['unit']}.")
    if facts["source"]:
        parts.append(f"Source: {facts['source']}.")
    parts.append("Live: takes effect at the next step." if facts["live"] else "Fixed for the run.")
    return " ".join(parts)


def field_problem(entry: Field[Any], value: Any) -> str | None:
    """Why `value` cannot stand in a field, as a sentence, or None when it can."""
    if value is None and entry.metadata["optional"]:
        return None
    # The annotation is a string, since `from __future__ import annotations` is in force.
    kind = str(entry.type)
    if entry.metadata["choices"]:
        why = _choice_problem(entry, value)
    elif kind.startswith("bool"):
        why = None if isinstance(value, bool) else "must be True or False"
    elif kind.startswith(("int", "float")):
        why = _number_problem(entry, value)
    else:
        why = None
    return f"{entry.name}={value!r}: {why}." if why else None


def _choice_problem(entry: Field[Any], value: Any) -> str | None:
    """Why `value` is none of the choices, or None. 1 is not True: the types must agree too."""
    for choice in entry.metadata["choices"]:
        if value is choice or (type(value) is type(choice) and value == choice):
            return None
    return f"must be {range_text(entry)}"


def _number_problem(entry: Field[Any], value: Any) -> str | None:
    """Why `value` is not a number that the field takes, or None."""
    facts = entry.metadata
    integral = str(entry.type).startswith("int")
    wanted = int if integral else (int, float)
    if isinstance(value, bool) or not isinstance(value, wanted):
        return f"must be {'a whole number' if integral else 'a number'}"
    if not math.isfinite(value):
        return "must be finite"
    too_low = (facts["low"] is not None and value < facts["low"]) or (
        facts["above"] is not None and value <= facts["above"]
    )
    too_high = facts["high"] is not None and value > facts["high"]
    return f"must be {range_text(entry)}" if too_low or too_high else None
