"""A notebook with a dashboard, as a person at the browser has it: buttons, tabs, sliders, plots,
and the run's record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import TimeoutError

from workbench.runs import Run, is_run_record

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
TABS = (
    "Overview",
    "Groups",
    "Tokens",
    "What if",
    "Compare",
    "Evaluation",
    "Best paid",
    "Behaviours",
    "Doctor",
)

QUICK = (
    """
import threading, torch
from workbench import Dashboard, GRPOConfig, Session

torch.set_num_threads(1)
faults = []  # while it holds something, the reward function raises

def tags_reward(completions, **columns):
    if faults:
        raise ValueError(faults[0])
    return [float("<answer>" in str(c)) for c in completions]

config = GRPOConfig(prompts_per_step=4, num_generations=4, max_completion_length=12, max_steps=2000, save_steps=20,
                    eval_steps=0, num_eval_problems=20)
""",
    'session = Session("embedded", "arithmetic", [tags_reward, "answer"], config, '
    'out="runs/quick")',
    "dashboard = Dashboard(session)\ndashboard",
    "session.start()",
)
"""Cells of a notebook whose steps take about a tenth of a second. It does not wait for the
session."""
SETUP, SESSION, DISPLAY, START = range(4)

DASHBOARDS = """[
    (
        name, d.selection.step, d.shown_step, d.session.step_number, d.session.status, d.error.value,
        [button.description for button in d.controls.buttons.values()],
    )
    for name, d in list(globals().items()) if type(d).__name__ == "Dashboard" and d.controls
]"""
"""How each dashboard stands in the kernel."""

WIDGETS_READY = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  const renderer = panel.content.rendermime.createRenderer("application/vnd.jupyter.widget-view+json");
  const manager = await Promise.race([renderer._manager.promise, null]);
  renderer.dispose();
  return Boolean(manager?.restoredStatus && manager.kernel === panel.sessionContext.session.kernel);
}"""
"""True once the page's widget manager is there for this kernel and its first question to the kernel
(which widgets are there already?) is answered. The manager registers the widgets' comm target when
it is made, before that question."""
WATCH_COMMS = """() => {
  const seen = window.wbComms = {opened: {}, closed: {}, numbers: []};
  const attach = () => {
    const kernel = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel;
    if (!kernel) return void setTimeout(attach, 10);
    kernel.anyMessage.connect((_, {msg, direction}) => {
      if (direction !== "recv") return;
      seen.numbers.push(Number(msg.header.msg_id.split("_").pop()));
      if (msg.header.msg_type === "comm_open") seen.opened[msg.content.comm_id] = seen.numbers.length;
      if (msg.header.msg_type === "comm_close") seen.closed[msg.content.comm_id] = seen.numbers.length;
    });
  };
  attach();
}"""
"""Keeps in `wbComms` what the kernel tells the page of widgets, and the serial numbers of its
messages."""
WHOLE_CHARTS = """() => {
  const pane = document.querySelector(".jp-WindowedPanel-outer").getBoundingClientRect();
  return [...document.querySelectorAll(".wb-dash .wb-plot")].filter((e) => e.querySelector(".main-svg"))
    .map((e) => e.getBoundingClientRect())
    .filter((r) => r.width > 0 && r.top >= pane.top - 1 && r.bottom <= pane.bottom + 1)
    .map((r) => [Math.round(r.width), Math.round(r.height)]);
}"""
SHOWN_MODELS = """() => {
  const seen = window.wbComms, numbers = [...new Set(seen.numbers)].sort((a, b) => a - b);
  const gap = Math.max(0, ...numbers.slice(1).map((n, i) => n - numbers[i] - 1));
  const outputs = window.jupyterapp.shell.currentWidget.content.widgets.flatMap(c => c.model.outputs?.toJSON() ?? []);
  const ids = outputs.map(o => o.data?.["application/vnd.jupyter.widget-view+json"]?.model_id).filter(Boolean);
  const at = (what, id) => what[id] === undefined ? "never" : "at message " + what[id];
  const lines = ids.map(id => `model ${id}: opened ${at(seen.opened, id)}, closed ${at(seen.closed, id)}`);
  return [...lines, `messages received: ${numbers.length}, longest gap in their numbers: ${gap}`].join("; ");
}"""


class DashboardPage:
    """`nb` is the driver's page, `out` the run's folder; what the kernel did is read from the
    record, as others would. `single`: JupyterLab shows the notebook alone, its sidebar closed."""

    def __init__(self, lab: Any, notebook: str, out: Path, single: bool = True) -> None:
        self.lab, self.out, self.notebook = lab, out, notebook
        self.nb = lab.open(notebook, single=single)
        self.nb.page.add_init_script(f"({WATCH_COMMS})()")  # for reloads
        self.nb.page.evaluate(WATCH_COMMS)
        self.wait(lambda: self.nb.page.evaluate(WIDGETS_READY), "the page's widget manager", 60)

    @property
    def run(self) -> Run:
        return Run.open(self.out)

    @property
    def steps(self) -> int:
        """Steps recorded so far."""
        return self.run.last_step() if is_run_record(self.out / "run.sqlite") else 0

    @property
    def dashboard(self) -> Any:
        """The dashboard's place in the page: the newest one."""
        return self.nb.page.locator(".jp-OutputArea-output .wb-scaled").last

    def text(self) -> str:
        """What a person reads in the dashboard."""
        return self.dashboard.inner_text()

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = 30) -> Any:
        return self.nb.wait(condition, timeout, what=what)

    def wait_steps(self, at_least: int, timeout: float = 60) -> int:
        """Wait until the record holds so many steps; how many it holds."""
        return self.wait(
            lambda: self.steps >= at_least and self.steps, f"{at_least} steps", timeout
        )

    def click(self, name: str) -> None:
        """Raises AssertionError where no such button can be clicked, with what page and kernel say
        of it."""
        button = self.dashboard.get_by_role("button", name=name, exact=True).first
        try:
            button.click()
        except TimeoutError as error:
            shown = self.dashboard.get_by_role("button").all_inner_texts()
            raise AssertionError(
                f"{name!r} could not be clicked; the page has {[text for text in shown if text]}, "
                f"and the kernel {self.nb.kernel_eval(DASHBOARDS)}"
            ) from error

    def tab(self, name: str) -> Any:
        """Open a tab; its panel. The doctor's title has a badge."""
        title = re.compile(rf"^{re.escape(name)}( [✖▲]\d+)*$")
        self.dashboard.get_by_role("tab", name=title).click()
        return self.panel

    @property
    def panel(self) -> Any:
        """The panel of the open tab."""
        return self.dashboard.locator(".widget-tab-contents > .jupyter-widgets:visible").first

    @property
    def open_tab(self) -> str:
        return self.dashboard.get_by_role("tab", selected=True).inner_text().strip()

    def box(self, name: str, within: Any = None) -> Any:
        """The number box (or text box) with this accessible name."""
        return (
            (within or self.dashboard)
            .locator("input[type=number], input[type=text]")
            .and_(self.nb.page.get_by_label(name, exact=True))
            .first
        )

    def knob(self, name: str) -> Any:
        """The slider of this field."""
        return (
            self.dashboard.locator("input[type=range]")
            .and_(self.nb.page.get_by_label(name, exact=True))
            .first
        )

    def ghost(self, name: str) -> Any:
        """The pale handle of its slider, at what is in force."""
        return self.knob(name).locator("xpath=..").locator(".wb-slider-ghost")

    @contextmanager
    def holding(self, name: str, share: float) -> Iterator[Any]:
        """Drag the slider of a field to this share of its track and hold it there; lets go at the
        end. Gives what is said beside the hand."""
        track = self.knob(name).bounding_box()
        y = track["y"] + track["height"] / 2
        mouse = self.nb.page.mouse
        here = self.knob(name).evaluate("e => (e.value - e.min) / (e.max - e.min)")
        mouse.move(track["x"] + 7 + here * (track["width"] - 14), y)
        mouse.down()
        mouse.move(track["x"] + 7 + share * (track["width"] - 14), y, steps=12)
        try:
            yield self.nb.page.locator(".wb-slider-bubble:popover-open")
        finally:
            mouse.up()

    def points(self) -> int:
        """How many points the first line of the first plot has."""
        plots = self.nb.plots()
        return max(plots[0]["points"]) if plots else 0

    def whole_charts(self) -> list[tuple[int, int]]:
        """Width and height of each chart that is seen whole, without scrolling."""
        return [tuple(size) for size in self.nb.page.evaluate(WHOLE_CHARTS)]

    def rests(self, seconds: float = 1.5) -> int:
        """The number of steps, when none is added for so long. Raises AssertionError when one
        is."""
        before = self.steps
        self.nb.page.wait_for_timeout(1000 * seconds)
        assert self.steps == before
        return before

    def healthy(self) -> None:
        """No traceback, no widget without its model, no error in the page, nothing asked for
        outside."""
        assert self.nb.cell_errors() == [], self.nb.cell_errors()
        assert self.nb.broken_widgets() == [], self.nb.page.evaluate(SHOWN_MODELS)
        assert self.nb.errors() == [], (self.nb.errors(), self.nb.page.evaluate(SHOWN_MODELS))
        assert self.lab.blocked == []
        assert "could not be drawn" not in self.text()

    def theme(self, name: str) -> None:
        self.nb.command("apputils:change-theme", {"theme": THEMES[name]})
        self.wait(
            lambda: self.nb.page.locator(
                f"body[data-jp-theme-light={'true' if name == 'light' else 'false'}]"
            ).count(),
            f"{name} theme",
        )

    def scroll_to_top(self) -> None:
        """Put the dashboard at the top of the window; JupyterLab leaves cells out that are out of
        sight."""
        self.wait(lambda: self.dashboard.count(), "the dashboard", 60)
        self.dashboard.evaluate("e => e.scrollIntoView({block: 'start'})")

    def close(self) -> None:
        """Close the page and end its kernel."""
        kernel = self.nb.kernel_id()
        self.nb.close()
        self.lab.server.api(f"/api/kernels/{kernel}", "DELETE")
