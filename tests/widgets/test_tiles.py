"""The tiles of the Overview: the record's figures, at the step shown, with their course."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from made_runs import growing_run, make_run

from workbench.evaluation.recorded import as_recorded
from workbench.runs import Answered
from workbench.widgets.base.source import RunSource
from workbench.widgets.overview.tiles import POINTS, Tile, sparkline, tile_html, tiles, trend


def read(markup: str) -> dict[str, str]:
    """name -> value and what stands beside it."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", markup)
    return {name: re.sub("<[^>]+>", "", value) for name, value in found}


def test_each_figure_is_the_records(tmp_path: Path) -> None:
    source = RunSource(make_run(tmp_path / "run", steps=20))
    shown = read(tiles(source))
    last = source.metrics.iloc[-1]
    assert list(shown) == ["reward", "held-out", "KL", "clip", "dead groups"]
    assert shown["reward"].startswith(f"{last.reward:.3f} ±")
    assert shown["held-out"] == "70 % [63–76]"
    assert shown["KL"] == f"{last.kl:.2g}"
    assert shown["clip"] == f"{100 * (last.clip_ratio_low + last.clip_ratio_high):.3g} %"
    assert shown["dead groups"] == f"{100 * last.dead_group_share:.3g} %"


def test_an_earlier_step_shows_what_was_known_then(tmp_path: Path) -> None:
    source = RunSource(make_run(tmp_path / "run", steps=20))
    shown = read(tiles(source, 3))
    assert shown["reward"].startswith(f"{source.metrics.reward[2]:.3f}")
    assert shown["held-out"].startswith("30 %"), "the evaluation of step 0"
    assert tiles(source, 3).count("<svg") == 4, "one evaluation has no course"


def test_what_was_not_measured_has_no_tile(tmp_path: Path) -> None:
    source = RunSource(make_run(tmp_path / "run", steps=5, metrics={"kl": None}, evaluations={}))
    assert "KL" not in read(tiles(source))
    assert "held-out" not in read(tiles(source))
    assert tiles(RunSource(make_run(tmp_path / "empty", steps=0, evaluations={}))) == ""


def test_pass_at_8_where_it_is_known(tmp_path: Path) -> None:
    growing = growing_run(tmp_path / "run", steps=4)
    right, wrong = (f"<think>x</think><answer>{n}</answer>" for n in (7, 1))
    problems = [
        Answered(
            i, "?", "7", "add", wrong, [right if i < 3 and k == 0 else wrong for k in range(8)]
        )
        for i in range(4)
    ]
    growing.writer.write_sampled_evaluation(0, as_recorded(problems, {}))
    growing.add(4)
    growing.end()
    assert read(tiles(RunSource(growing.run)))["pass@8"] == "75 %"


def test_an_arrow_needs_more_than_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 10)
    assert trend(np.r_[np.zeros(5), np.ones(5)] * 10 + 0.01 * noise) == "▲"
    assert trend(np.r_[np.ones(5), np.zeros(5)] * 10 + 0.01 * noise) == "▼"
    assert trend(np.r_[np.zeros(5), np.full(5, 0.1)] + noise) == ""
    assert trend(np.ones(10)) == trend(np.array([1.0, 2.0])) == ""


def test_a_sparkline_keeps_to_its_box_and_its_spikes() -> None:
    values = np.zeros(10_000)
    values[7777] = 1.0
    line = sparkline(values)
    points = [tuple(map(float, p.split(","))) for p in re.findall(r"[\d.]+,[\d.]+", line)]
    assert len(points) <= POINTS
    assert min(y for _, y in points) == 0.0, "the spike is drawn"
    assert points[0] == (0.0, 14.0)
    assert points[-1] == (88.0, 14.0)
    assert sparkline(np.array([1.0])) == sparkline(np.array([np.nan, 1.0])) == ""
    assert "nan" not in sparkline(np.array([1.0, np.nan, 2.0, 2.0]))


def test_foreign_names_are_inert() -> None:
    hostile = '"><img src=x>'
    assert "<img" not in tile_html(Tile(hostile, hostile, hostile, hostile))


@pytest.mark.parametrize("steps", [400])
def test_tiles_cost_little(tmp_path: Path, steps: int) -> None:
    source = RunSource(make_run(tmp_path / "run", steps=steps, prompts=1, group=2, tokens=8))
    tiles(source)
    seconds = []
    for _ in range(5):
        began = time.process_time()
        markup = tiles(source)
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.03
    assert len(markup) < 6_000
