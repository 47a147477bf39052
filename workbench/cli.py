"""The command line: `workbench train | eval | task | reward | plan | oracle | runs | export |
doctor | areal | lab | bench`. Each command is a thin call into the package.

To add one: write `commands/NAME.py` with a function `NAME_command` that does the work; write its
function here, whose docstring is its help and which imports `commands/NAME.py` in its body (so that
`workbench --help` loads no torch); give each option a name in `commands/options.py`; add its row to
`COMMANDS`; try it as a process in `tests/cli/`, whose `test_commands.py` fails for a function or a
file of commands that has no row.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import typer

from workbench import __version__
from workbench.commands import options
from workbench.commands.printing import make_warnings_inert, say_aside
from workbench.config import ConfigError
from workbench.errors import WorkbenchError


def top(version: options.Version = False) -> None:
    """What `workbench` does without a command."""
    if version:
        typer.echo(f"grpo-workbench {__version__}")
        raise typer.Exit()


def train(
    policy: options.PolicyOrTheRuns = None,
    task: options.TaskOrTheRuns = None,
    column: options.Columns = None,
    question_key: options.QuestionKey = None,
    answer_key: options.AnswerKey = None,
    system_key: options.SystemKey = None,
    system_prompt: options.SystemPrompt = None,
    skip_unreadable: options.SkipUnreadable = False,
    reward: options.Rewards = None,
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    method: options.Method = None,
    teacher: options.Teacher = None,
    lora: options.Lora = None,
    quantization: options.Quantization = None,
    rollout: options.Rollout = None,
    dtype: options.Dtype = None,
    steps: options.Steps = None,
    eval_samples: options.EvalSamples = None,
    seed: options.Seed = None,
    out: options.Out = None,
    resume: options.Resume = False,
    set_: options.Settings = None,
    threads: options.Threads = None,
    shuffle_rewards: options.ShuffleRewards = False,
    as_json: options.JsonLines = False,
) -> None:
    """Train a policy by GRPO, or by another --method. Without options: the embedded policy learns
    arithmetic, in about a minute."""
    from workbench.commands.train import train_command

    changes = options.changes_of(
        set_,
        method=method,
        teacher=teacher,
        lora_rank=lora,
        quantization=quantization,
        rollout_engine=rollout,
        dtype=dtype,
        max_steps=steps,
        eval_samples=eval_samples,
        seed=seed,
        **options.keys_of(
            column,
            question_key=question_key,
            answer_key=answer_key,
            system_key=system_key,
        ),
        system_prompt=system_prompt,
        unreadable_golds="skip" if skip_unreadable else None,
    )
    if resume and out is None:
        raise ConfigError("--resume needs --out: name the folder of the run to go on with.")
    train_command(
        policy=policy,
        task=task,
        rewards=reward,
        preset=preset,
        config_file=config,
        changes=changes,
        out=out or Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S"),
        resume=resume,
        threads=threads,
        shuffle_rewards=shuffle_rewards,
        as_json=as_json,
    )


def eval_(
    run: options.EvaluatedRun = None,
    policy: options.Policy = "embedded",
    task: options.TaskOrThePolicys = None,
    column: options.Columns = None,
    question_key: options.QuestionKey = None,
    answer_key: options.AnswerKey = None,
    system_key: options.SystemKey = None,
    system_prompt: options.SystemPrompt = None,
    skip_unreadable: options.SkipUnreadable = False,
    n: options.HeldOut = 1000,
    samples: options.Samples = 0,
    temperature: options.Temperature = 1.0,
    seed: options.TaskSeed = 0,
    max_completion_length: options.EvalLength = None,
    rollout: options.Rollout = None,
    dtype: options.EvalDtype = None,
    quantization: options.EvalQuantization = None,
    out: options.KeepAnswers = None,
    read: options.ReadAnswers = None,
    control: options.Control = None,
    record: options.RecordEvaluation = False,
    recorded: options.Recorded = False,
    step: options.OfStep = None,
    threads: options.Threads = None,
    as_json: options.JsonObject = False,
) -> None:
    """Accuracy on held-out problems with its 95 % interval: greedy, and with --samples K mean@K,
    maj@k and pass@k, strict beside lenient, by kind, subject and level."""
    from workbench.commands.evaluate import EvalRequest, eval_command

    request = EvalRequest(
        policy=policy,
        task=task,
        keys=options.keys_of(
            column,
            question_key=question_key,
            answer_key=answer_key,
            system_key=system_key,
        ),
        system_prompt=system_prompt,
        skip_unreadable=skip_unreadable,
        problems=n,
        samples=samples,
        temperature=temperature,
        seed=seed,
        max_completion_length=max_completion_length,
        rollout=rollout,
        dtype=dtype,
        quantization=quantization,
        keep=out,
        control=control,
        record=record,
        recorded=recorded,
        step=step,
        threads=threads,
        as_json=as_json,
    )
    eval_command(run, read, request)


def task_(
    source: options.TaskShown,
    policy: options.PolicyShown = None,
    column: options.Columns = None,
    question_key: options.QuestionKey = None,
    answer_key: options.AnswerKey = None,
    system_key: options.SystemKey = None,
    system_prompt: options.SystemPrompt = None,
    skip_unreadable: options.SkipUnreadable = False,
    seed: options.TaskSeed = 0,
    max_prompt_length: options.MaxPromptLength = None,
    max_completion_length: options.MaxCompletionLength = None,
    as_json: options.JsonObject = False,
) -> None:
    """How a file of problems is read: keys, golds and where they were found, what is dropped. With
    --policy: a prompt as the policy gets it."""
    from workbench.commands.task import task_command

    task_command(
        source,
        policy=policy,
        keys=options.keys_of(
            column,
            question_key=question_key,
            answer_key=answer_key,
            system_key=system_key,
        ),
        system_prompt=system_prompt,
        skip_unreadable=skip_unreadable,
        seed=seed,
        lengths={
            "max_prompt_length": max_prompt_length,
            "max_completion_length": max_completion_length,
        },
        as_json=as_json,
    )


def reward_check(
    reward: options.RewardChecked,
    task: options.TaskChecked = "arithmetic",
    column: options.Columns = None,
    question_key: options.QuestionKey = None,
    answer_key: options.AnswerKey = None,
    system_key: options.SystemKey = None,
    system_prompt: options.SystemPrompt = None,
    skip_unreadable: options.SkipUnreadable = False,
    problems: options.CheckedProblems = 8,
    form: options.AnswerForm = None,
    paid_from: options.PaidFrom = None,
    seed: options.TaskSeed = 0,
    timeout: options.CheckTimeout = 60.0,
    show: options.ShownMistakes = 5,
    as_json: options.JsonObject = False,
) -> None:
    """What a reward pays before it is trained on: right answers in many spellings, near misses, and
    attacks, with false positives and negatives by kind."""
    from workbench.commands.reward import HowToCheck, reward_check_command

    reward_check_command(
        reward,
        task,
        keys=options.keys_of(
            column,
            question_key=question_key,
            answer_key=answer_key,
            system_key=system_key,
        ),
        system_prompt=system_prompt,
        skip_unreadable=skip_unreadable,
        how=HowToCheck(problems, form, paid_from, seed, timeout, show, as_json),
    )


def reward_list(as_json: options.JsonObject = False) -> None:
    """The rewards known by name, with what each pays."""
    from workbench.commands.reward import reward_list_command

    reward_list_command(as_json)


def plan(
    policy: options.Policy = "embedded",
    preset: options.Preset = None,
    method: options.Method = None,
    teacher: options.Teacher = None,
    lora: options.Lora = None,
    quantization: options.Quantization = None,
    prompts_per_step: options.PromptsPerStep = None,
    num_generations: options.NumGenerations = None,
    max_prompt_length: options.MaxPromptLength = None,
    max_completion_length: options.MaxCompletionLength = None,
    micro_batch_size: options.MicroBatchSize = None,
    dtype: options.Dtype = None,
    gradient_checkpointing: options.GradientCheckpointing = None,
    optim: options.Optim = None,
    rollout: options.Rollout = None,
    set_: options.Settings = None,
    gpu: options.Gpu = None,
    trial: options.Trial = True,
    as_json: options.JsonObject = False,
) -> None:
    """Whether a run will fit into memory, what takes it, how long a step will take, and what to
    change. Reads a config, no weights."""
    from workbench.commands.plan import plan_command

    changes = options.changes_of(
        set_,
        method=method,
        teacher=teacher,
        lora_rank=lora,
        quantization=quantization,
        prompts_per_step=prompts_per_step,
        num_generations=num_generations,
        max_prompt_length=max_prompt_length,
        max_completion_length=max_completion_length,
        micro_batch_size=micro_batch_size,
        dtype=dtype,
        gradient_checkpointing=gradient_checkpointing,
        optim=optim,
        rollout_engine=rollout,
    )
    plan_command(
        policy=policy,
        preset=preset,
        changes=changes,
        gpu=gpu,
        trial=trial,
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


def runs(
    folder: options.RunsFolder = Path("runs"),
    as_json: options.JsonLines = False,
) -> None:
    """List the runs in a folder."""
    from workbench.commands.runs import runs_command

    runs_command(folder, as_json)


def export(
    kind: options.ExportKind,
    run: options.ExportedRuns,
    out: options.ExportOut = None,
) -> None:
    """Write a run's record as one HTML file or as CSV tables."""
    from workbench.commands.runs import export_command

    export_command(kind, run, out)


def doctor(
    run: options.ExaminedRun = None,
    as_json: options.JsonLines = False,
) -> None:
    """What of the workbench will work on this machine; or, for a RUN, what is going on in it, in
    words."""
    from workbench.commands.doctor import doctor_command, run_command

    if run is not None:
        run_command(run)
    else:
        doctor_command(as_json)


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


def reward_train(
    out: options.RewardModelOut,
    kind: options.RewardKind = "pairs",
    policy: options.Policy = "embedded",
    task: options.Task = "arithmetic",
    column: options.Columns = None,
    question_key: options.QuestionKey = None,
    answer_key: options.AnswerKey = None,
    system_key: options.SystemKey = None,
    system_prompt: options.SystemPrompt = None,
    skip_unreadable: options.SkipUnreadable = False,
    gold: options.Gold = None,
    problems: options.TrainingProblems = 400,
    samples: options.RewardSamples = 8,
    roll_ins: options.RollIns = 8,
    steps_by: options.StepsBy = None,
    epochs: options.Epochs = 1,
    learning_rate: options.RewardLearningRate = None,
    max_completion_length: options.EvalLength = None,
    temperature: options.Temperature = 1.0,
    seed: options.TaskSeed = 0,
    rollout: options.Rollout = None,
    threads: options.Threads = None,
    as_json: options.JsonLines = False,
) -> None:
    """Train a reward model on what a policy samples, and judge it on held-out problems. Its folder
    is a reward: workbench train --reward model:FOLDER."""
    from workbench.commands.reward_model import Asked, reward_train_command

    asked = Asked(
        kind=kind,
        policy=policy,
        task=task,
        gold=gold or ["answer"],
        problems=problems,
        samples=samples,
        roll_ins=roll_ins,
        steps_by=steps_by,
        epochs=epochs,
        learning_rate=learning_rate,
        max_completion_length=max_completion_length,
        temperature=temperature,
        seed=seed,
        rollout=rollout,
        out=out,
    )
    reward_train_command(
        asked,
        keys=options.keys_of(
            column,
            question_key=question_key,
            answer_key=answer_key,
            system_key=system_key,
        ),
        system_prompt=system_prompt,
        skip_unreadable=skip_unreadable,
        threads=threads,
        as_json=as_json,
    )


def lab(
    folder: options.Notebooks = None,
    browser: options.Browser = True,
) -> None:
    """Open JupyterLab on the notebooks."""
    from workbench.commands.lab import lab_command

    lab_command(folder, browser)


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


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "eval": eval_,
    "task": task_,
    "reward check": reward_check,
    "reward list": reward_list,
    "reward train": reward_train,
    "plan": plan,
    "oracle": oracle,
    "runs": runs,
    "export": export,
    "doctor": doctor,
    "areal": areal,
    "lab": lab,
    "bench": bench,
    "bench methods": bench_methods,
}
"""Every command, in the order of the help; of two words: one of a group. A group that is a command
itself comes last."""
GROUPS = {
    "reward": "Rewards: listed, tried before training, and reward models made.",
    "bench": "The benchmark table, and the matrix of methods.",
}
"""The groups, with their help. A group may be a command itself (`bench`, once a row "bench NAME"
stands above): its function runs where none of the group's commands is named, and its docstring is
the help."""


def make_app() -> typer.Typer:
    """The command line of `COMMANDS`."""
    made = typer.Typer(
        name="workbench",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="The GRPO workbench: see Group Relative Policy Optimization happen.",
    )
    made.callback(invoke_without_command=True)(top)
    groups: dict[str, typer.Typer] = {}
    for name, command in COMMANDS.items():
        group, _, last = name.rpartition(" ")
        opened = group or name
        if opened in GROUPS and opened not in groups:
            groups[opened] = _make_group(opened)
            made.add_typer(groups[opened], name=opened)
        if name not in GROUPS:
            groups.get(group, made).command(last)(command)
    return made


def _make_group(name: str) -> typer.Typer:
    """A group without its commands."""
    own = COMMANDS.get(name)
    if own is None:
        return typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=GROUPS[name])
    group = typer.Typer(rich_markup_mode=None)
    group.callback(invoke_without_command=True)(own)
    return group


app = make_app()


def with_rank(arguments: list[str]) -> list[str]:
    """The arguments with "auto" behind a bare --lora: an option whose value may be left out."""
    following = [*arguments[1:], ""]
    return [
        "--lora=auto" if argument == "--lora" and after[:1] in ("", "-") else argument
        for argument, after in zip(arguments, following, strict=True)
    ]


def main() -> None:
    """Entry point. Mistakes of the user are one clear message and exit code 2, not a traceback."""
    make_warnings_inert()
    try:
        app(args=with_rank(sys.argv[1:]))
    except WorkbenchError as error:
        say_aside("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]))
        sys.exit(2)


if __name__ == "__main__":
    main()
