"""One selection in a real browser: a click in the groups opens the tokens, a locked token stays, a
column of the push strip chooses the step, and the mass of a group is computed and scrubbed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_accessible
from browser.notebook_page import DashboardPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CELLS = [
    """
import torch
from workbench import Dashboard, GRPOConfig, Session

torch.set_num_threads(1)
config = GRPOConfig(prompts_per_step=8, num_generations=8, updates_per_rollout=4, max_steps=20,
                    learning_rate=1e-3, max_completion_length=32, save_steps=1, eval_steps=0,
                    num_eval_problems=4)
session = Session("embedded", "arithmetic", ["format", "answer"], config, out="runs/chosen")
session.step(6).wait()
dashboard = Dashboard(session)
dashboard.tabs.selected_index = 1
dashboard
"""
]
GROUPS, TOKENS = "dashboard.pages['groups']", "dashboard.pages['tokens']"


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    probe.write_notebook(lab.server.root / "chosen.ipynb", [cell.strip() for cell in CELLS])
    page = DashboardPage(lab, "chosen.ipynb", lab.server.root / "runs/chosen")
    page.nb.run_all()
    page.scroll_to_top()
    page.wait(lambda: page.panel.locator(".wb-group tr[data-row]").count(), "the groups", 60)
    yield page
    page.close()


def shot(page: DashboardPage, folder: Path, name: str) -> None:
    page.nb.page.screenshot(path=str(folder / f"selection-{name}.png"))


def test_groups_are_folded_and_open_the_tokens(page: DashboardPage, screenshots: Path) -> None:
    panel = page.panel
    shot(page, screenshots, "groups")
    assert_accessible(page.nb.page, "groups")
    drawn = panel.locator("tr[data-row]").count()
    assert 0 < drawn < 64, "equal completions stand once"
    assert panel.locator(".wb-times").count()
    chip = panel.locator(".wb-dead-one summary").first
    assert chip.count(), "a group without spread, in the strip"
    chip.click()
    assert panel.locator(".wb-dead-one[open] tr[data-row]").first.is_visible()
    assert_accessible(page.nb.page, "a dead group opened")

    # One tab stop; arrow keys go from row to row; letters do nothing to the notebook.
    buttons = panel.locator(".wb-group .wb-open")
    assert panel.locator(".wb-open[tabindex='0']").count() == 1
    buttons.first.focus()
    cells = page.nb.page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length")
    for key in ("b", "x", "ArrowDown"):
        page.nb.page.keyboard.press(key)
    assert (
        page.nb.page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length")
        == cells
    )
    row = int(page.nb.page.evaluate("() => document.activeElement.closest('tr').dataset.row"))
    page.nb.page.keyboard.press("Enter")
    page.wait(lambda: page.open_tab == "Tokens", "the page of tokens")
    page.wait(lambda: page.panel.locator(f".wb-pane[data-row='{row}']").count(), "its tokens")
    assert page.nb.kernel_eval("dashboard.selection.row") == row
    page.tab("Groups")
    page.wait(lambda: page.panel.locator("tr.wb-chosen").count() == 1, "the mark of that row")
    assert page.panel.locator("tr.wb-chosen").get_attribute("data-row") == str(row)


def test_tokens_say_the_push_and_a_click_locks(page: DashboardPage, screenshots: Path) -> None:
    panel = page.tab("Tokens")
    page.wait(lambda: panel.locator(".wb-box[aria-label$='by push']").count(), "push as colour")
    tokens, readout = panel.locator(".wb-box .t"), panel.locator(".wb-readout")
    # What the read-out says must not move the tokens away from under the pointer.
    tokens.nth(2).scroll_into_view_if_needed()
    place = tokens.nth(2).bounding_box()
    tokens.nth(2).hover()
    page.wait(lambda: "position 2" in readout.inner_text(), "the values under the pointer")
    assert tokens.nth(2).bounding_box() == place
    tokens.nth(1).click()
    page.wait(lambda: "locked" in readout.inner_text(), "the lock")
    assert "position 1" in readout.inner_text()
    assert page.nb.kernel_eval("dashboard.selection.token") == 1
    tokens.nth(3).hover()
    assert "position 1" in readout.inner_text(), "a locked token stays"
    shot(page, screenshots, "tokens")
    assert_accessible(page.nb.page, "a token locked")
    page.nb.page.keyboard.press("Escape")
    page.wait(lambda: page.nb.kernel_eval("dashboard.selection.token") is None, "the release")
    tokens.nth(3).hover()
    page.wait(lambda: "position 3" in readout.inner_text(), "the token under the pointer")
    panel.get_by_label("rendered prompt", exact=True).check()
    page.wait(lambda: panel.locator(".wb-rendered .sp").count(), "the template's markers")
    assert "<|user|>" in panel.locator(".wb-rendered").inner_text()
    assert_accessible(page.nb.page, "the rendered prompt")
    panel.get_by_label("rendered prompt", exact=True).uncheck()


def test_a_column_of_the_push_strip_chooses_the_step_on_every_page(
    page: DashboardPage, screenshots: Path
) -> None:
    panel = page.tab("Tokens")
    canvas = panel.locator(".wb-strip-view canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    canvas.hover(position={"x": box["width"] * 2.5 / 6, "y": 3})
    said = panel.locator(".wb-strip-said")
    page.wait(lambda: said.inner_text().startswith("step 3, position 0: pushed up"), "the words")
    shot(page, screenshots, "strip")
    assert_accessible(page.nb.page, "the push strip")
    canvas.click(position={"x": box["width"] * 2.5 / 6, "y": 3})
    page.wait(lambda: page.nb.kernel_eval("dashboard.selection.step") == 3, "step 3")
    page.wait(lambda: page.nb.kernel_eval("dashboard.step.value") == 3, "the slider above")
    page.nb.page.keyboard.press("ArrowRight")
    page.nb.page.keyboard.press("Enter")
    page.wait(lambda: page.nb.kernel_eval("dashboard.selection.step") == 4, "the key")
    page.tab("Groups")
    page.wait(lambda: "Step 4" in page.panel.inner_text(), "the same step in the groups")


def test_the_mass_of_a_group_is_computed_scrubbed_and_lit(
    page: DashboardPage, screenshots: Path
) -> None:
    panel = page.tab("Groups")
    page.scroll_to_top()
    page.click("Before → after")
    page.wait(lambda: "Not computed yet for step 4" in panel.inner_text(), "the offer")
    page.click("Compute")
    bars = panel.locator(".wb-mass .wb-mass-row[data-rows]")
    page.wait(bars.count, "the bars", 120)
    widths = "() => [...document.querySelectorAll('.wb-mass .wb-now')].map(e => e.style.width)"
    after = page.nb.page.evaluate(widths)
    scrub = panel.get_by_label("update of the step", exact=True)
    scrub.focus()
    for _ in range(4):
        page.nb.page.keyboard.press("ArrowLeft")
    page.wait(lambda: "before the step" in panel.locator(".wb-where").inner_text(), "the start")
    before = page.nb.page.evaluate(widths)
    assert before != after
    was = "() => [...document.querySelectorAll('.wb-mass .wb-was')].map(e => e.style.width)"
    assert before == page.nb.page.evaluate(was), "before the step a bar fills its outline"
    page.nb.page.keyboard.press("End")
    shot(page, screenshots, "mass")
    assert_accessible(page.nb.page, "the mass of a group")

    # Pointing at a bar lights the completion in the table, and its tokens.
    row = bars.first.get_attribute("data-row")
    bars.first.hover()
    lit = page.nb.page.locator(f"tr.wb-lit[data-rows~='{row}']")
    page.wait(lit.count, "the row of that bar")
    bars.first.locator("button").click()
    page.wait(lambda: page.open_tab == "Tokens", "its tokens")
    page.wait(
        lambda: (
            page.panel.locator(f".wb-pane.wb-lit[data-row='{row}']").count()
            or page.panel.locator(f".wb-pane[data-row='{row}']").count()
        ),
        "that completion",
    )
    tokens, readout = page.panel.locator(".wb-box .t"), page.panel.locator(".wb-readout")
    tokens.first.hover()
    page.wait(lambda: "likeliest then:" in readout.inner_text(), "the alternatives")
    assert " → " in readout.locator(".wb-moved").inner_text()
    assert "after the step" in readout.inner_text()
    shot(page, screenshots, "tokens-after")
    assert_accessible(page.nb.page, "tokens after a step")

    # Where motion is unwelcome: two columns with connectors.
    page.tab("Groups")
    page.nb.page.emulate_media(reduced_motion="reduce")
    page.wait(lambda: page.panel.locator(".wb-mass svg path").count() >= bars.count(), "columns")
    shot(page, screenshots, "columns")
    page.theme("dark")
    shot(page, screenshots, "columns-dark")
    assert_accessible(page.nb.page, "the mass in columns, dark")
    page.nb.page.emulate_media(reduced_motion="no-preference")
    page.wait(lambda: bars.count(), "bars again")
    shot(page, screenshots, "mass-dark")
    assert_accessible(page.nb.page, "the mass of a group, dark")
    page.tab("Tokens")
    page.wait(lambda: page.panel.locator(".wb-box .t").count(), "tokens")
    shot(page, screenshots, "tokens-dark")
    assert_accessible(page.nb.page, "tokens, dark")
    page.theme("light")
    page.healthy()
