"""The file `experiment.json` in an experiment's folder: what is compared. The runs beside it are
normal runs, and hold all that was measured."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.config import ConfigError, ConfigWarning
from workbench.experiment.variants import ExperimentError, Variant
from workbench.runs import Run, is_run_record

FILE = "experiment.json"
FORMAT = 1
MADE_OF = "variant"
"""Where in the environment of a run's record the variant stands that it was made as."""


@dataclass(frozen=True)
class Plan:
    """What an experiment compares, and how."""

    variants: tuple[Variant, ...]
    """Its variants, and its controls behind them."""

    seeds: tuple[int, ...]

    metric: str = "accuracy"
    """ "accuracy" (held out, greedy, strict, at the last step) or a column of `Run.steps()`, of
    which the mean over the last tenth of the steps is taken."""

    interval: str = "t"
    """A key of `statistics.INTERVALS`."""

    level: float = 0.95
    """Of all intervals of one kind together."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": FORMAT,
            "variants": [variant.to_dict() for variant in self.variants],
            "seeds": list(self.seeds),
            "metric": self.metric,
            "interval": self.interval,
            "level": self.level,
        }


def read_experiment(out: Path) -> Plan:
    """What the experiment in a folder compares. Raises `ExperimentError` where there is none."""
    file = out / FILE
    if not file.is_file():
        instead = "Name the folder of an experiment, as `workbench compare --out` made it."
        if is_run_record(out / "run.sqlite"):
            instead = "It holds a single run: Dashboard([RUN, RUN]) shows runs side by side."
        raise ExperimentError(f"{str(out)!r} holds no experiment ({FILE}). {instead}")
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["format"] != FORMAT:
            raise ExperimentError(
                f"{str(file)!r} is of format {kept['format']!r:.20}, this version reads {FORMAT}. "
                "Open it with the version that wrote it."
            )
        with warnings.catch_warnings():
            # What the settings mean was said when the experiment was made.
            warnings.simplefilter("ignore", ConfigWarning)
            variants = tuple(map(Variant.from_dict, kept["variants"]))
        return Plan(
            variants=variants,
            seeds=tuple(int(seed) for seed in kept["seeds"]),
            metric=str(kept["metric"]),
            interval=str(kept["interval"]),
            level=float(kept["level"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ExperimentError | ConfigError):
            raise
        raise ExperimentError(
            f"{str(file)!r} cannot be read as an experiment: {type(error).__name__}: {error}. Its "
            "runs are whole all the same: delete this file and make the experiment again in that "
            "folder."
        ) from error


def write_experiment(out: Path, plan: Plan) -> None:
    """Keep the plan in the folder, whole or not at all. Raises `ExperimentError` where another
    experiment lies there: more seeds and more variants may come, what a variant is stays."""
    if (out / FILE).is_file():
        _check_same(out, read_experiment(out).variants, plan.variants)
    out.mkdir(parents=True, exist_ok=True)
    draft = out / f"{FILE}.draft"
    draft.write_text(json.dumps(plan.to_dict(), indent=1), encoding="utf-8")
    os.replace(draft, out / FILE)


def _check_same(out: Path, before: Sequence[Variant], now: Sequence[Variant]) -> None:
    own = {variant.name: variant.to_dict() for variant in before}
    for variant in now:
        if variant.name not in own:
            continue
        for key, then, wanted in differing(own[variant.name], variant):
            raise ExperimentError(
                f"the experiment in {str(out)!r} has a variant {variant.name!r} with "
                f"{key}={then!r:.60}, not {wanted!r:.60}: its runs would be of two kinds. Give the "
                "variant another name, or name another folder."
            )


def differing(kept: Mapping[str, Any], variant: Variant) -> list[tuple[str, Any, Any]]:
    """(key, then, now) of what a variant was when it was kept (`Variant.to_dict`) and is no longer.
    A setting that one of the two versions does not know says nothing."""
    given = json.loads(json.dumps(variant.to_dict()))
    then = {**kept, **kept["config"]}
    now = {**given, **given["config"]}
    return [
        (key, then[key], now[key])
        for key in now
        if key != "config" and key in then and then[key] != now[key]
    ]


def made_otherwise(run: Run, variant: Variant) -> str:
    """In what a run differs from the variant that its folder is named after, in words: it may have
    been made for another experiment. Empty where it does not, or nobody noted it."""
    kept = run.meta.environment.get(MADE_OF)
    found = differing(kept, variant) if kept is not None else []
    return "; ".join(f"it was made with {key}={then!r:.60}" for key, then, _ in found[:2])


def check_made_of(folder: Path, variant: Variant) -> None:
    """Raises `ExperimentError` where a run lies in `folder` that was made as another variant."""
    if not is_run_record(folder / "run.sqlite"):
        return
    words = made_otherwise(Run.open(folder), variant)
    if words:
        raise ExperimentError(
            f"{str(folder)!r} holds a run of another variant {variant.name!r}: {words}. Name "
            "another folder, or give the variant another name."
        )


def is_done(folder: Path) -> bool:
    """Whether a finished run lies in `folder`."""
    if not is_run_record(folder / "run.sqlite"):
        return False
    return Run.open(folder).meta.status == "finished"


def steps_made(folder: Path) -> int:
    """Steps in the record of `folder`; 0 where there is none yet."""
    if not is_run_record(folder / "run.sqlite"):
        return 0
    return Run.open(folder).last_step()
