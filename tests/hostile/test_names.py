"""Names of files and folders that nobody should give: each ends in one sentence."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from runs.crafted import small_record

from workbench.cli import main
from workbench.runs import list_runs

LONG = "n" * 300
NAMES = (LONG, f"../{LONG}", f"{LONG}.jsonl", "loop", "loop/x", "caf\udce9", "a\nb", "../" * 40)
COMMANDS: tuple[Callable[[str], list[str]], ...] = (
    lambda name: ["runs", name],
    lambda name: ["doctor", name],
    lambda name: ["task", name],
    lambda name: ["plan", "--policy", name],
    lambda name: ["export", "html", name],
    lambda name: ["export", "csv", name],
    lambda name: ["export", "trl", name, "--out", "out"],
    lambda name: ["import", name, "--from", "trl", "--out", "out"],
    lambda name: ["eval", "--policy", name],
    lambda name: ["reward", "check", f"{name}:f", "--task", "arithmetic"],
    lambda name: ["train", "--task", name, "--out", "out"],
    lambda name: ["train", "--policy", name, "--out", "out"],
    lambda name: ["areal", name],
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a loop of links and an empty folder above it."""
    folder = tmp_path / "above" / "here"
    folder.mkdir(parents=True)
    (folder / "loop").symlink_to("pool")
    (folder / "pool").symlink_to("loop")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_every_command_answers_a_bad_name_in_words(
    here: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in COMMANDS:
        words = command(name)
        if words[0] == "runs" and name == "../" * 40:
            continue  # the whole machine
        monkeypatch.setattr(sys, "argv", ["workbench", *words])
        # An exception of any other kind fails the test by itself.
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert end.value.code == 2, (words[:2], printed)
        assert "Traceback" not in printed.err
        assert "rror" in printed.err
        assert "out" not in {path.name for path in here.iterdir()}, words


def test_a_folder_of_links_to_itself_is_listed_once(tmp_path: Path) -> None:
    file = small_record(tmp_path / "runs" / "one")
    (tmp_path / "runs" / "again").symlink_to(".")
    (tmp_path / "runs" / "up").symlink_to("..")
    assert list_runs(tmp_path / "runs")["path"].tolist() == [str(file)]


def test_runs_that_go_while_they_are_listed_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `/proc` does, and as another session deletes its own."""
    small_record(tmp_path / "kept")
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            for i in range(20):
                (tmp_path / f"gone{i}" / "deep").mkdir(parents=True)
            for i in range(20):
                (tmp_path / f"gone{i}" / "deep").rmdir()
                (tmp_path / f"gone{i}").rmdir()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        assert all(len(list_runs(tmp_path)) == 1 for _ in range(20))
    finally:
        ended.set()
        other.join()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_passed_over(tmp_path: Path) -> None:
    small_record(tmp_path / "kept")
    (tmp_path / "shut").mkdir(mode=0)
    assert len(list_runs(tmp_path)) == 1
