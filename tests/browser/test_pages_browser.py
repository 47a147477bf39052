"""What needs a browser but no JupyterLab: the exported page, and the script that gives sliders
their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.accessible import assert_accessible, violations
from inert_html import HOSTILE
from made_runs import make_run

from workbench.widgets.controls.slider_names import SliderNames
from workbench.widgets.export_html import export_html

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WIDTHS = """() => [...document.querySelectorAll("[data-chart]")].map((cell) =>
    [cell.querySelector(".main-svg").getBoundingClientRect().width, cell.getBoundingClientRect().width])"""
SLIDER = """<div class="widget-slider"><label class="widget-label">beta</label><div class="noUi-handle"></div></div>"""
KNOB = f"""<div class="wb-scaled"><div id="knobs">{SLIDER}<p id="el"></p></div></div>"""
START = """async (code) => {
    const names = await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
    names.default.render({model: {on() {}, off() {}, set() {}}, el: document.getElementById("el")});
}"""
NAMES = """() => [...document.querySelectorAll('.noUi-handle')].map((handle) => handle.getAttribute('aria-label'))"""


@pytest.fixture
def page(lab: Any) -> Iterator[Any]:
    """A page without JupyterLab, in the session's browser: a process can drive only one."""
    with lab.browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        yield context.new_page()


def test_every_chart_of_the_exported_page_fits_its_cell(page: Any, tmp_path: Path) -> None:
    page.goto(export_html(make_run(tmp_path / "run", steps=3), tmp_path / "p.html").as_uri())
    page.wait_for_timeout(1000)
    widths = page.evaluate(WIDTHS)
    assert len(widths) >= 9
    assert [w for w in widths if not 0.9 * w[1] <= w[0] <= w[1] + 0.5] == []


WIDER = """() => document.documentElement.scrollWidth - innerWidth"""
CONTRAST = """() => {
    const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
    const tick = document.querySelector("[data-chart] .xtick text");
    return [r + g + b < 200, tick && getComputedStyle(tick).fill === getComputedStyle(document.body).color];
}"""
CAPTIONS = """() => [...document.querySelectorAll("figcaption")].map((caption) =>
    [caption.scrollWidth - caption.clientWidth, caption.getBoundingClientRect().right - innerWidth])"""


def test_the_exported_page_on_a_phone_in_the_dark_and_with_hostile_texts(
    lab: Any, tmp_path: Path, screenshots: Path
) -> None:
    """Nothing runs that a model wrote, not even where it stood in the page unescaped."""
    run = make_run(
        tmp_path / "run",
        steps=4,
        prompts=2,
        group=8,
        name=HOSTILE[0],
        texts=lambda step: [
            *(f"<img src=x onerror=document.title='pwned'>{row}" for row in range(8)),
            *HOSTILE[:8],
        ],
    )
    path = export_html(run, tmp_path / "p.html")
    # As if the escaping had a hole.
    text = path.read_text().replace(
        "<main>",
        "<main><script>document.title='pwned'</script>"
        "<img src=x onerror=\"document.title='pwned'\"><iframe srcdoc='<b>x'></iframe>",
    )
    holed = tmp_path / "holed.html"
    holed.write_text(text)
    for file, scheme in ((path, "light"), (path, "dark"), (holed, "light")):
        size = {"width": 390, "height": 844}
        with lab.browser.new_context(viewport=size, color_scheme=scheme) as context:
            page = context.new_page()
            errors: list[str] = []
            page.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
            page.goto(file.as_uri())
            page.wait_for_function("() => document.querySelector('[data-chart] .main-svg')")
            page.wait_for_timeout(500)
            assert "pwned" not in page.title()
            assert errors == []
            assert page.evaluate(WIDER) <= 0, "no sideways scroll"
            captions = page.evaluate(CAPTIONS)
            assert len(captions) >= 9
            assert max(max(caption) for caption in captions) <= 0, "a caption is cut"
            assert page.evaluate(CONTRAST) == [scheme == "dark", True]
            page.locator("#step").select_option("4")
            assert page.locator(".step:visible").get_attribute("data-step") == "4"
            page.screenshot(path=str(screenshots / f"export-{file.stem}-{scheme}.png"))
            if file == path:  # the whole page is ours: every rule holds
                assert_accessible(page, f"export, {scheme}", "html", without={})


WRONG = """<main><button></button><p style="color:#999;background:#fff">pale words</p></main>"""


def test_axe_finds_what_is_wrong(page: Any) -> None:
    page.set_content(WRONG)
    found = violations(page, "main", {})
    assert sorted(one.split("\n")[0] for one in found) == ["button-name", "color-contrast"]
    with pytest.raises(AssertionError, match="nothing of .gone is seen"):
        violations(page, ".gone", {})


def test_handles_of_sliders_have_names(page: Any) -> None:
    page.set_content(KNOB)
    page.evaluate(START, SliderNames._esm)
    page.wait_for_function(f"() => ({NAMES})()[0] === 'beta'", timeout=5000)
    # Sliders come and go.
    page.evaluate(
        "(html) => document.getElementById('knobs').insertAdjacentHTML('beforeend', html)",
        SLIDER.replace("beta", "epsilon"),
    )
    page.wait_for_function(f"() => ({NAMES})()[1] === 'epsilon'", timeout=5000)
