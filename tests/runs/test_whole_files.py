"""Pages, tables and drafts beside the record: whole or not at all, and one error."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from runs.crafted import CONFIG, small_record

from workbench.runs import RunRecordError, RunWriter, export_csv
from workbench.runs.whole_file import write_whole_file
from workbench.runs.whole_folder import as_os_errors
from workbench.widgets.base.html_file import HtmlFileError, write_page


def full(*args: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_replaced_when_the_new_one_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.html"
    write_page(page, "old")
    with monkeypatch.context() as patch:
        patch.setattr("workbench.runs.whole_file.os.fsync", full)
        with pytest.raises(HtmlFileError, match=r"page\.html' cannot be written: No space left"):
            write_page(page, "new")
    assert page.read_text() == "old"
    assert list(tmp_path.iterdir()) == [page]
    write_page(page, "new")
    assert page.read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="links and devices are POSIX notions")
def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_whole_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    write_whole_file(Path("/dev/null"), b"gone")
    assert not Path("/dev/null").is_file()


def test_tables_are_there_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small_record(tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr("workbench.runs.export._write_lines", full)
        for name in ("tables", "mine"):
            with pytest.raises(RunRecordError, match=f"{name} cannot be written: No space left"):
                export_csv(run, tmp_path / name)
    assert not (tmp_path / "tables").exists()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["note"]
    # There is room again; what lies in the folder stays.
    files = export_csv(run, tmp_path / "mine")
    assert all(file.is_file() for file in files)
    assert (tmp_path / "mine" / "note").read_text() == "mine"
    assert len(list((tmp_path / "mine").iterdir())) == len(files) + 1


@pytest.mark.parametrize("number", [errno.EPERM, errno.EIO])
def test_a_leftover_that_cannot_be_deleted_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(number, os.strerror(number), str(path))

    whole = small_record(tmp_path / "whole")
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(RunRecordError, match=rf"cannot be used: {os.strerror(number)}: .*new"):
        RunWriter.create(tmp_path / "new", config=CONFIG)
    # And the scratch file on which a log is tried.
    with pytest.raises(RunRecordError, match=rf"cannot be used: {os.strerror(number)}: .*probe"):
        RunWriter.resume(whole, 2)


def test_what_a_library_in_rust_says_of_the_disk_is_an_error_of_the_disk() -> None:
    """`tokenizers` raises a bare Exception."""
    with pytest.raises(OSError, match="No space left") as told, as_os_errors():
        raise Exception("No space left on device (os error 28)")
    assert told.value.errno == errno.ENOSPC
    with pytest.raises(ZeroDivisionError), as_os_errors():
        raise ZeroDivisionError("os errors have numbers")
