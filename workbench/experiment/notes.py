"""What a reader of an experiment's result must know: how the intervals were made, what is missing,
what was steered by hand, and whether the prompts were the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.experiment.outcomes import Row
from workbench.experiment.statistics import INTERVALS
from workbench.experiment.words import multiple_words, percent
from workbench.runs import Run

if TYPE_CHECKING:
    from workbench.experiment.result import Result


def notes_of(result: Result) -> list[str]:
    """A sentence each."""
    plan = result.plan
    families = (len(result.differences), len(result.against_controls))
    said = [
        multiple_words(families, plan.level),
        f"Intervals: {percent(plan.level)}, {INTERVALS[plan.interval]}, of differences paired by "
        "seed; they speak of other seeds of this policy and task, not of others.",
        _missing(result.rows),
        *_steered(result.rows),
        _pairing(result.rows, plan.seeds),
    ]
    return [words for words in said if words]


def _missing(rows: Sequence[Row]) -> str:
    outcomes = [outcome for row in rows for outcome in row.outcomes]
    missing = [outcome for outcome in outcomes if outcome.value is None]
    if not missing:
        return ""
    words = f"{len(missing)} of {len(outcomes)} runs are not finished."
    failed = sorted({outcome.variant for outcome in missing if outcome.status == "failed"})
    if failed:
        words += (
            f" Runs of {', '.join(failed)} failed: a mean over the seeds that did not flatters it."
        )
    return words


def _steered(rows: Sequence[Row]) -> list[str]:
    """Runs whose knobs somebody moved."""
    return [
        f"{outcome.variant}, seed {outcome.seed}: {outcome.steered} by hand, so this run is not "
        "what the experiment's file says."
        for row in rows
        for outcome in row.outcomes
        if outcome.steered
    ]


def _pairing(rows: Sequence[Row], seeds: Sequence[int]) -> str:
    """Whether all saw the same prompts in their first step, looked up in one seed."""
    for seed in seeds:
        finished = [row for row in rows if seed in row.values]
        if len(finished) < 2:
            continue
        prompts = {row.name: _first_prompts(row, seed) for row in finished}
        # Where samples were not kept there is nothing to compare.
        known = [name for name in prompts if prompts[name]]
        differing = [name for name in known[1:] if prompts[name] != prompts[known[0]]]
        if not differing:
            return ""
        return (
            f"{', '.join(differing)} drew other prompts in the first step than {known[0]} (their "
            "settings ask for other batches): seeds and held-out problems alone pair them."
        )
    return ""


def _first_prompts(row: Row, seed: int) -> Sequence[str]:
    folder = next(outcome.folder for outcome in row.outcomes if outcome.seed == seed)
    run = Run.open(folder)
    return tuple(dict.fromkeys(run.samples(1)["problem_id"])) if run.last_step() else ()
