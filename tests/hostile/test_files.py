"""Data files and files of settings that nobody should send: each ends in one sentence, soon."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from hostile.texts import CODE, FORMULAS, MILLION, SCRIPTS, TERMINAL, UNICODE

from workbench.cli import main
from workbench.errors import WorkbenchError
from workbench.tasks import load_task

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""A billion laughs."""

DATA: dict[str, bytes] = {
    "deep brackets": b"[" * MILLION,
    "deep objects": b'{"question":' * 200_000,
    "a megabyte of digits": b'{"question": "1", "answer": ' + b"7" * MILLION + b"}\n",
    "a megabyte of exponent": b'{"question": "1", "answer": 1e' + b"9" * 1000 + b"}\n",
    "NULs": b"\x00" * 10_000,
    "NULs in a row": b'{"question": "a\x00b", "answer": "1"}\n',
    "half a surrogate": b'{"question": "\\ud800", "answer": "1"}\n' * 4,
    "a gold that is a formula bomb": json.dumps(
        {"question": "1", "answer": "\\frac{" * 60 + "1" + "}{2}" * 60}
    ).encode(),
    "a gold that never ends": b'{"question": "1", "answer": "9^{9^{9^9}}"}\n',
    "a pickle": b"\x80\x04cos\nmkdir\n(S'hit'\ntR.",
    "no text": bytes(range(256)) * 40,
    "nothing": b"",
    "keys of a class": b'{"__class__": {"__init__": {}}, "question": 1}\n',
    "NaN": b'{"question": "1", "answer": NaN}\n{"question": "2", "answer": -Infinity}\n',
}


@pytest.mark.parametrize("what", DATA)
@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_a_data_file_is_read_or_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, ending: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / f"data.{ending}"
    file.write_bytes(DATA[what])
    began = time.process_time()
    with pytest.raises(WorkbenchError) as told:
        load_task(str(file))
    assert len(str(told.value)) < 1_500
    assert time.process_time() - began < 20
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_rows_of_hostile_texts_are_problems_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [
        text
        for text in (*SCRIPTS, *CODE, *FORMULAS, *TERMINAL, *UNICODE)
        # Those with a picture are refused by that name.
        if text.strip()
        and text == text.encode("utf-8", "ignore").decode()
        and not any(picture in text for picture in ("<img", "![look]"))
    ]
    file = tmp_path / "data.jsonl"
    lines = (
        json.dumps({"question": f"{i} {text}", "answer": str(i)}) for i, text in enumerate(texts)
    )
    file.write_text("\n".join(lines))
    task = load_task(str(file))
    asked = {problem.question for problem in (*task.train, *task.held_out)}
    assert len(asked) == len(texts)
    monkeypatch.setattr(sys, "argv", ["workbench", "task", "data.jsonl", "--policy", "embedded"])
    main_without_exit()
    printed = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in printed)
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def main_without_exit() -> None:
    """The command line; raises where it does not end well."""
    try:
        main()
    except SystemExit as end:
        assert not end.code


SETTINGS: dict[str, str] = {
    "a billion laughs": BOMB,
    "an object of Python": "seed: !!python/object/apply:os.mkdir ['hit']\n",
    "a deep list": "[" * 5_000,
    "a list": "[1, 2]",
    "a long number": "seed: " + "9" * 5_000,
    "a date": "seed: 2001-01-01",
    "a reference to itself": "seed: &a [*a]",
    "a section in itself": "seed: &a {b: *a}",
    "a class": "__class__: 3",
    "NULs": "seed: \x00",
    "not a number": "learning_rate: .nan",
    "infinite": "beta: .inf",
    "nothing": "",
}


@pytest.mark.parametrize("what", SETTINGS)
@pytest.mark.parametrize("command", [["train", "--config"], ["export", "trl"], ["areal"]])
def test_settings_are_refused_in_words(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "settings.yaml"
    file.write_text(SETTINGS[what])
    if what == "nothing" and command[0] != "areal":
        return  # no setting is every setting's default
    monkeypatch.setattr(sys, "argv", ["workbench", *command, "settings.yaml", "--out", "out"])
    if command[0] == "areal":
        sys.argv = sys.argv[:-2]
    began = time.process_time()
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    assert end.value.code == 2, printed
    assert len(printed.err) < 3_000
    assert time.process_time() - began < 20
    assert not (tmp_path / "hit").exists()
