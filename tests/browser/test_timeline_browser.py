"""The charts that share their steps and the timeline above them, in a real browser: one zoom, one
crosshair, smoothing and legends by keyboard, marks, replay, an interval, and behaviours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_accessible, assert_good_in_both_themes, assert_keys_stay_ours
from browser.notebook_page import DashboardPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CELL = """
from workbench import Dashboard
from workbench.course.recorded import recorded
dashboard = Dashboard(recorded("long"))
plots, line = dashboard.pages["overview"].plots, dashboard.timeline.timeline
dashboard
"""
DRAWN = """() => [...document.querySelectorAll('.wb-plot .js-plotly-plot')].filter(gd => gd.clientWidth && gd._fullLayout)"""
RANGES = f"() => ({DRAWN})().map(gd => gd._fullLayout.xaxis.range.map(Number))"
HEIGHTS = f"() => ({DRAWN})().map(gd => gd._fullLayout.yaxis.range.map(Number))"
FIRST = f"""() => ({DRAWN})()[0].data.map(t => ({{name: t.name, y: [...t.y], opacity: t.opacity ?? 1,
  visible: t.visible ?? true, average: Boolean(t.meta?.average)}}))"""


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    probe.write_notebook(lab.server.root / "line.ipynb", [CELL.strip()])
    page = DashboardPage(lab, "line.ipynb", lab.server.root / "runs/none")
    page.nb.page.set_viewport_size({"width": 1280, "height": 900})
    page.nb.run_all()
    page.scroll_to_top()
    page.wait(lambda: len(page.nb.page.evaluate(RANGES)) >= 4, "four charts", 90)
    yield page
    page.close()


def chart(page: DashboardPage, place: int) -> dict[str, float]:
    """Where the plotting area of a chart lies on the page."""
    return page.nb.page.evaluate(
        f"""i => {{ const gd = ({DRAWN})()[i], box = gd.getBoundingClientRect(), size = gd._fullLayout._size;
        return {{x: box.x + size.l, y: box.y + size.t, width: size.w, height: size.h}}; }}""",
        place,
    )


def at(page: DashboardPage, place: int, step: float) -> tuple[float, float]:
    """The middle of a chart at a step, in pixels of the page."""
    box = chart(page, place)
    share = page.nb.page.evaluate(
        f"([i, x]) => {{ const a = ({DRAWN})()[i]._fullLayout.xaxis; return a.d2p(x) / a._length; }}",
        [place, step],
    )
    return box["x"] + share * box["width"], box["y"] + box["height"] / 2


def trait(page: DashboardPage, name: str) -> Any:
    return page.nb.kernel_eval(name)


def test_a_zoom_is_that_of_all_charts_and_stays_while_the_run_grows(page: DashboardPage) -> None:
    mouse, whole = page.nb.page.mouse, page.nb.page.evaluate(HEIGHTS)
    mouse.move(*at(page, 2, 60))
    mouse.down()
    mouse.move(*at(page, 2, 120), steps=6)
    mouse.up()
    page.wait(lambda: trait(page, "plots.zoom"), "the zoom in the kernel")
    low, high = trait(page, "plots.zoom")
    assert (low, high) == pytest.approx((60, 120), abs=3)

    def all_zoomed() -> bool:
        ranges = page.nb.page.evaluate(RANGES)
        return len(ranges) >= 4 and all(r == pytest.approx([low, high]) for r in ranges)

    page.wait(all_zoomed, "all charts zoomed")
    # Held-out accuracy goes from 0 %: its height is not what was dragged over.
    assert page.nb.page.evaluate(HEIGHTS)[1][0] == pytest.approx(whole[1][0], abs=0.01)
    page.nb.kernel_eval("dashboard.redraw(force=True)")
    page.nb.page.wait_for_timeout(700)
    assert all_zoomed(), "what is drawn anew stays zoomed"
    chip = page.dashboard.get_by_role("button", name="Show all steps").first
    assert chip.inner_text().startswith(f"steps {-(-low // 1):.0f} to {high // 1:.0f}")

    mouse.dblclick(*at(page, 0, (low + high) / 2))
    page.wait(lambda: trait(page, "plots.zoom") == [], "a double click shows all again")
    page.nb.page.wait_for_timeout(600)
    assert trait(page, "plots.clicked") == {}, "and picks no step"
    assert trait(page, "dashboard.shown_step") is None


def test_one_crosshair_goes_through_all_charts_and_marks_tell_when_pointed_at(
    page: DashboardPage,
) -> None:
    lines = page.dashboard.locator(".wb-cross:visible")
    mark = page.dashboard.locator(".wb-cross-mark:visible")
    page.nb.page.mouse.move(*at(page, 0, 50))
    count = len(page.nb.page.evaluate(RANGES))
    page.wait(lambda: lines.count() == count, "a line in each chart")
    assert mark.count() == 0
    reward_50 = page.dashboard.locator(".wb-cross-reading").nth(2).inner_text()
    assert float(reward_50) == pytest.approx(
        trait(page, "float(dashboard.sources[0].metrics.kl[49])"), rel=1e-3
    )
    assert page.dashboard.locator(".wb-tl-readout").inner_text() == "step 50"
    page.nb.page.mouse.move(*at(page, 0, 101))
    page.wait(lambda: mark.count() == 1, "the text of the mark")
    assert mark.inner_text() == "step 101: beta 0.005→0.5"
    page.nb.page.mouse.move(5, 5)
    page.wait(lambda: lines.count() == 0, "no line")
    assert page.dashboard.locator(".wb-tl-readout").inner_text() == "step 200"


def test_a_click_anywhere_in_a_chart_picks_the_step(page: DashboardPage) -> None:
    page.nb.page.mouse.click(*at(page, 1, 33))
    page.wait(lambda: trait(page, "dashboard.shown_step") == 33, "the step under the mouse")
    page.dashboard.get_by_role("button", name="● last").or_(
        page.dashboard.get_by_role("button", name="○ last")
    ).click()
    page.wait(lambda: trait(page, "dashboard.shown_step") is None, "the newest")


def test_smoothing_keeps_the_steps_pale(page: DashboardPage) -> None:
    slider = page.dashboard.get_by_role("slider", name="smoothing").first
    slider.focus()
    page.nb.page.keyboard.press("End")
    for _ in range(9):
        page.nb.page.keyboard.press("ArrowLeft")
    page.wait(lambda: trait(page, "plots.smoothing") == 0.9, "the weight in the kernel")
    page.wait(lambda: any(t["average"] for t in page.nb.page.evaluate(FIRST)), "a smoothed line")
    raw, average = (t for t in page.nb.page.evaluate(FIRST) if t["name"] == "mean")
    assert (raw["opacity"], raw["average"], average["average"]) == (0.25, False, True)
    y = trait(page, "list(dashboard.sources[0].metrics.reward[:3])")
    # y3 + 0.9 y2 + 0.81 y1, over 1 + 0.9 + 0.81.
    assert average["y"][0] == pytest.approx(y[0], rel=1e-5)
    assert average["y"][1] == pytest.approx((y[1] + 0.9 * y[0]) / 1.9, rel=1e-5)
    by_hand = (y[2] + 0.9 * y[1] + 0.81 * y[0]) / 2.71
    assert average["y"][2] == pytest.approx(by_hand, rel=1e-5)
    assert raw["y"][:3] == pytest.approx(y, rel=1e-5)


def test_the_legend_works_by_keyboard(page: DashboardPage) -> None:
    item = page.dashboard.locator(".wb-legend-item", has_text="format")
    item.focus()
    page.nb.page.keyboard.press("Enter")
    page.wait(lambda: trait(page, "plots.hidden") == ["reward: format"], "it is hidden")
    page.wait(lambda: item.get_attribute("aria-pressed") == "false", "and says so")
    focused = "() => document.activeElement.dataset.key"
    assert page.nb.page.evaluate(focused) == "reward: format", "the focus stays"
    shown = {t["name"] for t in page.nb.page.evaluate(FIRST) if t["visible"]}
    assert "format" not in shown
    assert "mean" in shown
    page.nb.page.keyboard.press("Shift+Enter")
    page.wait(
        lambda: {"reward: mean", "reward: answer"} <= set(trait(page, "plots.hidden")),
        "it alone",
    )
    assert "reward: format" not in trait(page, "plots.hidden")
    page.nb.page.keyboard.press("Shift+Enter")
    page.wait(lambda: trait(page, "plots.hidden") == [], "all again")


def test_the_marks_of_the_timeline_tell_before_and_after(page: DashboardPage) -> None:
    stops = page.dashboard.locator(".wb-tl-mark[tabindex='0']")
    assert stops.count() == 1, "one tab stop for all marks"
    page.dashboard.locator(".wb-tl-knob").first.click()
    card = page.dashboard.locator(".wb-tl-card")
    page.wait(lambda: "beta 0.005→0.5" in card.inner_text(), "what was changed")
    assert "reward 1.91 ± 0.03 → 1.94 ± 0.05 (8 steps each side)" in card.inner_text()
    assert "at step 100 → " in card.inner_text()
    page.nb.page.keyboard.press("ArrowRight")
    label = page.nb.page.evaluate("() => document.activeElement.getAttribute('aria-label')")
    assert label.startswith("step 120, evaluation: held-out")
    assert page.dashboard.locator(".wb-tl-tip:visible").inner_text() == label
    page.nb.page.keyboard.press("Enter")
    page.wait(lambda: trait(page, "line.picked") == ["evaluation@120"], "the key picks")
    page.wait(lambda: "step 120, evaluation" in card.inner_text(), "and tells")
    page.dashboard.get_by_role("button", name="show step 120").click()
    page.wait(lambda: trait(page, "dashboard.shown_step") == 120, "the step of the mark")


def test_the_cursor_and_the_interval_by_mouse_and_keyboard(page: DashboardPage) -> None:
    thumb = page.dashboard.get_by_role("slider", name="step shown on all pages")
    thumb.focus()
    for key, step in (("ArrowLeft", 119), ("Home", 1), ("PageUp", 21), ("ArrowRight", 22)):
        page.nb.page.keyboard.press(key)
        page.wait(lambda step=step: trait(page, "dashboard.shown_step") == step, key)
    assert thumb.get_attribute("aria-valuetext") == "step 22 of 200"
    page.nb.page.keyboard.press("Shift+PageUp")
    page.wait(lambda: trait(page, "line.interval") == [22, 42], "an interval by keyboard")
    page.nb.page.keyboard.press("Escape")
    page.wait(lambda: trait(page, "line.interval") == [], "gone")

    box = page.dashboard.locator(".wb-tl-track").bounding_box()
    mouse, y = page.nb.page.mouse, box["y"] + 18
    mouse.move(box["x"] + 0.25 * box["width"], y)
    mouse.down()
    mouse.move(box["x"] + 0.5 * box["width"], y, steps=6)
    mouse.up()
    page.wait(lambda: trait(page, "line.interval"), "an interval by mouse")
    assert trait(page, "line.interval") == pytest.approx([50, 100], abs=4)
    assert trait(page, "dashboard.shown_step") == 42, "the cursor stayed"
    page.nb.page.wait_for_timeout(300)
    handle = thumb.bounding_box()
    # Its grip is below the marks, one of which stands near it.
    mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] - 5)
    mouse.down()
    mouse.move(box["x"] + 0.75 * box["width"], y, steps=6)
    mouse.up()
    page.wait(lambda: abs(trait(page, "dashboard.shown_step") - 150) < 4, "the handle dragged")


def test_a_reload_shows_the_same(page: DashboardPage, screenshots: Path) -> None:
    page.nb.kernel_eval("plots.set_trait('zoom', [40.0, 160.0])")
    page.nb.kernel_eval("plots.set_trait('hidden', ['reward: mean'])")
    before = trait(page, "[line.cursor, line.interval]")
    page.nb.save()
    page.nb.page.reload()
    page.scroll_to_top()
    page.wait(lambda: len(page.nb.page.evaluate(RANGES)) >= 4, "the charts", 90)
    page.wait(lambda: page.nb.page.evaluate(RANGES)[0] == [40, 160], "zoomed as before")
    mean = next(t for t in page.nb.page.evaluate(FIRST) if t["name"] == "mean")
    assert mean["visible"] is False
    assert any(t["average"] for t in page.nb.page.evaluate(FIRST)), "smoothed as before"
    assert "step 120, evaluation" in page.dashboard.locator(".wb-tl-card").inner_text()
    thumb = page.dashboard.get_by_role("slider", name="step shown on all pages")
    assert [int(thumb.get_attribute("aria-valuenow")), trait(page, "line.interval")] == before
    assert page.dashboard.locator(".wb-tl-band:visible").count() == 1
    for theme in ("dark", "light"):
        page.theme(theme)
        page.nb.page.wait_for_timeout(1500)
        page.nb.screenshot(screenshots / f"timeline-{theme}.png")
    page.nb.kernel_eval("plots.set_trait('hidden', [])")
    page.nb.kernel_eval("plots.set_trait('zoom', [])")


def test_it_is_accessible_and_letters_are_no_shortcuts(page: DashboardPage) -> None:
    assert_accessible(page.nb.page, "the timeline with a card")
    assert assert_keys_stay_ours(page, page.dashboard) > 10


def test_motion_is_reduced_where_it_is_asked_for(page: DashboardPage) -> None:
    thumb = page.dashboard.get_by_role("slider", name="step shown on all pages")
    duration = "e => getComputedStyle(e).transitionDuration"
    assert thumb.evaluate(duration) == "0.12s"
    page.nb.page.emulate_media(reduced_motion="reduce")
    assert thumb.evaluate(duration) == "0s"
    page.nb.page.emulate_media(reduced_motion="no-preference")


def test_the_replay_moves_all_pages(page: DashboardPage) -> None:
    page.dashboard.get_by_role("button", name="Speed of the replay").click()
    page.wait(lambda: trait(page, "line.speed") == 1, "one step a second")
    page.dashboard.get_by_role("button", name="Speed of the replay").click()
    page.wait(lambda: trait(page, "dashboard.replay.speed.value") == 0.25, "four")
    before = trait(page, "dashboard.shown_step")
    page.dashboard.get_by_role("button", name="Replay the run").click()
    page.wait(lambda: trait(page, "dashboard.shown_step") >= before + 2, "it moves")
    page.dashboard.get_by_role("button", name="Pause the replay").click()
    page.wait(lambda: not trait(page, "line.playing"), "and stops")


def test_behaviours_stream_and_a_band_opens_examples(
    page: DashboardPage, screenshots: Path
) -> None:
    page.dashboard.get_by_role("button", name="Only steps").click()
    page.wait(lambda: trait(page, "line.interval") == [], "all steps")
    panel = page.tab("Behaviours")
    page.wait(lambda: "Kinds by the task arithmetic" in panel.inner_text(), "the page")
    page.wait(lambda: len(page.nb.page.evaluate(RANGES)) == 1, "the stream")
    page.nb.page.mouse.click(*at(page, 0, 120))
    view = "dashboard.pages['behaviours']"
    page.wait(lambda: trait(page, f"{view}.step") == 125, "the kept step beside it")
    assert trait(page, f"{view}.kind.value") == "right, tagged"
    page.wait(lambda: "of 64 are right, tagged" in panel.inner_text(), "examples")
    assert_good_in_both_themes(page, "behaviours", screenshots)
    assert assert_keys_stay_ours(page, page.panel) > 2
    page.healthy()


def test_a_legend_stays_in_one_row_where_it_can(page: DashboardPage) -> None:
    page.tab("Overview")
    rows = """() => [...document.querySelectorAll('.wb-plot-head')].filter(e => e.clientWidth && e.children[1]?.children.length)
      .map(e => Math.round(e.offsetHeight / e.children[0].offsetHeight))"""
    page.wait(lambda: len(page.nb.page.evaluate(rows)) >= 2, "the legends")
    page.nb.page.set_viewport_size({"width": 1024, "height": 768})
    page.wait(
        lambda: page.dashboard.locator(".wb-tight").count() > 0, "what an axis means gives way"
    )
    assert max(page.nb.page.evaluate(rows)) <= 3
    page.nb.page.set_viewport_size({"width": 1280, "height": 900})
