"""What stands on the first screen in a real JupyterLab: how many charts at which size, a drag that is
one change, a drawer that moves nothing, a session that gave its memory back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_accessible, faults_of
from browser.notebook_page import QUICK, DashboardPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SIZES = {(1280, 720): 4, (1440, 900): 6, (1920, 1080): 8}
"""Width and height of the window, with the sidebar open: charts that are seen whole, at least."""
STEPS = 6


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    setup, _, show, _ = (cell.strip() for cell in QUICK)
    session = "session = Session(config=config, out='runs/first')"
    train = f"session.start({STEPS}).wait()"
    large = "large = Dashboard(session, scale=1.4)\nlarge"
    folder = lab.server.root / "notebooks"
    probe.write_notebook(folder / "first.ipynb", [setup, session, show, train, large])
    page = DashboardPage(lab, "notebooks/first.ipynb", folder / "runs/first", single=False)
    for cell in range(4):
        page.nb.run_cell(cell)
    yield page
    page.close()


def at_size(page: DashboardPage, width: int, height: int, at_least: int) -> list[tuple[int, int]]:
    """The charts seen whole in a window of this size, once they are drawn."""
    page.nb.page.set_viewport_size({"width": width, "height": height})
    page.nb.page.wait_for_timeout(500)
    page.scroll_to_top()
    page.wait(
        lambda: len(page.whole_charts()) >= at_least, f"{at_least} charts at {width}x{height}"
    )
    return page.whole_charts()


def too_wide(page: DashboardPage) -> int:
    """Pixels by which the dashboard is wider than its place."""
    return page.dashboard.evaluate("e => e.scrollWidth - e.clientWidth")


def test_the_first_screen_shows_the_run(page: DashboardPage, screenshots: Path) -> None:
    faults = []
    for theme in ("light", "dark"):
        page.theme(theme)
        for (width, height), at_least in SIZES.items():
            charts = at_size(page, width, height, at_least)
            assert min(tall for _, tall in charts) >= 150, "a chart that can be read"
            assert min(wide for wide, _ in charts) >= 290
            page.nb.page.wait_for_timeout(500)
            page.nb.screenshot(screenshots / f"first-screen-{width}-{theme}.png")
            assert too_wide(page) <= 1
        # At the largest size all charts are seen.
        faults += [(theme, *fault) for fault in faults_of(page)]
        assert_accessible(page.nb.page, f"first screen, {theme}")
    page.theme("light")
    assert not faults, "\n".join(map(str, sorted(set(faults))))
    bar, strip = (page.dashboard.locator(name) for name in (".wb-bar", ".wb-strip"))
    assert [round(row.bounding_box()["height"]) for row in (bar, strip)] == [36, 36]
    page.healthy()


def test_a_drag_and_a_run_of_keys_are_one_change_each(page: DashboardPage) -> None:
    at_size(page, 1280, 720, 4)
    with page.holding("epsilon", 0.03) as bubble:
        page.wait(lambda: "would clip" in bubble.inner_text(), "what it would do")
        assert bubble.inner_text().startswith("ε 0.0")
        assert page.nb.kernel_eval("session.pending") == {}, "not before the hand lets go"
        page.nb.page.keyboard.press("Escape")
    page.nb.page.wait_for_timeout(500)
    assert page.nb.kernel_eval("session.pending") == {}, "Escape lets the value go"
    track = page.knob("learning_rate").bounding_box()
    page.nb.page.mouse.click(track["x"] + 0.9 * track["width"], track["y"] + track["height"] / 2)
    page.wait(lambda: "learning_rate" in page.nb.kernel_eval("session.pending"), "a click")
    page.dashboard.get_by_title("learning_rate: back to 0.0002, as the run began").click()
    began = {"learning_rate": 2e-4}
    page.wait(lambda: page.nb.kernel_eval("session.pending") == began, "the way back")
    page.knob("temperature").focus()
    for _ in range(5):
        page.nb.page.keyboard.press("ArrowRight")
    wanted = began | {"temperature": 1.05}
    page.wait(lambda: page.nb.kernel_eval("session.pending") != began, "when the keys rest")
    assert page.nb.kernel_eval("session.pending") == wanted
    page.wait(lambda: "1 → 1.05 next step" in page.text(), "what is in force, where it differs")
    page.click("Step")
    page.wait(lambda: page.steps == STEPS + 1, "the step")
    assert page.run.knobs()[["name", "new"]].to_numpy().tolist() == [["temperature", 1.05]]
    page.wait(lambda: "next step" not in page.text(), "that it holds")
    page.dashboard.get_by_title("temperature: back to 1, as the run began").click()
    page.wait(
        lambda: page.nb.kernel_eval("session.pending") == {"temperature": 1.0}, "the way back"
    )


def test_the_drawer_opens_over_the_charts(page: DashboardPage, screenshots: Path) -> None:
    at_size(page, 1280, 720, 4)
    top = "() => document.querySelector('.wb-dash .wb-plot').getBoundingClientRect().top"
    before = page.nb.page.evaluate(top)
    page.click("all knobs")
    page.wait(lambda: page.dashboard.locator(".wb-drawer .wb-knob").count() > 20, "all knobs", 60)
    assert page.nb.page.evaluate(top) == before
    delta = page.dashboard.locator(".wb-drawer .wb-knob").filter(has_text="delta").first
    assert page.knob("delta").count() == 0 or not page.knob("delta").is_visible()
    delta.get_by_role("button", name="none", exact=True).click()
    page.wait(lambda: page.knob("delta").is_visible(), "a value where there was none")
    page.nb.screenshot(screenshots / "drawer.png")
    assert faults_of(page, ".wb-drawer") == []
    assert_accessible(page.nb.page, "the drawer")
    page.click("all knobs")
    page.wait(lambda: not page.dashboard.locator(".wb-drawer").is_visible(), "it closes")


def test_two_charts_on_a_projector(page: DashboardPage, screenshots: Path) -> None:
    page.nb.run_cell(4)
    for theme in ("dark", "light"):
        page.theme(theme)
        charts = at_size(page, 1024, 768, 2)
        assert min(tall for _, tall in charts) >= 145
        page.nb.page.wait_for_timeout(500)
        page.nb.screenshot(screenshots / f"first-screen-1024-{theme}.png")
        assert too_wide(page) <= 1


def test_a_freed_session_has_one_state_and_a_way_back(
    page: DashboardPage, screenshots: Path
) -> None:
    at_size(page, 1280, 720, 2)
    page.nb.kernel_eval("session.free()")
    page.wait(lambda: "gave its memory back" in page.text(), "what has become of it")
    sliders = page.dashboard.locator(".wb-strip input")
    assert sliders.count() >= 8
    assert sliders.evaluate_all("es => es.every(e => e.disabled)")
    assert "freed, step" in page.text()
    page.nb.screenshot(screenshots / "freed.png")
    assert_accessible(page.nb.page, "a freed session")
    page.click("Load again")
    page.wait(lambda: page.nb.kernel_eval("large.session.status") == "ready", "loaded", 60)
    page.wait(lambda: not page.knob("epsilon").is_disabled(), "the knobs")
    page.click("Step")
    page.wait(lambda: page.steps == STEPS + 2, "a step more")
    assert "gave its memory back" not in page.text()
    page.healthy()
