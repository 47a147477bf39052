"""What the doctor says: a finding, and how figures are written in one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SEVERITIES = ("problem", "warning", "note", "good")
"""The worst first. A problem: training cannot work like this. A warning: it probably goes wrong, or
steps are wasted. A note: good to know. Good: something that went well."""

SIGNS = {"problem": "✖", "warning": "▲", "note": "●", "good": "✔"}
"""What stands beside the word of a severity, wherever one is shown: colour is never the only
sign."""

LONGEST_TEXT = 200
"""Characters of a name or reason from the run that a finding quotes."""


ACCURACY = "accuracy"
"""The curve of the held-out evaluations, which is no metric of a step."""

SHOWN = {
    "best paid": "the best-paid completions",
    "worst paid": "the completions that were paid least",
    "cut off": "the completions that were cut off",
    "not scored": "the completions without a reward",
    "dead": "a completion of each dead group",
    "any": "some completions",
}
"""Which completions a finding can be read in -> how a button names them."""


SMALLEST_PERCENT = 1e-6
"""Per cent below which a share is rounding: no run has a hundred million completions."""


@dataclass(frozen=True)
class Curve:
    """The curve that the evidence is of, and the steps that it speaks of."""

    metric: str
    """A column of `Run.steps`, or `ACCURACY`."""

    first: int
    last: int
    """The steps, both counted."""

    @classmethod
    def over(cls, metric: str, steps: Sequence[int] | np.ndarray) -> Curve | None:
        """The curve from the first of `steps` to the last; None without any."""
        if len(steps) == 0:
            return None
        return cls(metric, int(steps[0]), int(steps[-1]))


@dataclass(frozen=True)
class Branch:
    """What may be tried at once: a branch of the run from a step, with other knobs."""

    step: int
    """What the run was after it."""

    knobs: Mapping[str, Any]
    """Live fields of the config, and their values in the branch."""

    how: str = ""
    """How the first of them comes from its value now, such as '÷ 2'."""


@dataclass(frozen=True)
class Show:
    """Completions in which the finding can be read."""

    which: str
    """A key of `SHOWN`."""

    steps: tuple[int, ...]
    """The steps that they are of, the one to begin with last."""

    def __post_init__(self) -> None:
        if self.which not in SHOWN:
            raise ValueError(f"Show({self.which!r}): which must be one of {', '.join(SHOWN)}.")


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

    curve: Curve | None = field(default=None, kw_only=True)
    """What to draw beside the evidence; None where it is no curve's."""

    acts: tuple[Branch | Show, ...] = field(default=(), kw_only=True)
    """What can be done about it at once."""

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
    """A share as a percentage: 12 %, 3.4 %, 0.02 %. What is left of 0 by rounding is 0."""
    value = 100 * share
    if abs(value) < SMALLEST_PERCENT:
        return "0 %"
    return f"{value:.0f} %" if abs(value) >= 10 else f"{value:.2g} %"


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
