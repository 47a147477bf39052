"""A TRL run in a real browser: curves grow while its own train() blocks the cell, a slider reaches
its loss, the pages speak afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.notebook_page import DashboardPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CELLS = [
    """
import re
import warnings
from pathlib import Path
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer
import workbench
from workbench import load_task, watch

warnings.simplefilter("ignore")
torch.set_num_threads(1)
task = load_task("arithmetic")
rows = [{"prompt": task.messages(p), "answer": p.answer} for p in task.train[:400]]

def right(completions, answer, **columns):
    texts = [c[0]["content"] for c in completions]
    return [float(gold in re.findall(r"-?[0-9]+", text)[-1:]) for text, gold in zip(texts, answer)]

def short(completions, **columns):
    return [-0.01 * len(c[0]["content"]) for c in completions]

trainer = GRPOTrainer(
    model=str(Path(workbench.__file__).parent / "assets" / "embedded"),
    reward_funcs=[right, short],
    args=GRPOConfig(output_dir="trl", use_cpu=True, bf16=False, report_to=[], save_strategy="no",
                    per_device_train_batch_size=16, gradient_accumulation_steps=1,
                    num_iterations=2, num_generations=8, max_completion_length=12,
                    max_steps=600, learning_rate=3e-5, beta=0.01, disable_tqdm=True,
                    gradient_checkpointing=False, logging_steps=1),
    train_dataset=Dataset.from_list(rows),
)
dashboard = watch(trainer, "runs/trl")
dashboard
""",
    "trainer.train();",
]


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    probe.write_notebook(lab.server.root / "watched.ipynb", [cell.strip() for cell in CELLS])
    page = DashboardPage(lab, "watched.ipynb", lab.server.root / "runs/trl")
    page.nb.page.set_viewport_size({"width": 1280, "height": 720})
    page.nb.run_cell(0)
    page.scroll_to_top()
    yield page
    page.close()


def test_a_trl_run_is_seen_steered_and_read(page: DashboardPage, screenshots: Path) -> None:
    assert page.knob("beta").is_enabled()
    assert page.dashboard.get_by_role("button", name="Pause", exact=True).is_disabled()
    page.nb.run_cell(1, wait_idle=False)
    page.scroll_to_top()
    page.wait_steps(3, 200)
    # Not the recorded run that stands there before the first step: its curve has 401 points. A step
    # gives the reward's curve one point and its band two.
    first = page.wait(lambda: page.points() <= 2 * page.steps + 1 and page.points(), "a curve")
    # The cell is blocked by TRL: the box is answered all the same.
    page.box("beta").fill("0.9")
    page.box("beta").press("Enter")
    page.wait(lambda: page.points() > first, "a curve that grows", 60)
    assert page.steps < 300, "the picture was drawn while it trained"
    page.nb.screenshot(screenshots / "watch-live.png")
    page.wait_steps(30, 200)
    page.click("Stop")
    page.nb.wait_idle(300)
    [change] = [row for row in page.run.knobs().itertuples() if row.name == "beta"]
    assert (change.old, change.new) == (0.01, 0.9)
    assert page.nb.kernel_eval("trainer.beta") == 0.9
    page.wait(lambda: "stopped" in page.text(), "the end")
    for name in ("Groups", "Tokens", "What if", "Doctor"):
        page.tab(name)
        page.nb.page.wait_for_timeout(1500)
        page.nb.screenshot(screenshots / f"watch-{name.replace(' ', '-').lower()}.png")
    assert len(page.panel.inner_text()) > 100
    # TRL and transformers write warnings to the cell, so it is not asked to be silent.
    assert [text for text in page.nb.cell_errors() if "Traceback" in text] == []
    assert page.nb.broken_widgets() == []
    assert page.nb.errors() == []
    assert "could not be drawn" not in page.text()
    page.theme("dark")
    page.tab("Overview")
    page.nb.page.wait_for_timeout(1000)
    page.nb.screenshot(screenshots / "watch-dark.png")
    page.theme("light")
