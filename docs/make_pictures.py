"""The pictures of the README, from a real run in a real JupyterLab.

    python docs/make_pictures.py [--only dashboard tokens groups compare doctor animation]

Needs Chromium and what the browser tests need (`pip install -e ".[test]"`, the driver beside the
checkout), and Pillow for the animation alone. Takes about two minutes.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
TESTS = DOCS.parent / "tests"
DRIVER = DOCS.parent.parent / "shared" / "tools"
WIDTH, HEIGHT = 1280, 720
CELLS = (
    """
import torch
from workbench import Dashboard, GRPOConfig, Session

torch.set_num_threads(1)
config = GRPOConfig.preset("steering", max_steps=40, eval_steps=5, num_eval_problems=200)
session = Session("embedded", "arithmetic", config=config, out="runs/picture")
""",
    "dashboard = Dashboard(session)\ndashboard",
    "session.start()",
)
FRAMES = 40
"""At most, of the animation."""


@contextmanager
def notebook(theme: str = "light") -> Iterator[Any]:
    """A page with the dashboard, nothing trained yet."""
    sys.path[:0] = [str(TESTS), str(DRIVER)]
    import browser_probe
    from browser.notebook_page import DashboardPage

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        browser_probe.write_notebook(root / "run.ipynb", [cell.strip() for cell in CELLS])
        env = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        with browser_probe.Lab(root, theme=theme, width=WIDTH, height=HEIGHT, env=env) as lab:
            page = DashboardPage(lab, "run.ipynb", root / "runs/picture")
            yield page
            page.close()


def shot(page: Any) -> bytes:
    """What the window shows."""
    picture: bytes = page.nb.page.screenshot()
    return picture


def whole_run(page: Any, keep: list[bytes]) -> None:
    """Train to the end with a hand on epsilon half-way, keeping a picture a second or so."""
    page.nb.run_all(wait_idle=False)
    page.wait(lambda: page.dashboard.count(), "the dashboard", 90)
    moved = False
    while page.steps < 40:
        page.scroll_to_top()
        keep.append(shot(page))
        if not moved and page.steps >= 16:
            drag_epsilon(page, keep)
            moved = True
        time.sleep(0.6)
    page.nb.page.wait_for_timeout(3000)
    page.scroll_to_top()
    keep.append(shot(page))


def drag_epsilon(page: Any, keep: list[bytes]) -> None:
    """Drag the handle slowly; the live sentence shows in the pictures."""
    handle = page.dashboard.locator(".wb-knob", has_text="ε").locator("input[type=range]").first
    box = handle.bounding_box()
    mouse = page.nb.page.mouse
    middle = box["y"] + box["height"] / 2
    at = handle.evaluate("e => (e.value - e.min) / (e.max - e.min)")
    mouse.move(box["x"] + at * box["width"], middle)
    mouse.down()
    for part in range(1, 5):
        mouse.move(box["x"] + box["width"] * at * (1 - 0.16 * part), middle, steps=4)
        page.nb.page.wait_for_timeout(400)
        keep.append(shot(page))
    mouse.up()


def animation(frames: list[bytes], out: Path) -> None:
    """The pictures one after another, small enough for a README."""
    from PIL import Image

    step = max(1, len(frames) // FRAMES)
    pictures = [Image.open(io.BytesIO(one)).convert("RGB") for one in frames[::step]]
    small = [one.resize((960, 540), Image.Resampling.LANCZOS) for one in pictures]
    durations = [500] * (len(small) - 1) + [3000]
    small[0].save(
        out, save_all=True, append_images=small[1:], duration=durations, loop=0, quality=55
    )
    print(f"{out.name}: {len(small)} frames, {out.stat().st_size / 1e6:.2f} MB")


def tab(name: str) -> Callable[[Any], None]:
    """Open a page of the dashboard."""

    def act(page: Any) -> None:
        page.tab(name)
        page.nb.page.wait_for_timeout(2500)
        page.scroll_to_top()

    return act


STILLS: dict[str, Callable[[Any], None]] = {
    "dashboard": tab("Overview"),
    "groups": tab("Groups"),
    "tokens": tab("Tokens"),
    "what-if": tab("What if"),
    "compare": tab("Compare"),
    "doctor": tab("Doctor"),
}


def main() -> None:
    """Train once for each theme, and take the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=[*STILLS, "animation"])
    parser.add_argument("--themes", nargs="*", default=["light", "dark"])
    parser.add_argument("--out", type=Path, default=DOCS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for theme in args.themes:
        with notebook(theme) as page:
            frames: list[bytes] = []
            whole_run(page, frames)
            if theme == "light" and "animation" in args.only:
                animation(frames, args.out / "training.webp")
            for name, act in STILLS.items():
                if name in args.only:
                    act(page)
                    (args.out / f"{name}-{theme}.png").write_bytes(shot(page))


if __name__ == "__main__":
    main()
