"""The token microscope in a real browser: one tab stop per completion, the keyboard within it, the
values, the copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser.notebook_page import DashboardPage
from made_runs import make_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CELLS = [
    "from workbench import Dashboard\ndashboard = "
    "Dashboard('runs/tokens')\ndashboard.tabs.selected_index = 2\ndashboard"
]
ACTIVE = (
    "() => { const a = document.activeElement; return a.closest('.wb-box') ? "
    "[...a.closest('.wb-box').querySelectorAll('.t')].indexOf(a) : -1; }"
)


@pytest.fixture(scope="module")
def page(lab: Any, probe: Any) -> Iterator[DashboardPage]:
    out = lab.server.root / "runs/tokens"
    make_run(out, steps=2, prompts=2, group=3, tokens=300, truncation=1.0)
    probe.write_notebook(lab.server.root / "tokens.ipynb", CELLS)
    page = DashboardPage(lab, "tokens.ipynb", out)
    page.nb.run_all()
    page.scroll_to_top()
    page.wait(lambda: page.panel.locator(".wb-box .t").count() == 300, "the tokens")
    yield page
    page.close()


def test_one_tab_stop_and_the_keys_within(page: DashboardPage) -> None:
    keyboard, stops = page.nb.page.keyboard, page.panel.locator(".wb-box .t[tabindex]")
    assert stops.count() == 1
    stops.first.focus()
    places = []
    for key in (
        "ArrowRight",
        "ArrowRight",
        "ArrowLeft",
        "End",
        "ArrowRight",
        "Home",
        "ArrowLeft",
        "ArrowDown",
        "ArrowUp",
        "PageDown",
        "PageUp",
    ):
        keyboard.press(key)
        places.append(page.nb.page.evaluate(ACTIVE))
    assert places[:7] == [1, 2, 1, 299, 299, 0, 0]
    below, above, far, near = places[7:]
    assert 0 == above < below < far
    assert near == 0
    assert stops.count() == 1
    assert (
        page.nb.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")
        == 0
    ), "no other cell was chosen"
    keyboard.press("Tab")
    assert page.nb.page.evaluate(ACTIVE) == -1, "one key leaves the completion"


def test_values_of_the_token_in_focus_or_under_the_pointer(page: DashboardPage) -> None:
    tokens, readout = page.panel.locator(".wb-box .t"), page.panel.locator(".wb-readout")
    tokens.nth(7).click()
    row = int(page.nb.kernel_eval("dashboard.views[2].row"))
    exact = page.run.tokens(2, row)["entropy"][7]
    page.wait(lambda: "position 7" in readout.inner_text(), "the values of the token in focus")
    assert f"{float(f'{exact:.4g}'):g}" in readout.inner_text()
    assert "\u2212" in readout.inner_text(), "a typographic minus: log-probabilities are negative"
    assert f"entropy {float(f'{exact:.4g}'):g} nats" in tokens.nth(7).get_attribute("aria-label")
    # The click has locked it; freed, the pointer reads again.
    page.nb.page.keyboard.press("Escape")
    tokens.nth(2).hover()
    page.wait(
        lambda: "position 2" in readout.inner_text(), "the values of the one under the pointer"
    )
    page.panel.locator(".wb-legend").hover()
    page.wait(lambda: "position 7" in readout.inner_text(), "the one in focus again")

    page.nb.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    copied = []
    for copy in (
        lambda: page.nb.page.keyboard.press("Control+c"),
        readout.get_by_role("button").click,
    ):
        page.nb.page.evaluate("() => navigator.clipboard.writeText('')")
        copy()
        copied.append(
            page.wait(
                lambda: page.nb.page.evaluate("() => navigator.clipboard.readText()"), "a copy"
            )
        )
    assert copied[0] == copied[1]
    values = dict(line.split("\t")[:2] for line in copied[0].splitlines())
    assert float(values["entropy"]) == exact, "all digits"


def test_a_redraw_keeps_the_place(page: DashboardPage) -> None:
    page.panel.locator(".wb-box .t").nth(250).click()
    scrolled = page.panel.locator(".wb-box").evaluate("e => e.scrollTop")
    page.panel.get_by_label("colour by", exact=True).select_option("kl")
    page.wait(lambda: page.panel.locator(".wb-box[aria-label$='by kl']").count(), "the new colours")
    page.panel.locator(".wb-box .t[tabindex]").focus()
    page.nb.page.keyboard.press("End")
    page.nb.kernel_eval("setattr(dashboard.views[2].quantity_menu, 'value', 'entropy')")
    page.wait(
        lambda: page.panel.locator(".wb-box[aria-label$='by entropy']").count(),
        "the colours after that",
    )
    assert page.nb.page.evaluate(ACTIVE) == 299
    assert page.panel.locator(".wb-box").evaluate("e => e.scrollTop") > 0 <= scrolled
    page.healthy()
