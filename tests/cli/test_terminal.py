"""What `workbench doctor RUN`, `workbench plan` and `workbench runs` look like on a terminal, and
where no terminal reads them."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import make_run
from rich.cells import cell_len
from rich.console import Console

from workbench.commands.printing import STYLES, say_paragraphs, say_wrapped
from workbench.commands.runs import runs_command
from workbench.doctor import SEVERITIES, report
from workbench.doctor.report import Line, paragraphs
from workbench.runs import list_runs
from workbench.runs.store import queries

COLOUR = re.compile(r"\x1b\[[\d;]*m")
ILL = dict(status="failed", reason="the loss is \x1b[31mNaN", metrics={"kl": 30.0})


def console(width: int, *, terminal: bool = True) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def printed(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 132])
def test_the_doctors_words_fill_the_terminal_and_no_more(width: int, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", **ILL)
    on = console(width)
    say_paragraphs(paragraphs(run), on)
    lines = COLOUR.sub("", printed(on)).split("\n")
    assert max(map(cell_len, lines)) <= width
    assert max(map(cell_len, lines)) > 0.85 * width
    assert " ".join(" ".join(lines).split()) == " ".join(report(run).split())


def test_severities_are_coloured_and_nothing_of_the_run_is(tmp_path: Path) -> None:
    on = console(80)
    say_paragraphs(paragraphs(make_run(tmp_path / "run", **ILL)), on)
    coloured = re.findall(r"\x1b\[([\d;]+)m([^\x1b]*)\x1b\[0m", printed(on))
    assert ("1;31", "✖ PROBLEM: ") in coloured
    assert ("1;34", "● NOTE: ") in coloured
    assert all(re.fullmatch(r"\S [A-Z]+: ", text) for _, text in coloured)
    assert "\x1b[31mNaN" not in printed(on)
    assert set(STYLES) == set(SEVERITIES)
    assert len(set(STYLES.values())) == len(STYLES)


def test_piped_it_is_plain(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", **ILL)
    on = console(40, terminal=False)
    say_paragraphs(paragraphs(run), on)
    assert printed(on) == report(run)


def test_a_figure_stays_with_its_unit() -> None:
    for width in range(20, 60):
        text = Line("", "of the groups 12 % are dead, and 3.4 % (1.1 % to 4.7 %) of n").wrapped(
            width
        )
        assert not re.search(r"^ *%", text, re.MULTILINE), text
        assert "\u00a0" not in text


def test_a_plan_goes_on_further_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    text = "memory\n  weights   12 GiB\n  " + "a long sentence with many words " * 6
    on = console(50)
    say_wrapped(text, on)
    lines = printed(on).rstrip("\n").split("\n")
    assert lines[:2] == ["memory", "  weights   12 GiB"]
    assert max(map(len, lines)) <= 50
    assert all(line.startswith("    ") for line in lines[3:])
    say_wrapped(text, console(50, terminal=False))
    assert capsys.readouterr().out == text + "\n"


def test_a_run_with_a_fault_is_marked_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "whole", name="whole", steps=1)
    faulty = make_run(tmp_path / "faulty", name="faulty", steps=1)
    meta = faulty.meta
    told = replace(meta, environment={**meta.environment, "fault": "advantage_sign"})
    real = queries.meta
    monkeypatch.setattr(queries, "meta", lambda db: told if real(db).id == meta.id else real(db))
    listed = list_runs(tmp_path).set_index("name")
    assert listed["fault"].to_dict() == {"whole": "", "faulty": "advantage_sign"}
    monkeypatch.setenv("COLUMNS", "200")
    runs_command(tmp_path, as_json=False)
    rows = [line for line in capsys.readouterr().out.split("\n") if "fault injected" in line]
    assert len(rows) == 1
    assert "faulty" in rows[0]
    assert "fault injected: advantage_sign" in rows[0]
