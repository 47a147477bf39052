"""Colab, VS Code and ipywidgets 7: what each needs is done by itself, and what it cannot do is
said."""

from __future__ import annotations

import ast
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import IPython
import ipywidgets as w
import pytest
from made_runs import make_run

import workbench
from workbench.runs import Run
from workbench.training.session import pump
from workbench.widgets.base import hosts
from workbench.widgets.dashboard import Dashboard
from workbench.widgets.teach import ClipLab

VIEW = "application/vnd.jupyter.widget-view+json"
MANAGER = "https://colab.example/manager.js"

DESCRIBED = "layout style description description_tooltip"
NUMBER = DESCRIBED + " value min max step disabled"
IPYWIDGETS_7 = {
    "Accordion": "layout children box_style selected_index",
    "Tab": "layout children box_style selected_index",
    "Box": "layout children box_style",
    "GridBox": "layout children box_style",
    "HBox": "layout children box_style",
    "VBox": "layout children box_style",
    "BoundedIntText": NUMBER + " continuous_update",
    "IntSlider": NUMBER + " continuous_update orientation readout readout_format",
    "FloatSlider": NUMBER + " continuous_update orientation readout readout_format",
    "FloatLogSlider": NUMBER + " base continuous_update orientation readout readout_format",
    "FloatText": DESCRIBED + " value step disabled continuous_update",
    "IntProgress": DESCRIBED + " value min max bar_style orientation",
    "Button": "layout style description tooltip icon button_style disabled",
    "ToggleButton": DESCRIBED + " value tooltip icon button_style disabled",
    "ToggleButtons": DESCRIBED + " options value index label tooltips icons button_style disabled",
    "Checkbox": DESCRIBED + " value indent disabled",
    "Dropdown": DESCRIBED + " options value index label disabled",
    "SelectionSlider": DESCRIBED + " options value index label disabled orientation readout "
    "continuous_update",
    "HTML": DESCRIBED + " value placeholder",
    "Text": DESCRIBED + " value placeholder continuous_update disabled",
    "Textarea": DESCRIBED + " value placeholder rows continuous_update disabled",
    "Layout": "align_content align_items align_self border bottom display flex flex_flow "
    "grid_area grid_auto_columns "
    "grid_auto_flow"
    " grid_auto_rows grid_column grid_gap grid_row grid_template_areas grid_template_columns "
    "grid_template_rows height"
    " justify_content justify_items left margin max_height max_width min_height min_width "
    "object_fit object_position order"
    " overflow overflow_x overflow_y padding right top visibility width",
}
"""What ipywidgets 7.7.1 (Colab's) takes when a widget is made. Anything else is dropped there, and
newer traitlets refuse it."""


@pytest.fixture
def colab(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A `google.colab` that keeps what is asked of it."""
    asked: list[str] = []
    output, widgets = ModuleType("google.colab.output"), SimpleNamespace(_installed_url=None)

    def enable() -> None:
        asked.append("manager")
        widgets._installed_url = MANAGER

    output.enable_custom_widget_manager, output._widgets = enable, widgets  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    return asked


class SessionLike(SimpleNamespace):
    """As much of a session as a resting dashboard reads."""

    actions = workbench.Session.actions
    movable = workbench.Session.movable

    __hash__ = object.__hash__


def session_like(run: Run) -> SessionLike:
    return SessionLike(
        run=run,
        subscribe=lambda listener: lambda: None,
        watch=lambda listener: lambda: None,
        config=workbench.GRPOConfig(),
        status="paused",
        step_number=run.last_step(),
        pending={},
        activity="",
        in_hand=None,
        error=None,
        trainer=None,
        out=run.path,
    )


def written(dashboard: Dashboard) -> str:
    return " ".join(child.value for child in dashboard.children if isinstance(child, w.HTML))


def test_colab_gets_its_manager_and_the_cell_says_which(colab: list[str], tmp_path: Path) -> None:
    dashboard = Dashboard(session_like(make_run(tmp_path / "run", steps=3)))
    for shown in (dashboard, ClipLab()):
        data, metadata = shown._repr_mimebundle_()
        assert metadata == {VIEW: {"colab": {"custom_widget_manager": {"url": MANAGER}}}}
        assert data[VIEW]["model_id"]
        assert "image/svg+xml" in data
    assert colab
    assert "session.wait()" in written(dashboard)
    dashboard.close()


def test_in_colab_a_stored_run_needs_no_waiting(colab: list[str], tmp_path: Path) -> None:
    assert "session.wait()" not in written(Dashboard(make_run(tmp_path / "run", steps=3)))


def test_vs_code_says_when_it_hands_over_clicks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = session_like(make_run(tmp_path / "run", steps=3))
    assert hosts.limits_here() == ""
    elsewhere = Dashboard(target)
    assert "VS Code" not in written(elsewhere)
    elsewhere.close()  # a publisher would live on
    monkeypatch.setattr(
        IPython,
        "get_ipython",
        lambda: SimpleNamespace(user_ns={"__vsc_ipynb_file__": "start.ipynb"}),
    )
    dashboard = Dashboard(target)
    assert "VS Code" in written(dashboard)
    assert "session.wait()" in hosts.limits_here()
    dashboard.close()


def test_one_picture_in_the_cell_under_any_ipywidgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The widget with few words, and the picture behind it as an output of its own."""
    shown: list[set[str]] = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **_: shown.append(set(data)))
    dashboard = Dashboard(make_run(tmp_path / "run", steps=3))
    IPython.core.formatters.DisplayFormatter().format(dashboard)
    assert shown == [{VIEW, "text/plain"}, {"text/html", "image/svg+xml", "text/plain"}]


@pytest.mark.parametrize("rests", [True, False])
def test_what_a_waiting_cell_draws_last_is_the_end(
    rests: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[bool, threading.Thread]] = []
    monkeypatch.setattr(
        pump, "PUBLISHERS", [lambda at_once: calls.append((at_once, threading.current_thread()))]
    )
    done = threading.Event()
    if rests:
        done.set()
    assert pump.pumped_wait(done, timeout=0.1) is rests
    assert calls[-1] == (True, threading.current_thread())
    assert [at_once for at_once, _ in calls].count(True) == 1


def test_widgets_are_made_with_what_ipywidgets_7_takes_too() -> None:
    unknown, seen = [], set()
    for path in sorted(Path(hosts.__file__).parents[1].rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            made = isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("widgets.")
            if (
                made
                and ast.unparse(node.func).startswith("widgets.")
                and made[0].isupper()
                and "." not in made
            ):
                assert made in IPYWIDGETS_7, (
                    f"{path.name}:{node.lineno}: look up which traits {made} has in ipywidgets 7.7 "
                    "and add them here"
                )
                seen.add(made)
                unknown += [
                    f"{path.name}:{node.lineno}: {made}({k.arg}=)"
                    for k in node.keywords
                    if k.arg and k.arg not in IPYWIDGETS_7[made].split()
                ]
    assert unknown == []
    assert {"Tab", "Dropdown", "FloatText", "Layout"} <= seen, (
        "the search finds the widgets that are made"
    )


def test_tooltips_have_the_name_that_is_installed() -> None:
    for kind in (w.FloatText, w.FloatSlider, w.FloatLogSlider, w.Dropdown, w.Checkbox):
        assert hosts.TOOLTIP in kind.class_trait_names()
    expected = "tooltip" if int(w.__version__.split(".")[0]) >= 8 else "description_tooltip"
    assert expected == hosts.TOOLTIP
