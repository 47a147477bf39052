"""What everybody must be able to read and reach: axe-core's rules on our own elements, text that is
large and strong enough, keys that do nothing to the notebook."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from browser.notebook_page import THEMES, DashboardPage

OURS = ".jp-OutputArea-output"
DASHBOARD = ".jp-OutputArea-output .wb-scaled"
AXE = files("axe_playwright_python").joinpath("axe.min.js")
KINDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WITHOUT = {
    "region": "the landmarks of the page are JupyterLab's: an output is a part of its main region",
}
"""The rules of axe that are switched off within a notebook, with the reason."""
RUN_AXE = """async ([roots, kinds, without]) => {
  const seen = [...document.querySelectorAll(roots)].filter((e) => e.getClientRects().length);
  const rules = Object.fromEntries(without.map((name) => [name, {enabled: false}]));
  const options = {resultTypes: ["violations"], runOnly: kinds, rules, iframes: false};
  const found = seen.length ? (await axe.run({include: seen}, options)).violations : [];
  return [seen.length, found.flatMap((rule) => rule.nodes.map((node) =>
    [rule.id, node.target.join(" "), node.html.slice(0, 200), node.failureSummary].join("\\n    ")))];
}"""
PRESS_EVERYWHERE = """(root) => {
  const asked = 'a[href], button, input, select, textarea, summary, [tabindex]';
  const all = [...root.querySelectorAll(asked)].filter(e => e.tabIndex >= 0 && !e.disabled && e.getClientRects().length);
  const keys = {b: 66, x: 88, 0: 48, d: 68};
  for (const element of all) {
    element.focus();
    for (const key of ['b', 'x', '0', '0', 'd', 'd']) {
      element.dispatchEvent(new KeyboardEvent('keydown', {key, keyCode: keys[key], bubbles: true, cancelable: true, composed: true}));
    }
  }
  return all.length;
}"""
ONLY_BY_POINTER = """(root) => {
  const reached = "a[href], button, input, select, textarea, summary, label, [tabindex]";
  const clicked = (e) => getComputedStyle(e).cursor === "pointer";
  return [...root.querySelectorAll("*")]
    .filter((e) => e.getClientRects().length && clicked(e) && !clicked(e.parentElement) && !e.closest(".js-plotly-plot"))
    .filter((e) => !e.closest(reached) && !e.querySelector(reached)).map((e) => e.outerHTML.slice(0, 160));
}"""
"""What invites a click and has nothing that can be focused. A click in a chart picks its step, as
the timeline's handle does by keyboard."""
WRONG_STOPS = """(root) => [...root.querySelectorAll(".wb-scroll")].filter((e) => {
  const hides = e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1;
  return (e.tabIndex === 0) !== hides;
}).map((e) => [e.getAttribute("aria-label"), e.tabIndex])"""
"""What scrolls is a stop of the Tab key where something is out of sight, and only there."""
CELL_SOURCES = """() => window.jupyterapp.shell.currentWidget.content.widgets.map((c) => c.model.sharedModel.source)"""


def violations(page: Any, roots: str, without: dict[str, str]) -> list[str]:
    """What axe-core says against the elements `roots` of a (Playwright) page that are seen: rule,
    place, element, what to do. The script is that of the installed package; nothing is fetched."""
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    seen, found = page.evaluate(RUN_AXE, [roots, KINDS, list(without)])
    assert seen, f"nothing of {roots} is seen"
    return found


def assert_accessible(page: Any, where: str, roots: str = OURS, without: Any = WITHOUT) -> None:
    """axe-core has nothing to say against these elements of a page."""
    found = violations(page, roots, without)
    assert not found, "\n".join([where, *found])


def faults_of(page: DashboardPage, here: str = DASHBOARD) -> list[Any]:
    """Text that is too small or too faint (in pictures, too, where axe does not look), and what is
    wider than its place."""
    found = page.nb.small_text(here) + page.nb.low_contrast(here)
    # A sign, not text: 3:1 is enough.
    faults = [fault for fault in found if not (len(fault[0]) == 1 and fault[1] >= 3)]
    wide = "es => Math.max(0, ...es.map(e => e.scrollWidth - e.clientWidth))"
    over = page.nb.page.locator(here).locator("visible=true").evaluate_all(wide)
    return [*faults, ("wider than its place by", over)] if over > 1 else faults


def assert_good_in_both_themes(
    page: DashboardPage, name: str, screenshots: Path, here: str = DASHBOARD
) -> None:
    """A picture in each theme, legible and accessible; the light one again in the end."""
    faults = []
    for theme in reversed(THEMES):
        page.theme(theme)
        page.nb.page.wait_for_timeout(700)
        page.nb.screenshot(str(screenshots / f"{name}-{theme}.png"))
        faults += [(theme, *found) for found in faults_of(page, here)]
        assert_accessible(page.nb.page, f"{name}, {theme}", here)
    assert not faults, "\n".join(map(str, sorted(set(faults))))


def assert_keys_stay_ours(page: DashboardPage, root: Any) -> int:
    """What can be clicked in `root` can be reached by keyboard, too; and `b`, `x`, `0 0` and `d d`
    (insert, cut, restart, delete) do nothing to the notebook, whatever is focused there. How many
    elements that were."""
    assert root.evaluate(ONLY_BY_POINTER) == []
    before = page.nb.page.evaluate(CELL_SOURCES)
    walked = root.evaluate(PRESS_EVERYWHERE)
    page.nb.page.wait_for_timeout(200)
    assert page.nb.page.evaluate(CELL_SOURCES) == before
    assert page.nb.page.locator(".jp-Dialog").count() == 0
    page.nb.page.keyboard.press("Tab")
    assert root.evaluate(WRONG_STOPS) == []
    return walked
