"""Files as Windows' programs save them: UTF-16 is read, and what cannot be read is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers import in_one_test
from workbench.tasks import TaskError, load_task
from workbench.tasks.sources import bounds

ROWS = [{"question": f"Wieviel ist {i} + 1, Größe “{i}”\u2028?", "answer": i + 1} for i in range(4)]
LINES = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
TABLE = "question;answer\r\n" + "\r\n".join(f"„Wie viel ist {i}?“;{i}" for i in range(4))

TEXTS = {
    "a.jsonl": LINES,
    "b.json": json.dumps(ROWS, ensure_ascii=False, indent=1),
    "c.json": LINES,
    "d.csv": TABLE,
    "e.tsv": TABLE.replace(";", "\t"),
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]


@in_one_test({"name": n, "encoding": e} for n in TEXTS for e in ENCODINGS)
def test_every_kind_of_file_is_read_in_every_marked_encoding(
    name: str, encoding: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(TEXTS[name].encode(encoding))
    task = load_task(tmp_path / name, held_out=1)
    problems = sorted((*task.train, *task.held_out), key=lambda p: p.question)
    first = "„Wie viel ist 0?“" if name[0] in "de" else ROWS[0]["question"]
    assert [problems[0].question, len(problems)] == [first, 4]


def test_big_endian_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xfe\xff" + LINES.encode("utf-16-be"))
    assert len(load_task(tmp_path / "a.jsonl", held_out=1).train) == 3


@in_one_test({"name": name} for name in TEXTS)
def test_utf_16_without_its_mark_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(TEXTS[name].encode("utf-16-le"))
    with pytest.raises(TaskError, match="without the mark that UTF-16 begins with.*Save it as UTF"):
        load_task(tmp_path / name)


@in_one_test({"name": name} for name in TEXTS)
def test_a_mark_before_other_bytes_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe" + TEXTS[name].encode("utf-16-le") + b"\x00\xd8x")
    with pytest.raises(TaskError, match=r"(begins as|not) UTF-16 .*Save it as UTF-8"):
        load_task(tmp_path / name)


def test_the_bounds_hold_in_another_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES.encode("utf-16"))
    monkeypatch.setattr(bounds, "MAX_LINE_BYTES", 40)
    with pytest.raises(TaskError, match="line 1: longer than"):
        load_task(tmp_path / "a.jsonl")
