"""The command line: `workbench train | compare | eval | task | reward | plan | runs | repair |
export | import | oracle | tornado | doctor | areal | lab | bench`. Each command is a thin call
into the package.

To add one: write `commands/NAME.py` with a function `NAME_command` that does the work; write its
function in a file of `commands/signatures/`, whose docstring is its help and which imports
`commands/NAME.py` in its body (so that `workbench --help` loads no torch); give each option a name
in `commands/options.py`; add its row to `COMMANDS`; try it as a process in `tests/cli/`, whose
`test_commands.py` fails for a function or a file of commands that has no row.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

import typer

from workbench import __version__
from workbench.commands import options
from workbench.commands.printing import make_warnings_inert, say_aside
from workbench.commands.signatures.asking import eval_, task_
from workbench.commands.signatures.evidence import compare, oracle, tornado
from workbench.commands.signatures.others import areal, bench, bench_methods, lab
from workbench.commands.signatures.records import (
    doctor,
    export_csv,
    export_html,
    export_trl,
    export_verl,
    import_,
    repair,
    runs,
)
from workbench.commands.signatures.rewards import reward_check, reward_list, reward_train
from workbench.commands.signatures.training import plan, train
from workbench.errors import WorkbenchError


def top(version: options.Version = False) -> None:
    """What `workbench` does without a command."""
    if version:
        typer.echo(f"grpo-workbench {__version__}")
        raise typer.Exit()


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "compare": compare,
    "eval": eval_,
    "task": task_,
    "reward check": reward_check,
    "reward list": reward_list,
    "reward train": reward_train,
    "plan": plan,
    "runs": runs,
    "repair": repair,
    "export html": export_html,
    "export csv": export_csv,
    "export trl": export_trl,
    "export verl": export_verl,
    "import": import_,
    "oracle": oracle,
    "tornado": tornado,
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
    "export": "A run as a page, as tables, or as a folder that another trainer goes on with.",
    "bench": "The benchmark table, and the matrix of methods.",
}
"""The groups, with their help. A group may be a command itself (`bench`, once a row "bench NAME"
stands above): its function runs where none of the group's commands is named, and its docstring is
the help."""

TAKES_WHAT_IT_DOES_NOT_KNOW = ("lab",)
"""Commands whose further options are those of the program that they start."""
PASSED_ON = {"ignore_unknown_options": True}


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
            passed_on = PASSED_ON if name in TAKES_WHAT_IT_DOES_NOT_KNOW else None
            groups.get(group, made).command(last, context_settings=passed_on)(command)
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
    except OSError as error:
        # Whatever is asked of such a name raises this, in every command alike.
        if error.errno != errno.ENAMETOOLONG:
            raise
        say_aside(f"error: the name {error.filename!r:.100} is too long for a file. Shorten it.")
        sys.exit(2)
