"""Who taught it that, in a real browser: computed from a session, picked by pointer and keyboard,
there again after a reload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_good_in_both_themes, assert_keys_stay_ours
from browser.notebook_page import DashboardPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CELLS = [
    """
import torch
from workbench import Dashboard, GRPOConfig, Session

torch.set_num_threads(1)
config = GRPOConfig(prompts_per_step=4, num_generations=4, updates_per_rollout=2, max_steps=20,
                    max_completion_length=12, save_steps=1, eval_steps=0, num_eval_problems=4)
session = Session("embedded", "arithmetic", ["format", "answer"], config, out="runs/taught")
session.step(2).wait()
dashboard = Dashboard(session)
dashboard.tabs.selected_index = 1
dashboard
"""
]
PART = "dashboard.pages['groups'].influence"


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    probe.write_notebook(lab.server.root / "taught.ipynb", [cell.strip() for cell in CELLS])
    page = DashboardPage(lab, "taught.ipynb", lab.server.root / "runs/taught")
    page.nb.run_all()
    page.scroll_to_top()
    yield page
    page.close()


def test_the_matrix_is_computed_and_opens_both_texts(
    page: DashboardPage, screenshots: Path
) -> None:
    page.click("Who taught it that?")
    page.wait(lambda: "Not computed yet" in page.panel.inner_text(), "the offer to compute")
    page.click("Compute")
    cells = page.panel.locator(".wb-matrix .wb-cell")
    page.wait(cells.count, "the matrix", 120)
    # One tab stop, arrow keys from there, and Enter picks.
    stops = page.panel.locator(".wb-matrix .wb-cell[tabindex='0']")
    assert stops.count() == 1
    cells.first.click()
    page.wait(lambda: page.nb.kernel_eval(f"list({PART}.matrix.picked)") == [0, 0], "the click")
    page.wait(lambda: "learnt from: row" in page.panel.inner_text(), "both texts")
    page.nb.page.keyboard.press("ArrowRight")
    page.nb.page.keyboard.press("ArrowDown")
    page.nb.page.keyboard.press("Enter")
    page.wait(lambda: page.nb.kernel_eval(f"list({PART}.matrix.picked)") == [1, 1], "the key")
    assert cells.and_(page.nb.page.locator("[aria-pressed=true]")).count() == 1
    assert "really moved" in page.panel.inner_text()

    page.panel.get_by_role("button", name="which of its tokens moved?").click()
    page.wait(lambda: page.nb.kernel_eval(f"{PART}.found.of_tokens"), "the tokens", 120)
    page.wait(lambda: "token 0" in page.panel.inner_text(), "the pieces")
    assert_good_in_both_themes(page, "influence", screenshots)
    assert assert_keys_stay_ours(page, page.panel) > 10
    # The state is in the kernel: a reload shows the same.
    page.nb.save()
    page.nb.page.reload()
    page.scroll_to_top()
    page.wait(cells.count, "the matrix after a reload", 60)
    assert "token 0" in page.panel.inner_text()
    page.healthy()
