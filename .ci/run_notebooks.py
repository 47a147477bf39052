"""The notebooks run without pytest: each in a kernel of its own, in a copy of its folder.

    python .ci/run_notebooks.py [--timeout 600] [--report FILE.md] notebooks/*.ipynb

nbclient runs them, which is Jupyter's own and what nbmake itself calls. nbmake, which makes tests
of notebooks in `pytest`, has seen no release for long: the day it breaks, `.ci/run` calls this in
its place, and `--nbmake` goes out of `pyproject.toml`. Google's Colab image runs it today, since it
needs nothing of what the tests need (.github/workflows/colab.yml).
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What a terminal reads as colours in a traceback."""


def outcome_of(notebook: Path, timeout: int) -> str:
    """Run one; '' where every cell ran, else what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "notebooks"
        shutil.copytree(notebook.parent, work, ignore=shutil.ignore_patterns("runs"))
        client = NotebookClient(
            nbformat.read(notebook, as_version=4),
            timeout=timeout,
            resources={"metadata": {"path": str(work)}},
        )
        try:
            client.execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            return f"{type(error).__name__}: {COLOURS.sub('', str(error))}"
    return ""


def main() -> None:
    """Run all that are named; exit code 1 where one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--timeout", type=int, default=600, help="seconds for a cell")
    parser.add_argument("--report", type=Path, help="where failures are written, as Markdown")
    args = parser.parse_args()
    failures = {}
    for notebook in args.notebooks:
        started = time.monotonic()
        wrong = outcome_of(notebook.resolve(), args.timeout)
        word = "failed" if wrong else "passed"
        print(f"{notebook.name}: {word}, {time.monotonic() - started:.0f} s", flush=True)
        if wrong:
            failures[notebook.name] = wrong
            print(wrong, flush=True)
    if args.report is not None and failures:
        parts = (f"## {name}\n\n```\n{wrong[-4000:]}\n```\n" for name, wrong in failures.items())
        args.report.write_text("\n".join(parts))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
