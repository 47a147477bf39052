"""More than two hundred payloads in every text of a record, in the dashboard and in the exported
page: nothing runs, nothing is asked of another host, nothing of theirs becomes an element."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.notebook_page import DashboardPage
from hostile.records import hostile_run
from hostile.texts import PAYLOADS

from workbench.widgets.export_html import export_html

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TOGETHER = 15
"""Payloads of one exported page; each is in many of its fields."""
FOREIGN = """(root) => [...document.querySelectorAll(root + " *")].filter((e) =>
    /^(script|iframe|object|embed|form|base|meta|link|img|template|math|frame)$/.test(e.localName)
        && !e.closest(".modebar, .jp-OutputPrompt") && e.id !== "charts"
    || [...e.attributes].some((a) => /^on/.test(a.name) || /javascript:|192\\\\.0\\\\.2/.test(
        /^(href|src|action|data|style|srcdoc|xlink:href)$/.test(a.name) ? a.value : ""))
).map((e) => e.outerHTML.slice(0, 200))"""
"""Elements and attributes that only a payload can have made."""
HIT = "() => window.hit ?? null"


def watched(page: Any) -> list[str]:
    """What the page asks of other hosts, filled as it asks."""
    asked: list[str] = []

    def note(request: Any) -> None:
        if not re.match(
            r"(file|data|blob|about):|(http|ws)://(localhost|127\.0\.0\.1)", request.url
        ):
            asked.append(request.url)

    page.on("request", note)
    page.on("dialog", lambda dialog: asked.append(f"dialog {dialog.message}"))
    return asked


def test_they_would_act_where_nothing_held_them(lab: Any) -> None:
    """Those at once; the others wait for a pointer, a template, a second unescaping."""
    assert len(PAYLOADS) > 200
    acted = 0
    with lab.browser.new_context() as context:
        page = context.new_page()
        for payload in PAYLOADS:
            if "http-equiv" in payload:
                continue
            page.goto("about:blank")
            page.set_content(f"<main><p title='{payload}'>{payload}</p></main>")
            page.wait_for_timeout(10)
            acted += page.evaluate(HIT) is not None or page.evaluate(FOREIGN, "main") != []
    assert acted > 90, f"only {acted} of {len(PAYLOADS)} do anything"


def test_the_exported_page_runs_none_of_them(lab: Any, tmp_path: Path) -> None:
    """Its own policy taken out: the escaping alone has to hold."""
    with lab.browser.new_context() as context:
        page = context.new_page()
        asked = watched(page)
        for first in range(0, len(PAYLOADS), TOGETHER):
            texts = PAYLOADS[first : first + TOGETHER]
            run = hostile_run(tmp_path / f"run{first}", texts)
            path = export_html(run, tmp_path / "page.html")
            text = path.read_text()
            policy = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', text)
            assert policy is not None
            path.write_text(text.replace(policy.group(), ""))
            page.goto(path.as_uri())
            page.wait_for_function("() => document.querySelector('[data-chart] .main-svg')")
            page.locator("#step").select_option("2")
            for chart in page.locator("[data-chart] .main-svg").all()[:2]:
                chart.hover(force=True)
            assert page.evaluate(HIT) is None, texts
            assert page.evaluate(FOREIGN, "main") == [], texts
        assert asked == []


def test_the_exported_pages_policy_stops_all_of_them_where_nothing_is_escaped(
    lab: Any, tmp_path: Path
) -> None:
    page_of = export_html(hostile_run(tmp_path / "run", PAYLOADS[:5]), tmp_path / "page.html")
    text = page_of.read_text()
    with lab.browser.new_context() as context:
        page = context.new_page()
        asked = watched(page)
        reached: list[str] = []
        page.on("response", lambda response: reached.append(response.url))
        for first in range(0, len(PAYLOADS), TOGETHER):
            raw = "\n".join(PAYLOADS[first : first + TOGETHER]).encode("utf-8", "ignore").decode()
            # A redirect is no script, and ends the page that is looked at.
            raw = re.sub("<meta[^>]*>", "", raw)
            holed = tmp_path / "holed.html"
            holed.write_text(text.replace("<main>", f"<main><div>{raw}</div>"))
            page.goto(holed.as_uri())
            page.wait_for_timeout(100)
            assert page.evaluate(HIT) is None, raw
        assert [url for url in asked if url.startswith("dialog")] == []
        assert all(url.startswith(("file:", "data:", "blob:", "about:")) for url in reached)


CELLS = (
    "from workbench import Dashboard",
    "dashboard = Dashboard('runs/hostile')\ndashboard",
)
STEPS = len(PAYLOADS)
"""So many that each payload has stood in each field of a step."""


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    folder = lab.server.root / "notebooks" / "runs" / "hostile"
    hostile_run(folder, PAYLOADS, steps=STEPS)
    notebook = lab.server.root / "notebooks" / "hostile.ipynb"
    probe.write_notebook(notebook, list(CELLS))
    opened = DashboardPage(lab, "notebooks/hostile.ipynb", folder)
    opened.nb.run_all()
    yield opened
    opened.close()


def test_no_tab_of_the_dashboard_runs_one(page: DashboardPage) -> None:
    asked = watched(page.nb.page)
    tabs = page.nb.kernel_eval("list(dashboard.pages)")
    for place, name in enumerate(tabs):
        steps = range(1, STEPS + 1) if name == "groups" else range(1, STEPS + 1, 20)
        for step in steps:
            told = page.nb.kernel_eval(
                f"[setattr(dashboard.tabs, 'selected_index', {place}), "
                f"dashboard.show_step({step}), dashboard.error.value][2]",
                timeout=60,
            )
            assert "Error" not in told
            if step % 20 == 1:
                page.nb.page.wait_for_timeout(200)
                assert page.nb.page.evaluate(HIT) is None, name
                root = ".jp-OutputArea-output .wb-scaled"
                assert page.nb.page.evaluate(FOREIGN, root) == [], name
    assert page.nb.page.evaluate(HIT) is None
    assert asked == []
