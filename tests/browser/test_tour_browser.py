"""In a real JupyterLab: the guided tour, by mouse, keys and code, and the line that shows what is
inside a step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_accessible
from browser.notebook_page import QUICK, DashboardPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STORED = """
from workbench.course import recorded
stored = Dashboard(recorded("long"))
stored
""".strip()
CARD, RING = ".wb-tour", ".wb-tour-ring"
TABS = ["Overview", "Overview", "Overview", "Groups", "Tokens", "Doctor"]
"""The page that is open at each stop of a live run."""
LIT = (
    *(".wb-tile", ".wb-tl-row", ".wb-knob, .wb-what-if-row"),
    *(".wb-group", ".wb-box > .t", ".wb-finding"),
)
PLACES = """() => {
  const rect = (e) => e && e.getBoundingClientRect().toJSON();
  const [card, ring] = [".wb-tour", ".wb-tour-ring"].map((name) => document.querySelector(name));
  const inside = card.contains(document.activeElement);
  return { card: rect(card), ring: ring.hidden ? null : rect(ring), inside, wide: innerWidth, tall: innerHeight };
}"""
LIT_PLACES = """([root, selector]) => [...root.querySelectorAll(selector)].map((e) => e.getBoundingClientRect().toJSON())"""
HOSTILE = "<img src=x onerror=document.title='got'> \\u202e done"


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    cells = [*(cell.strip() for cell in QUICK), STORED]
    folder = lab.server.root / "notebooks"
    probe.write_notebook(folder / "tour.ipynb", cells)
    page = DashboardPage(lab, "notebooks/tour.ipynb", folder / "runs/quick", single=False)
    page.nb.page.set_viewport_size({"width": 1280, "height": 720})
    for cell in range(4):
        page.nb.run_cell(cell)
    page.out = Path(page.nb.kernel_eval("str(session.out)"))
    page.wait_steps(3, 120)
    page.scroll_to_top()
    yield page
    page.close()


def cells_of(page: DashboardPage) -> list[str]:
    return page.nb.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets.map(c => c.model.sharedModel.source)"
    )


def stop_of(page: DashboardPage) -> str:
    return page.nb.page.locator(".wb-tour-head span").inner_text()


def arrived(page: DashboardPage, stop: int) -> dict[str, Any]:
    """Where card and ring are, once what the stop lights is drawn and the ring stands around it."""
    page.wait(lambda: stop_of(page) == f"Tour · {stop + 1} of 6", f"stop {stop + 1}")
    text = page.nb.page.locator(".wb-tour-text")
    page.wait(lambda: len(text.inner_text()) > 40, "what it says")

    def stands() -> dict[str, Any] | None:
        places = page.nb.page.evaluate(PLACES)
        root = page.dashboard.element_handle()
        lit = page.nb.page.evaluate(LIT_PLACES, [root, LIT[stop]])
        ring = places["ring"]
        near = [r for r in lit if ring and abs(r["left"] - ring["left"] - 5) < 3]
        return places if any(abs(r["top"] - ring["top"] - 5) < 3 for r in near) else None

    return page.wait(stands, f"the ring around {LIT[stop]}")


def apart(one: dict[str, float], other: dict[str, float]) -> bool:
    return (
        one["bottom"] <= other["top"]
        or one["top"] >= other["bottom"]
        or one["right"] <= other["left"]
        or one["left"] >= other["right"]
    )


def test_the_line_shows_what_is_inside_a_step(page: DashboardPage, screenshots: Path) -> None:
    line = page.dashboard.locator(".wb-inside")
    now = line.locator("[aria-current=step]")
    seen: set[str] = set()
    written: set[str] = set()

    def look() -> bool:
        seen.update(now.all_inner_texts())
        written.add(line.locator(".wb-newest").inner_text())
        return len({text.split()[0] for text in seen}) >= 2 and len(written - {""}) >= 3

    page.wait(look, "phases that pass and completions that come", 60)
    page.nb.screenshot(screenshots / "inside-step.png")
    assert {text.split()[0] for text in seen} <= {"rollout", "rewards", "log-probs", "updates"}
    assert "tokens/s" in line.inner_text()
    assert round(line.bounding_box()["height"]) == 20
    page.wait(lambda: len(page.whole_charts()) >= 4, "four charts with the line above them")

    # Nothing is sent of it while nobody looks.
    inside = "dashboard.controls.inside"
    page.nb.page.locator(".jp-WindowedPanel-outer").evaluate("e => { e.scrollTop = 9999; }")
    page.nb.page.evaluate("() => { document.querySelector('.wb-inside').style.display = 'none'; }")
    page.wait(lambda: page.nb.kernel_eval(f"{inside}.seen") is False, "out of sight")
    page.nb.page.evaluate("() => { document.querySelector('.wb-inside').style.display = ''; }")
    page.scroll_to_top()
    page.wait(lambda: page.nb.kernel_eval(f"{inside}.seen"), "in sight again")

    page.click("Pause")
    page.wait(lambda: "paused, step" in page.text(), "paused")
    page.wait(lambda: now.count() == 0, "nothing is in hand")
    page.nb.kernel_eval(f"setattr({inside}, 'newest', {HOSTILE!r})")
    page.wait(lambda: "<img" in line.locator(".wb-newest").inner_text(), "a hostile text")
    assert line.locator("img").count() == 0
    for theme in ("dark", "light"):
        page.theme(theme)
        page.nb.page.wait_for_timeout(300)
        assert page.nb.low_contrast(".wb-inside") == []
    page.healthy()


def test_the_tour_leads_by_keys_through_six_stops_and_leaves_all_as_it_was(
    page: DashboardPage, screenshots: Path
) -> None:
    page.scroll_to_top()
    before = cells_of(page)
    assert page.nb.page.locator(CARD).count() == 0, "never by itself"
    handle = page.dashboard.locator(".wb-tl-thumb")
    handle.focus()
    page.nb.page.keyboard.press("?")
    page.wait(lambda: page.nb.page.locator(CARD).count() == 1, "the card")
    said = []
    for stop, tab in enumerate(TABS):
        places = arrived(page, stop)
        page.nb.page.wait_for_timeout(300)
        places = arrived(page, stop)
        page.nb.screenshot(screenshots / f"tour-{stop + 1}-light.png")
        assert_accessible(page.nb.page, f"stop {stop + 1}", CARD)
        assert page.open_tab.split()[0] == tab
        assert places["inside"], "the focus stays in the card"
        card = places["card"]
        assert card["left"] >= 0, stop
        assert card["top"] >= 0, stop
        assert card["right"] <= places["wide"], stop
        assert card["bottom"] <= places["tall"], stop
        assert apart(card, places["ring"]), (stop, places)
        assert page.nb.low_contrast(CARD) == []
        assert page.nb.small_text(CARD) == []
        said.append(page.nb.page.locator(".wb-tour-text").inner_text())
        # No key gets out, neither letters nor the focus.
        for key in ("b", "x", "0", "0", "d", "d", "Shift+Tab", "Tab", "Tab"):
            page.nb.page.keyboard.press(key)
            assert page.nb.page.evaluate(PLACES)["inside"], (stop, key)
        if stop == TABS.index("Tokens"):
            page.wait(lambda: "The loss of token" in page.panel.inner_text(), "the loss")
            assert page.dashboard.locator(".wb-held").count() == 1
        page.nb.page.keyboard.press("ArrowRight")
    assert "tokens of step" in said[2], "what less ε would have clipped"
    assert len(set(said)) == 6
    page.nb.page.keyboard.press("ArrowLeft")
    arrived(page, TABS.index("Tokens"))
    page.nb.page.locator(".wb-tour-next").click()
    arrived(page, 5)
    page.nb.page.get_by_role("button", name="Done").click()
    page.wait(lambda: page.nb.page.locator(CARD).count() == 0, "the end")
    page.wait(lambda: page.open_tab == "Overview", "the page from before")
    page.wait(lambda: page.nb.kernel_eval("dashboard.shown_step") is None, "the newest step")
    assert handle.evaluate("e => e === document.activeElement"), "the focus from before"
    assert page.nb.kernel_eval("dashboard.pages['tokens'].body.locked") == [-1, -1]
    assert cells_of(page) == before
    assert page.nb.page.locator(".jp-Dialog").count() == 0
    page.healthy()


def test_the_tour_of_a_stored_run_is_started_by_code_once(
    page: DashboardPage, screenshots: Path
) -> None:
    page.theme("dark")
    page.nb.page.emulate_media(reduced_motion="reduce")
    page.nb.run_cell(4)
    page.wait(lambda: page.nb.page.locator(".wb-dash").count() == 2, "the second dashboard", 60)
    page.scroll_to_top()
    page.wait(lambda: page.dashboard.locator(".js-plotly-plot").count() > 3, "the stored run", 60)
    page.nb.kernel_eval("stored.tour()")
    page.wait(lambda: page.nb.page.locator(CARD).count() == 1, "the card")
    assert page.dashboard.locator(CARD).count() == 1, "in the dashboard that was asked"
    for stop in range(6):
        arrived(page, stop)
        page.nb.page.wait_for_timeout(300)
        page.nb.screenshot(screenshots / f"tour-{stop + 1}-dark.png")
        assert page.nb.low_contrast(CARD) == []
        assert_accessible(page.nb.page, f"stop {stop + 1}, dark", CARD)
        page.nb.page.locator(".wb-tour-next").press("Enter")
    page.wait(lambda: page.nb.page.locator(CARD).count() == 0, "the end")

    page.dashboard.get_by_role("button", name="Guided tour of the dashboard").click()
    arrived(page, 0)
    ring = page.nb.page.locator(RING)
    assert ring.evaluate("e => getComputedStyle(e).transitionDuration") == "0s", "reduced motion"
    # A page that is scrolled takes the ring along; what is out of sight has none.
    top = page.nb.page.evaluate(PLACES)["ring"]["top"]
    scroller = page.nb.page.locator(".jp-WindowedPanel-outer")
    scroller.evaluate("e => { e.scrollTop -= 60; }")
    page.wait(lambda: (page.nb.page.evaluate(PLACES)["ring"] or {}).get("top") == top + 60, "moved")
    scroller.evaluate("e => { e.scrollTop += 60; }")
    places = arrived(page, 0)
    assert places["inside"]
    # While a hand is at the picture itself Escape ends it, too.
    page.dashboard.locator(".wb-tl-play").focus()
    page.nb.page.keyboard.press("Escape")
    page.wait(lambda: page.nb.page.locator(CARD).count() == 0, "ended")
    page.healthy()

    # A page that is loaded anew in the middle of it does not go on with it.
    page.nb.kernel_eval("stored.tour()")
    arrived(page, 0)
    page.nb.save()
    page.nb.page.reload()
    page.wait(lambda: page.dashboard.count() > 0, "the notebook", 60)
    page.scroll_to_top()
    page.wait(lambda: page.dashboard.locator(".wb-tour-open").count() == 1, "the bar", 60)
    page.nb.page.wait_for_timeout(1500)
    assert page.nb.page.locator(CARD).count() == 0
    page.nb.page.emulate_media(reduced_motion=None)
    page.theme("light")
