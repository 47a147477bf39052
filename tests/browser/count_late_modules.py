"""How often a widget's module comes too late on a slow machine, and whether its widget lives then;
and how often a page that is loaded anew while a run goes on shows all its widgets.

    python tests/browser/count_late_modules.py --starts 10 --reloads 10 --slower 6

Opens 00_start.ipynb so many times in a page whose processor is slowed by that factor, runs all of
it, and counts in each start: models of which anywidget gave up ("Failed to initialize model"),
modules that came late and hear the kernel again, widgets that could not be shown, and whether the
dashboard still follows the run. Then it loads a page with a quick run anew, again and again. Its
exit status is 1 where a dashboard is dead or broken.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT))
GAVE_UP, CAME = "Failed to initialize model", "module came late"
NOT_FOUND = "model not found"
NOTEBOOK, QUICK_NOTEBOOK = "notebooks/00_start.ipynb", "notebooks/quick.ipynb"


def driver() -> Any:
    """The browser's driver, which lies beside the checkout with the test material."""
    from conftest import SHARED

    found = importlib.util.spec_from_file_location(
        "browser_probe", SHARED / "tools" / "browser_probe.py"
    )
    assert found is not None
    assert found.loader is not None
    module = sys.modules["browser_probe"] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def one_start(lab: Any, slower: float) -> dict[str, Any]:
    """A page opened, slowed, run and watched until its dashboard shows steps, or two minutes."""
    from browser.notebook_page import DashboardPage

    page = DashboardPage(lab, NOTEBOOK, lab.server.root / "notebooks/runs/start", single=False)
    said = what_it_says(page, slower)
    page.nb.run_all(wait_idle=False)
    found = state_of(page, said)
    page.close()
    return found


def reloads(lab: Any, count: int, slower: float) -> Iterator[dict[str, Any]]:
    """A page whose quick run goes on, loaded anew so many times, and how it was after each."""
    from browser.notebook_page import DashboardPage

    page = DashboardPage(lab, QUICK_NOTEBOOK, lab.server.root / "notebooks/runs/quick", False)
    said = what_it_says(page, slower)
    page.nb.run_all(wait_idle=False)
    page.wait(lambda: page.points() > 1, "points in the first plot", 150)
    page.nb.save()
    for _ in range(count):
        said.clear()
        page.nb.page.reload()
        yield state_of(page, said)
    page.close()


def what_it_says(page: Any, slower: float) -> Counter[str]:
    """The page, slowed; returns the count of what its console says, which grows."""
    said: Counter[str] = Counter()
    page.nb.page.on("console", lambda message: said.update(kinds_of(message.text)))
    page.nb.page.on("pageerror", lambda error: said.update(kinds_of(str(error))))
    devtools = page.nb.page.context.new_cdp_session(page.nb.page)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    page.nb.page.set_viewport_size({"width": 1280, "height": 720})
    return said


def state_of(page: Any, said: Counter[str]) -> dict[str, Any]:
    """Whether the dashboard shows steps and goes on, and what failed on the way."""
    begun = time.monotonic()
    try:
        # JupyterLab draws no cell that is out of sight, and a page begins at its top.
        page.scroll_to_top()
        before = page.wait(lambda: page.points() > 1 and shown_step(page), "a step, and plots", 150)
        page.wait(lambda: shown_step(page) > before or "finished" in page.text(), "later steps", 90)
        follows = True
    except AssertionError:
        follows = False
    return {
        "gave up": said[GAVE_UP],
        "heard again": said[CAME],
        "not found": said[NOT_FOUND],
        "broken": len(page.nb.broken_widgets()),
        "follows": follows,
        "seconds": round(time.monotonic() - begun),
    }


def shown_step(page: Any) -> int:
    """The step that the dashboard says it is at. (The plots hold a recorded run before the first
    one, and the means of several steps after many.)"""
    found = re.search(r"step ([\d,]+)", page.text())
    return int(found[1].replace(",", "")) if found else 0


def kinds_of(text: str) -> list[str]:
    return [kind for kind in (GAVE_UP, CAME, NOT_FOUND) if kind in text]


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--starts", type=int, default=10)
    asked.add_argument("--reloads", type=int, default=10)
    asked.add_argument("--slower", type=float, default=6.0, help="the processor, by this factor")
    args = asked.parse_args()
    root = Path(tempfile.mkdtemp(prefix="late-"))
    shutil.copytree(ROOT / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns("runs"))
    shutil.copytree(ROOT / "docs", root / "docs")
    env = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    starts, again = [], []
    probe = driver()
    from browser.notebook_page import QUICK

    probe.write_notebook(root / QUICK_NOTEBOOK, [cell.strip() for cell in QUICK])
    with probe.Lab(root, theme="light", width=1280, height=720, env=env) as lab:
        for place in range(args.starts):
            starts.append(one_start(lab, args.slower))
            print(f"start {place + 1}: {starts[-1]}", flush=True)
        for found in reloads(lab, args.reloads, args.slower) if args.reloads else ():
            again.append(found)
            print(f"reload {len(again)}: {found}", flush=True)
    shutil.rmtree(root, ignore_errors=True)
    late = sum(start["gave up"] > 0 for start in starts)
    dead, lost = map(count_dead, (starts, again))
    print(f"{args.starts} starts: a module came late in {late}, a dashboard was dead in {dead}")
    print(f"{args.reloads} reloads: a dashboard was dead in {lost}")
    return int(dead + lost > 0)


def count_dead(pages: list[dict[str, Any]]) -> int:
    return sum(page["broken"] > 0 or not page["follows"] for page in pages)


if __name__ == "__main__":
    sys.exit(main())
