"""`check_run` and `repair`: what is damaged is named, and what is whole is kept and goes on."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from runs.crafted import flipped_bits, small_record, small_step, unsealed, with_flipped_bit

from workbench.runs import Run, RunNotFoundError, RunRecordError, RunWriter, record_path
from workbench.runs.checkpoint_folders import FACTS, MARK, folder_of, sha256
from workbench.runs.integrity.check import check_run, check_runs
from workbench.runs.integrity.exact import compare_exactly
from workbench.runs.integrity.repair import repair


def checkpoint(run: Path, step: int) -> Path:
    """A checkpoint of a run as its trainer would have left it, without tensors."""
    with RunWriter.resume(run, Run.open(run).last_step()) as writer:
        bound = {MARK: writer.mark_of(step), FACTS: writer.lasting_facts()}
        writer.note_checkpoint(step)
    folder = folder_of(record_path(run).parent / "checkpoints", step)
    folder.mkdir(parents=True)
    with_state(folder, bound)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three steps, and a checkpoint of each."""
    small_record(tmp_path / "run")
    for step in (1, 2, 3):
        checkpoint(tmp_path / "run", step)
    return tmp_path / "run"


def with_state(folder: Path, state: dict[str, object]) -> None:
    """Give a checkpoint another state, and the manifest that belongs to it."""
    (folder / "state.json").write_text(json.dumps(state))
    digests = {"state.json": sha256(folder / "state.json")}
    step = int(folder.name.removeprefix("step-"))
    (folder / "manifest.json").write_text(json.dumps({"step": step, "sha256": digests}))


def sql(run: Path, statement: str) -> None:
    with closing(sqlite3.connect(record_path(run))) as db, db:
        db.execute(statement)


def test_a_whole_run_is_whole_and_nothing_is_written(run: Path) -> None:
    health = check_run(run)
    assert (health.whole, health.steps) == (True, 3)
    assert health.checkpoints == {1: "", 2: "", 3: ""}
    found = repair(run)
    assert (found.out, found.left_out) == (None, [])
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_a_folder_of_runs_is_looked_through(run: Path) -> None:
    shutil.copytree(run, run.with_name("other"))
    sql(run.with_name("other"), "UPDATE samples SET reward = 9 WHERE step = 1")
    (run.with_name("stranger.sqlite")).write_text("my shopping list")
    found = list(check_runs(run.parent))
    assert [(health.path.parent.name, health.whole) for health in found] == [
        ("other", False),
        ("run", True),
    ]
    with pytest.raises(RunNotFoundError, match="is not there"):
        list(check_runs(run.parent / "nowhere"))


def test_damaged_completions_are_left_out_and_all_else_is_kept(run: Path) -> None:
    sql(run, "UPDATE samples SET reward = 9 WHERE step = 2")
    assert len(check_run(run).problems) == 1
    found = repair(run)
    assert found.out == run.with_name("run-repaired")
    assert (found.steps, found.checkpoints) == (3, [1, 2, 3])
    assert found.left_out == ["the groups and samples of step 2."]
    assert check_run(found.out).whole
    mended = Run.open(found.out)
    assert mended.kept_steps("samples") == [1, 3]
    assert mended.steps().reward.tolist() == [1 / 8, 2 / 8, 3 / 8]
    assert mended.meta.id == Run.open(run).meta.id
    assert mended.events().kind.tolist()[-1] == "repair"
    # The damaged one is as it was.
    assert len(check_run(run).problems) == 1


def test_a_step_without_figures_keeps_its_place(run: Path) -> None:
    sql(run, "UPDATE steps SET time = time + 1 WHERE step = 2")
    found = repair(run)
    assert found.left_out == [
        "the figures of step 2.",
        "the checkpoint of step 2: its step was not whole.",
    ]
    assert (found.steps, found.checkpoints) == (3, [1, 3])
    mended = Run.open(found.out)
    assert mended.steps().reward.isna().tolist() == [False, True, False]
    assert len(mended.samples(2)) == 4
    assert check_run(found.out).whole
    with RunWriter.resume(found.out, 3) as writer:
        writer.write_step(small_step(4))


def test_a_row_that_went_is_damage_too(run: Path) -> None:
    sql(run, "DELETE FROM steps WHERE step = 1")
    sql(run, "DELETE FROM arrays WHERE step = 3 AND name = 'logp'")
    found = repair(run)
    assert found.left_out[:2] == ["the figures of step 1.", "the arrays of step 3."]
    assert check_run(found.out).whole
    assert Run.open(found.out).kept_steps("tokens") == [1, 2]


def test_knobs_that_are_not_known_end_the_run_before_them(run: Path) -> None:
    sql(run, "UPDATE knobs SET new = '9.0'")
    found = repair(run)
    assert (found.steps, found.checkpoints) == (1, [1])
    assert found.left_out[0] == (
        "the steps from 2 to 3: which settings were in force is not known."
    )
    assert check_run(found.out).whole


def test_a_checkpoint_that_is_damaged_or_of_another_making_is_left_out(run: Path) -> None:
    folder = run / "checkpoints"
    (folder_of(folder, 3) / "state.json").write_text("{}")
    other = run.with_name("other")
    small_record(other)
    # The same step, made at another time.
    sql(other, "DELETE FROM checksums WHERE name = 'steps' AND key = 2")
    sql(other, "UPDATE steps SET time = 5 WHERE step = 2")
    shutil.rmtree(folder_of(folder, 2))
    shutil.copytree(checkpoint(other, 2), folder_of(folder, 2))
    with_state(folder_of(folder, 2), {MARK: "0123456789abcdef"})
    problems = check_run(run).problems
    assert "does not belong to this record, whose step 2 is not the one" in problems[0]
    assert "state.json is damaged" in problems[1]
    found = repair(run)
    assert (found.steps, found.checkpoints) == (3, [1])
    assert check_run(found.out).whole


def test_a_newest_checkpoint_that_is_gone_is_told(run: Path) -> None:
    shutil.rmtree(folder_of(run / "checkpoints", 3))
    assert check_run(run).problems == [
        f"{run / 'run.sqlite'} had a checkpoint of step 3, which is gone."
    ]
    found = repair(run)
    assert found.checkpoints == [1, 2]
    assert check_run(found.out).whole


def test_a_record_by_itself_lacks_no_checkpoints(run: Path, tmp_path: Path) -> None:
    """Copied alone, or kept beside another run's checkpoints under a name of its own."""
    (tmp_path / "alone").mkdir()
    shutil.copy(run / "run.sqlite", tmp_path / "alone")
    assert check_run(tmp_path / "alone").whole
    small_record(tmp_path / "another")
    shutil.move(tmp_path / "another" / "run.sqlite", run / "beside.sqlite")
    health = check_run(run / "beside.sqlite")
    assert (health.whole, health.checkpoints) == (True, {})


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE meta SET value = '1' WHERE key = 'seed'",
        "UPDATE meta SET value = 'x' WHERE key = 'writer'",
        "UPDATE meta SET value = 'x' WHERE key = 'config'",
        "UPDATE meta SET key = 'qeed' WHERE key = 'seed'",
        "DELETE FROM meta WHERE key = 'environment'",
    ],
)
def test_damaged_facts_are_those_that_a_checkpoint_has(run: Path, change: str) -> None:
    before = Run.open(run).meta
    sql(run, change)
    assert check_run(run).steps is None
    found = repair(run)
    assert found.left_out == ["the facts of the run: they are those that a checkpoint has."]
    assert (found.steps, found.checkpoints) == (3, [1, 2, 3])
    assert check_run(found.out).whole
    after = Run.open(found.out).meta
    assert (after.config, after.seed, after.environment) == (
        before.config,
        before.seed,
        before.environment,
    )
    assert (after.id, after.status) == (before.id, "interrupted")
    assert sorted(path.name for path in found.out.iterdir()) == ["checkpoints", "run.sqlite"]


def test_facts_that_no_checkpoint_has_are_beyond_repair(run: Path) -> None:
    sql(run, "UPDATE meta SET value = '1' WHERE key = 'seed'")
    for step in (1, 2, 3):
        with_state(folder_of(run / "checkpoints", step), {})
    with pytest.raises(RunRecordError, match=r"facts of the run.*steps 1, 2, 3 are whole"):
        repair(run)
    assert not run.with_name("run-repaired").exists()


def test_a_record_of_before_there_were_checksums_is_repaired(run: Path) -> None:
    unsealed(run / "run.sqlite")
    sql(run, "UPDATE samples SET rewards = 'x' WHERE step = 2 AND row = 0")
    for folder in run.glob("checkpoints/*"):
        with_state(folder, {})
    found = repair(run)
    assert found.left_out == ["the groups and samples of step 2."]
    assert check_run(found.out).whole


def test_a_run_that_is_being_written_or_a_place_that_is_taken(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql(run, "UPDATE samples SET reward = 9 WHERE step = 2")
    with pytest.raises(RunRecordError, match="is there already"):
        repair(run, run.parent)
    with monkeypatch.context() as patch:
        patch.setattr("workbench.runs.store.writer.works_beside", lambda mark: True)
        with RunWriter.resume(run, 3, take_over=True), pytest.raises(RunRecordError, match="being"):
            repair(run)


@pytest.mark.slow
def test_flipped_bits_are_repaired_or_told(run: Path) -> None:
    """Whatever comes out is whole, and where it says to have left nothing out it is the same."""
    origin, copy = run / "run.sqlite", run.parent / "copy"
    outcomes: dict[str, int] = {}
    for place, bit in flipped_bits(origin, 150):
        copy.mkdir()
        with_flipped_bit(origin, copy / "run.sqlite", place, bit)
        shutil.copytree(run / "checkpoints", copy / "checkpoints")
        outcome = _repaired(run, copy)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        shutil.rmtree(copy)
    assert outcomes["repaired"] > 20


def _repaired(run: Path, copy: Path) -> str:
    out: Callable[[], Path] = lambda: copy.with_name("copy-repaired")  # noqa: E731
    try:
        found = repair(copy)
    except RunRecordError:
        assert not out().exists()
        return "told"
    if found.out is None:
        assert compare_exactly(run, copy).first is None
        return "whole"
    assert found.left_out
    assert check_run(found.out).whole, check_run(found.out).problems
    shutil.rmtree(out())
    return "repaired"
