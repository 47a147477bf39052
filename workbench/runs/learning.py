"""Did a run learn from its rewards? Its held-out accuracy against the band of its controls.

assert learned(run, control), learned(run, control)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.runs.control import accuracy_band, controls_beside, is_control, judged
from workbench.runs.store.reader import Run


@dataclass(frozen=True)
class Learned:
    """Whether a run came out above its controls. True in an `if`; `str()` says it in words."""

    accuracy: float
    """Held-out, of the evaluation after `step`, in [0, 1]."""
    low: float
    high: float
    """Its 95 % interval."""
    band: tuple[float, float]
    """The lowest and the highest end of the intervals of the controls, over all their steps."""
    controls: int
    """How many there were."""
    step: int
    """The last one after which the run was evaluated and a control had come as far."""

    def __bool__(self) -> bool:
        return self.low > self.band[1]

    def __str__(self) -> str:
        whose = "a control run" if self.controls == 1 else f"{self.controls} control runs"
        verdict = (
            "lies above all that {} reached ({}): it learned from its rewards"
            if self
            else "does not lie above what {} reached ({}): it may have drifted"
        )
        interval = f"95 % interval {self.low:.1%} to {self.high:.1%}, step {self.step}"
        reached = f"{self.band[0]:.1%} to {self.band[1]:.1%}"
        return f"held-out accuracy {self.accuracy:.1%} ({interval}) " + verdict.format(
            whose, reached
        )


def learned(run: Run | str | Path, *controls: Run | str | Path) -> Learned:
    """Whether the last held-out accuracy of `run` lies above all that its controls ever reached,
    interval against interval. Without `controls` those that lie beside the run are taken. Where the
    longest of them ended earlier, the run is judged as far as that: chance is to have as much time.

    Raises `WorkbenchError` where there is no control, where one of them is none, or has another
    task or policy, and where one was never evaluated.
    """
    run = _opened(run)
    given = [_opened(control) for control in controls] or controls_beside(run)
    if not given:
        raise WorkbenchError(
            f"run {run.meta.name!r} has no control beside it, and without one a drift cannot be "
            "told from learning. Make one: workbench train --shuffle-rewards with the same "
            "settings, or pass its record."
        )
    for control in given:
        _check_control(run, control)
    table = judged(run)
    band = accuracy_band(given)
    if band is None or not len(table):
        raise WorkbenchError(
            f"{run.meta.name!r} or its control was never evaluated: set eval_steps and "
            "num_eval_problems in both."
        )
    as_far = table[table["step"] <= band.step.max()]
    if not len(as_far):
        raise WorkbenchError(
            f"{run.meta.name!r} was first evaluated after step {int(table['step'].iloc[0])}, its "
            f"controls ended at step {int(band.step.max())}: let them go as far."
        )
    last = as_far.iloc[-1]
    return Learned(
        accuracy=float(last.accuracy),
        low=float(last.low),
        high=float(last.high),
        band=(float(band.low.min()), float(band.high.max())),
        controls=len(given),
        step=int(last.step),
    )


def _check_control(run: Run, control: Run) -> None:
    """Raises `WorkbenchError` where `control` does not control for `run`."""
    own, theirs = run.meta, control.meta
    if not is_control(control):
        raise WorkbenchError(
            f"{theirs.name!r} is no control: its rewards {', '.join(theirs.reward_names)} say "
            "something about the completions. Make one with --shuffle-rewards."
        )
    for what in ("policy", "task"):
        mine, other = getattr(own, what), getattr(theirs, what)
        if mine != other:
            raise WorkbenchError(
                f"{theirs.name!r} has the {what} {other!r}, run {own.name!r} has {mine!r}: a "
                "control differs in its rewards alone."
            )


def _opened(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else Run.open(run)
