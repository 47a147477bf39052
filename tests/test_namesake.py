"""PyPI's distribution `workbench` beside ours: which of them came last decides whose files stand.

A folder stands in for site-packages, with links to our files and a distribution of that name.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Our package and the module that its commands begin in, as in site-packages."""
    package = tmp_path / "workbench"
    package.mkdir()
    for path in (ROOT / "workbench").iterdir():
        (package / path.name).symlink_to(path)
    (tmp_path / "grpo_workbench.py").symlink_to(ROOT / "grpo_workbench.py")
    return tmp_path


def install_theirs(site: Path, init: str | None = None) -> None:
    """The other distribution: its name, and where it came last its `__init__.py`."""
    (site / "workbench-0.8.506.dist-info").mkdir()
    if init is not None:
        (site / "workbench" / "__init__.py").unlink()
        (site / "workbench" / "__init__.py").write_text(init)


def python(site: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=site,
        env=os.environ | {"PYTHONPATH": str(site)},
    )


VERSION = "import sys, grpo_workbench; sys.argv = ['workbench', '--version']; grpo_workbench.main()"


def test_alone_nothing_is_said(site: Path) -> None:
    done = python(site, VERSION)
    assert done.stdout.startswith("grpo-workbench ")
    assert not done.stderr


def test_where_ours_came_last_it_works_and_says_so_once(site: Path) -> None:
    install_theirs(site)
    done = python(site, VERSION)
    assert done.stdout.startswith("grpo-workbench ")
    assert done.stderr.startswith("note: ")
    assert len(done.stderr.splitlines()) == 1
    assert "pip uninstall -y workbench grpo-workbench" in done.stderr
    imported = python(site, "import workbench; print(workbench.GRPOConfig.__name__)")
    assert imported.stdout == "GRPOConfig\n"
    assert imported.stderr.count("SageMaker") == 1


def test_where_theirs_came_last_it_ends_in_one_sentence_and_runs_nothing_of_theirs(
    site: Path,
) -> None:
    install_theirs(site, "print('theirs')\n")
    done = python(site, VERSION)
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert "pip uninstall -y workbench grpo-workbench" in done.stderr


def test_where_theirs_was_uninstalled_and_took_a_file_along(site: Path) -> None:
    (site / "workbench" / "__init__.py").unlink()
    # Without the environment's own folder, in which the checkout may be installed to be edited.
    done = python(site, VERSION, "-S")
    assert done.returncode == 1
    assert "no longer whole" in done.stderr


def test_the_doctor_names_it(site: Path) -> None:
    install_theirs(site)
    code = "from workbench.commands.doctor import _namesake; print(_namesake()[0].status)"
    assert python(site, code).stdout == "problem\n"
    (site / "workbench-0.8.506.dist-info").rmdir()
    assert python(site, code.replace("[0].status", "")).stdout == "[]\n"
