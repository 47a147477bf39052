"""The page of evaluations: figures against hand-made ones, what is said of sharpening, the kept
answers, live and stored, and inert."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inert_html import HOSTILE
from made_runs import GrowingRun, growing_run, make_run

from workbench.evaluation.recorded import as_recorded
from workbench.runs import Answered, Figure, Run, SampledEvaluation
from workbench.widgets import Dashboard
from workbench.widgets.base.source import RunSource
from workbench.widgets.evaluation.answers import ALL, FORM, GAINED, LOST, NEVER
from workbench.widgets.evaluation.figures import (
    Share,
    curve,
    form_alone,
    main_figures,
    parts_of,
    sharpening,
)
from workbench.widgets.evaluation.view import EvaluationView
from workbench.widgets.export_html import export_html
from workbench.widgets.plots.still import draw_svg


def said(answer: int) -> str:
    return f"<think>so</think><answer>{answer}</answer>"


def problem(place: int, samples: list[str], **more: Any) -> Answered:
    """A problem whose gold answer is 7."""
    return Answered(place, f"Question {place}?", "7", "add", samples[0], samples, **more)


BEFORE = [
    problem(0, [said(7), said(1)], subject="sums", level="1"),
    problem(1, [said(1), said(7)], subject="sums", level="2"),
    problem(2, [said(1), said(1)], subject="rest", level="10"),
    problem(3, ["The answer is 7.", said(1)], subject="rest", level="2"),
]
AFTER = [
    problem(0, [said(7), said(7)], subject="sums", level="1"),
    problem(1, [said(1), said(1)], subject="sums", level="2"),
    problem(2, [said(1), said(1)], subject="rest", level="10"),
    problem(3, ["The answer is 7.", "It is 7."], subject="rest", level="2"),
]


def evaluated(folder: Path, **how: Any) -> GrowingRun:
    """A run of six steps, evaluated with two samples of four problems before and after."""
    growing = growing_run(folder, **{"steps": 6, "prompts": 1, "group": 2} | how)
    growing.writer.write_sampled_evaluation(0, as_recorded(BEFORE, {"samples": 2}))
    growing.add(6)
    growing.writer.write_sampled_evaluation(6, as_recorded(AFTER, {"samples": 2}))
    return growing


def stored(folder: Path, **how: Any) -> Run:
    growing = evaluated(folder, **how)
    growing.end()
    return growing.run


def shown(run: Run, step: int | None = None) -> EvaluationView:
    view = EvaluationView()
    view.show([RunSource(run)], step)
    assert view.message.value == ""
    return view


def words(markup: str) -> str:
    text = html.unescape(re.sub(r"<[^>]+>", " ", markup))
    return re.sub(r"\s+", " ", text).strip()


def rows_of(markup: str) -> dict[str, list[str]]:
    """The cells of each row of a table, by their row's head."""
    found = {}
    for row in re.findall(r"<tr>(.*?)</tr>", markup, flags=re.S):
        cells = [words(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, flags=re.S)]
        found[cells[0]] = cells[1:]
    return found


# ------------------------------------------------------------ figures


def test_every_figure_before_and_after_strict_beside_lenient(tmp_path: Path) -> None:
    view = shown(stored(tmp_path))
    table = rows_of(view.table.value)
    assert list(table) == ["figure", "greedy", "mean@2", "maj@2", "pass@2"]
    assert table["figure"][:2] == ["strict, before (step 0)", "after (step 6)"]
    shares = {name: [cell.split()[0] for cell in cells[:4]] for name, cells in table.items()}
    # By hand, of four problems: strict greedy 1 and 1 right, lenient 2 and 2; pass@2 strict 2 of 4
    # before and 1 after, lenient 3 and 2; of eight samples strict 2 and 2, lenient 3 and 4.
    assert shares["greedy"] == ["25.0%", "25.0%", "50.0%", "50.0%"]
    assert shares["mean@2"] == ["25.0%", "25.0%", "37.5%", "50.0%"]
    assert shares["pass@2"] == ["50.0%", "25.0%", "75.0%", "50.0%"]
    frame = view._frame
    row = frame[(frame["step"] == 6) & (frame["figure"] == "pass@2") & (frame["grouping"] == "all")]
    strict = row[row["judge"] == "strict"].iloc[0]
    assert table["pass@2"][1] == f"25.0% {strict.low:.1%} to {strict.high:.1%}"
    assert "4 problems of held_out, 2 samples of each; step 0 and step 6." in words(
        view.summary.value
    )


def test_by_subject_level_and_kind(tmp_path: Path) -> None:
    view = shown(stored(tmp_path))
    assert [value for _, value in view.by.options] == ["subject", "level", "kind"]
    table = rows_of(view.labels.value)
    assert table["subject"][0] == "problems"
    assert table["rest"][0] == table["sums"][0] == "2"
    assert [cell.split()[0] for cell in table["sums"][1:]] == [
        *("50.0%", "50.0%"),  # greedy
        *("50.0%", "50.0%"),  # maj@2: a tie of one right and one wrong is half
        *("100.0%", "50.0%"),  # pass@2
    ]
    view.by.value = "level"
    assert list(rows_of(view.labels.value)) == ["level", "1", "2", "10"]
    view.judge.value = "lenient"
    assert rows_of(view.labels.value)["2"][1].startswith("50.0%")


def test_the_curves_over_k_and_the_steps(tmp_path: Path) -> None:
    view = shown(stored(tmp_path))
    passed, voted, over_steps = view.plots._charts
    assert [trace["name"] for trace in over_steps["data"]] == [
        "greedy, in training",
        "greedy",
        "mean@2",
        "maj@2",
        "pass@2",
    ]
    in_training = over_steps["data"][0]
    assert list(in_training["x"]) == list(view._source.evaluations["step"])
    by_name = {trace["name"]: trace for trace in over_steps["data"]}
    assert list(by_name["pass@2"]["x"]) == [0, 6]
    assert list(by_name["pass@2"]["y"]) == [0.5, 0.25]
    before, after = passed["data"]
    assert (before["name"], after["name"]) == ("before (step 0)", "after (step 6)")
    assert list(before["x"]) == [1, 2]
    np.testing.assert_allclose(before["y"], [0.25, 0.5])
    np.testing.assert_allclose(after["y"], [0.25, 0.25])
    bars = before["error_y"]
    assert all(bars["array"] > 0)
    assert voted["layout"]["meta"]["summary"].startswith("maj@k: before (step 0) maj@1 25.0%")
    view.judge.value = "lenient"
    np.testing.assert_allclose(view.plots._charts[0]["data"][0]["y"], [0.375, 0.75])
    assert draw_svg(view.plots._charts).count("<clipPath") == 3


def test_the_step_says_which_evaluations_are_there(tmp_path: Path) -> None:
    view = shown(stored(tmp_path), step=3)
    assert "nothing to compare it with" in words(view.summary.value)
    assert len(view.plots._charts[0]["data"]) == 1
    view.show([view._source], 6)
    assert "step 0 and step 6" in words(view.summary.value)
    view.before.value = 6
    assert "step 6 and step 6" in words(view.summary.value)


def test_a_live_run_shows_an_evaluation_when_it_is_made(tmp_path: Path) -> None:
    growing = growing_run(tmp_path, steps=4, status="running", evaluations={})
    source = RunSource(growing.run)
    view = EvaluationView()
    view.show([source], None)
    assert "GRPOConfig(eval_samples=8)" in view.summary.value
    assert view.table.value == ""
    growing.writer.write_sampled_evaluation(0, as_recorded(BEFORE, {}))
    view.show([source], None)
    assert "nothing to compare it with" in view.summary.value
    step = replace(growing.how.step(1), sampled_evaluations=[as_recorded(AFTER, {})])
    growing.writer.write_step(step)
    source.refresh()
    view.show([source], None)
    assert "step 0 and step 1" in words(view.summary.value)
    growing.writer.finish("stopped", "")


def test_two_splits_and_what_a_person_has_chosen_stays(tmp_path: Path) -> None:
    growing = evaluated(tmp_path, status="running")
    growing.writer.write_sampled_evaluation(6, as_recorded(AFTER[:2], {}, "other task"))
    view = shown(growing.run)
    view.judge.value = "lenient"
    view.split.value = "other task"
    assert "2 problems of other task" in words(view.summary.value)
    view.show([RunSource(growing.run)], None)
    assert (view.split.value, view.judge.value) == ("other task", "lenient")
    growing.writer.finish("stopped", "")


# ------------------------------------------------------------ sharpening, in words


def figures(one: tuple[float, ...], many: tuple[float, ...]) -> dict[str, Share]:
    return {"pass@1": Share(*one, 100), "pass@8": Share(*many, 100)}


LOW, MIDDLE, HIGH = (0.2, 0.1, 0.3), (0.6, 0.5, 0.7), (0.95, 0.9, 0.98)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((LOW, HIGH), (MIDDLE, HIGH), "Sharpening: training made likelier"),
        ((LOW, MIDDLE), (MIDDLE, HIGH), "More than sharpening"),
        ((LOW, HIGH), (MIDDLE, MIDDLE), "Sharpening with a loss"),
        ((LOW, HIGH), (LOW, HIGH), "no gain is shown"),
        ((MIDDLE, HIGH), (LOW, HIGH), "has fallen beyond its intervals"),
    ],
)
def test_what_is_said_of_sharpening(before: Any, after: Any, expected: str) -> None:
    told = sharpening(figures(*before), figures(*after))
    assert expected in told
    assert f"{before[0][0]:.1%}".replace("%", " %") in told


def test_nothing_is_said_without_samples_of_both() -> None:
    both = figures(LOW, HIGH)
    nothing = {"greedy": Share(0.5, 0.4, 0.6, 9)}
    assert sharpening(nothing, both) == sharpening(both, nothing) == ""
    unknown = figures((float("nan"), 0, 1), HIGH)
    assert sharpening(unknown, both) == ""


def test_evaluations_with_different_numbers_of_samples_meet_where_both_have_k() -> None:
    more = figures(LOW, HIGH) | {"pass@16": Share(0.99, 0.97, 1.0, 100)}
    assert "at least one of 8 for" in sharpening(figures(LOW, HIGH), more)
    assert sharpening({"pass@1": Share(*LOW, 9), "pass@3": Share(*LOW, 9)}, more) == ""


def test_a_gain_in_form_is_not_taken_for_one_in_ability() -> None:
    strict = (figures(LOW, MIDDLE), figures(MIDDLE, HIGH))
    flat = (figures(MIDDLE, HIGH), figures(HIGH, HIGH))
    assert "the form, not the answers" in form_alone(strict, flat)
    assert form_alone(strict, strict) == ""
    assert form_alone(flat, flat) == ""
    assert form_alone(({}, {}), flat) == ""


def test_names_of_figures() -> None:
    assert parts_of("pass@16") == ("pass", 16)
    assert parts_of("greedy") == parts_of("greedy@x") == ("greedy", 0)
    found = {name: Share(0.5, 0.4, 0.6, 9) for name in ("pass@16", "pass@2", "maj@2", "greedy")}
    assert [k for k, _ in curve(found, "pass")] == [2, 16]
    assert main_figures(found) == ["greedy", "pass@16"]


# ------------------------------------------------------------ kept answers


def opened(run: Run) -> EvaluationView:
    view = shown(run)
    buttons = view.answers.widget.children[0]
    assert buttons.layout.display is None, "the button can be seen"
    assert view.answers.open.layout.display is None
    view.answers.open.click()
    assert view.message.value == ""
    return view


def test_the_answers_of_a_problem_with_what_each_judge_thinks(tmp_path: Path) -> None:
    view = opened(stored(tmp_path))
    assert [value for _, value in view.answers.problem.options] == [0, 1, 2, 3]
    page = words(view.answers.page.value)
    assert page.startswith("Question 0? gold answer: 7 kind add, subject sums, level 1")
    assert "before (step 0) , 1 of 2 samples strictly right" in page
    assert "after (step 6) , 2 of 2 samples strictly right" in page
    assert page.count("sample 2") == 2
    view.answers.problem.value = 3
    page = words(view.answers.page.value)
    assert "greedy The answer is 7. right, not in the form" in page
    assert f"sample 2 {said(1)} ✖ wrong" in page


def test_all_answers_compared_say_where_the_gain_lies(tmp_path: Path) -> None:
    view = opened(stored(tmp_path))
    view.answers.judge_all.click()
    told = words(view.answers.words.value)
    # Strict: of 8 samples 2 right before and after; problem 0 has won half, problem 1 lost it.
    assert "strict: mean@2 has changed by +0.0 points" in told
    assert "lenient: mean@2 has changed by +12.5 points" in told
    by_choice = {}
    for choice in (ALL, GAINED, LOST, NEVER, FORM):
        view.answers.keep.value = choice
        by_choice[choice] = [value for _, value in view.answers.problem.options]
    assert by_choice == {ALL: [0, 1, 2, 3], GAINED: [0], LOST: [1], NEVER: [2, 3], FORM: [3]}
    view.answers.keep.value = GAINED
    view.show([view._source], None)
    assert view.answers.keep.value == GAINED, "another drawing of the same two keeps the choice"
    view.before.value = 6
    assert view.answers.page.value == ""
    assert view.answers.open.layout.display is None


def test_an_evaluation_that_kept_no_answers(tmp_path: Path) -> None:
    growing = growing_run(tmp_path, steps=1, status="running")
    only = Figure("strict", "all", "", "greedy", 0.5, 0.1, 0.9, 2)
    growing.writer.write_sampled_evaluation(0, SampledEvaluation("held_out", [only]))
    view = opened(growing.run)
    assert "kept no answers" in words(view.answers.words.value)
    growing.writer.finish("stopped", "")


def test_one_evaluation_alone_is_read_too(tmp_path: Path) -> None:
    growing = growing_run(tmp_path, steps=1, status="running")
    growing.writer.write_sampled_evaluation(0, as_recorded(BEFORE, {}))
    view = opened(growing.run)
    assert words(view.answers.page.value).count("greedy") == 1
    assert view.answers.judge_all.layout.display == "none"
    growing.writer.finish("stopped", "")


def test_the_answers_of_one_step_are_read_alone(tmp_path: Path) -> None:
    run = stored(tmp_path)
    assert set(run.sampled_answers()["step"]) == {0, 6}
    one = run.sampled_answers(6)
    assert set(one["step"]) == {6}
    assert one["samples"].tolist() == [a.samples for a in AFTER]
    assert len(run.sampled_answers(3)) == 0


# ------------------------------------------------------------ what can go wrong


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_is_inert(hostile: str, tmp_path: Path) -> None:
    growing = growing_run(tmp_path, steps=1, prompts=1, group=2, name=hostile, status="running")
    answers = [
        Answered(0, hostile, "7", hostile, hostile, [hostile, "7"], subject=hostile, level=hostile)
    ]
    recorded = [
        Figure("strict", grouping, label, "pass@2", 0.5, 0.1, 0.9, 1)
        for grouping, label in (("all", ""), ("subject", hostile), ("kind", hostile))
    ]
    growing.add(1)
    split = hostile.encode("utf-8", "replace").decode()
    for step in (0, 1):
        growing.writer.write_sampled_evaluation(step, SampledEvaluation(split, recorded, answers))
    view = shown(growing.run)
    view.split.value = split
    view.answers.open.click()
    assert view.message.value == ""
    html_parts = (view.summary, view.table, view.labels, view.answers.page, view.answers.words)
    together = "".join(part.value for part in html_parts) + draw_svg(view.plots._charts)
    assert not re.search("<(script|img|svg/)", together)
    assert not re.search("[\u202e\u2066\x00\ud800-\udfff]", together)
    together.encode()
    assert all(label.isprintable() for label, _ in view.answers.problem.options)
    growing.writer.finish("stopped", "")


def test_a_damaged_evaluation_is_named_and_the_other_is_shown(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    run = stored(tmp_path)
    with closing(sqlite3.connect(run.path)) as db, db:
        db.execute("UPDATE sampled_evaluations SET value = 0.9 WHERE step = 6")
    with pytest.warns(match="damaged at step 6"):
        view = shown(run)
    assert "damaged at step 6, in the table sampled_evaluations" in words(view.summary.value)
    assert "nothing to compare it with" in words(view.summary.value)


def test_a_run_without_any_evaluation(tmp_path: Path) -> None:
    view = shown(make_run(tmp_path, steps=2, evaluations={}))
    assert "no evaluation with samples" in view.summary.value
    assert len(view.plots._charts) == 1
    empty = EvaluationView()
    assert "No run is shown yet" in empty.summary.value


def test_it_is_a_tab_of_the_dashboard(tmp_path: Path) -> None:
    dashboard = Dashboard(stored(tmp_path))
    dashboard.tabs.selected_index = list(dashboard.pages).index("evaluation")
    assert dashboard.view.title == "Evaluation"
    assert "step 0 and step 6" in words(dashboard.view.summary.value)


def test_a_stored_run_needs_no_torch(tmp_path: Path) -> None:
    stored(tmp_path)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from workbench.widgets.base.source import RunSource\n"
        "from workbench.widgets.evaluation.view import EvaluationView\n"
        f"view = EvaluationView(); view.show([RunSource({str(tmp_path)!r})], None)\n"
        "view.answers.open.click(); view.answers.judge_all.click()\n"
        "assert 'pass@2' in view.table.value and not view.message.value, view.message.value\n"
        "assert 'needs torch' in view.answers.words.value, view.answers.words.value\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_exported_page_has_it(tmp_path: Path) -> None:
    page = export_html(stored(tmp_path / "run"), tmp_path / "p.html").read_text()
    start = page.index(">Evaluation with samples</h2>")
    part = page[start : page.index("<h2", start)]
    assert part.count("data-chart=") == 3
    assert "step 0 and step 6" in part
    assert {"pass@2", "sums", "rest"} <= set(rows_of(part))
    without = export_html(make_run(tmp_path / "b", steps=1), tmp_path / "q.html").read_text()
    assert "Evaluation with samples" not in without
