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

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = sorted((ROOT / "workbench").rglob("*.py"))


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


def test_import_is_light_and_opens_no_connection() -> None:
    code = """
import socket, sys
def refuse(*a, **k): raise AssertionError("a connection at import")
socket.socket.connect = refuse
import workbench
from workbench import GRPOConfig
GRPOConfig()
heavy = {"torch", "transformers", "pandas", "plotly", "ipywidgets", "datasets", "peft"} & set(sys.modules)
print(sorted(heavy))
"""
    assert fresh_python(code) == "[]"


def test_every_public_name_resolves() -> None:
    assert (
        fresh_python(
            "import workbench; print(all(getattr(workbench, n) is not None for n in workbench.__all__))"
        )
        == "True"
    )


def imports_of(path: Path) -> set[str]:
    """The workbench parts that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        found |= {n.split(".")[1] for n in names if n.startswith("workbench.")}
    return found


FORBIDDEN = {
    "objective": {
        "policy",
        "rollout",
        "rewards",
        "training",
        "runs",
        "widgets",
        "commands",
        "cli",
        "tasks",
        "methods",
        "evaluation",
    },
    "runs": {
        "policy",
        "rollout",
        "rewards",
        "training",
        "widgets",
        "commands",
        "cli",
        "objective",
        "tasks",
        "methods",
        "evaluation",
    },
    "tasks": {"policy", "rollout", "training", "widgets", "commands", "cli", "objective", "runs"},
    "rewards": {"policy", "rollout", "training", "widgets", "commands", "cli", "objective", "runs"},
    "rollout": {
        "training",
        "widgets",
        "commands",
        "cli",
        "objective",
        "runs",
        "rewards",
        "tasks",
        "policy",
    },
    "policy": {"training", "widgets", "commands", "cli", "objective", "runs", "rewards", "tasks"},
    "training": {"widgets", "commands", "cli"},
    "evaluation": {"widgets", "commands", "cli", "training"},
    "methods": {"widgets", "commands", "cli"},
}


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_point_one_way(part: str) -> None:
    wrong = {
        str(f.relative_to(ROOT)): bad
        for f in SOURCES
        if f.parts[len(ROOT.parts) + 1] == part
        if (bad := imports_of(f) & FORBIDDEN[part])
    }
    assert wrong == {}


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
