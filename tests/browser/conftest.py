"""A real JupyterLab in headless Chromium for the tests of the dashboard: one server, a page per
notebook."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from browser.notebook_page import QUICK, DashboardPage

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHROMIUM = "/usr/bin/chromium"


def _cannot(why: str) -> None:
    (pytest.fail if os.environ.get("WORKBENCH_REQUIRE_ALL") else pytest.skip)(why)


@pytest.fixture(scope="session")
def probe(shared: Path) -> ModuleType:
    """The driver of the browser, which lies with the test material beside the checkout."""
    driver = shared / "tools" / "browser_probe.py"
    if not driver.is_file():
        _cannot("needs ../shared/tools/browser_probe.py, the driver of the browser")
    if not Path(os.environ.get("PROBE_CHROMIUM", CHROMIUM)).is_file():
        _cannot(f"needs Chromium at {CHROMIUM} (apt-get install chromium)")
    found = importlib.util.spec_from_file_location("browser_probe", driver)
    assert found is not None
    assert found.loader is not None
    module = sys.modules["browser_probe"] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def lab(probe: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server over a copy of the notebooks and of the pictures they show, and a browser that
    reaches nothing but that server."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "notebooks").mkdir()
    (root / "docs").mkdir()
    for notebook in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(notebook, root / "notebooks")
    for picture in (NOTEBOOKS.parent / "docs").glob("*.svg"):
        shutil.copy(picture, root / "docs")
    probe.write_notebook(root / "notebooks" / "quick.ipynb", [cell.strip() for cell in QUICK])
    env = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with probe.Lab(root, theme="light", width=1280, height=900, env=env) as lab:
        yield lab


def _page(lab: Any, notebook: str, record: str) -> Iterator[DashboardPage]:
    page = DashboardPage(lab, f"notebooks/{notebook}", lab.server.root / "notebooks" / record)
    yield page
    page.close()


@pytest.fixture(scope="module")
def start_page(lab: Any) -> Iterator[DashboardPage]:
    """00_start.ipynb, run up to the cell that makes a second session, with a dashboard of its own:
    a pause ends the waiting in the cell before."""
    for page in _page(lab, "00_start.ipynb", "runs/start"):
        cells = json.loads((NOTEBOOKS / "00_start.ipynb").read_text())["cells"]
        page.nb.select(
            next(
                i
                for i, cell in enumerate(cells)
                if cell["cell_type"] == "code" and "Dashboard(steering)" in "".join(cell["source"])
            )
        )
        page.nb._run("notebook:run-all-above", False, 0)
        yield page


@pytest.fixture(scope="module")
def quick_page(lab: Any) -> Iterator[DashboardPage]:
    """The quick notebook with its run going on."""
    for page in _page(lab, "quick.ipynb", "runs/quick"):
        page.nb.run_all(wait_idle=False)
        # Not the record that another notebook of this server may have left there.
        page.out = Path(page.nb.kernel_eval("str(session.out)", timeout=120))
        yield page


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures of each view are kept: WORKBENCH_SCREENSHOTS, or screenshots/ in the
    repository (ignored by git)."""
    folder = Path(os.environ.get("WORKBENCH_SCREENSHOTS") or NOTEBOOKS.parent / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
