"""The places where the widgets are shown: what Colab, VS Code and ipywidgets 7 (Colab, classic
notebook) need.

Nothing has to be switched on by hand. What a place cannot do is said in a line above the dashboard.
"""

from __future__ import annotations

import base64
import html
import sys
from typing import Any

import anywidget
import ipywidgets as widgets

TOOLTIP = "tooltip" if "tooltip" in widgets.FloatText.class_trait_names() else "description_tooltip"
"""What an input's tooltip is called: ipywidgets 8 has `tooltip`, 7 has `description_tooltip`, for
all that have a description. Buttons have `tooltip` in both."""

IN_COLAB = (
    "In Colab this page moves only while a cell is running: let the cell that trains end with "
    "<code>session.wait()</code>, and run it again after a step that a button made."
)
IN_VS_CODE = (
    "VS Code hands over what you move and click only while no cell is running: to steer, train "
    "without "
    "<code>session.wait()</code>. Interrupting the cell pauses the run."
)


def in_colab() -> bool:
    """True in a Google Colab kernel."""
    return "google.colab.output" in sys.modules


def in_vs_code() -> bool:
    """True in a kernel whose notebook is open in VS Code, which writes its path into the kernel's
    names."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and "__vsc_ipynb_file__" in shell.user_ns


def limits_here() -> str:
    """What this place cannot do while a run goes on, as HTML in a line; empty where nothing is
    missing."""
    return IN_COLAB if in_colab() else IN_VS_CODE if in_vs_code() else ""


def picture_html(svg: str, words: str, kind: str = "wb-still") -> str:
    """A picture as an HTML image of itself: SVG that stands in HTML is cut or thrown away where a
    notebook of others is made safe (GitHub, nbconvert, an untrusted JupyterLab)."""
    source = base64.b64encode(svg.encode()).decode()
    return (
        f'<img class="{kind}" style="max-width:100%" alt="{html.escape(words, quote=True)}" '
        f'src="data:image/svg+xml;base64,{source}">'
    )


def with_picture(
    data: dict[str, Any], words: str, svg: str = "", inner: str = ""
) -> dict[str, Any]:
    """What a cell shows of a widget, with words and a picture for where no widget runs.

    A saved notebook opened elsewhere shows one kind of it only. VS Code and nbconvert (nbviewer,
    and GitHub, which goes by it) take the widget where its state is there; else HTML, then the
    picture, then plain words. So the HTML holds all: `inner` (the words, if it is empty) and the
    picture. It needs neither script nor style sheet.
    """
    lines = "<br>".join(html.escape(line) for line in words.splitlines())
    whole = (inner or f"<p>{lines}</p>") + (picture_html(svg, words) if svg else "")
    drawn = {"image/svg+xml": svg} if svg else {}
    return data | {"text/html": whole, "text/plain": words} | drawn


def mimebundle(widget: widgets.DOMWidget) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a cell shows of a widget, and the metadata to it, with any ipywidgets.

    Colab has to be told which manager shows widgets that are not its own. It adds that by itself to
    what is displayed, but not to a cell's last value; anywidget does, for its own widgets, and is
    asked here for a box that holds some.
    """
    if in_colab():
        sys.modules["google.colab.output"].enable_custom_widget_manager()
    bundle = anywidget.AnyWidget._repr_mimebundle_(widget)
    return bundle if bundle is not None else ({"text/plain": repr(widget)}, {})
