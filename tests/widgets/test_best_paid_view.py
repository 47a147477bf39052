"""The page of the best-paid answers: what it shows of each, what looks odd, live and stored, and
inert."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from inert_html import HOSTILE, assert_inert, text_of
from made_runs import growing_run, make_run

from workbench.runs import Run
from workbench.widgets import Dashboard
from workbench.widgets.base.source import RunSource
from workbench.widgets.best_paid.markup import ECHO, EMPTY, ONE_FOR_ALL, WRONG, suspicions
from workbench.widgets.best_paid.view import TIES, BestPaidView

HACK = "<think></think><answer>7</answer>"


def hacked_run(folder: Path, **how: Any) -> Run:
    """A run in which one text is paid whatever was asked, more and more often."""

    def texts(step: int) -> list[str]:
        return [HACK if i < step else f"<answer>{step}{i}</answer>" for i in range(4)]

    def rewards(step: int) -> list[list[float]]:
        return [[1.0, float(i < step)] for i in range(4)]

    given: dict[str, Any] = {"steps": 3, "prompts": 2, "group": 2}
    return make_run(folder, texts=texts, rewards=rewards, **given | how)


def shown(run: Run, step: int | None = None) -> BestPaidView:
    view = BestPaidView()
    view.show([RunSource(run)], step)
    assert view.message.value == ""
    return view


def rows_of(view: BestPaidView) -> list[list[str]]:
    """The cells of each answer's first line, as a person reads them."""
    rows = re.findall(r'<tr class="wb-paid">(.*?)</tr>', view.table.value, flags=re.S)
    return [[text_of(cell) for cell in re.findall(r"<td.*?</td>", row, re.S)] for row in rows]


def test_a_hack_stands_first_with_all_that_tells_of_it(tmp_path: Path) -> None:
    run = hacked_run(tmp_path)
    view = shown(run)
    first = rows_of(view)[0]
    problems = {run.samples(s)["problem_id"][r] for s in (1, 2, 3) for r in range(s)}
    golds = {run.samples(s)["gold_answer"][r] for s in (1, 2, 3) for r in range(s)}
    remarks = re.findall(r'wb-suspect">(.*?)</span>', view.table.value.split("wb-paid")[1])
    assert first[:2] == ["1", HACK]
    assert first[2:5] == ["1", "1", "2"], "each reward, and the total"
    assert first[5] == f"6 timesto {len(problems)} problems"
    assert first[6:8] == ["2", "1"], "the mean, and the step where it came first"
    assert ONE_FOR_ALL.format(len(golds)) in remarks
    sample = run.samples(1).iloc[0]
    assert f"to {sample['prompt']} · gold answer {sample['gold_answer']}" in text_of(
        view.table.value
    )
    assert "is paid 2 and came 6 times" in text_of(view.summary.value)


def test_it_follows_the_step_that_is_chosen(tmp_path: Path) -> None:
    run = hacked_run(tmp_path)
    view = shown(run, 2)
    assert rows_of(view)[0][5].startswith("3 times")
    view.show([view.source], 1)
    assert rows_of(view)[0][5].startswith("1 timeto 1 problem")
    view.steps.box.value = 3
    assert rows_of(view)[0][5].startswith("6 times")
    assert "up to step 3" in text_of(view.summary.value)


def test_by_another_reward_and_in_another_order(tmp_path: Path) -> None:
    view = shown(hacked_run(tmp_path))
    assert [value for _, value in view.by.options] == ["", "format_reward", "answer_reward"]
    view.by.value = "format_reward"
    assert "by format_reward; " in text_of(view.summary.value)
    assert rows_of(view)[0][1] == HACK, "paid 1 like all others, and most often"
    view.ties.value = "shortest"
    assert rows_of(view)[0][1] == "<answer>11</answer>"
    assert set(view.ties.options) == set(TIES)


def test_every_order_is_one_of_the_record() -> None:
    from workbench.runs.store.best_paid import TIES as OF_THE_RECORD

    assert tuple(OF_THE_RECORD) == TIES


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"completion": "<answer>8</answer>"}, [WRONG]),
        ({"golds": 2000}, ["paid for 2,000 gold answers"]),
        ({"completion": "What is 3 + 4? It is <answer>7</answer>"}, [ECHO]),
        ({"completion": "4 <answer>7</answer>", "prompt": "4"}, []),
        ({"completion": "  "}, [WRONG, EMPTY]),
        ({"completion": "anything", "gold_answer": None}, []),
        ({"completion": r"\frac{1}{2}", "gold_answer": r"\sqrt{2}"}, []),
    ],
)
def test_what_looks_odd(changed: dict[str, Any], expected: list[str]) -> None:
    answer = {
        "completion": "<think>3 + 4 is 7</think><answer>7</answer>",
        "prompt": "What is 3 + 4?",
        "gold_answer": "7",
        "golds": 1,
    }
    assert suspicions(pd.Series(answer | changed)) == expected


def test_what_the_template_wrote_is_no_part_of_the_answer() -> None:
    answer = pd.Series({"completion": "<think>\n", "prompt": "?", "gold_answer": None, "golds": 1})
    assert suspicions(answer, "<think>\n") == [EMPTY]
    assert suspicions(answer) == []


def test_hostile_text_is_inert(tmp_path: Path) -> None:
    view = shown(
        make_run(
            tmp_path,
            steps=3,
            prompts=2,
            group=2,
            name=HOSTILE[0],
            reward_names=(HOSTILE[1], HOSTILE[3]),
            texts=lambda step: list(HOSTILE[4 * step - 4 : 4 * step]),
        )
    )
    assert len(rows_of(view)) == 10
    for part in (view.summary.value, view.table.value):
        assert_inert(re.sub(r' colspan="\d+"', "", part))


def test_a_pick_leads_to_the_tokens_of_that_answer(tmp_path: Path) -> None:
    dashboard = Dashboard(hacked_run(tmp_path))
    page = dashboard.pages["best_paid"]
    dashboard.tabs.selected_index = list(dashboard.pages).index("best_paid")
    page.picks.widget.value = 2
    answer = page.found.iloc[1]
    tokens = dashboard.pages["tokens"]
    assert dashboard.view is tokens
    assert (tokens.step, tokens.row) == (answer["step"], answer["row"])


def test_a_run_without_completions_says_so(tmp_path: Path) -> None:
    view = shown(make_run(tmp_path, steps=2, samples=False, keep_tokens=False))
    assert "No completion up to step 2 was paid and kept" in text_of(view.summary.value)
    assert view.table.value == ""


def test_a_live_run_is_not_read_at_every_step(tmp_path: Path, monkeypatch: Any) -> None:
    growing = growing_run(tmp_path, status="running")
    growing.add(1)
    source = RunSource(growing.run)
    view = BestPaidView()
    read = []
    best_paid = Run.best_paid
    monkeypatch.setattr(
        Run, "best_paid", lambda run, step, *how: read.append(step) or best_paid(run, step, *how)
    )
    now = [100.0]

    def clock() -> float:
        now[0] += 0.5  # a reading takes half a second, so ten pass before the next
        return now[0]

    monkeypatch.setattr("workbench.widgets.best_paid.view.time.monotonic", clock)
    for _ in range(40):
        growing.add(1)
        source.refresh()
        view.show([source], None)
    assert 2 <= len(read) <= 4
    view.show([source], 5)
    assert read[-1] == 5, "a step that a person chose is read at once"
    growing.writer.finish("stopped", "")
    source.refresh()
    view.show([source], None)
    assert read[-1] == 41, "and so is the last one, when the run ends"


def test_a_damaged_step_is_named(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    run = hacked_run(tmp_path)
    with closing(sqlite3.connect(run.path)) as db, db:
        db.execute("UPDATE samples SET reward = 99 WHERE step = 3")
    with pytest.warns(match="is damaged at step 3"):
        view = shown(run)
    assert "is damaged at step 3" in text_of(view.summary.value)
    assert rows_of(view)[0][5].startswith("3 times")
