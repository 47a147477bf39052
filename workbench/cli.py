"""The command line: `workbench train | eval | plan | runs | export | doctor | lab`. Each command is
a thin call into the package."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from workbench import __version__
from workbench.config import ConfigError, value_of
from workbench.errors import WorkbenchError

app = typer.Typer(
    name="workbench",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="The GRPO workbench: see Group Relative Policy Optimization happen.",
)


def rank_of(text: str) -> int | str:
    """The rank that --lora is given; "auto" is left for the policy to say."""
    if text == "auto" or (text.isdecimal() and int(text) > 0):
        return text if text == "auto" else int(text)
    raise typer.BadParameter(
        f"{text!r} is no rank. Give a whole number from 1 on, or --lora alone for 16."
    )


POLICY_HELP = "'embedded', a folder, a .gguf file, or a Hugging Face model id."
TASK_HELP = "'arithmetic', or a .jsonl file of problems such as GSM8K's."
PolicyOption = Annotated[str, typer.Option(help=POLICY_HELP)]
TaskOption = Annotated[str, typer.Option(help=TASK_HELP)]
LoraOption = Annotated[
    Any | None,
    typer.Option(
        parser=rank_of,
        metavar="RANK",
        help="Train a LoRA adapter of this rank; bare --lora means 16, or a saved adapter's own.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON lines; the last one is the result.")
]


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"grpo-workbench {__version__}")
        raise typer.Exit()


@app.command()
def train(
    policy: Annotated[
        str | None,
        typer.Option(help=POLICY_HELP + " Default: embedded; with --resume the run's own."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help=TASK_HELP + " Default: arithmetic; with --resume the run's own."),
    ] = None,
    reward: Annotated[
        list[str] | None,
        typer.Option(
            help="'format', 'answer', 'lenient_answer' (in any form), or file.py:function; repeat."
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Start from a published setting, e.g. deepseekmath.")
    ] = None,
    lora: LoraOption = None,
    quantization: Annotated[
        str | None,
        typer.Option(help="Frozen weights in 'nf4' (4 bits) or 'int8'; needs --lora."),
    ] = None,
    rollout: Annotated[
        str | None, typer.Option(help="What samples: 'native', 'transformers' or 'vllm'.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="Format of the weights: auto, float32, bfloat16 or float16."),
    ] = None,
    steps: Annotated[Optional[int], typer.Option(help="Steps of the run (max_steps).")] = None,  # noqa: UP045
    seed: Annotated[Optional[int], typer.Option(help="Seed of task, sampling and order.")] = None,  # noqa: UP045
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; default runs/DATE-TIME.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last good checkpoint of --out.")
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE for any field of GRPOConfig; repeat."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; default 1 for the embedded policy.", min=1)
    ] = None,
    shuffle_rewards: Annotated[
        bool, typer.Option("--shuffle-rewards", help="Control run: rewards dealt out at random.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a policy by GRPO. Without options: the embedded policy learns arithmetic, in about a
    minute."""
    from workbench.commands.train import train_command

    flags = dict(
        lora_rank=lora,
        quantization=quantization,
        rollout_engine=rollout,
        dtype=dtype,
        max_steps=steps,
        seed=seed,
    )
    changes = parse_settings(set_ or []) | {k: v for k, v in flags.items() if v is not None}
    folder = out or Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")
    if resume and out is None:
        raise ConfigError("--resume needs --out: name the folder of the run to go on with.")
    train_command(
        policy=policy,
        task=task,
        rewards=reward,
        preset=preset,
        changes=changes,
        out=folder,
        resume=resume,
        threads=threads,
        shuffle_rewards=shuffle_rewards,
        as_json=as_json,
    )


@app.command("eval")
def eval_(
    policy: PolicyOption = "embedded",
    task: TaskOption = "arithmetic",
    n: Annotated[int, typer.Option(help="Held-out problems.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the task.", min=0)] = 0,
    max_completion_length: Annotated[
        int | None,
        typer.Option(
            help="Longest answer in tokens; default: as in the run that the policy lies in, else 256 (embedded: 48).",
            min=1,
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="Format of the weights; auto: 16 bits on CUDA, float32 on a CPU."),
    ] = None,
    quantization: Annotated[
        str | None, typer.Option(help="Weights in 'nf4' (4 bits) or 'int8'.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; default 1 for the embedded policy.", min=1)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Greedy strict accuracy on held-out problems, with its 95 % interval. A run's trained policy
    is RUN/policy, its adapter RUN/adapter."""
    from workbench.commands.evaluate import eval_command

    eval_command(
        policy,
        task,
        n=n,
        seed=seed,
        max_completion_length=max_completion_length,
        dtype=dtype,
        quantization=quantization,
        threads=threads,
        as_json=as_json,
    )


@app.command()
def plan(
    policy: PolicyOption = "embedded",
    preset: Annotated[
        str | None, typer.Option(help="Start from a published setting, e.g. deepseekmath.")
    ] = None,
    lora: LoraOption = None,
    quantization: Annotated[
        str | None,
        typer.Option(help="Frozen weights in 'nf4' (4 bits) or 'int8'; needs --lora."),
    ] = None,
    prompts_per_step: Annotated[Optional[int], typer.Option(help="Prompts in one step.")] = None,  # noqa: UP045
    num_generations: Annotated[
        int | None, typer.Option(help="Completions for each prompt (G).")
    ] = None,
    max_prompt_length: Annotated[int | None, typer.Option(help="Longest prompt in tokens.")] = None,
    max_completion_length: Annotated[
        int | None, typer.Option(help="Longest completion in tokens.")
    ] = None,
    micro_batch_size: Annotated[
        int | None, typer.Option(help="Completions in one forward and backward.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="Format of the weights: auto, float32, bfloat16 or float16."),
    ] = None,
    gradient_checkpointing: Annotated[
        bool | None, typer.Option(help="Compute activations a second time.")
    ] = None,
    optim: Annotated[Optional[str], typer.Option(help="'adamw' or 'adamw_8bit'.")] = None,  # noqa: UP045
    rollout: Annotated[
        str | None, typer.Option(help="What samples: 'native', 'transformers' or 'vllm'.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE for any field of GRPOConfig; repeat."),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            help="T4, L4, A100-40, A100-80, H100, H200, a size such as 24GB, or cpu; default: this machine."
        ),
    ] = None,
    trial: Annotated[
        bool,
        typer.Option(
            help="Without --gpu: time a few layers with random weights here, for some seconds."
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Whether a run will fit into memory, what takes it, how long a step will take, and what to
    change. Reads a config, no weights."""
    from workbench.commands.plan import plan_command

    flags = dict(
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
    changes = parse_settings(set_ or []) | {k: v for k, v in flags.items() if v is not None}
    plan_command(
        policy=policy, preset=preset, changes=changes, gpu=gpu, trial=trial, as_json=as_json
    )


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="Folder to look in.")] = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """List the runs in a folder."""
    from workbench.commands.runs import runs_command

    runs_command(folder, as_json)


@app.command()
def export(
    kind: Annotated[
        str,
        typer.Argument(
            help="html: one interactive file that opens offline; csv: a folder of tables."
        ),
    ],
    run: Annotated[
        list[Path],
        typer.Argument(help="A run's folder or its .sqlite file; several to compare in one html."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="File or folder to write; default RUN.html or RUN-csv.")
    ] = None,
) -> None:
    """Write a run's record as one HTML file or as CSV tables."""
    from workbench.commands.runs import export_command

    export_command(kind, run, out)


@app.command()
def doctor(
    run: Annotated[
        Path | None, typer.Argument(help="A run to examine; without one, this machine is.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What of the workbench will work on this machine; or, for a RUN, what is going on in it, in
    words."""
    from workbench.commands.doctor import doctor_command, run_command

    if run is not None:
        run_command(run)
    else:
        doctor_command(as_json)


@app.command()
def lab(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of notebooks; default ./notebooks.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser tab.")] = True,
) -> None:
    """Open JupyterLab on the notebooks."""
    from workbench.commands.lab import lab_command

    lab_command(folder, browser)


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE texts as values: numbers, true, false, none, lists like [1,0.5]. Raises
    `ConfigError`."""
    values = {}
    for pair in pairs:
        name, found, text = pair.partition("=")
        if not found:
            raise ConfigError(f"--set {pair!r}: expected NAME=VALUE, for example --set beta=0.01.")
        values[name.strip()] = value_of(name.strip(), text)
    return values


def with_rank(arguments: list[str]) -> list[str]:
    """The arguments with "auto" behind a bare --lora: an option whose value may be left out."""
    bare = [
        a == "--lora" and following[:1] in ("", "-")
        for a, following in zip(arguments, [*arguments[1:], ""], strict=True)
    ]
    return ["--lora=auto" if is_bare else a for a, is_bare in zip(arguments, bare, strict=True)]


def main() -> None:
    """Entry point. Mistakes of the user are one clear message and exit code 2, not a traceback."""
    try:
        app(args=with_rank(sys.argv[1:]))
    except WorkbenchError as e:
        typer.echo("\n".join([f"error: {e}", *getattr(e, "__notes__", [])]), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
