"""What is moved by hand, in a real browser: the clip's lines of the what-if, the token whose loss is
written, the map of the forks, the labs, a sketch. By pointer and by keyboard, in both themes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_good_in_both_themes, assert_keys_stay_ours
from browser.notebook_page import DashboardPage

from workbench.runs import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CELLS = (
    """
import torch
from workbench import Dashboard, GRPOConfig, Session

torch.set_num_threads(1)
config = GRPOConfig(prompts_per_step=4, num_generations=4, max_completion_length=12, max_steps=40,
                    save_steps=4, eval_steps=4, num_eval_problems=20, updates_per_rollout=2,
                    learning_rate=3e-3)
session = Session("embedded", "arithmetic", config=config, out="runs/root")
session.step(12)
session.wait()
""",
    "dashboard = Dashboard(session)\ndashboard",
    """
from workbench.widgets import AdvantageLab, ClipLab, DrawFirst, KLLab, LengthLab
labs = {lab.__name__: lab() for lab in (KLLab, ClipLab, AdvantageLab, LengthLab)}
draw = DrawFirst("held_out", steps=12)
labs["KLLab"]
""",
    'labs["ClipLab"]',
    'labs["AdvantageLab"]',
    'labs["LengthLab"]',
    "draw",
)
LABS = 2
"""The first cell of a lab."""
HERE = ".jp-OutputArea-output"


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    probe.write_notebook(lab.server.root / "by_hand.ipynb", [cell.strip() for cell in CELLS])
    page = DashboardPage(lab, "by_hand.ipynb", lab.server.root / "runs/root")
    page.nb.page.set_viewport_size({"width": 1280, "height": 720})
    page.nb.run_all()
    yield page
    page.close()


def cell(page: DashboardPage, index: int) -> Any:
    """A cell's output, at the top of the window."""
    page.nb.select(index)
    found = page.nb.page.locator(".jp-CodeCell").nth(index)
    found.evaluate("e => e.scrollIntoView({block: 'start'})")
    output = found.locator(".jp-OutputArea-output:visible").last
    output.wait_for()
    return output


def handle(within: Any, name: str) -> Any:
    return within.get_by_role("slider", name=name, exact=True).and_(
        within.locator(".wb-hand .handle")
    )


def drag(page: DashboardPage, what: Any, dx: float, dy: float) -> None:
    """From the middle of a handle's grip, in several moves."""
    grip = what.locator("circle:not(.reach), .grip").first.bounding_box()
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    mouse = page.nb.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + dx, y + dy, steps=8)
    mouse.up()


def value_of(what: Any) -> float:
    return float(what.get_attribute("aria-valuenow"))


def test_the_clip_is_dragged_and_the_loss_of_a_token_written(
    page: DashboardPage, screenshots: Path
) -> None:
    cell(page, 1)
    panel = page.tab("What if")
    low = handle(panel, "1 − ε")
    low.wait_for()
    before = value_of(low)
    drag(page, low, 60, 10)
    page.wait(lambda: "With epsilon=" in panel.inner_text(), "the answer to a drag", 5)
    assert "epsilon_high=" not in panel.inner_text(), "the other line was not moved"
    assert value_of(low) > before
    # The answer may be to a place that the hand has left since.
    asked = "dict(dashboard.pages['what_if'].controls.changes)"
    page.wait(
        lambda: (
            page.nb.kernel_eval(asked) == {"epsilon": pytest.approx(1 - value_of(low), abs=1e-6)}
        ),
        "the last place of the hand",
    )
    low.focus()
    page.nb.page.keyboard.press("Home")
    page.nb.page.keyboard.press("ArrowRight")
    page.wait(lambda: value_of(low) < before, "the line moved by keys")
    panel.get_by_role("button", name="Reset to what happened").click()
    page.wait(lambda: value_of(low) == pytest.approx(before), "the line where it was")

    tokens = panel.locator(".wb-box .t")
    tokens.nth(1).click()
    page.wait(lambda: "The loss of token 1," in panel.inner_text(), "the loss of that token")
    page.nb.page.keyboard.press("ArrowRight")
    page.wait(lambda: "The loss of token 2," in panel.inner_text(), "the loss of the next")
    math = panel.locator(".wb-formula math").first
    assert math.evaluate("e => e.namespaceURI").endswith("MathML")
    assert panel.locator(".wb-formula .wb-decides").count() >= 1
    panel.locator(".wb-formula").first.evaluate("e => e.scrollIntoView({block: 'center'})")
    page.nb.screenshot(screenshots / "by-hand-formula.png")
    for question in ("KL β", "advantage"):
        panel.locator(".wb-what-if-question button", has_text=question).click()
        plot = panel.locator(".wb-plots .js-plotly-plot")
        page.wait(lambda plot=plot: plot.count() == 1, "the chart of the question")
        assert panel.locator(".wb-hand:visible").count() == 0
    panel.locator(".wb-what-if-question button", has_text="clip ε").click()
    page.wait(lambda: panel.locator(".wb-hand:visible").count() == 1, "the ratios again")
    page.healthy()


def test_a_node_of_the_map_branches_and_focus_leads_back(
    page: DashboardPage, screenshots: Path
) -> None:
    cell(page, 1)
    panel = page.tab("Compare")
    nodes = panel.locator(".wb-forks .node")
    page.wait(lambda: nodes.count() == 4, "the evaluations at 0, 4, 8, 12")
    nodes.first.focus()
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        page.nb.page.keyboard.press(key)
    branch = panel.get_by_role("button", name="Branch from 8")
    page.wait(lambda: branch.is_visible() and branch.is_enabled(), "what the node offers")
    branch.click()
    child = page.out.with_name("root-from-8")
    page.wait(lambda: (child / "run.sqlite").is_file(), "the branch's record", 60)
    page.wait(lambda: Run.open(child).last_step() == 8, "the branch caught up", 60)
    assert Run.open(child).meta.branch_step == 8
    focused = "dashboard.session.out.name"
    page.wait(lambda: page.nb.kernel_eval(focused) == "root-from-8", "the branch in focus")
    page.wait(lambda: nodes.count() == 4, "the tree of two")
    page.nb.kernel_eval("dashboard.session.step(4) and None")
    page.wait(lambda: Run.open(child).last_step() == 12, "steps of the branch", 60)
    page.wait(lambda: panel.locator(".wb-forks .lane").count() == 2, "two lanes")
    page.wait(lambda: panel.locator(".wb-forks .edge").count() == 1, "an edge")
    page.wait(lambda: "ended at" in panel.inner_text(), "the end of each")
    page.nb.page.wait_for_timeout(800)
    page.nb.screenshot(screenshots / "by-hand-compare.png")
    focus = panel.locator(".wb-compare-chip", has_text="root").first
    focus.get_by_role("button", name="focus", exact=True).click()
    page.wait(lambda: page.nb.kernel_eval(focused) == "root", "the parent and its controls")
    nodes.first.focus()
    page.nb.page.keyboard.press("ArrowRight")
    page.nb.page.keyboard.press("Enter")
    rewind = panel.get_by_role("button", name="Rewind to 4")
    page.wait(lambda: rewind.is_visible() and rewind.is_enabled(), "the way back")
    rewind.click()
    page.wait(lambda: page.steps == 4, "the parent rewound", 60)
    page.wait(lambda: panel.locator(".wb-forks .gone").count() == 1, "the steps that it had once")
    page.healthy()


def test_the_labs_are_moved_by_hand(page: DashboardPage, screenshots: Path) -> None:
    kl = cell(page, LABS)
    bar = handle(kl, "policy a")
    drag(page, bar, 0, 60)
    page.wait(lambda: value_of(bar) < 0.6, "the bar where it was let go")
    page.wait(lambda: f"{value_of(bar):.3f}·log(" in kl.inner_text(), "the algebra follows")

    clip = cell(page, LABS + 1)
    corner = handle(clip, "1 + ε")
    drag(page, corner, 50, 0)
    corner = clip.locator('.wb-hand [data-id="high"]')
    page.wait(lambda: value_of(corner) > 1.25, "the corner moved")
    page.wait(lambda: f"clip(1, 0.8, {value_of(corner):.3g})" in clip.inner_text(), "its algebra")

    advantage = cell(page, LABS + 2)
    dot = handle(advantage, "reward 3")
    dot.focus()
    for _ in range(5):
        page.nb.page.keyboard.press("ArrowUp")
    page.wait(lambda: "(0.500 − 0.625)" in advantage.inner_text(), "the advantages follow")
    page.nb.screenshot(screenshots / "by-hand-advantage.png")

    draw = cell(page, LABS + 4)
    svg = draw.locator(".wb-hand svg").bounding_box()
    mouse = page.nb.page.mouse
    mouse.move(svg["x"] + 60, svg["y"] + 180)
    mouse.down()
    mouse.move(svg["x"] + svg["width"] - 20, svg["y"] + 30, steps=20)
    mouse.up()
    page.wait(lambda: page.nb.kernel_eval("draw.sketch[-1][1] > 0.8"), "the sketch in the kernel")
    sketch = page.nb.kernel_eval("[y for _, y in draw.sketch]")
    assert all(a < b for a, b in pairwise(sketch)), "a rising stroke"
    page.nb.kernel_eval("draw.reveal(session) and None")
    page.wait(lambda: "Your sketch was off by" in draw.inner_text(), "the run beside the sketch")
    page.nb.screenshot(screenshots / "by-hand-sketch.png")
    page.healthy()


def test_the_labs_are_legible_accessible_and_keep_their_keys(
    page: DashboardPage, screenshots: Path
) -> None:
    # Charts out of sight keep the colours of the theme in which they were seen last.
    page.nb.page.set_viewport_size({"width": 1280, "height": 2000})
    for index in range(LABS, len(CELLS)):
        lab = cell(page, index)
        assert assert_keys_stay_ours(page, lab) > 2
        lab.evaluate("(e, index) => { e.dataset.looked = index; }", index)
        here = f"[data-looked='{index}']"
        assert_good_in_both_themes(page, f"by-hand-lab-{index}", screenshots, here)


def test_the_pages_are_legible_accessible_and_keep_their_keys(
    page: DashboardPage, screenshots: Path
) -> None:
    page.nb.page.set_viewport_size({"width": 1280, "height": 2000})
    for tab in ("What if", "Compare"):
        cell(page, 1)
        panel = page.tab(tab)
        page.nb.page.wait_for_timeout(800)
        assert assert_keys_stay_ours(page, panel) > 1
        assert_good_in_both_themes(page, f"by-hand-{tab.lower().replace(' ', '-')}", screenshots)
