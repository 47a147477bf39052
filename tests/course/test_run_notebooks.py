"""The way out of nbmake: notebooks run by nbclient alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "run_notebooks.py"


@pytest.mark.slow
def test_it_says_which_notebook_failed_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for name, code in (("good", "open('left', 'w').close()"), ("bad", "raise ValueError('so')")):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    report = tmp_path.parent / "report.md"
    command = [sys.executable, str(SCRIPT), "--report", str(report)]
    names = [str(tmp_path / "good.ipynb"), str(tmp_path / "bad.ipynb")]
    done = subprocess.run([*command, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "good.ipynb: passed" in done.stdout
    assert "bad.ipynb: failed" in done.stdout
    assert "## bad.ipynb" in report.read_text()
    assert "ValueError: so" in report.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.ipynb", "good.ipynb"]
