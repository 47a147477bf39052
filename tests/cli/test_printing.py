"""Texts of others in what the commands print: markup, emoji codes, escape sequences, names that are
no UTF-8. Each reaches the terminal spelled out, and none ends a command."""

from __future__ import annotations

import json
import os
import sqlite3
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from runs.run_examples import stored_run

from workbench.commands.printing import line_of, make_warnings_inert, say, say_aside, say_lines
from workbench.commands.views import TerminalView
from workbench.runs.store.checksums import seal_meta

Command = Callable[..., CompletedProcess[str]]
"""The fixture `workbench` (see `conftest.py`)."""

ESCAPES = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \r\x9b2J \u202egnp\u202c \x08"
RESULT = {
    "run": "r",
    "steps": 3,
    "accuracy_step": 3,
    "accuracy_before": 0.1,
    "accuracy_after": 0.2,
    "interval_after": [0.1, 0.3],
    "problems": 20,
    "seconds": 1.0,
    "policy": "p",
}


def is_inert(text: str) -> bool:
    """No character but line ends that a terminal obeys."""
    return all(c.isprintable() or c == "\n" for c in text)


def said(text: str) -> str:
    """Printed text without the places where the terminal's width broke it."""
    return "".join(text.split())


NAMES = ["[/x]", "[red]", "[bold]a[/bold]", "[link=http://x]y", ":bug:", ESCAPES, "a\nb"]


@pytest.mark.parametrize("name", NAMES)
def test_the_last_words_of_a_run_show_its_folder_as_it_is(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    view = TerminalView(Path("runs", name), f"policy {name}", f"task {name}")
    view.notice(f"loading {name}")
    view.history["dead_group_share"] = deque([1.0])
    values = RESULT | {"run": f"runs/{name}", "policy": f"runs/{name}/policy"}
    view.result(values, 3, f"workbench {name}")
    view.result(values | {"accuracy_after": None}, 3, f"workbench {name}")
    view.result(values, 9, f"workbench {name}")
    view.console.print(view.panel())
    printed = capsys.readouterr().out
    assert is_inert(printed)
    shown = said(line_of(name).plain)
    assert said(printed).count(shown) >= 10


def test_a_run_into_a_folder_that_is_called_like_markup_ends_well(
    tmp_path: Path, tiny_folder: Path, workbench: Command
) -> None:
    quick = ["prompts_per_step=2", "num_generations=4", "max_completion_length=4"]
    settings = [word for pair in [*quick, "num_eval_problems=2"] for word in ("--set", pair)]
    asked = ["--policy", tiny_folder, "--steps", 1, *settings]
    done = workbench("train", "--out", "runs/[/x]", *asked, cwd=tmp_path)
    assert "record:runs/[/x]/run.sqlite" in said(done.stdout)


def rename(run: Path, **facts: str) -> None:
    """Write facts into a record's table, with the checksum that belongs to them."""
    with closing(sqlite3.connect(run)) as db, db:
        for key, value in facts.items():
            db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(value), key))
        seal_meta(db)


def test_what_a_record_says_reaches_the_terminal_spelled_out(
    tmp_path: Path, workbench: Command
) -> None:
    for name in NAMES:
        folder = tmp_path / "runs" / name.replace("/", "|")
        stored_run(folder)
        rename(folder / "run.sqlite", name=ESCAPES, reason=ESCAPES, policy=ESCAPES)
    rename(folder / "run.sqlite", status=f"finished{ESCAPES}")
    listed = workbench("runs", cwd=tmp_path)
    assert is_inert(listed.stdout)
    assert "[red]" in listed.stdout
    for run in (tmp_path / "runs").iterdir():
        if run != folder:
            assert is_inert(workbench("export", "csv", run, cwd=tmp_path).stdout)
    assert len(json.loads(workbench("runs", "--json", cwd=tmp_path).stdout)) == len(NAMES)


def test_a_folder_whose_name_is_no_utf8_is_listed(tmp_path: Path, workbench: Command) -> None:
    name = os.fsdecode(b"caf\xe9")
    try:
        stored_run(tmp_path / "runs" / name)
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    assert "cafU+DCE9" in workbench("runs", cwd=tmp_path).stdout
    rows = json.loads(workbench("runs", "--json", cwd=tmp_path).stdout)
    assert os.fsencode(rows[0]["path"]).endswith(b"caf\xe9")


def test_an_error_and_a_warning_quote_a_name_spelled_out(
    tmp_path: Path, workbench: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    done = workbench("doctor", f"no-{ESCAPES}", cwd=tmp_path, code=2)
    assert is_inert(done.stderr)
    assert "U+001B" in done.stderr
    make_warnings_inert()
    told = warnings.formatwarning(f"the path {ESCAPES}", UserWarning, f"f{ESCAPES}", 1)
    assert is_inert(told)
    say(ESCAPES)
    say_lines(f"a\n{ESCAPES}")
    say_aside(ESCAPES)
    printed = capsys.readouterr()
    assert is_inert(printed.out + printed.err)
