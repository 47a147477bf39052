"""Data files without an end, or with one too far away: bounded by what a file may be."""

import json
import os

import pytest

from workbench.tasks import TaskError, load_task
from workbench.tasks.sources import bounds, files

GOOD = json.dumps({"question": "q", "answer": "1"})


def test_a_pipe_is_refused_before_it_is_opened(tmp_path):
    pipe = tmp_path / "a.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(TaskError, match="a pipe or a device, expected a file"):
        load_task(pipe)


def test_a_device_is_refused_by_any_name(tmp_path):
    link = tmp_path / "zero.csv"
    link.symlink_to("/dev/zero")
    for path in ("/dev/zero", link):
        with pytest.raises(TaskError, match="a pipe or a device"):
            load_task(path)


def test_a_folder_is_refused_and_its_files_are_named(tmp_path):
    folder = tmp_path / "a.jsonl"
    folder.mkdir()
    (folder / "train.parquet").touch()
    with pytest.raises(TaskError, match=r"is a folder. Name a file in it, such as train.parquet"):
        load_task(folder)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_line_without_end_is_read_no_further_than_the_bound(tmp_path, name):
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(GOOD.encode() + b"\n")
        file.truncate(1 << 30)
    with pytest.raises(TaskError, match="line 2: longer than 16 MB"):
        load_task(path)


def test_a_json_text_beyond_the_bound_is_refused_by_its_size(tmp_path):
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.write(b'[{"question": "')
        file.truncate(1 << 30)
    with pytest.raises(TaskError, match="has 1,074 MB, .* Write it as JSONL"):
        load_task(path)


def test_a_file_beyond_the_bound_is_refused_by_its_size(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(TaskError, match=r"has 5.4 GB, no more than 4.3 are read"):
        load_task(path)


def test_a_file_that_grows_while_it_is_read_ends(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([GOOD] * 100))
    monkeypatch.setattr(files, "_check_path", lambda path: None)
    monkeypatch.setattr(bounds, "MAX_FILE_BYTES", 1000)
    with pytest.raises(TaskError, match="has no end within"):
        load_task(path)


def test_a_parquet_bomb_is_refused_by_what_it_unpacks_to(tmp_path, monkeypatch):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "bomb.parquet"
    table = pa.table({"question": ["a" * 1000] * 50_000, "answer": ["1"] * 50_000})
    parquet.write_table(table, path, use_dictionary=False, compression="zstd")
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(bounds, "MAX_FILE_BYTES", 10_000_000)
    with pytest.raises(TaskError, match="unpacks to 50,000 rows"):
        load_task(path)


def test_a_stream_without_end_is_read_no_further_than_the_bound(monkeypatch):
    import datasets

    def endless():
        n = 0
        while True:
            n += 1
            yield {"question": f"q{n}", "answer": "1"}

    monkeypatch.setattr(bounds, "MAX_ROWS", 50)
    with pytest.raises(TaskError, match="more than 50 rows"):
        load_task(datasets.IterableDataset.from_generator(endless))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b'{"a": 1}', "expected a list of objects"),
        ("a.json", b"[1]", "row 0: holds 1"),
        ("a.json", b'\xff["', "not UTF-8"),
        ("a.json", b"[" * 100_000, "not valid JSON"),
        ("a.csv", b"question,answer\nq,1,2\n", "line 2: 3 cells, the first line names 2"),
        ("a.csv", b'question,answer\n"q,1\n', "not valid CSV"),
        ("a.csv", b'question,answer\n"q\nr",1\n\n"q\ns",\n', "line 5: the answer .*is blank"),
        ("a.csv", b"question,answer\nq,\xff\n", "line 2: not UTF-8"),
        ("a.csv", b"question,answer\n", "no problems in it"),
        ("a.csv", b"", "no problems in it"),
        ("a.csv", b"question,answer\nq,\n", "line 2: the answer .*is blank"),
        ("a.parquet", b"PAR1 no", "not a parquet file"),
        ("a.parquet", b"", "not a parquet file"),
        ("a.jsonl.gz", b"", "ends in '.gz', expected one of"),
    ],
)
def test_a_broken_file_is_told_in_one_sentence(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=message) as error:
        load_task(tmp_path / name)
    assert name in str(error.value)
    assert len(str(error.value)) < 900
