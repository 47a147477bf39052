"""The command line: `workbench train | eval | runs | export | doctor | lab`. Each command is a thin call into the package."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from workbench import __version__
from workbench.config import value_of
from workbench.config_fields import ConfigError
from workbench.errors import WorkbenchError

app = typer.Typer(
    name="workbench", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="The GRPO workbench: see Group Relative Policy Optimization happen.")

PolicyOption = Annotated[str, typer.Option(help="'embedded', a folder, a .gguf file, or a Hugging Face model id.")]
TaskOption = Annotated[str, typer.Option(help="'arithmetic', or a .jsonl file of problems such as GSM8K's.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON lines; the last one is the result.")]


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"grpo-workbench {__version__}")
        raise typer.Exit()


@app.command()
def train(
    policy: PolicyOption = "embedded",
    task: TaskOption = "arithmetic",
    reward: Annotated[Optional[list[str]], typer.Option(help="'format', 'answer', or file.py:function; repeat.")] = None,  # noqa: UP045
    preset: Annotated[Optional[str], typer.Option(help="Start from a published setting, e.g. deepseekmath.")] = None,  # noqa: UP045
    steps: Annotated[Optional[int], typer.Option(help="Steps of the run (max_steps).")] = None,  # noqa: UP045
    seed: Annotated[Optional[int], typer.Option(help="Seed of task, sampling and order.")] = None,  # noqa: UP045
    out: Annotated[Optional[Path], typer.Option(help="Folder of the run; default runs/DATE-TIME.")] = None,  # noqa: UP045
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last good checkpoint of --out.")] = False,
    set_: Annotated[Optional[list[str]], typer.Option("--set", help="NAME=VALUE for any field of GRPOConfig; repeat.")] = None,  # noqa: UP045
    threads: Annotated[Optional[int], typer.Option(help="CPU threads; default 1 for the embedded policy.", min=1)] = None,  # noqa: UP045
    shuffle_rewards: Annotated[bool, typer.Option("--shuffle-rewards", help="Control run: rewards dealt out at random.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a policy by GRPO. Without options: the embedded policy learns arithmetic, in about a minute."""
    from workbench.commands.train import train_command

    changes = parse_settings(set_ or []) | {k: v for k, v in (("max_steps", steps), ("seed", seed)) if v is not None}
    folder = out or Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")
    if resume and out is None:
        raise ConfigError("--resume needs --out: name the folder of the run to go on with.")
    train_command(policy=policy, task=task, rewards=reward, preset=preset, changes=changes, out=folder, resume=resume,
                  threads=threads, shuffle_rewards=shuffle_rewards, as_json=as_json)


@app.command("eval")
def eval_(
    policy: PolicyOption = "embedded",
    task: TaskOption = "arithmetic",
    n: Annotated[int, typer.Option(help="Held-out problems.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the task.", min=0)] = 0,
    max_completion_length: Annotated[int, typer.Option(help="Longest answer in tokens.", min=1)] = 48,
    threads: Annotated[Optional[int], typer.Option(help="CPU threads; default 1 for the embedded policy.", min=1)] = None,  # noqa: UP045
    as_json: JsonOption = False,
) -> None:
    """Greedy strict accuracy on held-out problems, with its 95 % interval. A run's trained policy is RUN/policy."""
    from workbench.commands.evaluate import eval_command

    eval_command(policy, task, n=n, seed=seed, max_completion_length=max_completion_length, threads=threads, as_json=as_json)


@app.command()
def runs(folder: Annotated[Path, typer.Argument(help="Folder to look in.")] = Path("runs"), as_json: JsonOption = False) -> None:
    """List the runs in a folder."""
    from workbench.commands.runs import runs_command

    runs_command(folder, as_json)


@app.command()
def export(
    kind: Annotated[str, typer.Argument(help="html: one interactive file that opens offline; csv: a folder of tables.")],
    run: Annotated[list[Path], typer.Argument(help="A run's folder or its .sqlite file; several to compare in one html.")],
    out: Annotated[Optional[Path], typer.Option(help="File or folder to write; default RUN.html or RUN-csv.")] = None,  # noqa: UP045
) -> None:
    """Write a run's record as one HTML file or as CSV tables."""
    from workbench.commands.runs import export_command

    export_command(kind, run, out)


@app.command()
def doctor(
    run: Annotated[Optional[Path], typer.Argument(help="A run to examine; without one, this machine is.")] = None,  # noqa: UP045
    as_json: JsonOption = False,
) -> None:
    """What of the workbench will work on this machine; or, for a RUN, what is going on in it, in words."""
    from workbench.commands.doctor import doctor_command, run_command

    if run is not None:
        run_command(run)
    else:
        doctor_command(as_json)


@app.command()
def lab(
    folder: Annotated[Optional[Path], typer.Argument(help="Folder of notebooks; default ./notebooks.")] = None,  # noqa: UP045
    browser: Annotated[bool, typer.Option(help="Open a browser tab.")] = True,
) -> None:
    """Open JupyterLab on the notebooks."""
    from workbench.commands.lab import lab_command

    lab_command(folder, browser)


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE texts as values: numbers, true, false, none, lists like [1,0.5]. Raises `ConfigError`."""
    values = {}
    for pair in pairs:
        name, found, text = pair.partition("=")
        if not found:
            raise ConfigError(f"--set {pair!r}: expected NAME=VALUE, for example --set beta=0.01.")
        values[name.strip()] = value_of(name.strip(), text)
    return values


def main() -> None:
    """Entry point. Mistakes of the user are one clear message and exit code 2, not a traceback."""
    try:
        app()
    except WorkbenchError as e:
        typer.echo("\n".join([f"error: {e}", *getattr(e, "__notes__", [])]), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
