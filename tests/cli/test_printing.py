"""Texts of others in what the commands print: markup, emoji codes, escape sequences, names that are
no UTF-8. Each reaches the terminal spelled out, and none ends a command."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from runs.crafted import small_record, unsealed
from runs.run_examples import stored_run

from workbench.commands import views
from workbench.commands.printing import line_of, make_warnings_inert, say, say_aside, say_lines
from workbench.commands.views import TerminalView
from workbench.config import ConfigWarning
from workbench.tasks import TaskWarning

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
    """Write facts into a record's table as a stranger would, its checksums gone."""
    unsealed(run)
    with closing(sqlite3.connect(run)) as db, db:
        for key, value in facts.items():
            db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(value), key))


def test_what_a_record_says_reaches_the_terminal_spelled_out(
    tmp_path: Path, workbench: Command
) -> None:
    for name in NAMES:
        folder = tmp_path / "runs" / name.replace("/", "|")
        stored_run(folder)
        rename(folder / "run.sqlite", name=ESCAPES, reason=ESCAPES, policy=ESCAPES)
    with closing(sqlite3.connect(folder / "run.sqlite")) as db, db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'status'", (json.dumps(ESCAPES),))
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


def test_the_doctor_says_which_step_of_a_record_is_damaged(
    tmp_path: Path, workbench: Command
) -> None:
    file = small_record(tmp_path / "r")
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE samples SET reward = 7 WHERE step = 3")
    done = workbench("doctor", "r", cwd=tmp_path, code=1)
    assert "DAMAGED: the record" in done.stdout
    assert "step 3, in the table samples" in done.stdout
    assert "small" in done.stdout.split("\n\n")[0]


def test_a_warning_of_ours_is_its_text_once_and_others_keep_their_place() -> None:
    make_warnings_inert()
    inside = str(Path(views.__file__))
    assert warnings.formatwarning("too few", TaskWarning, "/x/mine.py", 3) == "warning: too few\n"
    # Another place, the same text.
    assert warnings.formatwarning("too few", TaskWarning, inside, 9) == ""
    assert warnings.formatwarning("slow", UserWarning, inside, 1, "code") == "warning: slow\n"
    other = warnings.formatwarning("too few", UserWarning, "/x/mine.py", 3, "call()")
    assert other == "/x/mine.py:3: UserWarning: too few\n  call()\n"
    make_warnings_inert()  # another command
    assert warnings.formatwarning("slow", ConfigWarning, inside, 1) == "warning: slow\n"


def test_a_warning_on_the_command_line_names_no_file_of_ours(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WARNS_TWICE], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stderr == "warning: beta is high\n"


WARNS_TWICE = """
import warnings
from workbench.commands.printing import make_warnings_inert
from workbench.config import ConfigWarning
make_warnings_inert()
for _ in range(2):
    warnings.simplefilter("always")
    warnings.warn("beta is high", ConfigWarning)
"""
