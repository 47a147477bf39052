"""The reward lab and the pages of best-paid answers and evaluations in a real browser: typed into,
clicked, read in both themes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_good_in_both_themes, assert_keys_stay_ours
from browser.notebook_page import DashboardPage
from made_runs import growing_run

from workbench.evaluation.recorded import as_recorded
from workbench.runs import Answered, Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DASHBOARD = "from workbench import Dashboard\ndashboard = Dashboard('runs/lab')\ndashboard"
LAB = (
    "from workbench.widgets import RewardLab\n"
    "reward_lab = RewardLab(rewards=['format', 'answer'])\nreward_lab"
)
PAGES = {"Evaluation": "pass@2", "Best paid": "look at tokens of"}


def answers(right: int) -> list[Answered]:
    """Four problems, of which so many are always right."""
    texts = [f"<think>x</think><answer>{7 if i < right else 1}</answer>" for i in range(4)]
    return [
        Answered(i, f"Question {i}?", "7", "add", text, [text, text])
        for i, text in enumerate(texts)
    ]


def page_of(lab: Any, probe: Any, name: str, cell: str) -> Iterator[DashboardPage]:
    probe.write_notebook(lab.server.root / f"{name}.ipynb", [cell])
    page = DashboardPage(lab, f"{name}.ipynb", lab.server.root / "runs/lab")
    page.nb.run_all()
    page.scroll_to_top()
    yield page
    page.close()


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    growing = growing_run(lab.server.root / "runs/lab", steps=4, prompts=2, group=3)
    growing.writer.write_sampled_evaluation(0, as_recorded(answers(1), {}))
    growing.add(4)
    growing.writer.write_sampled_evaluation(4, as_recorded(answers(3), {}))
    growing.end()
    yield from page_of(lab, probe, "pages", DASHBOARD)


@pytest.fixture(scope="module")
def lab_page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    yield from page_of(lab, probe, "reward_lab", LAB)


def test_an_answer_is_typed_and_the_rewards_answer(
    lab_page: DashboardPage, screenshots: Path
) -> None:
    page = lab_page
    lab = page.dashboard
    assert "as it was: total 2" in lab.inner_text()
    box = lab.locator("textarea")
    box.click()
    page.nb.page.keyboard.press("End")
    page.nb.page.keyboard.type(" and more")
    page.wait(lambda: "total 2 → " in lab.inner_text(), "before → after, while typing")
    assert lab.locator(".wb-edited").count() == 1
    lab.get_by_role("button", name="As it was", exact=True).click()
    page.wait(lambda: "as it was: total 2" in lab.inner_text(), "the text of before")
    lab.get_by_label("rewards", exact=True).fill("nonsense")
    page.nb.page.keyboard.press("Enter")
    page.wait(lambda: "'nonsense' is unknown" in lab.inner_text(), "what is wrong, in words")
    lab.get_by_label("rewards", exact=True).fill("format")
    page.nb.page.keyboard.press("Enter")
    lab.get_by_role("button", name="Try attacks", exact=True).click()
    page.wait(lambda: "false positives" in lab.inner_text(), "the table of the check", 60)
    assert re.search(r"plain answers\s+\d+", lab.inner_text())
    assert_good_in_both_themes(page, "reward-lab", screenshots)
    assert assert_keys_stay_ours(page, lab) > 5
    page.healthy()


def test_an_answers_tokens_and_a_problems_completions(page: DashboardPage) -> None:
    best = page.tab("Best paid")
    page.wait(lambda: "The 10 best-paid" in page.panel.inner_text(), "the ranking")
    best.get_by_role("button", name="2", exact=True).first.click()
    page.wait(lambda: page.open_tab == "Tokens", "the tokens of the second")
    found = Run.open(page.out).best_paid().iloc[1]
    page.wait(lambda: f"row {found['row']}" in page.panel.inner_text(), "its row")
    page.tab("Evaluation")
    page.wait(lambda: "Sharpening" in page.panel.inner_text() or "pass@1" in page.text(), "words")
    page.click("Read the answers")
    page.wait(lambda: "Question 0?" in page.panel.inner_text(), "a problem's completions")
    page.click("Compare all")
    page.wait(lambda: "mean@2 has changed by" in page.panel.inner_text(), "the gain", 60)
    page.healthy()


@pytest.mark.parametrize("tab", PAGES)
def test_its_pages_are_good_in_both_themes(
    page: DashboardPage, screenshots: Path, tab: str
) -> None:
    page.tab(tab)
    page.wait(lambda: PAGES[tab] in page.panel.inner_text(), PAGES[tab])
    assert_good_in_both_themes(page, tab.lower().replace(" ", "-"), screenshots)
