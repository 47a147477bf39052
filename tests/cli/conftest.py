"""The command line inside the test's own process: a new one costs seconds, most of them the import
of torch. Training, the doctor, help and a mistake are also tried as processes, in `test_cli.py`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from workbench.cli import main

Command = Callable[..., CompletedProcess[str]]
"""`workbench(*arguments, cwd, code=0)`: what the command printed, after its exit code was held
against `code`."""


@pytest.fixture
def workbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `workbench ARGUMENTS` in the folder `cwd` through its entry point."""

    def run(*arguments: object, cwd: Path, code: int = 0) -> CompletedProcess[str]:
        words = ["workbench", *map(str, arguments)]
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        try:
            main()
            found = 0
        except SystemExit as end:
            found = end.code or 0
        printed = capsys.readouterr()
        assert found == code, printed.out + printed.err
        return CompletedProcess(words, code, printed.out, printed.err)

    return run
