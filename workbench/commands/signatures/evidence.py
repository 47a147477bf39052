"""What a run could have been: experiments with controls, the oracle, the tornado."""

from __future__ import annotations

import typer

from workbench.commands import options


def compare(
    context: typer.Context,
    folder: options.ComparedFolder = None,
    variant: options.Variants = None,
    seeds: options.CompareSeeds = None,
    controls: options.Controls = "shuffled,random",
    control_of: options.ControlOf = None,
    policy: options.Policy = "embedded",
    task: options.Task = "arithmetic",
    reward: options.Rewards = None,
    preset: options.Preset = None,
    steps: options.Steps = None,
    problems: options.CompareProblems = None,
    set_: options.Settings = None,
    metric: options.Metric = None,
    interval: options.IntervalKind = None,
    out: options.CompareOut = None,
    resume: options.CompareResume = False,
    jobs: options.CompareJobs = None,
    exact: options.CompareExact = None,
    as_json: options.JsonObject = False,
) -> None:
    """Is A better than B, or was it luck? Variants over paired seeds, with controls that must not
    learn. With a FOLDER: the result that is stored there. Broken off, the same command goes on."""
    if exact is not None:
        from workbench.commands.exact import exact_command

        options.check_alone(context, "exact", "as_json")
        exact_command(*exact, as_json)
        return
    from workbench.commands.compare import compare_command

    changes = options.changes_of(set_, max_steps=steps, num_eval_problems=problems)
    compare_command(
        folder=folder,
        variants=variant,
        policy=policy,
        task=task,
        rewards=reward,
        preset=preset,
        changes=changes,
        seeds=seeds,
        controls=controls,
        control_of=control_of,
        metric=metric,
        interval=interval,
        out=out,
        resume=resume,
        processes=jobs,
        as_json=as_json,
    )


def oracle(
    policy: options.Policy = "embedded",
    task: options.Task = "arithmetic",
    problem: options.OracleProblem = 0,
    mass: options.OracleMass = 0.999,
    temperature: options.OracleTemperature = 1.0,
    reward: options.Rewards = None,
    max_completion_length: options.MaxCompletionLength = None,
    top: options.OracleRows = 20,
    seed: options.TaskSeed = 0,
    threads: options.Threads = None,
    as_json: options.JsonObject = False,
) -> None:
    """All that a small policy can say to one held-out problem, with probability, reward and
    advantage: enumerated, not sampled."""
    from workbench.commands.oracle import oracle_command

    oracle_command(
        policy=policy,
        task=task,
        problem=problem,
        mass=mass,
        temperature=temperature,
        rewards=reward,
        max_completion_length=max_completion_length,
        top=top,
        seed=seed,
        threads=threads,
        as_json=as_json,
    )


def tornado(
    run: options.TornadoRun,
    step: options.TornadoStep = None,
    knob: options.TornadoKnobs = None,
    steps: options.TornadoSteps = 4,
    seeds: options.TornadoSeeds = 3,
    problems: options.TornadoProblems = 128,
    policy: options.TornadoPolicy = None,
    task: options.TornadoTask = None,
    reward: options.TornadoRewards = None,
    threads: options.Threads = None,
    html: options.TornadoPage = None,
    as_json: options.JsonObject = False,
) -> None:
    """What each knob would have done from a checkpoint of a run on: some steps with each lower and
    higher, against what another seed does. The run is not touched."""
    from workbench.commands.tornado import tornado_command

    tornado_command(
        run,
        step=step,
        knobs=knob,
        steps=steps,
        seeds=seeds,
        problems=problems,
        policy=policy,
        task=task,
        rewards=reward,
        threads=threads,
        html=html,
        as_json=as_json,
    )
