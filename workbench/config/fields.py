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
    values allowed,
    `optional` lets the value be None, `live` lets it change between two steps, `log_scale` is a
    hint for a slider.
    """
    facts = dict(
        meaning=meaning, unit=unit, source=source, live=live, low=low, high=high, above=above
    )
    return field(
        default=default,
        metadata=facts | dict(choices=choices, optional=optional, log_scale=log_scale),
    )


def range_text(f: Field[Any]) -> str:
    """The values that a field takes, in words."""
    m = f.metadata
    if m["choices"]:
        return "one of " + ", ".join(repr(c) for c in m["choices"])
    parts = []
    if m["above"] is not None:
        parts.append(f"> {m['above']:g}")
    if m["low"] is not None:
        parts.append(f">= {m['low']:g}")
    if m["high"] is not None:
        parts.append(f"<= {m['high']:g}")
    text = " and ".join(parts) or "any value"
    return text + (" or None" if m["optional"] else "")


def describe_field(f: Field[Any]) -> str:
    """One paragraph on a field: default, meaning, range, unit, source, live or not."""
    m = f.metadata
    default = "no default" if f.default is MISSING else f"default {f.default!r}"
    parts = [f"{f.name} ({default}): {m['meaning']}", f"Range: {range_text(f)}."]
    if m["unit"]:
        parts.append(f"Unit: {m['unit']}.")
    if m["source"]:
        parts.append(f"Source: {m['source']}.")
    parts.append("Live: takes effect at the next step." if m["live"] else "Fixed for the run.")
    return " ".join(parts)


def _number_problem(f: Field[Any], value: Any) -> str | None:
    """Why `value` is not a number that the field takes, or None."""
    m = f.metadata
    integral = str(f.type).startswith("int")
    if isinstance(value, bool) or not isinstance(value, int if integral else (int, float)):
        return f"must be {'a whole number' if integral else 'a number'}"
    if not math.isfinite(value):
        return "must be finite"
    below = (m["low"] is not None and value < m["low"]) or (
        m["above"] is not None and value <= m["above"]
    )
    return (
        f"must be {range_text(f)}"
        if below or (m["high"] is not None and value > m["high"])
        else None
    )


def field_problem(f: Field[Any], value: Any) -> str | None:
    """Why `value` cannot stand in field `f`, as a sentence, or None when it can."""
    m = f.metadata
    if value is None and m["optional"]:
        return None
    if m["choices"]:
        bad = not any(value is c or (type(value) is type(c) and value == c) for c in m["choices"])
        why = f"must be {range_text(f)}" if bad else None
    elif str(f.type).startswith("bool"):
        why = None if isinstance(value, bool) else "must be True or False"
    elif str(f.type).startswith(("int", "float")):
        why = _number_problem(f, value)
    else:
        why = None
    return f"{f.name}={value!r}: {why}." if why else None
