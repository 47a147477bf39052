"""The repository keeps its promises: dependencies in step, imports light and one-way, notebooks
stripped, no network."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from workbench import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def fresh_python(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_environment_yml_equals_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert [d for d in pip if not d.startswith("-e")] == PROJECT["dependencies"]
    assert f"python{PROJECT['requires-python']}" in environment["dependencies"]


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == __version__
    assert cited["license"] == PROJECT["license"]


def test_import_is_light_and_opens_no_connection() -> None:
    code = """
import socket, sys
def refuse(*a, **k): raise AssertionError("a connection at import")
socket.socket.connect = refuse
import workbench
from workbench import GRPOConfig
GRPOConfig()
heavy = {"torch", "transformers", "pandas", "plotly", "ipywidgets", "datasets", "peft"}
print(sorted(heavy & set(sys.modules)))
"""
    assert fresh_python(code) == "[]"


@pytest.mark.slow
def test_every_public_name_resolves() -> None:
    code = (
        "import workbench; print([n for n in workbench.__all__ if getattr(workbench, n) is None])"
    )
    assert fresh_python(code) == "[]"


@pytest.mark.parametrize(
    "notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.name
)
def test_notebooks_are_stripped(notebook: Path) -> None:
    content = json.loads(notebook.read_text())
    assert "widgets" not in content["metadata"]
    for cell in content["cells"]:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


def test_the_embedded_policy_is_small() -> None:
    size = sum(f.stat().st_size for f in (ROOT / "workbench/assets/embedded").iterdir())
    assert size <= 4e6


# What a command prints may quote a path or a record: it goes through one file, which spells out
# whatever rich or the terminal would obey.
PRINTING = ROOT / "workbench" / "commands" / "printing.py"
COMMAND_FILES = [*(ROOT / "workbench" / "commands").glob("*.py"), ROOT / "workbench" / "cli.py"]


def prints_past_the_one_file(source: str) -> list[str]:
    """What in the code of a command hands a string to the terminal, or to rich, as it is."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in ("rich", "rich.console"):
            found += [f"{a.name} of rich" for a in node.names if a.name not in ("Group", "box")]
        if isinstance(node, ast.ImportFrom) and node.module == "rich.text":
            found.append("rich's Text: make it with line_of")
        if isinstance(node, ast.Call):
            found += _prints_past(node)
    return found


def _prints_past(call: ast.Call) -> list[str]:
    called = ast.unparse(call.func)
    if called in ("print", "typer.secho", "click.echo", "sys.stdout.write", "sys.stderr.write"):
        return [f"{called}(...)"]
    # The version alone is ours.
    if called == "typer.echo" and "__version__" not in ast.unparse(call):
        return ["typer.echo(...)"]
    # A console of ours may print what it is given ready-made, never a string.
    if called.endswith((".print", ".log", ".rule", ".add_row", ".add_column", "TextColumn")):
        return [
            f"{called}({ast.unparse(argument)})"
            for argument in call.args
            if not _is_ready(argument)
        ]
    return []


def _is_ready(argument: ast.expr) -> bool:
    """A literal, a call of `line_of` or of a renderable, a name that holds one."""
    if isinstance(argument, ast.Starred):
        inner = argument.value
        return isinstance(inner, ast.GeneratorExp) and _is_ready(inner.elt)
    if isinstance(argument, ast.Call):
        return ast.unparse(argument.func) in ("line_of", "Group")
    names_of_renderables = ("table", "figure", "heading")
    return isinstance(argument, ast.Constant) or ast.unparse(argument) in names_of_renderables


def test_no_command_prints_past_the_one_file() -> None:
    offenders = {
        file.name: found
        for file in COMMAND_FILES
        if file != PRINTING and (found := prints_past_the_one_file(file.read_text()))
    }
    assert not offenders


def test_a_command_that_prints_past_the_one_file_is_found() -> None:
    planted = [
        "print(f'record in {out}')",
        "print(out, file=sys.stderr)",
        "from rich.console import Console",
        "from rich import print",
        "from rich.text import Text",
        "console.print(f'record in {out}')",
        "console.print(out)",
        "self.console.print('a', out)",
        "table.add_row(label, str(value))",
        "table.add_row(*(str(cell) for cell in row))",
        "table.add_column(name)",
        "typer.echo(f'error: {error}', err=True)",
        "sys.stdout.write(out)",
        "TextColumn(title)",
    ]
    missed = [line for line in planted if not prints_past_the_one_file(line)]
    assert not missed


def test_a_package_prints_only_where_it_is_a_program() -> None:
    """Outside of the commands nothing prints: a library warns, raises or returns."""
    programs = {
        "math_worker.py",
        "math_process.py",
        "make_embedded.py",
        "make_oracle.py",
        "make_recorded.py",
    }
    offenders = [
        f"{file.name}:{node.lineno}"
        for file in (ROOT / "workbench").rglob("*.py")
        if file not in COMMAND_FILES and file.name not in programs
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "rich.print")
    ]
    assert not offenders
