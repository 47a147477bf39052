"""The table of commands: nothing that belongs to a row can be forgotten."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import typer
from typer.testing import CliRunner

from workbench import cli, commands
from workbench.commands import signatures


def test_every_command_that_is_written_has_a_row() -> None:
    """A command is a function of `cli.py` or `signatures` that takes options and hands them on."""
    files = [info.name for info in pkgutil.iter_modules(signatures.__path__)]
    homes = [cli, *(importlib.import_module(f"{signatures.__name__}.{name}") for name in files)]
    written = {
        function
        for home in homes
        for function in vars(home).values()
        if inspect.isfunction(function)
        and function.__module__ == home.__name__
        and "from workbench.commands." in inspect.getsource(function)
    }
    assert written == set(cli.COMMANDS.values())


def test_every_file_of_commands_is_reached_by_a_command() -> None:
    """By itself, or through a file that one reaches."""
    files = {info.name for info in pkgutil.iter_modules(commands.__path__)}
    folder = Path(commands.__file__).parent
    sources = [inspect.getsource(command) for command in cli.COMMANDS.values()]
    reached: set[str] = {"options", "printing", "signatures"}  # by cli.py itself
    while sources:
        source = sources.pop()
        for name in files - reached:
            if f"workbench.commands.{name} import" in source:
                reached.add(name)
                sources.append((folder / f"{name}.py").read_text())
    assert files == reached


def command_named(name: str):
    """A command by its words: of two words, one of a group."""
    command = typer.main.get_command(cli.app)
    for word in name.split():
        command = command.commands[word]
    return command


def test_every_command_and_every_option_says_what_it_does() -> None:
    silent = [name for name in cli.COMMANDS if not command_named(name).help]
    silent += [name for name in cli.GROUPS if not command_named(name).help]
    silent += [
        f"{name} {option.name}"
        for name in cli.COMMANDS
        for option in command_named(name).params
        if not option.help
    ]
    shown = list(typer.main.get_command(cli.app).commands)
    assert sorted(shown) == sorted({name.split()[0] for name in cli.COMMANDS})
    assert {name.split()[0] for name in cli.COMMANDS if " " in name} == set(cli.GROUPS)
    assert not silent


def test_every_command_shows_its_help() -> None:
    shown = {name: CliRunner().invoke(cli.app, [*name.split(), "--help"]) for name in cli.COMMANDS}
    assert not {name: done.output for name, done in shown.items() if done.exit_code != 0}


def test_a_command_may_have_commands_below_it(monkeypatch, tmp_path) -> None:
    """`workbench bench` shows its table, also when the group has a command `bench NAME`."""

    def below() -> None:
        """Below."""
        typer.echo("below")

    monkeypatch.setitem(cli.COMMANDS, "bench below", below)
    monkeypatch.setitem(cli.GROUPS, "bench", "the table")
    monkeypatch.chdir(tmp_path)
    app = cli.make_app()
    assert CliRunner().invoke(app, ["bench", "below"]).output == "below\n"
    assert "PUBLISHED" in CliRunner().invoke(app, ["bench"]).output
