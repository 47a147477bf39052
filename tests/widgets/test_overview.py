"""The Overview: what each panel says of a made run, alone and compared, long, empty, hostile and
broken."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from made_runs import growing_run, make_run

from workbench.widgets.base.source import RunSource
from workbench.widgets.overview.markers import PLACES, knob_places
from workbench.widgets.overview.panels import NO_EVALUATION, NO_KL, ON_POLICY, charts
from workbench.widgets.overview.view import Overview
from workbench.widgets.plots.decimate import POINTS
from workbench.widgets.plots.pieces import look, plot_text, step_ticks
from workbench.widgets.plots.still import draw_svg

TITLES = [
    "reward",
    "held-out accuracy",
    "kl",
    "clip_ratio",
    "entropy",
    "grad_norm",
    "completion_length",
    "dead_group_share",
    "logp difference",
    "seconds",
]
HOSTILE = '<img src=x onerror="alert(1)">\u202e\u200b&amp;\x1b[31m'


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunSource:
    return RunSource(make_run(tmp_path_factory.mktemp("runs") / "plain", steps=12, name="plain"))


def source(tmp_path: Path, name: str = "made", **how: Any) -> RunSource:
    return RunSource(make_run(tmp_path / name, name=name, **({"steps": 6} | how)))


def long_source(tmp_path: Path, steps: int = 10_000) -> RunSource:
    """A source that holds so many steps, without writing them all."""
    short, rng = source(tmp_path, f"long{steps}", steps=2), np.random.default_rng(0)
    columns = {
        name: np.abs(rng.normal(short.metrics[name].mean(), 0.1, steps))
        for name in short.metrics.columns
    }
    short.metrics = pd.DataFrame(columns | {"step": np.arange(1, steps + 1)})
    return short


def panel(drawn: list[dict], title: str) -> dict:
    return next(f for f in drawn if f["layout"]["meta"]["title"] == title)


def trace(figure: dict, name: str) -> dict:
    return next(t for t in figure["data"] if t["name"] == name)


def notes(figure: dict) -> str:
    return " ".join(a["text"] for a in figure["layout"].get("annotations", ()))


# --------------------------------------------------------------- one run


def test_ten_panels_that_plotly_accepts(plain: RunSource) -> None:
    drawn = charts([plain])
    assert [f["layout"]["meta"]["title"] for f in drawn] == TITLES
    for f in drawn:
        assert go.Figure(f).to_plotly_json()["data"]


def test_lines_are_the_metrics(plain: RunSource) -> None:
    drawn, m = charts([plain]), plain.metrics
    for title, name, column in (
        ("reward", "mean", "reward"),
        ("reward", "answer", "rewards/answer_reward"),
        ("kl", "kl", "kl"),
        ("clip_ratio", "low", "clip_ratio_low"),
        ("clip_ratio", "high", "clip_ratio_high"),
        ("entropy", "entropy", "entropy"),
        ("grad_norm", "grad_norm", "grad_norm"),
        ("completion_length", "max", "completion_length_max"),
        ("completion_length", "truncated (right)", "truncated_share"),
        ("dead_group_share", "dead", "dead_group_share"),
        ("logp difference", "mean", "sampler_logp_difference"),
        ("logp difference", "max", "sampler_logp_difference_max"),
        ("seconds", "rollout", "seconds/rollout"),
        ("seconds", "update", "seconds/update"),
    ):
        found = trace(panel(drawn, title), name)
        np.testing.assert_allclose(found["y"], m[column], rtol=1e-6)
        assert found["x"].tolist() == m["step"].tolist()


def test_the_band_is_the_spread_around_the_mean(plain: RunSource) -> None:
    around, m = panel(charts([plain]), "reward")["data"][0], plain.metrics
    n = len(m)
    assert around["fill"] == "toself"
    np.testing.assert_allclose(around["y"][:n], m["reward"] + m["reward_std"], rtol=1e-6)
    np.testing.assert_allclose(
        around["y"][n : 2 * n][::-1], m["reward"] - m["reward_std"], rtol=1e-5, atol=1e-6
    )


def test_accuracy_has_its_interval(plain: RunSource) -> None:
    (found,), e = panel(charts([plain]), "held-out accuracy")["data"], plain.evaluations
    np.testing.assert_allclose(found["y"], e["accuracy"], rtol=1e-6)
    np.testing.assert_allclose(found["y"] + found["error_y"]["array"], e["high"], rtol=1e-5)
    np.testing.assert_allclose(found["y"] - found["error_y"]["arrayminus"], e["low"], rtol=1e-5)


def test_what_a_control_reached_is_a_ghost_behind_accuracy_and_reward(tmp_path: Path) -> None:
    shuffled = ("shuffled_format_reward", "shuffled_answer_reward")
    control = make_run(
        tmp_path / "control",
        steps=6,
        reward_names=shuffled,
        evaluations={0: (60, 200), 6: (70, 200)},
        metrics={"reward": lambda step: step / 10},
    )
    run = make_run(tmp_path / "run", steps=6)
    drawn = charts([RunSource(run, controls=[control])])
    reached = control.evaluations()
    ghost = trace(panel(drawn, "held-out accuracy"), "control")
    assert ghost["fill"] == "toself"
    np.testing.assert_allclose(ghost["y"][:2], reached.high, rtol=1e-6)
    np.testing.assert_allclose(ghost["y"][2:4][::-1], reached.low, rtol=1e-6)
    ghost = trace(panel(drawn, "reward"), "control")
    np.testing.assert_allclose(ghost["y"][:6], [0.6] * 6, rtol=1e-6)
    assert "rewards that say nothing" in panel(drawn, "reward")["layout"]["meta"]["about"]
    # A picture of the run alone has no ghost.
    assert "control" not in str([panel(charts([RunSource(run)]), t) for t in TITLES[:2]])


def test_the_kl_terms_share_of_the_gradient_stands_beside_the_kl(tmp_path: Path) -> None:
    metrics = {"kl_gradient_share": 0.25}
    shown = panel(charts([source(tmp_path, "a", metrics=metrics)]), "kl")
    found = trace(shown, "share of gradient (right)")
    assert (found["yaxis"], set(found["y"].tolist())) == ("y2", {0.25})
    both = [source(tmp_path, name, metrics=metrics) for name in ("b", "c")]
    names = [one["name"] for one in panel(charts(both), "kl")["data"]]
    assert names == ["b", "c", "b, share of gradient", "c, share of gradient"]


def test_the_truncated_share_has_an_axis_of_its_own(tmp_path: Path) -> None:
    shown = panel(charts([source(tmp_path, truncation=0.5)]), "completion_length")
    assert trace(shown, "truncated (right)")["yaxis"] == "y2"
    assert shown["layout"]["yaxis2"]["range"] == [0, 1]


def test_phases_and_the_rest_add_up_to_the_step(tmp_path: Path) -> None:
    shown = source(tmp_path, metrics={"seconds/step": 5.0})
    stacked = panel(charts([shown]), "seconds")["data"]
    assert [t["name"] for t in stacked] == ["rollout", "reward", "logprobs", "update", "rest"]
    np.testing.assert_allclose(sum(t["y"] for t in stacked), 5.0, rtol=1e-6)


def test_on_policy_is_said_and_nothing_is_drawn(tmp_path: Path) -> None:
    fixed = charts([source(tmp_path, "a", metrics={"ratio_min": 1.0, "ratio_max": 1.0})])
    assert notes(panel(fixed, "clip_ratio")) == ON_POLICY
    assert panel(fixed, "clip_ratio")["data"] == []
    nearly = charts(
        [
            source(
                tmp_path,
                "b",
                metrics={"ratio_min": 1.0, "ratio_max": lambda s: 1.0 + (s == 6) * 1e-6},
            )
        ]
    )
    assert "on-policy" not in notes(panel(nearly, "clip_ratio"))
    assert len(panel(nearly, "clip_ratio")["data"]) == 2


def test_a_kl_that_is_not_in_the_loss_says_so(tmp_path: Path) -> None:
    measured = charts([source(tmp_path, "a", config={"beta": 0.0}, metrics={"kl": 0.1})])
    pulling = charts([source(tmp_path, "b", config={"beta": 0.01})])
    assert "measured, not in the loss" in str(panel(measured, "kl"))
    assert "measured, not in the loss" not in str(panel(pulling, "kl"))


def test_why_there_is_no_kl_or_no_accuracy(tmp_path: Path) -> None:
    without = charts([source(tmp_path, "a", config={"beta": 0.0}, evaluations={})])
    assert notes(panel(without, "kl")) == NO_KL
    assert notes(panel(without, "held-out accuracy")) == NO_EVALUATION
    other = charts([source(tmp_path, "b", metrics={"kl": None, "entropy": None})])
    assert notes(panel(other, "kl")) == notes(panel(other, "entropy")) == "not measured in this run"


def test_gaps_infinities_and_lone_points_are_drawn_as_such(tmp_path: Path) -> None:
    def kl(step: int) -> float:
        return {2: float("nan"), 4: float("inf")}.get(step, 0.5)

    found = trace(panel(charts([source(tmp_path, metrics={"kl": kl})]), "kl"), "kl")
    assert np.isnan(found["y"]).tolist() == [False, True, False, True, False, False]
    assert "markers" in found["mode"]


def test_a_spike_turns_the_axis_logarithmic(tmp_path: Path) -> None:
    calm = charts([source(tmp_path, "a")])
    spiky = charts(
        [source(tmp_path, "b", metrics={"grad_norm": lambda step: 50.0 if step == 3 else 0.5})]
    )
    zero = charts(
        [source(tmp_path, "c", metrics={"grad_norm": lambda step: 50.0 if step == 3 else 0.0})]
    )
    kinds = [
        panel(f, "grad_norm")["layout"]["yaxis"].get("type", "linear") for f in (calm, spiky, zero)
    ]
    assert kinds == ["linear", "log", "linear"]


def test_the_summary_of_a_panel_is_in_words(plain: RunSource) -> None:
    said, reward = (
        panel(charts([plain]), "reward")["layout"]["meta"]["summary"],
        plain.metrics["reward"],
    )
    assert f"mean {reward.iloc[-1]:.4g} at step 12" in said
    assert f"lowest {reward.min():.4g} at {reward.argmin() + 1}" in said


# -------------------------------------------------------- knobs and step


def test_knob_changes_are_hairlines_with_their_text_on_hover(tmp_path: Path) -> None:
    moved = source(tmp_path, steps=30, knobs={10: {"beta": 0.05}, 20: {"epsilon_high": 0.28}})
    for f in charts([moved]):
        lines = f["layout"]["shapes"]
        assert [s["x0"] for s in lines] == [10, 20]
        assert [s["name"] for s in lines] == [
            "step 10: beta 0.15→0.05",
            "step 20: epsilon_high None→0.28",
        ]
        assert "→" not in notes(f), "no text over the data"
        assert f["layout"]["yaxis"]["domain"][1] == 1 or notes(f)
    picture = draw_svg(charts([moved])[:1])
    assert "<title>step 10: beta 0.15→0.05</title></line>" in picture


def test_training_curves_begin_at_step_1_and_evaluations_at_0(tmp_path: Path) -> None:
    drawn = charts([source(tmp_path, steps=25)])
    for f in drawn:
        axis = f["layout"]["xaxis"]
        first = 0 if f["layout"]["meta"]["title"] == "held-out accuracy" else 1
        assert first - 1 < axis["range"][0] < first
        assert axis["tickvals"] == [first, 5, 10, 15, 20, 25]
        assert axis["ticktext"][:2] == [f"step {first}", "5"]
        assert "title" not in axis, "the row of a title is the curve's"


@pytest.mark.parametrize(
    ("first", "last", "ticks"),
    [
        (1, 1, [1]),
        (1, 3, [1, 2, 3]),
        (0, 32, [0, 5, 10, 15, 20, 25, 30]),
        (1, 200, [1, 50, 100, 150, 200]),
        (1, 2000, [1, 500, 1000, 1500, 2000]),
        (1, 9, [1, 2, 4, 6, 8]),
    ],
)
def test_ticks_are_round_steps(first: int, last: int, ticks: list[int]) -> None:
    assert step_ticks(first, last) == ticks


def test_lines_may_be_smoothed_and_hidden_but_bands_and_evaluations_not(tmp_path: Path) -> None:
    drawn = charts([source(tmp_path, name, steps=6) for name in "ab"])
    smooth = {t["name"] for f in drawn for t in f["data"] if t.get("meta", {}).get("smooth")}
    assert {"a", "b", "a, high"} <= smooth
    assert not any(t.get("meta") for t in panel(drawn, "held-out accuracy")["data"])
    lines = [t for f in drawn for t in f["data"] if t.get("fill") != "toself"]
    assert {(t["legendgroup"], t["name"][0]) for t in lines} == {("a", "a"), ("b", "b")}
    assert Overview().plots.linked


def test_dragging_a_slider_does_not_flood_the_panels(tmp_path: Path) -> None:
    dragged = source(
        tmp_path,
        steps=120,
        prompts=1,
        tokens=6,
        keep_tokens=False,
        samples=False,
        knobs={step: {"beta": 0.15 + step / 1000} for step in range(20, 120)},
    )
    f = charts([dragged])[0]
    assert 10 < len(f["layout"]["shapes"]) <= PLACES
    places = knob_places(dragged, 120)
    assert places[0].values["beta"][0] == pytest.approx(0.15)
    assert places[-1].values["beta"][1] == pytest.approx(0.269)
    for one, other in itertools.pairwise(places):
        assert one.values["beta"][1] == other.values["beta"][0], (
            "no change is lost between two markers"
        )


def test_the_chosen_step_is_marked(plain: RunSource) -> None:
    for f in charts([plain], 5):
        assert [s["x0"] for s in f["layout"]["shapes"]] == [5]


# ---------------------------------------------------------- several runs


def test_runs_differ_by_colour_and_dash_and_the_first_panel_names_them(tmp_path: Path) -> None:
    runs = [source(tmp_path, name, steps=4 + i) for i, name in enumerate("abcde")]
    drawn = charts(runs)
    means = [trace(drawn[0], name) for name in "abcde"]
    assert len({(t["line"]["color"], t["line"]["dash"]) for t in means}) == 5
    assert len({t["line"]["dash"] for t in means[:4]}) == 4, "not by colour alone"
    assert [t["name"] for t in drawn[0]["data"] if t.get("showlegend", True)] == list("abcde")
    for f in drawn[1:]:
        assert not f["layout"]["showlegend"]
        assert {t["name"].split(",")[0] for t in f["data"]} == set("abcde")


def test_sixteen_looks_differ() -> None:
    assert len({look(i) for i in range(16)}) == 16


def test_one_of_two_runs_on_policy(tmp_path: Path) -> None:
    shown = panel(
        charts(
            [
                source(tmp_path, "moves"),
                source(tmp_path, "stays", metrics={"ratio_min": 1.0, "ratio_max": 1.0}),
            ]
        ),
        "clip_ratio",
    )
    assert "on-policy" in notes(shown)
    assert "stays" in notes(shown)
    assert {t["name"] for t in shown["data"]} == {"moves", "moves, high"}


def test_a_run_without_a_step_leaves_the_others_alone(tmp_path: Path) -> None:
    empty = RunSource(growing_run(tmp_path / "empty", name="empty").run)
    view = Overview()
    view.show([empty, source(tmp_path, "full")], None)
    assert "empty" in view.header.value
    assert len(view.plots.spec) == 10


# ------------------------------------------------------------- long runs


def test_long_runs_are_thinned_out_but_spikes_stay(tmp_path: Path) -> None:
    shown = long_source(tmp_path)
    shown.metrics.loc[4321, "grad_norm"] = 1e4
    shown.metrics.loc[1234, "kl"] = -3.0
    drawn = charts([shown])
    sizes = [len(t["y"]) for f in drawn for t in f["data"]]
    assert max(sizes) <= POINTS
    thin, thick = panel(drawn, "grad_norm")["data"]
    assert thin["x"][np.nanargmax(thin["y"])] == 4322
    assert thick["meta"]["mean_of"] == 128
    np.testing.assert_allclose(thick["y"][0], shown.metrics["grad_norm"][:128].mean(), rtol=1e-6)
    assert panel(drawn, "kl")["data"][0]["y"].min() == -3.0
    assert "mean of 128 steps" in panel(drawn, "kl")["layout"]["xaxis"]["title"]["text"]


def test_a_redraw_of_10_000_steps_takes_under_50_ms_and_stays_bounded(tmp_path: Path) -> None:
    short, full = long_source(tmp_path, 2_000), long_source(tmp_path)
    view, metrics, seconds = Overview(), full.metrics, []
    view.show([short], None)
    frame = len(view.plots.frame["buffer"])
    for n in range(9_990, 10_000):
        full.metrics = metrics.iloc[:n]
        started = time.thread_time()
        view.show([full], None)
        seconds.append(time.thread_time() - started)
    assert view.message.value == ""
    assert len(view.plots.frame["buffer"]) < 1.5 * frame
    assert min(seconds) < 0.05, f"{seconds}"


# ------------------------------------------------------------ the header


def test_the_header_says_it_in_words(tmp_path: Path) -> None:
    view = Overview()
    view.show(
        [
            source(
                tmp_path,
                steps=20,
                status="failed",
                reason="NotFiniteError: the loss is NaN",
                name="r1",
            )
        ],
        None,
    )
    words = re.sub(r"<[^>]+>", "", view.header.value)
    assert "r1: failed at step 20 of 20: NotFiniteError: the loss is NaN" in words
    assert "70.0%, 95 % interval 63.3% to 75.9%, n = 200, 30.0% at step 0" in view.header.value


def test_of_several_runs_each_line_has_its_figures(tmp_path: Path) -> None:
    view = Overview()
    view.show([source(tmp_path, name, steps=20) for name in ("r1", "r2")], None)
    words = re.sub(r"<[^>]+>", "", view.header.value)
    assert (
        len(re.findall(r"reward \d\.\d{3} · spread in a group 0\.\d{3} · KL 0\.\d{4}", words)) == 2
    )
    held_out = (
        "held-out accuracy 70.0% (interval 63.3% to 75.9%, n = 200, step 20; 30.0% at step 0)"
    )
    assert words.count(held_out) == 2
    assert view.header.value.count("wb-tiles") == 1, "the tiles are those of the run in focus"


def test_the_header_is_that_of_the_chosen_step(plain: RunSource) -> None:
    view = Overview()
    view.show([plain], 3)
    assert "(shown: step 3)" in view.header.value
    assert f"<dd>{plain.metrics['reward'][2]:.3f}" in view.header.value
    assert "accuracy at step 0: 30.0%" in view.header.value, (
        "the accuracy known at step 3 is that of step 0"
    )


def test_a_run_that_is_not_ended_is_open(tmp_path: Path) -> None:
    growing = growing_run(tmp_path / "live", steps=5)
    shown, view = RunSource(growing.run), Overview()
    view.show([shown], None)
    assert "No step yet" in view.header.value
    assert view.plots.layout.display == "none"
    growing.add(2)
    shown.refresh()
    view.show([shown], None)
    assert "open (training elsewhere, or at rest), step 2 of 5" in view.header.value
    assert view.plots.layout.display is None
    assert "No step yet" not in view.header.value
    growing.end()


def test_no_run_is_said() -> None:
    view = Overview()
    view.show([], None)
    assert "No run to show" in view.header.value


# ---------------------------------------------------- hostile and broken


def test_foreign_names_are_inert_everywhere(tmp_path: Path) -> None:
    hostile = source(
        tmp_path, "h", reward_names=[HOSTILE, "answer_reward"], knobs={3: {HOSTILE: HOSTILE}}
    )
    hostile.label = HOSTILE
    for sources in ([hostile], [hostile, source(tmp_path, "other")]):
        view = Overview()
        view.show(sources, None)
        assert view.message.value == ""
        spec = [
            {**f, "layout": {k: v for k, v in f["layout"].items() if k != "meta"}}
            for f in view.plots.spec
        ]
        for shown in (view.header.value, str(spec), view.picture()):
            assert "<img" not in shown
            assert not {"\u202e", "\u200b", "\x1b"} & set(shown)
        ElementTree.fromstring(view.picture())


def test_plot_text_is_short_and_legible() -> None:
    assert plot_text("a\u202eb\x00") == "aU+202EbU+0000"
    assert plot_text("<b>&") == "&lt;b&gt;&amp;"
    assert len(plot_text("x" * 100_000)) == 32


def test_an_error_is_shown_and_goes_away(plain: RunSource, tmp_path: Path) -> None:
    broken, view = source(tmp_path), Overview()
    broken.metrics = broken.metrics.drop(columns="step")
    view.show([broken], None)
    assert "KeyError" in view.message.value
    assert 'role="alert"' in view.message.value
    view.show([plain], None)
    assert view.message.value == ""
    assert len(view.plots.spec) == 10


def test_a_click_chooses_the_step_and_its_error_is_shown(plain: RunSource) -> None:
    picked: list[int] = []

    def pick(step: int) -> None:
        picked.append(step)
        if step == 7:
            raise ValueError("step 7 is broken")

    view = Overview(on_pick=pick)
    view.show([plain], None)
    view.plots.clicked = {"x": 5.0, "panel": 0, "count": 1}
    assert view.message.value == ""
    view.plots.clicked = {"x": 7.0, "panel": 0, "count": 2}
    assert picked == [5, 7]
    assert "step 7 is broken" in view.message.value


def test_no_torch_is_imported(plain: RunSource) -> None:
    code = (
        "import sys; from workbench.widgets.overview.view import Overview; from "
        "workbench.widgets.base.source import RunSource; "
        f"v = Overview(); v.show([RunSource({str(plain.run.path)!r})]); assert not "
        "v.message.value, v.message.value; "
        "v.picture(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_run_keeps_its_look_while_another_has_no_step_yet(tmp_path: Path) -> None:
    empty = RunSource(growing_run(tmp_path / "empty", name="empty").run)
    full = RunSource(make_run(tmp_path / "full", steps=6, name="full", knobs={3: {"beta": 0.1}}))
    reward = charts([empty, full])[0]
    (line,) = [t for t in reward["data"] if t["name"] == "full"]
    assert line["line"]["color"] == look(1).colour, "as the swatch in the headline says"
    assert {shape["line"]["color"] for shape in reward["layout"]["shapes"]} == {look(1).colour}


def test_a_short_axis_marks_whole_steps_and_each_once(tmp_path: Path) -> None:
    for steps in (1, 2, 5):
        axis = charts([source(tmp_path, f"short{steps}", steps=steps)])[0]["layout"]["xaxis"]
        low, high = axis["range"]
        assert axis["tickvals"] == list(range(1, max(steps, 4) + 1))
        assert 0.5 < low < 1, "training begins at step 1"
        assert steps < high >= 4, "the first point does not stand in the middle of nothing"
    long = charts([source(tmp_path, "long", steps=60)])[0]["layout"]["xaxis"]
    assert len(long["tickvals"]) < 10
    assert long["range"][1] < 61


def test_small_numbers_are_written_without_a_prefix(tmp_path: Path) -> None:
    kl = charts(
        [RunSource(make_run(tmp_path / "a", steps=6, metrics={"kl": lambda step: 1e-4 * step}))]
    )[2]
    axis = go.Figure(kl).layout.yaxis
    assert (axis.exponentformat, axis.minexponent) == ("power", 5), "0.0008 and not 800µ"
