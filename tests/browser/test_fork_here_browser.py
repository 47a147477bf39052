"""Fork here and a stretch of steps in a real browser: by keys, after a reload, in both themes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_accessible
from browser.notebook_page import DashboardPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CELLS = [
    """
import torch
from workbench import Dashboard, GRPOConfig, Session

torch.set_num_threads(1)
config = GRPOConfig(prompts_per_step=4, num_generations=8, updates_per_rollout=2, max_steps=40,
                    max_completion_length=48, save_steps=4, eval_steps=4, num_eval_problems=16)
session = Session("embedded", "arithmetic", ["format", "answer"], config, out="runs/forked")
session.step(8).wait()
dashboard = Dashboard(session)
dashboard.tabs.selected_index = 2
dashboard
"""
]
PART = "dashboard.pages['tokens'].fork"


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    probe.write_notebook(lab.server.root / "forked.ipynb", [cell.strip() for cell in CELLS])
    page = DashboardPage(lab, "forked.ipynb", lab.server.root / "runs/forked")
    page.nb.page.set_viewport_size({"width": 1280, "height": 720})
    page.nb.run_all()
    page.scroll_to_top()
    yield page
    page.close()


def shot(page: DashboardPage, place: Any, path: Path) -> None:
    place.evaluate("e => e.scrollIntoView({block: 'end'})")
    page.nb.page.wait_for_timeout(400)
    page.nb.screenshot(path)


def test_a_locked_token_is_forked_by_keys(page: DashboardPage, screenshots: Path) -> None:
    button = page.panel.get_by_role("button", name="Fork here")
    tokens = page.panel.locator(".wb-box .t")
    page.wait(lambda: tokens.count() > 4, "the tokens", 60)
    assert button.is_disabled(), "no token is locked"
    tokens.first.click()
    page.wait(button.is_enabled, "a token to fork at")
    row = page.nb.kernel_eval("dashboard.pages['tokens'].row")
    assert f"in place of token 0 of row {row}" in page.panel.inner_text()
    button.focus()
    page.nb.page.keyboard.press("Enter")
    leaves = page.panel.locator(".wb-fork .wb-fork-reward")
    page.wait(leaves.count, "the tree", 120)
    recorded = page.panel.locator(".wb-fork-mark", has_text="recorded")
    assert recorded.count() == 1
    assert leaves.count() == page.nb.kernel_eval(
        f"len({{b.ids for b in {PART}.found.sampled}} | {{{PART}.found.recorded.ids}})"
    )
    assert "8 continuations by the policy after step 8" in page.panel.inner_text()
    # The figures stand in columns, whatever the depth of the tree, and nothing is cut off.
    edges = leaves.evaluate_all("all => all.map(e => Math.round(e.getBoundingClientRect().right))")
    assert max(edges) - min(edges) <= 1
    tree = page.panel.locator(".wb-fork")
    assert tree.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    shot(page, tree, screenshots / "fork-here.png")
    assert_accessible(page.nb.page, "the tree")
    page.theme("dark")
    shot(page, tree, screenshots / "fork-here-dark.png")
    assert page.nb.low_contrast() == []
    assert_accessible(page.nb.page, "the tree, dark")
    page.theme("light")
    # The state is in the kernel: a reload shows the same.
    page.nb.save()
    page.nb.page.reload()
    page.scroll_to_top()
    page.wait(leaves.count, "the tree after a reload", 60)
    page.healthy()


def test_a_stretch_is_dragged_and_let_go_of_on_each_page(
    page: DashboardPage, screenshots: Path
) -> None:
    track = page.dashboard.locator(".wb-tl-track")
    for name in ("Groups", "Doctor"):
        panel = page.tab(name)
        box = track.bounding_box()
        y = box["y"] + box["height"] - 4
        mouse = page.nb.page.mouse
        mouse.move(box["x"] + 0.3 * box["width"], y)
        mouse.down()
        mouse.move(box["x"] + 0.6 * box["width"], y, steps=8)
        mouse.up()
        chosen = page.wait(
            lambda: page.nb.kernel_eval("list(dashboard.timeline.interval or ())"), "the stretch"
        )
        first, last = chosen
        assert 1 < first < last < 8
        chip = panel.get_by_role("button", name=f"only steps {first} to {last} ✕")
        page.wait(lambda chip=chip: chip.is_visible(), "the chip")
        words = f"Steps {first} to {last}" if name == "Groups" else f"steps {first} to {last} alone"
        page.wait(lambda panel=panel, words=words: words in panel.inner_text(), "what it is of")
        page.nb.page.wait_for_timeout(400)
        page.nb.screenshot(screenshots / f"stretch-{name.lower()}.png")
        chip.focus()
        page.nb.page.keyboard.press("Enter")
        page.wait(lambda chip=chip: not chip.is_visible(), "all steps again")
        assert page.nb.kernel_eval("dashboard.timeline.interval is None")
    page.healthy()


def test_a_node_of_the_map_says_what_its_buttons_do(page: DashboardPage, screenshots: Path) -> None:
    panel = page.tab("Compare")
    node = panel.locator(".wb-forks .node").nth(1)
    page.wait(node.count, "the map")
    node.click()
    page.wait(lambda: "steps 5 to 8 of this run leave the record" in panel.inner_text(), "rewind")
    assert "Branch makes the run forked-from-4 from this state" in panel.inner_text()
    page.nb.page.wait_for_timeout(400)
    page.nb.screenshot(screenshots / "fork-map-node.png")
    page.healthy()
