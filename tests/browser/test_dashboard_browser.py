"""The dashboard in a real browser: a run is watched, steered, paused, rewound and branched with
mouse and keyboard."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from browser.accessible import DASHBOARD, assert_accessible, faults_of
from browser.notebook_page import DISPLAY, START, TABS, DashboardPage

from workbench.runs import Run
from workbench.widgets.what_if.comparison import outcome
from workbench.widgets.what_if.kept_batch import KeptBatch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_run_is_watched_and_steered(start_page: DashboardPage) -> None:
    page = start_page
    page.scroll_to_top()
    page.wait(lambda: page.points() > 3, "points while it trains", 90)
    assert page.steps < 40, "the run was over before the first points were seen"

    old, before = page.run.config_at(page.steps)["beta"], page.steps
    with page.holding("beta", 0.9) as bubble:
        page.wait(lambda: "gradient" in bubble.inner_text(), "what it would do, while dragging")
        assert "β" in bubble.inner_text()
        assert page.run.knobs().empty, "a hand on the slider changes nothing"
        assert float(page.box("beta").input_value()) == old
        assert page.ghost("beta").is_visible(), "what is in force stays marked"
    page.wait(lambda: len(page.run.knobs()), "the change in the record")
    changes = page.run.knobs()
    assert len(changes) == 1, "a drag is one change"
    assert set(changes.name) == {"beta"}, "nobody moved another knob"
    assert set(changes.who) == {"user"}
    first, last, new = int(changes.step.iloc[0]), int(changes.step.iloc[-1]), changes.new.iloc[-1]
    assert before < first <= last <= page.steps
    assert new > 10 * old
    assert math.isclose(float(page.box("beta").input_value()), new, rel_tol=1e-4)
    after = page.wait_steps(last + 2)

    page.click("Pause")
    page.wait(lambda: "paused, step" in page.text(), "paused")
    rested = page.rests()
    assert after <= rested < 40
    assert page.run.config_at(first - 1)["beta"] == old
    assert {page.run.config_at(s)["beta"] for s in range(last, rested + 1)} == {new}
    losses = page.run.steps().set_index("step").loss
    for step in range(last, rested + 1):
        kept = KeptBatch.of(page.run.batch(step))
        without = outcome(kept, kept.changed({"beta": old})[0]).loss
        assert math.isclose(losses[step], outcome(kept, kept.config).loss, rel_tol=1e-3), (
            "the loss is that of the new beta"
        )
        assert abs(losses[step] - without) > 1e-4, "and not that of the old one"

    page.click("Step")
    page.wait(lambda: page.steps == rested + 1 and "paused, step" in page.text(), "one step")
    assert page.rests() == rested + 1
    page.click("Start")
    page.wait_steps(rested + 3)
    page.healthy()


def test_every_tab_is_legible_in_both_themes(start_page: DashboardPage, screenshots: Path) -> None:
    page = start_page
    page.scroll_to_top()
    if "paused, step" in page.text():
        page.click("Start")
    page.wait_steps(12, 90)
    faults = []
    for theme in ("light", "dark"):
        page.theme(theme)
        for height in (720, 900):
            page.nb.page.set_viewport_size({"width": 1280, "height": height})
            for tab in TABS:
                page.tab(tab)
                page.nb.page.wait_for_timeout(700)
                page.scroll_to_top()
                page.nb.page.wait_for_timeout(300)
                page.nb.screenshot(
                    screenshots / f"{tab.lower().replace(' ', '-')}-{theme}-{height}.png"
                )
                faults += [(theme, height, tab, *found) for found in faults_of(page)]
                if height == 900:
                    assert_accessible(page.nb.page, f"{tab}, {theme}", DASHBOARD)
    page.theme("light")
    assert not faults, "\n".join(map(str, sorted(set(faults))))
    page.healthy()


def test_reload_and_second_start_in_mid_run(quick_page: DashboardPage) -> None:
    page = quick_page
    page.scroll_to_top()
    page.wait(lambda: page.points() > 2, "points", 90)
    page.nb.save()
    page.nb.page.reload()
    page.scroll_to_top()
    page.wait(lambda: page.points() > 2, "the plots come back after a reload", 60)
    before = page.points()
    page.wait(lambda: page.points() > before, "and go on growing")
    assert "training, step" in page.text()

    page.nb.run_cell(DISPLAY)
    page.nb.run_cell(START)
    page.scroll_to_top()
    page.wait(lambda: page.points() > before, "the new view has the points too")
    trainers = "sum(t.name.startswith('workbench quick') for t in threading.enumerate())"
    assert page.nb.kernel_eval(trainers) == 1
    page.healthy()


def test_what_if_tokens_rewind_branch_and_a_broken_reward(quick_page: DashboardPage) -> None:
    page = quick_page
    page.wait_steps(8)
    page.click("Pause")
    page.wait(lambda: "paused, step" in page.text(), "paused")
    last = page.rests()

    what_if = page.tab("What if")
    page.wait(lambda: "Nothing is changed" in page.panel.inner_text(), "the step as it happened")
    what_if.locator(".wb-what-if-question button", has_text="KL").click()
    box = page.box("beta", what_if)
    box.fill("0.5")
    box.press("Enter")
    page.wait(lambda: "With beta=0.5" in page.panel.inner_text(), "the answer to a what-if", 5)
    assert page.run.knobs().empty, "asking changes nothing in the run"

    groups = page.tab("Groups")
    page.wait(lambda: groups.locator("tr[data-row]").count(), "the rows of the groups")
    if not groups.locator(".wb-open:visible").count():
        groups.locator(".wb-dead-one summary").first.click()  # all are dead, and folded
    opening = groups.locator(".wb-open:visible").first
    row = int(opening.inner_text())
    opening.click()
    page.wait(lambda: page.open_tab == "Tokens", "the tokens of the picked completion")
    page.wait(lambda: f"row {row}" in page.panel.inner_text(), f"row {row}")
    tokens = page.panel.locator(".wb-pane").first.locator(".wb-box .t")
    assert tokens.count() == len(page.run.tokens(last, row))
    assert "push" in (tokens.first.get_attribute("aria-label") or "")
    rgba = tokens.first.evaluate("e => getComputedStyle(e).backgroundColor")
    zero = page.run.samples(last).advantage[row] == 0
    assert zero or rgba != "rgba(0, 0, 0, 0)", "a token with an advantage is coloured"

    page.click("Rewind")
    page.wait(lambda: "Rewind did nothing" in page.text(), "that it does nothing here")
    page.nb.kernel_eval(f"dashboard.show_step({last - 3})")
    page.click(f"Rewind to {last - 3}")
    page.wait(lambda: page.steps == last - 3 and "paused, step" in page.text(), "rewound")
    assert "Rewind did nothing" not in page.text()
    page.click("all knobs")
    page.box("next branch").fill("other")
    page.box("next branch").press("Tab")
    page.click("all knobs")
    page.click("Branch")
    branch = page.out.with_name("other")
    page.wait(lambda: Run.open(branch).last_step() == last - 3, "the branch is caught up")
    assert (Run.open(branch).meta.parent_name, Run.open(branch).meta.branch_step) == (
        page.run.meta.name,
        last - 3,
    )
    page.wait(
        lambda: (
            page.nb.kernel_eval("[dashboard.session.out.name, dashboard.session.status]")
            == ["other", "paused"]
        ),
        "the branch rests",
    )
    page.click("Step")
    page.wait(lambda: Run.open(branch).last_step() == last - 2, "a step of the branch")
    assert page.rests() == last - 3, "the parent stays where it was"

    parent, page.out = page.out.name, branch
    page.nb.kernel_eval(
        r"faults.append('scores are <b>out</b> of order \ud800')"
    )  # a lone surrogate cannot travel as it is
    page.click("Start")
    page.wait(
        lambda: "scores are <b>out</b> of order U+D800" in page.text(),
        "the error in the dashboard, as plain text",
    )
    assert page.rests() == last - 2
    page.nb.kernel_eval("faults.clear()")
    page.click("Start")
    page.wait_steps(last)
    assert "out of order" not in page.text()
    page.click("Stop")
    page.wait(lambda: "stopped, step" in page.text(), "stopped")
    page.tab("Overview")
    page.wait(
        lambda: {parent, "other"} <= set(page.panel.inner_text().replace(":", " ").split()),
        "both runs named",
    )
    page.healthy()
