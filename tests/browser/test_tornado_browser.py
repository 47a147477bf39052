"""The tornado's page in a real browser: asked for while a session rests, drawn when it is done, in
both themes, and there again after a reload of the record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_good_in_both_themes
from browser.notebook_page import DashboardPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CELL = """
import torch
from workbench import Dashboard, GRPOConfig, Session
torch.set_num_threads(1)
config = GRPOConfig(prompts_per_step=2, num_generations=4, updates_per_rollout=2,
                    num_eval_problems=8, eval_steps=0, max_steps=12)
session = Session(config=config, out="runs/tornado").step(1).wait()
dashboard = Dashboard(session)
dashboard
"""


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    probe.write_notebook(lab.server.root / "tornado.ipynb", [CELL.strip()])
    page = DashboardPage(lab, "tornado.ipynb", lab.server.root / "runs/tornado")
    page.nb.run_all()
    page.scroll_to_top()
    yield page
    page.close()


def test_a_tornado_is_made_and_drawn(page: DashboardPage, screenshots: Path) -> None:
    page.tab("Tornado")
    page.wait(lambda: "No tornado yet" in page.panel.inner_text(), "the page")
    page.click("Try every knob")
    page.wait(lambda: "branches" in page.panel.inner_text(), "the progress", 120)
    picture = page.panel.locator("svg[role=img]")
    page.wait(lambda: picture.count() == 1, "the bars", 600)
    assert "Effect of each knob after 4 steps from step 1" in picture.get_attribute("aria-label")
    assert "cannot be told from chance" in picture.text_content()
    assert picture.locator("[data-verdict]").count() > 10
    page.wait(lambda: "finished." in page.panel.inner_text(), "the end")
    assert page.steps == 1, "nothing was recorded"
    assert page.nb.kernel_eval("session.status") == "paused"
    page.panel.get_by_text("all figures").click()
    assert page.panel.locator("table th[scope=row]").count() > 10
    assert_good_in_both_themes(page, "tornado", screenshots)
    page.healthy()
