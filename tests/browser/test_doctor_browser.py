"""The doctor's page in the browser: what its buttons say is what happens, live and of a record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_good_in_both_themes
from browser.notebook_page import DashboardPage

from workbench.runs import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CELLS = (
    """
import torch
from workbench import Dashboard, GRPOConfig, Session
from workbench.course.recorded import recorded

torch.set_num_threads(1)

def tags_reward(completions, **columns):
    return [float("<answer>" in str(c)) for c in completions]

config = GRPOConfig(prompts_per_step=4, num_generations=4, max_completion_length=12, max_steps=20, save_steps=4,
                    eval_steps=0, num_eval_problems=20, beta=0.005)
session = Session("embedded", "arithmetic", [tags_reward, "answer"], config, out="runs/doctor")
session.step(4).wait()
session.set(beta=0.2)
session.step(4).wait()
""",
    "record = Dashboard(recorded('hacked'))\nrecord.tabs.selected_index = list(record.pages).index('doctor')\nrecord",
    "dashboard = Dashboard(session)\ndashboard.tabs.selected_index = list(dashboard.pages).index('doctor')\ndashboard",
)


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    notebook = lab.server.root / "notebooks" / "doctor.ipynb"
    probe.write_notebook(notebook, [cell.strip() for cell in CELLS])
    opened = DashboardPage(lab, "notebooks/doctor.ipynb", lab.server.root / "notebooks/runs/doctor")
    opened.nb.run_all()
    yield opened
    opened.close()


def dashboards(page: DashboardPage) -> Any:
    return page.nb.page.locator(".jp-OutputArea-output .wb-scaled")


def test_a_button_branches_the_live_run(page: DashboardPage, screenshots: Path) -> None:
    page.wait(lambda: dashboards(page).count() == 2, "both dashboards", 120)
    live = dashboards(page).last
    live.evaluate("e => e.scrollIntoView({block: 'start'})")
    button = live.get_by_role("button", name="branch from 4 with beta 0.005 (as before)")
    page.wait(lambda: button.count() == 1, "the button", 60)

    # The notebook's own keys do not reach past it.
    cells = page.nb.page.locator(".jp-Cell").count()
    button.focus()
    for key in "bx00":
        page.nb.page.keyboard.press(key)
    assert page.nb.page.locator(".jp-Cell").count() == cells
    assert page.nb.page.locator(".jp-Dialog").count() == 0

    page.nb.page.keyboard.press("Enter")
    page.wait(lambda: "branch-4 is in focus now" in live.inner_text(), "the branch", 60)
    branch = page.out.with_name("branch-4")
    page.wait(lambda: Run.open(branch).last_step() == 4, "the branch is caught up", 60)
    meta = Run.open(branch).meta
    assert (meta.parent_name, meta.branch_step) == (page.run.meta.name, 4)
    assert page.nb.kernel_eval("[dashboard.session.out.name, dashboard.session.pending]") == [
        "branch-4",
        {"beta": 0.005},
    ]
    page.nb.kernel_eval("str(dashboard.session.step(1).wait())")
    assert page.run.config_at(5)["beta"] == 0.2
    assert Run.open(branch).config_at(5)["beta"] == 0.005


def test_a_record_shows_its_completions_and_says_why_it_cannot_branch(
    page: DashboardPage, screenshots: Path
) -> None:
    record = dashboards(page).first
    record.evaluate("e => e.scrollIntoView({block: 'start'})")
    page.wait(lambda: "Doctor ✖1 ▲3" in record.inner_text(), "the badge", 60)
    branch = record.get_by_role("button", name="branch from 20 with beta 0.02 (× 4)")
    assert branch.is_disabled()
    assert "Only a record: no model is loaded" in record.inner_text()
    assert_good_in_both_themes(page, "doctor", screenshots)
    whole = record.locator(".wb-severity").evaluate_all(
        "all => all.map(e => e.getClientRects().length)"
    )
    assert set(whole) == {1}, "a severity is one line"

    show = record.get_by_role("button", name="show the best-paid completions").first
    show.focus()
    page.nb.page.keyboard.press("Space")
    page.wait(lambda: record.locator(".wb-read tr").count() == 7, "six completions")
    assert show.get_attribute("aria-expanded") == "true"
    assert show.evaluate("e => e === document.activeElement"), "the focus stays"
    assert_good_in_both_themes(page, "doctor-completions", screenshots)
    first = record.locator(".wb-read button").first
    step, row = (first.get_attribute("data-act") or "").split("/")[-2:]
    first.click()
    page.wait(lambda: f"row {row}" in record.inner_text(), "its tokens")
    selected = record.get_by_role("tab", selected=True).inner_text().strip()
    assert selected == "Tokens"
    assert page.nb.kernel_eval("record.pages['tokens'].step") == int(step)
    page.healthy()
