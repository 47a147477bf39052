"""The guided tour: what its stops open and say, of which runs, and that the dashboard is afterwards
what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import make_run

from workbench.course import recorded
from workbench.runs import Run
from workbench.widgets import Dashboard
from workbench.widgets.base.source import RunSource
from workbench.widgets.pages import PAGES
from workbench.widgets.timeline.marks import KINDS
from workbench.widgets.tour import figures
from workbench.widgets.tour.stops import STOPS

TITLES = list(STOPS)
JUDGE, TIMELINE, KNOB, GROUP, PUSH, DOCTOR = range(6)


def led_to(dashboard: Dashboard, stop: int) -> dict:
    """The card of a stop, as the page gets it."""
    dashboard.guide.stop = stop
    assert dashboard.guide.card["stop"] == stop
    return dashboard.guide.card


def page_of(dashboard: Dashboard) -> str:
    return list(PAGES)[dashboard.tabs.selected_index]


@pytest.fixture(scope="module")
def long() -> Dashboard:
    return Dashboard(recorded("long"))


def test_six_stops_each_with_the_run_s_own_numbers(long: Dashboard) -> None:
    assert len(TITLES) == 6
    run = Run.open(recorded("long"))
    last = run.evaluations().iloc[-1]
    card = led_to(long, JUDGE)
    assert f"{last.accuracy:.0%} after step {last.step}" in card["text"]
    assert (page_of(long), card["targets"][0]) == ("overview", ".wb-tile:nth-child(2)")

    card = led_to(long, TIMELINE)
    assert long.shown_step == 200, "nothing moves while a person reads"
    assert "11 evaluations and 2 knob changes" in card["text"]

    card = led_to(long, KNOB)
    assert page_of(long) == "what_if", "a stored run has no knob to drag"
    assert "ε 0.02 held in step 200; 0.005 would clip 1 of 1,642 tokens" in card["text"]

    card = led_to(long, GROUP)
    samples = run.samples(200)
    assert page_of(long) == "groups"
    assert f"{samples.group[samples.dead].nunique()} groups of" in card["text"]

    card = led_to(long, PUSH)
    row = long.pages["tokens"].row
    assert page_of(long) == "tokens"
    assert card["text"].startswith(f"Row {row} got reward 0, advantage −2.47")
    assert card["press"]
    assert long.pages["tokens"].quantity_menu.value == "coefficient"

    card = led_to(long, DOCTOR)
    assert page_of(long) == "doctor"
    assert "2 good and 5 notes here" in card["text"]


def test_afterwards_the_dashboard_is_what_it_was() -> None:
    dashboard = Dashboard(recorded("long"), page="evaluation", step=20, row=3)
    for stop in range(6):
        led_to(dashboard, stop)
    assert dashboard.selection.row is None
    dashboard.guide.stop = -1
    assert (page_of(dashboard), dashboard.shown_step, dashboard.selection.row) == (
        *("evaluation", 20, 3),
    )
    assert dashboard.guide.card == {"stop": -1}
    # A person's own choice in between stays.
    led_to(dashboard, GROUP)
    dashboard.show_step(30)
    dashboard.guide.stop = -1
    assert (page_of(dashboard), dashboard.shown_step) == ("evaluation", 30)
    dashboard.guide.stop = -1


def test_it_starts_when_it_is_asked_for_and_never_by_itself(long: Dashboard) -> None:
    assert (long.guide.asked, long.guide.taken) == ("", "")
    long.tour()
    first = long.guide.asked
    long.tour()
    assert long.guide.asked != first, "a page begins with each once"


@pytest.mark.parametrize(
    "how",
    [
        {"steps": 0},
        {"steps": 3},
        {"keep_tokens": False},
        {"keep_tokens": False, "samples": False},
        {"rewards": lambda step: np.ones((16, 2))},
        {"rewards": lambda step: np.full((16, 2), np.nan)},
        {"evaluations": {}},
        {"config": {"method": "sft"}, "metrics": {"reward": None}},
    ],
)
def test_every_stop_of_every_run_says_something(tmp_path: Path, how: dict) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", **({"steps": 2} | how)))
    for stop in range(6):
        card = led_to(dashboard, stop)
        assert len(card["text"]) > 40
        assert "cannot be shown" not in card["text"], card["text"]
        assert "nan" not in card["text"]
    dashboard.guide.stop = -1


def test_a_stop_that_fails_says_so_in_its_card(
    long: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> str:
        raise RuntimeError("a <b>bad</b> day")

    monkeypatch.setattr(figures, "held_out_words", fail)
    card = led_to(long, JUDGE)
    assert card["text"] == "This stop cannot be shown: RuntimeError: a <b>bad</b> day"
    long.guide.stop = -1


def samples_of(*rewards: tuple[float, ...], prompt: str = "What is 2 + 3?") -> pd.DataFrame:
    rows = [
        {"group": n, "prompt": prompt, "reward": reward, "dead": len(set(group)) == 1}
        for n, group in enumerate(rewards)
        for reward in group
    ]
    return pd.DataFrame(rows)


def test_the_words_of_a_group() -> None:
    words = figures.group_words(samples_of((1.0, 1.0), (0.0, 2.0), (1.0, 2.0)))
    assert words == (
        "2 answers to “What is 2 + 3?”, paid 0 to 2, 1 on average: what stands above that becomes "
        "likelier, what stands below less likely. 1 group of 3 taught nothing: all answers paid "
        "alike."
    )
    assert figures.group_words(samples_of((1.0, 1.0))).startswith("All 1 groups of this step are")
    hostile = "<img src=x onerror=alert(1)>\n\u202e" + "long " * 99
    words = figures.group_words(samples_of((0.0, 1.0), prompt=hostile))
    assert "\n" not in words
    assert "\u202e" not in words
    assert len(words) < 220


def test_the_words_of_a_run_without_evaluations(tmp_path: Path) -> None:
    source = RunSource(recorded("long"))
    source.evaluations = source.evaluations.iloc[:0]
    assert figures.held_out_words(source).startswith(
        "No evaluation on held-out problems was recorded. Mean reward: "
    )
    source.metrics = source.metrics.drop(columns="reward")
    assert figures.held_out_words(source) == "No evaluation on held-out problems was recorded."


def test_the_token_that_moves_most() -> None:
    batch = Run.open(recorded("long")).batch(200)
    place = figures.moved_most(batch, 17)
    inputs = figures.row_inputs(batch, 17)
    moved_T = abs(inputs.coefficient_T) * (1 - np.exp(inputs.logp_T))
    assert moved_T[place] == np.nanmax(moved_T)
    words = figures.push_words(batch, 17, place, {int(inputs.ids_T[place]): " <b>\n"})
    assert "“·<b>⏎” had p" in words, "text, which the page sets as text"
    level = {**batch, "advantages_B": np.zeros_like(batch["advantages_B"])}
    assert "what moves them is the KL alone" in figures.push_words(level, 17, place, {})


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ([], ""),
        (["knob"], "1 knob change"),
        (["knob", "branch", "branch"], "2 branches and 1 knob change"),
        (
            ["knob"] * 3 + ["evaluation"] * 2 + ["problem"],
            "3 knob changes, 2 evaluations and 1 problem",
        ),
    ],
)
def test_the_words_of_the_marks(kinds: list[str], words: str) -> None:
    assert figures.marks_words([{"kind": kind} for kind in kinds], KINDS) == words
