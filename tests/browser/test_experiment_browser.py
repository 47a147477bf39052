"""The page of an experiment in a real browser: live while it runs, stopped by its button, a run
opened in the dashboard, both themes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_good_in_both_themes, assert_keys_stay_ours
from browser.notebook_page import DashboardPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CELLS = (
    """
from workbench import Experiment, ExperimentView, GRPOConfig

def tags(completions, **columns):
    return [float("<think>" in str(c)) for c in completions]

config = GRPOConfig(prompts_per_step=2, num_generations=4, updates_per_rollout=2, eval_steps=2,
                    max_completion_length=12, max_steps=6, num_eval_problems=10)
experiment = Experiment({"plain": {}, "tight": {"epsilon": 0.05}}, 2, ["shuffled"], out="runs/both",
                        config=config, rewards=[tags])
""",
    "view = ExperimentView(experiment)\nview",
    "experiment.start(processes=1)",
)


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    name = "experiment"
    probe.write_notebook(lab.server.root / f"{name}.ipynb", [cell.strip() for cell in CELLS])
    page = DashboardPage(lab, f"{name}.ipynb", lab.server.root / "runs/both/plain-seed0")
    page.nb.run_all()
    page.scroll_to_top()
    yield page
    page.close()


def test_it_is_live_stops_goes_on_and_is_read_in_both_themes(
    page: DashboardPage, screenshots: Path
) -> None:
    page.wait(lambda: "one run at a time" in page.text(), "how many at once", 60)
    page.wait(lambda: "1 of 6 runs" in page.text(), "the first run's end", 240)
    page.click("Stop")
    page.wait(lambda: "stopped" in page.text(), "the stop", 120)
    page.click("Go on")
    page.wait(lambda: "6 of 6 runs, 100% of the steps" in page.text(), "the end", 400)
    page.wait(lambda: "2 seeds" in page.text(), "the answer")
    assert page.dashboard.get_by_role("progressbar").get_attribute("aria-valuenow") == "100"
    # The last steps are drawn before the experiment has ended; its end is drawn after.
    go_on = page.dashboard.get_by_role("button", name="Go on", exact=True)
    stop = page.dashboard.get_by_role("button", name="Stop", exact=True)
    page.wait(lambda: go_on.count() + stop.count() == 0, "nothing left to go on with", 30)
    page.wait(lambda: len(page.nb.plots()) >= 2, "both plots", 60)
    page.scroll_to_top()
    assert_good_in_both_themes(page, "experiment", screenshots)
    assert assert_keys_stay_ours(page, page.dashboard) > 2
    # The menu is reached by its name; what it opens is the run's own dashboard.
    page.dashboard.get_by_label("run", exact=True).select_option(label="tight-seed1")
    page.wait(lambda: page.nb.page.get_by_role("tab", name="Groups").count() > 0, "the dashboard")
    page.healthy()
