"""How the dashboard stands in a real JupyterLab: it comes into view, leads back to itself, stands
beside the notebook, outlives a reload in mid-cell, keeps its keys to itself, and leaves a picture.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from browser.accessible import CELL_SOURCES, assert_accessible, assert_keys_stay_ours
from browser.notebook_page import DISPLAY, QUICK, DashboardPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TALL = "#%%" + "some words\n\n" * 60
CELLS = [*(cell.strip() for cell in QUICK), TALL, "session.wait()"]
SECOND = """
second = Session("embedded", "arithmetic", [tags_reward], config, out="runs/second")
Dashboard(second)
""".strip()
STORED = """
from workbench import Dashboard
from workbench.course import recorded

stored = Dashboard(recorded("long"))
stored
""".strip()
TOP = """() => {
  const place = [...document.querySelectorAll('.jp-OutputArea-output .wb-scaled')].find(e => !e.closest('.wb-pane'));
  return place ? Math.round(place.getBoundingClientRect().top) : null;
}"""
"""Where the dashboard begins; null where JupyterLab has left its cell out of the page."""
LATE = """
const timeout = AbortSignal.timeout.bind(AbortSignal);
AbortSignal.timeout = (ms) => timeout(ms === 2000 ? 0 : ms);
"""
"""As on a machine so busy that no module comes within the two seconds that anywidget gives it."""


def _in_view(page: DashboardPage) -> bool:
    top = page.nb.page.evaluate(TOP)
    return top is not None and 0 <= top < 450


@pytest.fixture(scope="module")
def staged(lab: Any, probe: ModuleType) -> Iterator[DashboardPage]:
    """A notebook of more than a page that waits for its session at the end, all of it run."""
    root = lab.server.root / "notebooks"
    probe.write_notebook(root / "staged.ipynb", CELLS)
    page = DashboardPage(lab, "notebooks/staged.ipynb", root / "runs/quick-2", single=False)
    page.nb.page.set_viewport_size({"width": 1280, "height": 720})
    before = {path.name for path in (root / "runs").glob("*")} if (root / "runs").exists() else ()
    page.nb.run_all(wait_idle=False)
    page.wait(lambda: page.nb.kernel_eval("str(session.out)", subshell=True), "the session", 120)
    page.out = root / "runs" / page.nb.kernel_eval("session.out.name", subshell=True)
    assert page.out.name not in before
    yield page
    page.close()


def test_run_all_shows_the_run_and_a_pill_leads_back_to_it(staged: DashboardPage) -> None:
    page = staged
    page.wait(lambda: _in_view(page), "the dashboard in view", 120)
    assert page.nb.running_cells() == 1, "while the last cell waits"
    assert _in_view(page)
    pill = page.nb.page.locator(".wb-pill")
    assert pill.count() == 0

    page.nb.page.mouse.move(700, 400)
    page.nb.page.mouse.wheel(0, 9000)
    page.wait(lambda: pill.count() == 1, "the pill")
    assert re.fullmatch(r"● \d+/2000 · \d+ % ↑ dashboard", pill.inner_text())
    said = pill.inner_text()
    page.wait(lambda: pill.inner_text() != said, "the pill follows the run")
    assert_accessible(page.nb.page, "the pill", ".wb-pill")
    pill.focus()
    page.nb.page.keyboard.press("Enter")
    page.wait(lambda: _in_view(page), "back at the dashboard")
    page.wait(lambda: pill.count() == 0, "the pill goes")
    page.nb.page.mouse.wheel(0, 9000)
    page.nb.page.wait_for_timeout(1500)
    assert not _in_view(page), "a person's scrolling stays"
    page.wait(lambda: pill.count() == 1, "the pill again")
    pill.click()
    page.wait(lambda: _in_view(page), "back at the dashboard")


def test_it_stands_beside_the_notebook_in_a_pane_of_its_own(staged: DashboardPage) -> None:
    page = staged
    pane = page.nb.page.locator(".wb-pane")
    page.dashboard.get_by_role("button", name="beside").dispatch_event("click")
    page.wait(lambda: pane.count() == 1, "the pane")
    pane.evaluate("e => { e.scrollTop = e.scrollHeight / 2; }")  # curves out of sight wait
    page.wait(lambda: pane.locator(".js-plotly-plot").count() > 0, "curves in the pane")
    left = page.nb.page.evaluate(
        "() => document.querySelector('.wb-pane').getBoundingClientRect().left"
    )
    assert left > 500, "on the right"
    page.nb.page.locator(".lm-TabBar-tabCloseIcon").last.click()
    page.wait(lambda: pane.count() == 0, "the pane is closed")
    page.wait(lambda: page.nb.kernel_eval("dashboard.stage.docked", subshell=True) is False, "told")
    page.nb.kernel_eval("dashboard.dock()", subshell=True)
    page.wait(lambda: pane.count() == 1, "the pane, by code")


def test_a_page_loaded_anew_while_a_cell_waits_shows_the_dashboard(staged: DashboardPage) -> None:
    page = staged
    page.nb.page.set_viewport_size({"width": 1280, "height": 1400})  # plots out of sight wait
    page.nb.save()
    page.nb.page.reload()
    page.wait(lambda: page.nb.page.locator(".jp-Notebook .jp-Cell").count(), "the notebook", 60)
    page.scroll_to_top()
    page.wait(lambda: page.points() > 2, "the curves", 30)
    assert page.nb.kernel_eval("session.status", subshell=True) == "running"
    assert page.nb.kernel_status() in ("busy", "idle")
    before = page.steps
    page.wait(lambda: page.points() > 2 and page.steps > before, "they go on")
    page.wait(lambda: page.nb.page.locator(".wb-pane").count() == 1, "the pane is there again")
    page.nb.kernel_eval("setattr(dashboard.stage, 'docked', False)", subshell=True)


def test_no_key_on_any_element_reaches_the_notebook(staged: DashboardPage) -> None:
    page = staged
    page.click("Pause")
    page.wait(lambda: "paused, step" in page.text(), "paused")
    page.nb.wait_idle(60)
    before = page.nb.page.evaluate(CELL_SOURCES)
    walked = 0
    for tab in page.dashboard.get_by_role("tab").all():
        tab.click()
        page.nb.page.wait_for_timeout(500)
        walked += assert_keys_stay_ours(page, page.dashboard)
    assert walked > 150
    page.tab("Overview")
    page.dashboard.locator(".wb-slider-input").first.focus()
    for key in "bx00dd":
        page.nb.page.keyboard.press(key)
    assert page.nb.page.evaluate(CELL_SOURCES) == before
    assert page.nb.page.locator(".jp-Dialog").count() == 0

    # The same keys do what they are for on the notebook itself.
    page.nb.page.locator(".jp-InputPrompt").first.click()
    page.nb.page.keyboard.press("b")
    page.wait(lambda: len(page.nb.page.evaluate(CELL_SOURCES)) == len(before) + 1, "a cell more")
    page.nb.command("notebook:undo-cell-action")
    page.wait(lambda: page.nb.page.evaluate(CELL_SOURCES) == before, "as before")


def test_a_recorded_run_stands_there_until_the_first_step(staged: DashboardPage) -> None:
    page = staged
    page.wait_steps(1, 120)
    page.nb.kernel_eval("session.pause() and None", subshell=True)  # the last cell waits for it
    page.nb.wait_idle(60)
    page.nb.page.evaluate(
        "source => window.jupyterapp.shell.currentWidget.content.widgets.at(-1).model.sharedModel.setSource(source)",
        SECOND,
    )
    page.nb.run_cell(len(CELLS) - 1)
    page.nb.page.set_viewport_size({"width": 1280, "height": 1400})
    recorded = page.nb.page.locator(".wb-recorded")
    page.wait(lambda: recorded.count() == 1, "a page that says that it is recorded", 60)
    page.scroll_to_top()
    page.wait(lambda: recorded.locator(".js-plotly-plot").count() > 3, "its curves", 30)
    assert "Recorded earlier" in page.text()
    assert_accessible(page.nb.page, "a recorded run before the first step")
    grey = recorded.locator(".wb-plots").first.evaluate("e => getComputedStyle(e).filter")
    assert grey == "grayscale(1)"
    page.nb.kernel_eval("second.step()")
    page.wait(lambda: recorded.count() == 0, "step 1 takes its place", 60)
    assert "Recorded earlier" not in page.text()
    page.wait(lambda: "step 1" in page.panel.inner_text(), "the run itself")
    page.nb.kernel_eval("second.pause() and None")


def test_a_saved_notebook_reopens_with_the_picture(staged: DashboardPage) -> None:
    page = staged
    page.nb.run_cell(DISPLAY)
    page.wait(lambda: page.nb.kernel_eval("session.status") == "paused", "at rest")
    page.nb.kernel_eval("session.step()")
    page.nb.kernel_eval("session.wait() and None")
    last = page.steps
    path = page.lab.server.root / page.notebook

    def saved() -> list[dict[str, Any]]:
        page.nb.save()
        page.nb.page.wait_for_timeout(500)
        cell = json.loads(path.read_text())["cells"][DISPLAY]
        return [output["data"] for output in cell["outputs"]]

    page.wait(
        lambda: any(f"step {last}" in "".join(data["text/plain"]) for data in saved()),
        "the picture of the newest step in the file",
    )
    widget, picture = saved()
    assert len("".join(widget["text/plain"])) < 200
    assert "Dashboard(" not in "".join(widget["text/plain"])
    assert "".join(picture["image/svg+xml"]).startswith("<svg")
    assert not page.nb.page.locator(".wb-saved").first.is_visible(), "hidden while it lives"

    page.close()
    page.nb = page.lab.open(page.notebook, single=False)
    still = page.nb.page.locator("img.wb-saved").first
    still.scroll_into_view_if_needed()
    page.wait(lambda: still.is_visible(), "the picture")
    fits = still.evaluate(
        "e => e.naturalWidth > 0 && e.getBoundingClientRect().right <= "
        "e.closest('.jp-OutputArea-output').getBoundingClientRect().right + 1"
    )
    assert fits, "not cut at the right"
    shown = page.nb.page.locator(".jp-CodeCell").nth(DISPLAY).inner_text()
    assert "Error displaying widget" not in shown


def test_a_widget_whose_module_comes_late_hears_the_kernel(lab: Any, probe: ModuleType) -> None:
    root = lab.server.root / "notebooks"
    probe.write_notebook(root / "late.ipynb", [STORED])
    page = DashboardPage(lab, "notebooks/late.ipynb", root / "runs/none")
    page.nb.page.add_init_script(LATE)
    page.nb.page.reload()
    page.wait(lambda: page.nb.kernel_status() == "idle", "the kernel", 60)
    page.nb.run_cell(0)
    page.wait(lambda: page.nb.plots() and page.nb.plots()[0]["points"][0] > 100, "curves", 60)
    page.nb.kernel_eval("setattr(stored.view.plots, 'height', 111)")
    page.wait(lambda: page.nb.plots()[0]["height"] < 140, "what the kernel says later")
    page.dashboard.get_by_role("button", name="Copy this view").click()
    page.wait(lambda: "copied" in page.dashboard.locator(".wb-stage-words").inner_text(), "copied")
    others = [error for error in page.nb.errors() if "Failed to initialize" not in error]
    assert others == [], "what anywidget says of it is heard no more"
    page.close()
