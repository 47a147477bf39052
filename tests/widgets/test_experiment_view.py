"""The page of an experiment: what it shows of stored runs and of a running one, what is drawn, and
that it is inert."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from inert_html import assert_inert, text_of
from made_runs import make_run

from workbench.config import GRPOConfig
from workbench.experiment import Experiment
from workbench.experiment.runner import Runner
from workbench.experiment.store import write_experiment
from workbench.widgets import ExperimentView
from workbench.widgets.experiment.charts import NO_PAIR, curves, forest

CONFIG = GRPOConfig(prompts_per_step=4, num_generations=4, max_steps=4, num_eval_problems=200)
ENDS = {"A": (90.0, 92.0, 91.0), "B": (80.0, 84.0, 85.5), "shuffled": (35.0, 36.0, 37.5)}


def add_run(out: Path, name: str, seed: int, percent: float) -> None:
    make_run(
        out / f"{name}-seed{seed}",
        steps=4,
        evaluations={0: (70, 200), 2: (80, 200), 4: (round(2 * percent), 200)},
    )


def empty(out: Path) -> Experiment:
    experiment = Experiment({"A": {}, "B": {}}, 3, ("shuffled",), out=out, config=CONFIG)
    write_experiment(out, experiment.plan)
    return experiment


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stored")
    empty(out)
    for name, ends in ENDS.items():
        for seed, percent in enumerate(ends):
            add_run(out, name, seed, percent)
    return out


def all_html(view: ExperimentView) -> str:
    return view.progress.value + view.words.value + view.table.value


def test_a_stored_experiment_opens_and_a_run_opens_in_its_dashboard(stored: Path) -> None:
    view = ExperimentView(stored)
    assert view._guard.message.value == ""
    shown = text_of(all_html(view))
    # 10, 8 and 5.5: mean 7.83, standard deviation 2.25, t of two degrees of freedom 4.303.
    assert "A is better than B by 7.8 points (2.2 to 13.4, 3 seeds)." in shown
    assert re.search(r"control of A: the rewards are dealt out at random", shown)
    assert 'aria-valuenow="100"' in view.progress.value
    assert view.go.layout.display == "none"
    assert_inert(all_html(view))
    assert [label for label, _ in view.run.options][1] == "A-seed0"
    view.run.value = stored / "B-seed2"
    assert view.below.children == (view.dashboard,)
    assert "B-seed2" in str(view.dashboard.sources[0].run.path)
    data, _ = view._repr_mimebundle_()
    assert "<svg" in data["image/svg+xml"]
    assert "A is better than B" in data["text/plain"]
    assert "A is better than B" in data["text/html"]
    assert "data:image/svg+xml" in data["text/html"]
    view.close()
    view.close()


def test_the_forest_plot_and_the_bands_are_the_numbers(stored: Path) -> None:
    result = Experiment.open(stored).result()
    chart = forest(result)
    found = [*result.differences, *result.against_controls]
    whiskers = chart["data"][::2]
    # From the bottom up, so that the first stands on top.
    for whisker, dot, difference in zip(whiskers, chart["data"][1::2], found[::-1], strict=True):
        ends = [100 * difference.interval.low, 100 * difference.interval.high]
        np.testing.assert_allclose(whisker["x"], ends, rtol=1e-5)
        np.testing.assert_allclose(dot["x"], [100 * difference.interval.value], rtol=1e-5)
    assert [float(w["y"][0]) for w in whiskers] == [0, 1, 2]
    assert chart["layout"]["shapes"][0]["x0"] == 0
    assert "A is better than B by" in chart["layout"]["meta"]["summary"]
    drawn = curves(result)["data"]
    bands = [trace for trace in drawn if trace.get("fill") == "toself"]
    means = {trace["name"]: trace for trace in drawn if trace.get("fill") != "toself"}
    np.testing.assert_allclose(means["B"]["y"], [0.35, 0.4, 0.8317], atol=1e-4)
    assert len(bands) == 3
    assert float(np.nanmin(bands[1]["y"])) == pytest.approx(0.35)
    assert float(np.nanmax(bands[1]["y"])) == pytest.approx(0.855)
    assert means["shuffled"]["line"]["dash"] == "dot"


def test_nothing_is_finished_yet_and_then_runs_come_in(tmp_path: Path) -> None:
    experiment = empty(tmp_path)
    assert forest(experiment.result())["layout"]["annotations"][0]["text"] == NO_PAIR
    view = ExperimentView(experiment)
    assert view.go.description == "Go on"
    assert "0 of 9 runs" in view.progress.value
    for name in ENDS:
        add_run(tmp_path, name, 0, ENDS[name][0])
    experiment._tell()
    deadline = time.monotonic() + 20
    while "One seed cannot tell A from B" not in view.words.value and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "One seed cannot tell A from B: +10.0 points" in view.words.value
    assert "3 of 9 runs" in view.progress.value
    view.close()


def test_it_stops_and_goes_on_and_shows_what_failed(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment.open(stored)
    view = ExperimentView(experiment)
    asked: list[str] = []
    monkeypatch.setattr(experiment, "stop", lambda: asked.append("stop"))
    monkeypatch.setattr(experiment, "start", lambda: asked.append("start"))
    monkeypatch.setattr(Runner, "status", "running")
    experiment._runner.ended.clear()
    view.redraw()
    assert (view.go.description, view.go.layout.display) == ("Stop", None)
    view.go.click()
    # It ends between two questions of one drawing: words and button are of one state.
    experiment._runner.ended.set()
    view.redraw()
    assert (view.go.description, view.go.layout.display) == ("Stop", None)
    monkeypatch.setattr(Runner, "status", "failed")
    experiment._runner.failed["B-seed1"] = "ValueError: <script>alert(1)</script>"
    view.redraw()
    assert view.go.description == "Go on"
    assert "B-seed1 failed" in view.progress.value
    assert_inert(view.progress.value)
    view.go.click()
    assert asked == ["stop", "start"]
    view.close()
