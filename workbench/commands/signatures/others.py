"""`workbench areal`, `lab` and `bench`."""

from __future__ import annotations

from pathlib import Path

import typer

from workbench.commands import options


def areal(
    source: options.ArealFile,
    problems: options.TrainProblems = None,
    save: options.SaveConfig = None,
    as_json: options.JsonObject = False,
) -> None:
    """AReaL's YAML file as a config of the workbench: what was taken over, with which difference,
    and what has no counterpart."""
    from workbench.commands.areal import areal_command

    areal_command(source, train_problems=problems, save=save, as_json=as_json)


def lab(
    arguments: options.Notebooks = None,
    browser: options.Browser = True,
    reset: options.Reset = None,
) -> None:
    """Open JupyterLab on your own copy of the notebooks, or on a folder of yours. Further options
    are JupyterLab's: workbench lab --port 8899."""
    from workbench.commands.lab import lab_command

    lab_command(arguments or [], browser, reset)


def bench(
    context: typer.Context,
    measured: options.MeasuredIn = None,
    benchmark: options.Benchmark = None,
    html: options.BenchPage = None,
    as_json: options.JsonObject = False,
) -> None:
    """The benchmark table: what others have published, each with its source, and apart from it what
    you measured with `workbench eval` and `workbench train`."""
    if context.invoked_subcommand is not None:
        return
    from workbench.commands.bench import bench_command

    bench_command(measured, benchmark=benchmark, html=html, as_json=as_json)


def bench_methods(
    methods: options.BenchedMethods = None,
    seeds: options.BenchSeeds = 5,
    steps: options.BenchSteps = 30,
    problems: options.BenchProblems = 300,
    out: options.BenchFolder = Path("runs/methods"),
    jobs: options.Jobs = 1,
    html: options.BenchPage = None,
    as_json: options.JsonObject = False,
) -> None:
    """Every method on the embedded policy, over seeds, with a control whose rewards are dealt out
    at random. Broken off, the same command goes on."""
    from workbench.commands.bench_methods import bench_methods_command

    bench_methods_command(
        methods=methods,
        seeds=seeds,
        steps=steps,
        problems=problems,
        out=out,
        jobs=jobs,
        html=html,
        as_json=as_json,
    )
