"""The setup cell beside Colab's own packages: what pip would do in such a runtime, resolved against
the index, nothing installed.

Colab itself is not here. The environment is a fresh one of this Python, with the Jupyter packages
of a Colab runtime really installed (small wheels) and its large ones (torch, numpy, pandas) present
by name, version and requirements alone, which is all that pip looks at. Packages that a runtime has
besides are not modelled.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from course.test_notebooks import SETUP

ROOT = Path(__file__).parents[2]
JUPYTER = [
    "ipywidgets==7.7.1",
    "ipython-genutils==0.2.0",
    "widgetsnbextension==3.6.10",
    "jupyterlab-widgets==3.0.17",
    "plotly==5.24.1",
    "tenacity",
    "ipykernel==6.17.1",
    "ipython==7.34.0",
    "jupyter-client==7.4.9",
    "jupyter-core==5.9.1",
    "jupyter-server==2.14.0",
    "notebook==6.5.7",
    "nbclassic==1.3.3",
    "traitlets==5.7.1",
    "tornado==6.5.1",
    "nbclient==0.10.2",
    "nbconvert==7.16.6",
    "nbformat==5.10.4",
    "entrypoints",
    "nest-asyncio",
    "backcall",
    "decorator",
    "pickleshare",
]
LARGE = {
    "numpy": ("2.0.2", []),
    "pandas": (
        "2.2.2",
        ["numpy>=1.22.4", "python-dateutil>=2.8.2", "pytz>=2020.1", "tzdata>=2022.7"],
    ),
    "torch": (
        "{torch}",
        ["filelock", "typing-extensions>=4.10.0", "sympy>=1.13.3", "networkx", "jinja2", "fsspec"],
    ),
}


def run(*command: object) -> str:
    """What the command prints. Skips (in CI: fails) where the index cannot be reached."""
    done = subprocess.run(
        [str(c) for c in command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PIP_RETRIES": "1"},
    )
    if done.returncode:
        unreachable = (
            "No matching distribution found for pip" in done.stderr
            or "Failed to establish a new connection" in done.stderr
        )
        (
            pytest.skip
            if unreachable and not os.environ.get("WORKBENCH_REQUIRE_ALL")
            else pytest.fail
        )(done.stderr[-2000:])
    return done.stdout


def stand_in(packages: Path, name: str, version: str, needs: list[str]) -> None:
    """A package as far as pip sees it."""
    info = packages / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "\n".join(
            [
                "Metadata-Version: 2.1",
                f"Name: {name}",
                f"Version: {version}",
                *(f"Requires-Dist: {n}" for n in needs),
                "",
            ]
        )
    )
    (info / "INSTALLER").write_text("pip\n")
    (info / "RECORD").touch()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with Colab's Jupyter packages."""
    venv = tmp_path_factory.mktemp("colab") / "venv"
    run(sys.executable, "-m", "venv", venv)
    run(
        venv / "bin/python", "-m", "pip", "install", "-q", "-U", "pip"
    )  # older ones fetch whole wheels for a dry run
    run(venv / "bin/python", "-m", "pip", "install", "-q", "--no-deps", *JUPYTER)
    return venv / "bin/python"


def replaced(python: Path, tmp_path: Path, torch: str) -> tuple[set[str], set[str]]:
    """Names of all that the setup cell would install into a runtime with this torch, and of those
    that the runtime had."""
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    for name, (version, needs) in LARGE.items():
        for old in packages.glob(f"{name}-*.dist-info"):
            shutil.rmtree(old)
        stand_in(packages, name, version.format(torch=torch), needs)
    had = {
        normal(p["name"]) for p in json.loads(run(python, "-m", "pip", "list", "--format", "json"))
    }
    checkout = tmp_path / "checkout"
    (checkout / "workbench").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "workbench/__init__.py"):
        shutil.copy(
            ROOT / name, checkout / name
        )  # its requirements are all that is asked, and the tree stays clean
    (asked,) = re.findall(r"%pip install -q (.+)", SETUP)
    here = shlex.split(re.sub(r"git\+https://[^\s\"]+", f"file://{checkout}", asked))
    run(
        python,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--report",
        tmp_path / "report.json",
        "-q",
        *here,
    )
    would = json.loads((tmp_path / "report.json").read_text())["install"]
    return {normal(p["metadata"]["name"]) for p in would}, had


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("torch", ["2.9.0+cu126", "2.13.0+cu128"])
def test_the_setup_cell_keeps_the_runtime_s_torch_and_jupyter(
    torch: str, python: Path, tmp_path: Path
) -> None:
    would, had = replaced(python, tmp_path, torch)
    assert {"grpo-workbench", "anywidget", "peft"} <= would
    assert {"torch", "ipywidgets", "ipykernel", "tornado"} <= had
    assert sorted(would & (had - {"pip", "setuptools"})) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_torch_that_does_not_fit_would_be_seen(python: Path, tmp_path: Path) -> None:
    would, _ = replaced(python, tmp_path, "2.6.0+cu124")
    assert "torch" in would
