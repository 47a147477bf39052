"""`workbench bench methods`: every method on the embedded policy, with a control, over seeds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.bench.cases import cases_named
from workbench.bench.matrix import experiment_of, make_what_is_shared, results_of
from workbench.bench.methods import COLUMNS, MethodsTable, methods_table
from workbench.commands.bench import drawn
from workbench.commands.compare import made_with_progress
from workbench.commands.printing import say, say_json, terminal
from workbench.runs.environment import describe_environment


def bench_methods_command(
    *,
    methods: str | None,
    seeds: int,
    steps: int,
    problems: int,
    out: Path,
    jobs: int,
    html: Path | None,
    as_json: bool,
) -> None:
    """See `workbench bench methods --help`."""
    names = None if methods is None else [name.strip() for name in methods.split(",")]
    cases = cases_named(names)
    experiment = experiment_of(cases, seeds, out.absolute(), steps, problems)
    make_what_is_shared(cases, experiment.out)
    result = made_with_progress(experiment, jobs, quiet=as_json)
    table = methods_table(results_of(result), about(jobs))
    if html is not None:
        table.save_html(html)
    if as_json:
        say_json(table.to_dict())
        return
    _print(table)
    if html is not None:
        say(f"written to {html}")


def about(jobs: int) -> dict[str, Any]:
    """When and where it was measured."""
    found = describe_environment()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": found["cpu"],
        "processes": jobs,
        "threads_per_process": 1,
        "packages": {name: found["packages"].get(name) for name in ("grpo-workbench", "torch")},
    }


def _print(made: MethodsTable) -> None:
    console = terminal()
    table = drawn(f"METHODS: {made.summary()}", COLUMNS, made.cells())
    console.print(table)
    say(
        "95 %: of the mean over the seeds (Student's t). control: rewards dealt at random.", console
    )
