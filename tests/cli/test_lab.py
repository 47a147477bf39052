"""`workbench lab`: a person's copy of the course, from a checkout and from an installed wheel,
which nothing but the person's own word writes over."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench import __version__, cli
from workbench.commands import lab, own_notebooks

Lab = Callable[..., list[str]]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    """`run_lab(*arguments, reset=None)`: the command that would have started JupyterLab."""
    called: list[list[str]] = []
    monkeypatch.setattr(lab.subprocess, "call", lambda command: called.append(command) or 0)

    def run(*arguments: str, reset: str | None = None) -> list[str]:
        with pytest.raises(SystemExit) as ended:
            lab.lab_command(arguments, True, reset)
        assert ended.value.code == 0
        return called[-1]

    return run


def make_checkout(folder: Path) -> Path:
    """The course of a checkout: a folder of notebooks beside the workbench's own pyproject.toml."""
    (folder / "pyproject.toml").write_text('[project]\nname = "grpo-workbench"\n')
    course = folder / "notebooks"
    course.mkdir()
    for name in ("00_start.ipynb", "01_next.ipynb", "README.md"):
        (course / name).write_text("as it came")
    return course


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The course as a wheel brings it, far from any checkout; one stands in an empty folder."""
    package = tmp_path / "site-packages" / "workbench"
    course = package / "assets" / "notebooks"
    course.mkdir(parents=True)
    for source in (ROOT / "notebooks").iterdir():
        if source.suffix in own_notebooks.COPIED:
            (course / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(lab, "PACKAGE", package)
    monkeypatch.setattr(lab, "INSTALLED", course)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return course


def test_it_begins_at_the_root_of_the_repository_on_the_first_notebook() -> None:
    assert lab._opening(ROOT / "notebooks") == [
        f"--notebook-dir={ROOT}",
        "--LabApp.default_url=/lab/tree/notebooks/00_start.ipynb",
    ]


def test_of_any_other_folder_it_begins_there(tmp_path: Path, run_lab: Lab) -> None:
    assert f"--notebook-dir={tmp_path}" in run_lab(str(tmp_path))
    assert "--LabApp.default_url=/lab/tree/." in run_lab(str(tmp_path))
    assert not list(tmp_path.iterdir()), "a folder of one's own is opened as it is"


def test_a_copy_follows_the_course_until_a_person_changes_it(
    tmp_path: Path, run_lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    course = make_checkout(tmp_path)
    command = run_lab(str(course))
    assert "--LabApp.default_url=/lab/tree/my-notebooks/00_start.ipynb" in command
    own = tmp_path / "my-notebooks"
    assert "my-notebooks" in capsys.readouterr().err
    (own / "00_start.ipynb").write_text("mine")
    for name in ("00_start.ipynb", "01_next.ipynb"):
        (course / name).write_text("newer")
    run_lab(str(course))
    texts = {path.name: path.read_text() for path in own.iterdir() if path.suffix != ".json"}
    assert texts == {
        "00_start.ipynb": "mine",
        "01_next.ipynb": "newer",
        "README.md": "as it came",
    }
    said = capsys.readouterr().err
    assert "00_start.ipynb" in said, "that a newer one is there is said"
    assert (course / "00_start.ipynb").read_text() == "newer"


def test_another_projects_folder_called_notebooks_is_not_taken_for_the_course(
    tmp_path: Path, run_lab: Lab
) -> None:
    course = make_checkout(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\n')
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start.ipynb" in run_lab(str(course))
    assert not (tmp_path / "my-notebooks").exists()


def test_a_wheels_course_is_copied_into_the_working_folder(installed: Path, run_lab: Lab) -> None:
    command = run_lab()
    own = Path.cwd() / "my-notebooks"
    assert f"--notebook-dir={own}" in command
    assert "--LabApp.default_url=/lab/tree/00_start.ipynb" in command
    names = {path.name for path in own.iterdir()} - {own_notebooks.LIST}
    assert names == {path.name for path in installed.iterdir()}
    # What lies beside the notebooks of a checkout is not here: their links lead to the release.
    texts = [path.read_text(encoding="utf-8") for path in own.iterdir()]
    assert not [text for text in texts if "](../" in text]
    out = {
        link for text in texts for link in re.findall(r"\]\((https://[^)]*grpo-workb[^)]*)", text)
    }
    base = "grpo-workbench/grpo-workbench"
    picture = f"https://raw.githubusercontent.com/{base}/v{__version__}/docs/open-in-colab.svg"
    page = f"https://github.com/{base}/blob/v{__version__}/docs/faults.md"
    assert {picture, page} <= out
    for path in own.glob("*.ipynb"):
        json.loads(path.read_text(encoding="utf-8"))


def test_a_second_start_writes_nothing(installed: Path, run_lab: Lab) -> None:
    run_lab()
    own = Path.cwd() / "my-notebooks"
    before = {path.name: path.stat().st_mtime_ns for path in own.glob("*.ipynb")}
    run_lab()
    assert {path.name: path.stat().st_mtime_ns for path in own.glob("*.ipynb")} == before


def test_reset_brings_the_courses_own_back_and_keeps_what_a_person_wrote(
    installed: Path, run_lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    run_lab()
    own = Path.cwd() / "my-notebooks"
    notebook = own / "03_kl_and_beta.ipynb"
    fresh = notebook.read_bytes()
    for number, name in enumerate(("03", "03_kl_and_beta.ipynb")):
        notebook.write_text(f"mine {number}")
        command = run_lab(reset=name)
        assert notebook.read_bytes() == fresh
        assert "--LabApp.default_url=/lab/tree/03_kl_and_beta.ipynb" in command
    kept = {path.name: path.read_text() for path in own.glob("*.yours*")}
    assert kept == {
        "03_kl_and_beta.yours.ipynb": "mine 0",
        "03_kl_and_beta.yours-2.ipynb": "mine 1",
    }
    assert "03_kl_and_beta.yours-2.ipynb" in capsys.readouterr().err
    run_lab(reset="03_kl_and_beta")
    assert len(list(own.glob("*.yours*"))) == 2, "one that was not changed is not kept"


def test_a_notebook_that_was_reset_follows_the_course_again(installed: Path, run_lab: Lab) -> None:
    run_lab()
    notebook = Path.cwd() / "my-notebooks" / "00_start.ipynb"
    notebook.write_text("mine")
    run_lab(reset="00")
    (installed / "00_start.ipynb").write_text("newer")
    run_lab()
    assert notebook.read_text() == "newer"


@pytest.mark.parametrize("name", ["3", "99", "GLOSSARY", "../03_kl_and_beta"])
def test_reset_of_what_is_no_notebook_is_refused(installed: Path, name: str) -> None:
    with pytest.raises(lab.LabError, match=r"no such notebook.*03_kl_and_beta"):
        lab.lab_command([], True, name)
    assert not list(Path.cwd().iterdir()), "and nothing is written"


def test_reset_in_a_folder_of_ones_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(lab.LabError, match="Leave the folder out"):
        lab.lab_command([str(tmp_path)], True, "03")


def test_where_nothing_can_be_written_it_says_what_to_do(installed: Path) -> None:
    (Path.cwd() / "my-notebooks").write_text("a file in its place")
    with pytest.raises(lab.LabError, match="my-notebooks.*where you may write"):
        lab.lab_command([], True)


def test_an_installation_without_the_course_says_so(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab, "INSTALLED", installed / "nowhere")
    with pytest.raises(lab.LabError, match="Reinstall"):
        lab.lab_command([], True)


def test_it_passes_on_what_it_does_not_know_and_runs_as_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(lab.subprocess, "call", lambda command: called.append(command) or 0)
    for user in (0, 1000):
        monkeypatch.setattr(lab.os, "geteuid", lambda user=user: user)
        given = [str(tmp_path), "--port", "8899", "--ServerApp.token=x", "--no-browser"]
        assert CliRunner().invoke(cli.app, ["lab", *given]).exit_code == 0
        assert called[-1][-3:] == ["--port", "8899", "--ServerApp.token=x"]
        assert "--no-browser" in called[-1]
        assert ("--allow-root" in called[-1]) == (user == 0)
        assert f"--notebook-dir={tmp_path}" in called[-1]
    assert lab._folder_and_options(["--port", "8899"]) == (None, ["--port", "8899"])
