"""The fault lab: mistakes that people made, to be put into a run on purpose, so that one learns to
know them and the doctor can be tested on them.

    start_run(..., fault="inverted_k3")   Session(..., fault=…)   workbench train --fault NAME

To add one: a class in a file of this room that descends from `Fault` and overrides the seams it
needs (`base.py`), with a docstring that says what goes wrong, who had it and what one sees; its row
in `FAULTS`; a run of it in `benchmarks/fault_matrix.py` comes by itself. `tests/faults` finds what
was forgotten.
"""

from __future__ import annotations

import random

from workbench.faults.base import Fault, FaultError, Placebo
from workbench.faults.objective import (
    AdvantageSign,
    EosMasked,
    InvertedK3,
    PaddingCounted,
    RatioToReference,
    WrongDenominator,
)
from workbench.faults.optimizer import LearningRateTimes100
from workbench.faults.rewards import LeakedGold, RewardAlwaysOne, SwappedGroups, TruncatedRight
from workbench.faults.sampler import (
    DoubleMergedAdapter,
    ShiftedLogps,
    StaleSampler,
    TemperatureNotDivided,
)
from workbench.runs import Run

FAULTS: dict[str, type[Fault]] = {
    kind.name: kind
    for kind in (
        InvertedK3,
        EosMasked,
        StaleSampler,
        WrongDenominator,
        RatioToReference,
        PaddingCounted,
        TemperatureNotDivided,
        ShiftedLogps,
        DoubleMergedAdapter,
        LeakedGold,
        RewardAlwaysOne,
        SwappedGroups,
        AdvantageSign,
        LearningRateTimes100,
        TruncatedRight,
    )
}
"""Every fault by its name."""

SEALED = "sealed:"
"""What a spec begins with that does not say its fault: "sealed:7" is always the same one, and the
record says no more."""


def make_fault(spec: str | Fault) -> Fault:
    """A fault of its own for one run: by name, "stale_sampler:8" with its number of steps,
    "sealed:7" for one that is not told. Raises `FaultError`, which lists the names."""
    if isinstance(spec, Fault):
        return spec
    if spec.startswith(SEALED):
        fault = (FAULTS | {Placebo.name: Placebo})[unseal(spec)]()
        fault.spec = spec
        return fault
    name, given, number = spec.partition(":")
    if name not in FAULTS or (given and name != StaleSampler.name):
        raise FaultError(
            f"fault={spec!r} is unknown. Choose one of {', '.join(FAULTS)}; "
            "'stale_sampler:8' for 8 steps; or 'sealed:NUMBER' for one that is not told."
        )
    if not given:
        return FAULTS[name]()
    if not number.isdecimal():
        raise FaultError(f"fault={spec!r}: give a number of steps, as in 'stale_sampler:8'.")
    return StaleSampler(int(number))


def fault_of(run: Run) -> Fault | None:
    """The fault that a run was recorded with, made anew; None for a healthy one. Raises
    `FaultError` for one that this version does not know."""
    recorded = run.meta.environment.get("fault")
    return None if recorded is None else make_fault(str(recorded))


def unseal(spec: str) -> str:
    """The name of the fault behind "sealed:NUMBER", or "placebo" where it is none. Raises
    `FaultError`."""
    number = spec.removeprefix(SEALED)
    if not number.isdecimal():
        raise FaultError(f"fault={spec!r}: give a whole number, as in 'sealed:7'.")
    return random.Random(int(number)).choice(SEALED_FAULTS)


SEALED_FAULTS = (
    "inverted_k3",
    "eos_masked",
    "stale_sampler",
    "ratio_to_reference",
    "padding_counted",
    "shifted_logps",
    "leaked_gold",
    "reward_always_one",
    "swapped_groups",
    "advantage_sign",
    "learning_rate_x100",
    "placebo",
)
"""Those that a sealed number may stand for: they show under the default settings."""

__all__ = [
    "FAULTS",
    "SEALED",
    "SEALED_FAULTS",
    "Fault",
    "FaultError",
    "fault_of",
    "make_fault",
    "unseal",
]
