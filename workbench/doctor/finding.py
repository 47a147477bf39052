"""What the doctor says: a finding, and how figures are written in one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SEVERITIES = ("problem", "warning", "note", "good")
"""The worst first. A problem: training cannot work like this. A warning: it probably goes wrong, or
steps are wasted. A note: good to know. Good: something that went well."""

LONGEST_TEXT = 200
"""Characters of a name or reason from the run that a finding quotes."""


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor noticed. The texts may quote the run: whoever shows them makes them
    inert first."""

    key: str
    """Names the rule's answer, such as 'epsilon_idle'."""

    severity: str
    """One of `SEVERITIES`."""

    what: str
    """What is going on, and why it matters."""

    evidence: str
    """The figures it rests on, with their steps."""

    try_: str = ""
    """What to try, naming the config's fields and values; empty for good news and where nothing is
    lost."""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(
                f"finding {self.key!r}: severity={self.severity!r} must be one of "
                f"{', '.join(SEVERITIES)}."
            )


def figure(value: float) -> str:
    """A number with three significant digits, as in 0.0123, 1,230 or 1.2e-06."""
    if not math.isfinite(value):
        return {math.inf: "infinite", -math.inf: "-infinite"}.get(value, "not a number")
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def percent(share: float) -> str:
    """A share as a percentage: 12 %, 3.4 %, 0.02 %."""
    value = 100 * share
    return f"{value:.0f} %" if abs(value) >= 10 or value == 0 else f"{value:.2g} %"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * difference:+.1f} points"


def span(steps: Sequence[int] | np.ndarray) -> str:
    """The steps that a figure comes from."""
    if len(steps) == 0:
        return "no step"
    first = int(steps[0])
    last = int(steps[-1])
    return f"step {last}" if first == last else f"steps {first} to {last}"


def quoted(value: Any) -> str:
    """A value or text from the run, cut when it is long."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, float):
        text = figure(value)
    else:
        text = repr(value)
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]}… ({len(text):,} characters)"
