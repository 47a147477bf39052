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
        _missing(result.rows, plan.metric),
        _of_other_length(result.rows),
        *_steered(result.rows),
        _pairing(result.rows, plan.seeds),
    ]
    return [words for words in said if words]


def _missing(rows: Sequence[Row], metric: str) -> str:
    outcomes = [outcome for row in rows for outcome in row.outcomes]
    without = [outcome for outcome in outcomes if outcome.value is None]
    missing = [outcome for outcome in without if outcome.status != "finished"]
    words = ""
    if len(without) > len(missing):
        empty = sorted({one.variant for one in without if one.status == "finished"})
        count = len(without) - len(missing)
        words = (
            f"{count} finished runs of {', '.join(empty)} have no {metric} at their end and are "
            "left out."
        )
    if not missing:
        return words
    words += f" {len(missing)} of {len(outcomes)} runs are not finished."
    failed = sorted({outcome.variant for outcome in missing if outcome.status == "failed"})
    if failed:
        words += (
            f" Runs of {', '.join(failed)} failed: a mean over the seeds that did not flatters it."
        )
    return words.strip()


def _of_other_length(rows: Sequence[Row]) -> str:
    """Variants that are trained for longer, or asked more problems, than the first: a preset brings
    such settings of its own."""
    lengths = {
        row.name: (row.variant.config.max_steps, row.variant.config.num_eval_problems)
        for row in rows
    }
    first = next(iter(lengths))
    steps, problems = lengths[first]
    said = [
        f"{name} has {own_steps} steps and {own_problems} held-out problems"
        for name, (own_steps, own_problems) in lengths.items()
        if (own_steps, own_problems) != (steps, problems)
    ]
    if not said:
        return ""
    return f"{'; '.join(said)}; {first} has {steps} and {problems}: that is compared, too."


def _steered(rows: Sequence[Row]) -> list[str]:
    """Runs whose knobs somebody moved, and those of another experiment."""
    return [
        f"{outcome.variant}, seed {outcome.seed}: {outcome.steered}, so this run is not what the "
        "experiment's file says."
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
