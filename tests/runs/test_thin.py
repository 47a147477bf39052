"""A thinned record: what it keeps, what it forgets, and that every view still opens it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from made_runs import make_run

from workbench import Dashboard
from workbench.doctor import diagnose
from workbench.runs import Event, Run, RunRecordError, RunWriter
from workbench.runs.thin import ENVIRONMENT, spread_steps, thin

KEPT = [1, 10, 20]


@pytest.fixture
def full(tmp_path: Path) -> Run:
    return make_run(
        tmp_path / "full",
        steps=20,
        knobs={5: {"beta": 0.1}},
        events={7: [Event("warning", "hot", {"degrees": 90})]},
    )


@pytest.fixture
def thinned(full: Run, tmp_path: Path) -> Run:
    return Run.open(thin(full.path, tmp_path / "thin.sqlite", KEPT))


def test_figures_of_every_step_stay(full: Run, thinned: Run) -> None:
    for table in ("steps", "knobs", "evaluations"):
        pd.testing.assert_frame_equal(
            getattr(thinned, table)(), getattr(full, table)(), check_exact=True
        )
    assert thinned.vocab() == full.vocab()
    assert thinned.meta.id == full.meta.id
    assert thinned.meta.status == "finished"
    assert thinned.config_at(6)["beta"] == 0.1


@pytest.mark.parametrize("step", [1, 2, 10, 19, 20])
def test_completions_and_tokens_of_the_kept_steps_stay(full: Run, thinned: Run, step: int) -> None:
    if step in KEPT:
        pd.testing.assert_frame_equal(thinned.samples(step), full.samples(step), check_exact=True)
        pd.testing.assert_frame_equal(thinned.tokens(step), full.tokens(step), check_exact=True)
        assert thinned.batch(step).keys() == full.batch(step).keys()
    else:
        assert len(full.samples(step))
        assert thinned.samples(step).empty
        assert thinned.tokens(step).empty
        with pytest.raises(RunRecordError, match="not kept"):
            thinned.batch(step)


def test_the_record_says_that_it_was_thinned(full: Run, thinned: Run) -> None:
    events = thinned.events()
    said = events[events.kind == "notice"].iloc[-1]
    assert (
        said.text
        == "thinned: all 20 steps keep their figures; the completions and tokens of steps 1, 10, "
        "20 were kept."
    )
    assert said.data == {"kept_steps": KEPT}
    assert len(events) == len(full.events()) + 1
    assert events[events.kind == "warning"].iloc[0].data == {"degrees": 90}


def test_it_is_smaller_and_one_whole_file(full: Run, thinned: Run) -> None:
    assert thinned.path.stat().st_size < 0.7 * full.path.stat().st_size
    assert [
        p.name for p in thinned.path.parent.iterdir() if p.name.startswith(("thin", ".thin"))
    ] == ["thin.sqlite"]
    with closing(sqlite3.connect(thinned.path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA freelist_count").fetchone() == (0,)


def test_what_names_the_machine_goes(tmp_path: Path) -> None:
    with RunWriter.create(
        tmp_path / "full", config={}, policy="/home/somebody/models/mine", task="arithmetic"
    ) as writer:
        writer.write_event(
            Event("error", "broke", {"traceback": "File /home/somebody/x.py", "row": 3})
        )
    small = thin(tmp_path / "full", tmp_path / "small.sqlite", [])
    meta, event = Run.open(small).meta, Run.open(small).events().iloc[0]
    assert meta.policy == "mine"
    assert set(meta.environment) <= set(ENVIRONMENT)
    assert meta.environment["python"]
    assert event.data == {"row": 3}
    assert b"somebody" not in small.read_bytes()


def test_a_run_that_goes_on_reads_as_interrupted(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "live", config={}) as writer:
        small = thin(tmp_path / "live", tmp_path / "small.sqlite", [])
        assert Run.open(tmp_path / "live").meta.status == "running"
        assert Run.open(small).meta.status == "interrupted"
        writer.finish()


@pytest.mark.parametrize("step", [0, 21])
def test_a_step_that_is_not_there_is_refused(full: Run, tmp_path: Path, step: int) -> None:
    with pytest.raises(RunRecordError, match=f"steps 1 to 20: it has no step {step} to keep"):
        thin(full.path, tmp_path / "thin.sqlite", [1, step])
    assert not (tmp_path / "thin.sqlite").exists()


def test_nothing_is_overwritten(full: Run, thinned: Run) -> None:
    with pytest.raises(RunRecordError, match="holds a run already"):
        thin(full.path, thinned.path, [1])
    assert thinned.samples(10).shape[0] > 0


def test_every_page_opens_it_and_says_what_is_missing(thinned: Run) -> None:
    dashboard = Dashboard(thinned)
    for tab, view in enumerate(dashboard.views):
        dashboard.tabs.selected_index = tab
        for step in (20, 13):
            dashboard.step.value = step
            assert "could not be drawn" not in dashboard.error.value
            text = shown(view.widget)
            if view.title in ("Groups", "Tokens", "What if"):
                assert ("not kept" in text) == (step == 13), (view.title, step, text[-500:])


def test_the_doctor_reads_it(full: Run, thinned: Run) -> None:
    of_steps = {finding.key for finding in diagnose(thinned)}
    assert of_steps <= {finding.key for finding in diagnose(full)}
    assert {"knob_changed", "recorded_warning"} <= of_steps


def test_spread_steps() -> None:
    assert spread_steps(10, 4) == [1, 4, 8, 10]
    assert spread_steps(10, 5, ends=2) == [1, 2, 5, 9, 10]
    assert spread_steps(2, 20, ends=5) == [1, 2]
    assert spread_steps(0, 20) == []


def shown(widget: object) -> str:
    """All text of the HTML widgets below, of those that are shown."""
    own = getattr(widget, "value", "")
    if getattr(getattr(widget, "layout", None), "display", None) == "none":
        return ""
    return (
        (own if isinstance(own, str) else "")
        + getattr(widget, "html", "")
        + "".join(shown(child) for child in getattr(widget, "children", ()))
    )
