"""A saved notebook opened where no kernel runs: what VS Code and nbconvert (nbviewer, GitHub)
choose of our outputs says the words and shows the picture."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import IPython.display
import pytest
from made_runs import make_run
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

from workbench import Dashboard
from workbench.widgets import AdvantageLab, ClipLab, DrawFirst, KLLab, LengthLab, RewardLab
from workbench.widgets.controls.plan_view import PlanView
from workbench.widgets.oracle import AllItCanSay, ClipTurns, EstimatorPage, WhereDecided, load_trees
from workbench.widgets.plots.liveplot import LivePlot

VIEW = "application/vnd.jupyter.widget-view+json"
VS_CODE = (VIEW, "text/html", "image/svg+xml", "text/plain")
"""The order in which its notebooks try what an output holds (orderOfMimeTypes of vscode-jupyter's
kernels/execution/helpers.ts); where the kernel does not know a widget, the next one is tried."""
PICTURE = re.compile(r'<img [^>]*src="data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)"')


def plots(folder: Path) -> LivePlot:
    return Dashboard(make_run(folder / "run", steps=3)).view.plots


SHOWN: dict[str, tuple[Callable[[Path], Any], bool]] = {
    "dashboard": (lambda folder: Dashboard(make_run(folder / "run", steps=3)), True),
    "dashboard before a step": (lambda folder: Dashboard(make_run(folder / "r", steps=0)), False),
    "kl": (lambda _: KLLab(), False),
    "clip": (lambda _: ClipLab(), True),
    "advantage": (lambda _: AdvantageLab(), False),
    "length": (lambda _: LengthLab(), False),
    "draw": (lambda _: DrawFirst("held_out", steps=12), False),
    "reward": (lambda _: RewardLab(), False),
    "plan": (lambda _: PlanView("embedded"), False),
    "tree": (lambda _: AllItCanSay(load_trees()), True),
    "decided": (lambda _: WhereDecided(load_trees()), True),
    "estimators": (lambda _: EstimatorPage(), True),
    "clip turns": (lambda _: ClipTurns(), True),
    "plot": (plots, True),
}
"""What makes it, and whether it has a picture."""


def outputs_of(shown: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What a cell keeps of it."""
    if getattr(shown, "_ipython_display_", None) is None:
        return [shown._repr_mimebundle_()[0]]
    kept: list[dict[str, str]] = []
    with monkeypatch.context() as patched:
        patched.setattr(IPython.display, "display", lambda data, **_: kept.append(data))
        shown._ipython_display_()
    return kept


def seen_in_vs_code(outputs: list[dict[str, str]]) -> str:
    """Without the widget, which is not known there; HTML or plain words, as they are."""
    return "".join(next(data[kind] for kind in VS_CODE[1:] if kind in data) for data in outputs)


def seen_by_nbconvert(outputs: list[dict[str, str]]) -> str:
    cell = new_code_cell("shown", outputs=[new_output("display_data", data) for data in outputs])
    page, _ = HTMLExporter(template_name="basic").from_notebook_node(new_notebook(cells=[cell]))
    return page


@pytest.mark.parametrize("name", SHOWN)
def test_words_and_picture_show_where_no_widget_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, has_picture = SHOWN[name]
    outputs = outputs_of(make(tmp_path), monkeypatch)
    assert VIEW in outputs[0]
    words = outputs[0]["text/plain"]
    assert 10 < max(map(len, words.splitlines())) < 500, "a line or two for each chart"
    assert not re.search(r"\w+\(\w+=|object at 0x|children=", words), "a repr"
    for page in (seen_in_vs_code(outputs), seen_by_nbconvert(outputs)):
        plain = " ".join(unescape(re.sub("<[^>]*>", " ", page)).split())
        # The longest word of each sentence, whatever stands between.
        assert set(re.findall(r"\w{6,}", words)) <= set(re.findall(r"\w{6,}", plain)), plain
        assert bool(PICTURE.search(page)) == has_picture
        for source in PICTURE.findall(page):
            assert base64.b64decode(source).decode().lstrip().startswith("<svg")
    for data in outputs:
        assert not re.search(r"<script|\son\w+=|javascript:", data.get("text/html", ""))
