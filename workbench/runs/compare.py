"""Several runs side by side: which settings differ, and their metrics on one axis of steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.runs.store.reader import Run

if TYPE_CHECKING:
    import pandas as pd

ABSENT = "—"
"""Stands where a run has no such setting."""


def labels(runs: Sequence[Run]) -> list[str]:
    """A label for each run: its name, with its id where two share one."""
    metas = [run.meta for run in runs]
    # A folder's name may be no UTF-8, which pandas refuses as a heading.
    names = [meta.name.encode("utf-8", "backslashreplace").decode() for meta in metas]
    often = Counter(names)
    return [
        name if often[name] == 1 else f"{name} ({meta.id})"
        for name, meta in zip(names, metas, strict=True)
    ]


def diff_configs(runs: Sequence[Run | str | Path]) -> pd.DataFrame:
    """What differs between the runs: a row per setting, a column per run.

    Settings are those of the config, with policy, task, seed and reward functions. One that changed
    during a run reads '0.005, then 0.1 from step 41'.
    """
    import pandas as pd

    opened = [_as_run(run) for run in runs]
    settings = [_settings(run) for run in opened]
    fields = list(dict.fromkeys(name for values in settings for name in values))
    rows = {name: [values.get(name, ABSENT) for values in settings] for name in fields}
    differing = {name: row for name, row in rows.items() if any(value != row[0] for value in row)}
    frame = pd.DataFrame.from_dict(differing, orient="index", columns=labels(opened), dtype=object)
    return frame.rename_axis("field")


def align_metrics(
    runs: Sequence[Run | str | Path], metrics: Sequence[str] | None = None
) -> dict[str, pd.DataFrame]:
    """For each metric (all unless said) a frame with a row per step and a column per run, NaN where
    one has none."""
    import pandas as pd

    opened = [_as_run(run) for run in runs]
    frames = dict(
        zip(
            labels(opened),
            (run.steps(columns=metrics).set_index("step") for run in opened),
            strict=True,
        )
    )
    names = metrics or list(
        dict.fromkeys(name for frame in frames.values() for name in frame.columns if name != "time")
    )
    return {
        name: pd.DataFrame({label: frame[name] for label, frame in frames.items() if name in frame})
        for name in names
    }


def _as_run(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else Run.open(run)


def _settings(run: Run) -> dict[str, Any]:
    meta = run.meta
    values = {
        "policy": meta.policy,
        "task": meta.task,
        "seed": meta.seed,
        "reward_names": meta.reward_names,
    }
    values |= meta.config
    for knob in run.knobs().itertuples():
        values[knob.name] = (
            f"{values.get(knob.name, knob.old)}, then {knob.new} from step {knob.step}"
        )
    return values
