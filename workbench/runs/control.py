"""Control runs: the same training with rewards that say nothing. What they reach is the band that a
run must leave before anybody may say that it learned from its rewards.

The start of a run is no such measure. A policy with several habits of like probability drifts, and
greedy decoding turns a small drift into many points: with the first embedded policy two of three
controls rose so far that "the interval after lies above the one before" held for them, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.runs.store.files import RunRecordError
from workbench.runs.store.reader import Run
from workbench.runs.store.schema import RUN_FILE

if TYPE_CHECKING:
    import pandas as pd

CONTROL_PREFIXES = {"shuffled": "shuffled_", "random": "coin_for_"}
"""Control -> how the names of its rewards begin in the record: the right rewards dealt to the wrong
completions, or a coin thrown for each."""

MAY_DIFFER = frozenset(
    {
        "seed",
        "max_steps",
        "eval_steps",
        "num_eval_problems",
        "eval_samples",
        "eval_samples_problems",
        "save_steps",
        "save_total_limit",
        "record_tokens_every",
    }
)
"""Settings in which a control may differ from the run that it controls for: how long, how often
looked at, with which draw."""

LOOKED_THROUGH = 50
"""Records beside a run that are looked through for its controls, the newest first."""

NEAR = 5
"""Steps to either side that the band of the reward looks at: the prompts of one step are few."""


@dataclass(frozen=True)
class Band:
    """What controls reached: between `low` and `high` at each of `step`; all (S,)."""

    step: np.ndarray
    low: np.ndarray
    high: np.ndarray


def plain_name(name: str) -> tuple[str, str | None]:
    """A recorded reward's name without its control, and which control that was (None = none)."""
    for control, prefix in CONTROL_PREFIXES.items():
        if name.startswith(prefix):
            return name.removeprefix(prefix), control
    return name, None


def is_control(run: Run) -> bool:
    """True where no reward of the run says anything about its completion."""
    names = run.meta.reward_names
    return bool(names) and all(plain_name(name)[1] is not None for name in names)


def controls_for(run: Run, others: Iterable[Run]) -> list[Run]:
    """Those of `others` that are controls of `run`: same policy, task, rewards and settings, but
    for `MAY_DIFFER`. None for a control itself."""
    meta = run.meta
    settings = _settings(meta.config)
    found = []
    for other in others if not is_control(run) else ():
        theirs = other.meta
        same = (theirs.policy, theirs.task) == (meta.policy, meta.task)
        if same and is_control(other) and _true_names(theirs.reward_names) == meta.reward_names:
            own = _settings(theirs.config)
            # A field that one of them was recorded without says nothing.
            if all(own[name] == settings[name] for name in own.keys() & settings.keys()):
                found.append(other)
    return found


def controls_beside(run: Run) -> list[Run]:
    """The controls of `run` among the records that lie beside it: in `RUN/control`, in the folders
    next to its own, or as files in its folder."""
    return controls_for(run, neighbours(run))


def accuracy_band(controls: Sequence[Run]) -> Band | None:
    """What the intervals of the controls' held-out accuracy span, at each step that one of them was
    evaluated at; None where none was."""
    tables = [table for table in map(judged, controls) if len(table)]
    steps = sorted({int(step) for table in tables for step in table["step"]})
    rows = [[table[table["step"] == step] for table in tables] for step in steps]
    low = [min(float(row["low"].min()) for row in at if len(row)) for at in rows]
    high = [max(float(row["high"].max()) for row in at if len(row)) for at in rows]
    return Band(np.array(steps), np.array(low), np.array(high)) if steps else None


def metric_band(controls: Sequence[Run], metric: str = "reward") -> Band | None:
    """The least and the largest value that a control had within `NEAR` steps; None where none has
    it."""
    import pandas as pd

    frames = [control.steps(columns=[metric]).set_index("step") for control in controls]
    columns = [frame[metric] for frame in frames if metric in frame and frame[metric].notna().any()]
    if not columns:
        return None
    near = pd.concat(columns, axis=1).rolling(2 * NEAR + 1, center=True, min_periods=1)
    low = near.min().min(axis=1)
    high = near.max().max(axis=1)
    return Band(low.index.to_numpy(), low.to_numpy(), high.to_numpy())


def judged(run: Run) -> pd.DataFrame:
    """The evaluations on the split that was evaluated first."""
    table = run.evaluations()
    return table[table["split"] == table["split"].iloc[0]] if len(table) else table


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in MAY_DIFFER}


def _true_names(names: Sequence[str]) -> list[str]:
    """The names of the rewards that a control took the place of."""
    return [plain_name(name)[0] for name in names]


def neighbours(run: Run) -> list[Run]:
    """The records that lie beside that of `run`, the newest first; unreadable ones are left out."""
    # A run has a folder of its own, a thinned record is a file among others.
    folder = run.path.parent
    own = run.path.name == RUN_FILE
    places = [folder / "control" / RUN_FILE, *(folder.parent if own else folder).glob(_shape(own))]
    written = {place: when for place in places if (when := _last_written(place)) is not None}
    written.pop(run.path, None)
    newest = sorted(written, key=lambda place: written[place], reverse=True)
    return [found for place in newest[:LOOKED_THROUGH] if (found := _readable(place)) is not None]


def _last_written(place: Path) -> float | None:
    """None where there is no file, or none that may be looked at."""
    try:
        return place.stat().st_mtime if place.is_file() else None
    except OSError:
        return None


def _shape(own_folder: bool) -> str:
    return f"*/{RUN_FILE}" if own_folder else "*.sqlite"


def _readable(place: Path) -> Run | None:
    """None for what somebody else's file or a damaged one is: it lies there, nobody asked for
    it."""
    try:
        run = Run.open(place)
        run.meta  # noqa: B018  # read here, where it may fail
        return run
    except RunRecordError:
        return None
