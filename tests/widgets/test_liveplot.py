"""The plot widget as a page sees it: its two traits, plotly.js over the comm, clicks, and the
picture that stays."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import comm
import ipywidgets
import numpy as np
import pytest
from comm.base_comm import BaseComm
from IPython.core.formatters import DisplayFormatter

from workbench.widgets.plots import liveplot
from workbench.widgets.plots.liveplot import LivePlot, packed
from workbench.widgets.plots.pieces import lines as plot_lines
from workbench.widgets.plots.pieces import look, make_chart, stack
from workbench.widgets.plots.still import Axis, draw_svg

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
SVG = "{http://www.w3.org/2000/svg}"


class Wire(BaseComm):
    """A comm that keeps what would go to the page; 7.4's memory of the shell that wrote last is
    there, too."""

    def __init__(self, **given: Any) -> None:
        self.sent: list[tuple[dict, list]] = []
        super().__init__(**given)

    def publish_msg(
        self,
        msg_type: str,
        data: Any = None,
        metadata: Any = None,
        buffers: Any = None,
        **keys: Any,
    ) -> None:
        self.sent.append((data, list(buffers or ())))

    def _reply_subshell_for(self, data: Any, default: Any) -> str:
        return "the shell that wrote last"

    def updates(self) -> list[dict]:
        return [data["state"] for data, _ in self.sent if data.get("method") == "update"]

    def custom(self) -> list[tuple[dict, list]]:
        return [
            (data["content"], buffers)
            for data, buffers in self.sent
            if data.get("method") == "custom"
        ]


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch) -> None:
    if int(ipywidgets.__version__.split(".")[0]) < 8:
        pytest.skip("ipywidgets 7 makes its comms otherwise")
    monkeypatch.setattr(comm, "create_comm", lambda *args, **kwargs: Wire(**kwargs))


def receive(widget: LivePlot, data: dict, buffers: Any = ()) -> None:
    """A message from the page."""
    widget._handle_msg({"content": {"data": data}, "buffers": list(buffers)})


def example(n: int = 5, **how: Any) -> dict:
    x = np.arange(1, n + 1)
    return make_chart(
        "reward", "mean", plot_lines(x, x / 2, "mean", look(0)), x_range=(0, n), **how
    )


def unpacked(plot: LivePlot) -> list[dict]:
    """The figures as the page puts them together from the two traits."""
    flat, at, columns = np.frombuffer(plot.frame["buffer"], "<f4"), 0, []
    for length in plot.frame["lengths"]:
        columns.append(flat[at : at + length])
        at += length
    assert at == len(flat)

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return (
                columns[value["column"]]
                if set(value) == {"column"}
                else {k: filled(v) for k, v in value.items()}
            )
        return [filled(v) for v in value] if isinstance(value, list) else value

    return filled(plot.spec)


def test_the_two_traits_hold_the_whole_picture() -> None:
    x = np.arange(3)
    given = {
        "data": [
            {"x": x, "y": x * 0.5, "error_y": {"array": x + 1.0}, "name": "a"},
            {"x": x, "y": np.array([np.nan, 1, 2])},
        ],
        "layout": {"title": {"text": "t"}, "shapes": [{"x0": 1}]},
    }
    plot = LivePlot([given])
    json.dumps(plot.spec, allow_nan=False)
    (shown,) = unpacked(plot)
    assert shown["layout"] == given["layout"]
    np.testing.assert_array_equal(shown["data"][0]["error_y"]["array"], [1, 2, 3])
    np.testing.assert_array_equal(shown["data"][1]["y"], [np.nan, 1, 2])
    assert plot.frame["lengths"] == [3, 3, 3, 3], "the steps that two lines share go once"


def test_marks_that_all_charts_share_go_once() -> None:
    marks = [{"x0": step} for step in range(40)]
    given = [{"data": [], "layout": {"shapes": marks}} for _ in range(3)]
    own = {"data": [], "layout": {"shapes": list(marks)}}
    spec, _ = packed([*given, own])
    assert [chart["layout"]["shapes"] for chart in spec] == [marks, {"of": 0}, {"of": 0}, marks]


def test_steps_far_into_a_run_are_exact_in_float32() -> None:
    steps = np.arange(9_999_990, 10_000_000)
    _, (column,) = packed([{"data": [{"x": steps}], "layout": {}}])
    assert column.astype(int).tolist() == steps.tolist()


def test_a_redraw_is_one_message(wired: None) -> None:
    plot = LivePlot([example(5)])
    before = len(plot.comm.sent)
    plot.show([example(6), example(7)])
    assert len(plot.comm.sent) == before + 1
    assert {"spec", "frame"} <= set(plot.comm.updates()[-1])
    assert len(plot.comm.sent[-1][1]) == 1, "all numbers travel in one binary buffer"


def test_plotly_js_comes_from_the_package_and_not_twice_at_once(
    wired: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(liveplot.time, "monotonic", lambda: now[0])
    plot = LivePlot()
    ask = {"method": "custom", "content": {"kind": "need plotly.js"}}
    receive(plot, ask)
    receive(plot, ask)
    ((content, (source,)),) = plot.comm.custom()
    assert content == {"kind": "plotly.js"}
    assert b"plotly.js v" in bytes(source[:200])
    now[0] += liveplot.SEND_AGAIN + 0.1  # a page that was reloaded asks again
    receive(plot, ask)
    receive(plot, {"method": "custom", "content": {"kind": "something else"}})
    assert len(plot.comm.custom()) == 2


def test_a_page_hears_why_there_is_no_plotly_js(
    wired: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> str:
        raise ImportError("No module named 'plotly'")

    monkeypatch.setattr("plotly.offline.get_plotlyjs", missing)
    plot = LivePlot()
    with pytest.raises(ImportError):
        plot._answer(plot, {"kind": "need plotly.js"}, [])
    ((content, _),) = plot.comm.custom()
    assert content["kind"] == "no plotly.js"
    assert "No module named 'plotly'" in content["reason"]


def test_the_page_is_answered_while_a_cell_runs(wired: None) -> None:
    assert (
        LivePlot().comm._reply_subshell_for({}, "the one that the page chose")
        == "the one that the page chose"
    )


def test_a_click_reaches_python_each_time(wired: None) -> None:
    plot, seen = LivePlot([example()]), []
    plot.observe(lambda change: seen.append(change["new"]["x"]), "clicked")
    for count in (1, 2):
        clicked = {"clicked": {"x": 4, "panel": 0, "count": count}}
        receive(plot, {"method": "update", "state": clicked, "buffer_paths": []})
    assert seen == [4, 4]


def test_a_saved_notebook_keeps_the_picture_and_the_words() -> None:
    data, _ = DisplayFormatter().format(LivePlot([example(5), example(6)], columns=2))
    assert WIDGET_VIEW in data
    assert not callable(LivePlot._ipython_display_), (
        "ipywidgets 7 would show the widget without the picture"
    )
    root = ElementTree.fromstring(data["image/svg+xml"])
    assert len(root.findall(f"{SVG}g")) == 2
    assert data["text/plain"].count("reward (mean): mean 2.5 at step 5") == 1
    assert data["text/plain"].count("mean 3 at step 6") == 1


def test_an_empty_plot_can_be_shown() -> None:
    data, _ = DisplayFormatter().format(LivePlot())
    assert WIDGET_VIEW in data
    ElementTree.fromstring(draw_svg([]))


def test_the_still_picture_draws_the_numbers() -> None:
    y = np.array([0.0, 1.0, np.nan, 2.0, 2.0])
    svg = draw_svg(
        [make_chart("t", "a", plot_lines(np.arange(5), y, "n", look(0)), x_range=(0, 4))],
        columns=1,
        height=200,
    )
    (path,) = [p for p in ElementTree.fromstring(svg).iter(f"{SVG}path") if p.get("opacity")]
    stretches = [
        [tuple(map(float, point.split(","))) for point in part.split("L")]
        for part in path.get("d")[1:].split("M")
    ]
    assert [len(s) for s in stretches] == [2, 2], "the gap is a gap"
    (x0, y0), (x1, y1) = stretches[0]
    (x3, y3), (x4, y4) = stretches[1]
    assert x1 - x0 == pytest.approx(x4 - x3, abs=0.2)
    assert y0 > y1 > y3 == y4, "up is up"
    assert y0 - y1 == pytest.approx(y1 - y3, abs=0.2)


def test_the_still_picture_shrinks_with_a_narrow_page() -> None:
    svg = ElementTree.fromstring(draw_svg([]))
    assert svg.get("viewBox")
    assert svg.get("style") == "max-width:100%;height:auto"


@pytest.mark.parametrize(
    ("x", "said"),
    [
        ([0.1, 0.2, 0.3], "n 2 at step 0.3, lowest 0 at 0.1"),
        ([12345.0, 12346.0, 12347.0], "n 2 at step 12347, lowest 0 at 12345"),
    ],
)
def test_places_on_the_x_axis_are_said_as_they_are(x: list[float], said: str) -> None:
    drawn = make_chart(
        "t", "a", plot_lines(np.array(x), np.arange(3.0), "n", look(0)), x_range=(x[0], x[-1])
    )
    assert said in drawn["layout"]["meta"]["summary"]


def test_a_stack_is_drawn_on_top_of_one_another() -> None:
    parts = {"a": np.ones(3), "b": np.full(3, 2.0)}
    svg = draw_svg([make_chart("t", "s", stack(np.arange(3), parts), x_range=(0, 2))], columns=1)
    tops = [
        float(re.match(r"M[\d.]+,([\d.]+)", p.get("d"))[1])
        for p in ElementTree.fromstring(svg).iter(f"{SVG}path")
        if p.get("opacity")
    ]
    floor = 230 - 34
    assert (floor - tops[1]) / (floor - tops[0]) == pytest.approx(3, rel=0.01)


@pytest.mark.parametrize(
    "axis",
    [
        Axis(0, 1, 0, 100),
        Axis(0.31, 0.32, 0, 100),
        Axis(-7, -6, 0, 100, log=True),
        Axis(0, 0.004, 0, 9, percent=True),
    ],
)
def test_axes_have_two_to_eight_numbers_inside_that_read_back(axis: Axis) -> None:
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 8
    for value, text in ticks:
        read = float(text.rstrip("%")) / (100 if axis.percent else 1)
        assert read == pytest.approx(value, rel=1e-3, abs=1e-12)
        low, high = sorted((axis.start, axis.end))
        assert low - 1e-6 <= float(axis(value)) <= high + 1e-6


def test_nothing_is_asked_from_outside() -> None:
    # The name of SVG's language looks like an address, but nobody goes there.
    text = (LivePlot._esm + LivePlot._css).replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"https?://|//cdn|unpkg|import\s+.*\bfrom\b", text) == []
