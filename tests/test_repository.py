"""The repository keeps its promises: dependencies in step, imports light and one-way, notebooks
stripped, no network."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

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
