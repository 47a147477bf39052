"""The gallery's pictures: each exhibit of `website/gallery.py`, shown by its own code in a real
JupyterLab.

    python docs/make_gallery.py [--only ClipLab doctor]

Needs what `docs/make_pictures.py` needs. Takes about ten minutes. Exhibits that name another
picture are left to that script.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from make_pictures import DRIVER, TESTS

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT = 1200, 1000
TALLEST = 700
"""Pixels of a picture: what is below is left out."""
IMPORTS = """
from workbench import *
from workbench.widgets import *
from workbench.course import recorded
"""
SESSION = """
import torch
torch.set_num_threads(1)
config = GRPOConfig(max_steps=24, eval_steps=4, save_steps=4, num_eval_problems=100)
session = Session("embedded", "arithmetic", config=config, out="runs/gallery")
session.start(8)
session.wait()
"""
EXPERIMENT = """
config = GRPOConfig(max_steps=8, prompts_per_step=4, eval_steps=4, num_eval_problems=100)
experiment = Experiment({"plain": {}, "tight": {"epsilon": 0.05}}, 2, ["shuffled"],
                        out="runs/both", config=config)
result = experiment.run(processes=1)
"""
PRESSED = {"RunOracle": ("Enumerate 4 problems", "[role=treeitem]")}
"""Exhibit -> the button without which there is little to see, and what appears then."""


def cells_of(code: str) -> list[str]:
    """The notebook that shows an exhibit."""
    cells = [IMPORTS]
    cells += [SESSION] if "session" in code and "Session(" not in code else []
    cells += [EXPERIMENT] if "experiment" in code else []
    return [cell.strip() for cell in [*cells, code]]


def take(lab: Any, probe: Any, name: str, code: str, out: Path) -> None:
    """Run the notebook and keep what its last cell shows."""
    probe.write_notebook(lab.server.root / f"{name}.ipynb", cells_of(code))
    nb = lab.open(f"{name}.ipynb")
    nb.run_all(timeout=600)
    if wrong := nb.cell_errors():
        raise SystemExit(f"{name}: {wrong}")
    shown = nb.page.locator(".jp-OutputArea-output:visible").last
    if name in PRESSED:
        button, outcome = PRESSED[name]
        shown.get_by_role("button", name=button).click()
        shown.locator(outcome).first.wait_for(timeout=300_000)
    nb.page.wait_for_timeout(5000)
    shown.evaluate("e => e.scrollIntoView({block: 'start'})")
    nb.page.wait_for_timeout(1000)
    box = shown.bounding_box()
    high = min(box["height"], TALLEST, HEIGHT - box["y"])
    clip = {"x": box["x"], "y": box["y"], "width": box["width"], "height": high}
    out.write_bytes(nb.page.screenshot(clip=clip))
    print(
        f"{out.name}: {clip['width']:.0f} x {high:.0f}, {out.stat().st_size / 1e3:.0f} kB",
        flush=True,
    )
    kernel = nb.kernel_id()
    nb.close()
    lab.server.api(f"/api/kernels/{kernel}", "DELETE")


def main() -> None:
    """One picture after another."""
    sys.path[:0] = [str(ROOT), str(TESTS), str(DRIVER)]
    import browser_probe

    from website.gallery import exhibits, picture_of

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    env = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with (
        tempfile.TemporaryDirectory() as folder,
        browser_probe.Lab(folder, theme="light", width=WIDTH, height=HEIGHT, env=env) as lab,
    ):
        for name, exhibit in exhibits().items():
            if exhibit.picture or (args.only and name not in args.only):
                continue
            out = ROOT / picture_of(name)
            out.parent.mkdir(exist_ok=True)
            take(lab, browser_probe, name, exhibit.code, out)


if __name__ == "__main__":
    main()
