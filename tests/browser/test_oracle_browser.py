"""The oracle's pages in a real browser: the tree walked by keys and dragged along its steps, the
estimator's sliders moved, all of it read in both themes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_good_in_both_themes, assert_keys_stay_ours
from browser.notebook_page import DashboardPage
from browser.test_lab_pages_browser import page_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGES = {
    "tree": "AllItCanSay(sorted(load_trees(), key=lambda tree: -len(tree.ids)))",
    "decided": "WhereDecided(load_trees())",
    "estimators": "EstimatorPage()",
    "clip": "ClipTurns()",
}
CELL = "from workbench.widgets.oracle import *\npage = {page}\npage"


def opened(lab: Any, probe: Any, name: str) -> Iterator[DashboardPage]:
    yield from page_of(lab, probe, f"oracle_{name}", CELL.format(page=PAGES[name]))


@pytest.fixture(scope="module")
def tree(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    yield from opened(lab, probe, "tree")


def test_the_tree_is_walked_by_keys_and_dragged_along_the_steps(tree: DashboardPage) -> None:
    page = tree
    board = page.dashboard
    blocks = board.locator("[role=treeitem]")
    page.wait(lambda: blocks.count() > 1, "the blocks of the tree")
    assert board.locator("[role=treeitem][tabindex='0']").count() == 1, "one tab stop"
    first = board.locator("[role=treeitem][tabindex='0']")
    first.focus()
    readout = board.locator(".wb-tree-readout")
    before = readout.inner_text()
    assert "probability" in before
    keyboard = page.nb.page.keyboard
    keyboard.press("End")
    current = board.locator("[role=treeitem][tabindex='0']")
    page.wait(lambda: ", reward" in current.get_attribute("aria-label"), "a whole completion")
    assert "probability" in current.get_attribute("aria-label")
    keyboard.press("ArrowDown")
    keyboard.press("Home")
    keyboard.press("Enter")
    page.wait(lambda: board.get_by_role("button", name="whole tree").is_enabled(), "enlarged")
    keyboard.press("Escape")
    page.wait(lambda: board.get_by_role("button", name="whole tree").is_disabled(), "whole again")

    # Tab leads out again: the tree is no trap.
    board.locator("[role=treeitem][tabindex='0']").focus()
    keyboard.press("Tab")
    inside = "e => e.contains(document.activeElement)"
    assert not board.locator("[role=tree]").evaluate(inside)

    # By the slider's own keys, and by mouse; the kernel hears of both.
    says = board.locator(".wb-tree-says")
    start = says.inner_text()
    slider = board.get_by_role("slider", name="moment")
    slider.focus()
    keyboard.press("ArrowRight")
    page.wait(lambda: says.inner_text() != start, "the next moment")
    box = slider.bounding_box()
    page.nb.page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    last = page.nb.kernel_eval("len(page.snapshots.moments) - 1")
    page.wait(lambda: page.nb.kernel_eval("page.tree.moment") == last, "the last moment")
    board.get_by_label("colour").select_option("change")
    page.wait(lambda: page.nb.kernel_eval("page.tree.colour") == "change", "another colour")
    page.healthy()


def test_where_it_was_decided(lab: Any, probe: Any, screenshots: Path) -> None:
    for page in opened(lab, probe, "decided"):
        board = page.dashboard
        page.wait(lambda page=page: page.nb.plots(), "the curve of V", 60)
        tokens = board.locator(".wb-box >> nth=0").locator(".t")
        tokens.first.focus()
        page.nb.page.keyboard.press("ArrowRight")
        page.wait(
            lambda board=board: "credit Q − V" in board.locator(".wb-readout").inner_text(),
            "the values of a token",
        )
        assert_good_in_both_themes(page, "oracle-decided", screenshots)
        assert assert_keys_stay_ours(page, page.dashboard) > 0
        page.healthy()


def test_the_estimator_page_answers_its_sliders(lab: Any, probe: Any, screenshots: Path) -> None:
    for page in opened(lab, probe, "estimators"):
        board = page.dashboard
        page.wait(lambda board=board: board.locator("svg circle").count() > 50, "the compass")
        before = board.locator("p[role=status]").inner_text()
        handle = board.get_by_role("slider", name="num_generations")
        page.wait(lambda handle=handle: handle.count(), "the slider's name")
        handle.focus()
        page.nb.page.keyboard.press("ArrowRight")
        page.wait(
            lambda board=board, before=before: (
                board.locator("p[role=status]").inner_text() != before
            ),
            "other figures",
        )
        assert page.nb.kernel_eval("page.setting.num_generations") == 16
        page.click("Compare the recipes")
        page.wait(lambda board=board: "RLOO" in board.inner_text(), "the table of recipes", 90)
        assert_good_in_both_themes(page, "oracle-estimators", screenshots)
        assert assert_keys_stay_ours(page, page.dashboard) > 0
        page.healthy()


def test_the_clip_page(lab: Any, probe: Any, screenshots: Path) -> None:
    for page in opened(lab, probe, "clip"):
        board = page.dashboard
        page.wait(lambda board=board: board.locator("svg polygon").count() > 3, "arrows")
        assert_good_in_both_themes(page, "oracle-clip", screenshots)
        assert assert_keys_stay_ours(page, page.dashboard) > 0
        page.healthy()


def test_the_tree_is_legible_in_both_themes(tree: DashboardPage, screenshots: Path) -> None:
    assert_good_in_both_themes(tree, "oracle-tree", screenshots)
    assert assert_keys_stay_ours(tree, tree.dashboard) > 0
    tree.healthy()
