"""What the teaching widgets share: controls on top, a sentence and a table below, errors in
words."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets

from workbench.errors import WorkbenchError
from workbench.widgets.base.guarded import Guarded, set_if_changed, stylesheet
from workbench.widgets.base.hosts import mimebundle, with_picture
from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.style import NEGATIVE, POSITIVE, framed, scrolling
from workbench.widgets.base.text import safe_text
from workbench.widgets.base.torch_on_demand import is_torch_missing
from workbench.widgets.controls.slider_names import SliderNames

BAR_FRAME = (
    "display:inline-block;position:relative;width:80px;height:14px;vertical-align:middle;"
    "margin-left:6px"
)
"""Where a bar is drawn, beside its number."""
WIDE = widgets.Layout(width="calc(100% - 4px)", min_width="0", overflow="auto")
"""As wide as the page lets it be, less its own margins: a wide table scrolls by itself instead of
pushing the text out of sight."""
LAB_CSS = """
.wb .wb-algebra { margin: 6px 0; font-variant-numeric: tabular-nums; }
.wb .wb-algebra sub { font-size: 12px; }
.wb-lab-output > * { min-width: 0; width: 100%; }
"""
NEEDS_TORCH = (
    "This widget computes with workbench.objective, which needs torch. Install it: "
    "pip install torch"
)


class Lab(Guarded):
    """One widget. A subclass makes its controls in `controls`, and computes and words its figures
    in `refresh`.

    widget    what is shown
    summary   the same in plain text; what a saved notebook keeps
    problem   why the numbers entered cannot be used, else empty; the last picture stays then
    """

    heading = ""
    lead = ""
    css = ""
    """Rules of its own, beside the style sheet of all views."""

    def __init__(self) -> None:
        super().__init__()
        self.summary, self.problem = "", ""
        self.output = widgets.HTML(layout=WIDE).add_class("wb-lab-output")
        head = widgets.HTML(
            framed(
                f"<h3 style='margin:0'>{html.escape(self.heading)}</h3><p class='wb-dim'>"
                f"{html.escape(self.lead)}</p>"
            )
        )
        self.widget = widgets.VBox(
            [
                stylesheet(LAB_CSS, self.css),
                head,
                self._side_by_side(),
                self.message,
                self.output,
                SliderNames(),
            ]
        )
        self.update()

    def _side_by_side(self) -> widgets.Widget:
        """What is moved, and beside it the picture where the page is wide enough."""
        controls = widgets.VBox(list(self.controls()), layout={"flex": "0 1 auto"})
        pictures = list(self.pictures())
        if not pictures:
            return controls
        beside = widgets.VBox(pictures, layout={"flex": "1 1 380px", "min_width": "0"})
        return widgets.HBox([controls, beside], layout={"flex_flow": "row wrap"})

    def controls(self) -> Sequence[widgets.Widget]:
        """The widgets that a person moves; they call `update`."""
        raise NotImplementedError

    def pictures(self) -> Sequence[widgets.Widget]:
        """Widgets between the controls and the table."""
        return ()

    def picture(self) -> str:
        """An SVG for where no widget runs, or nothing."""
        return ""

    def refresh(self) -> tuple[str, str]:
        """(summary, HTML) for the numbers that stand in the controls. Raises ValueError for those
        that cannot be."""
        raise NotImplementedError

    def update(self) -> None:
        """Compute and show. Whatever goes wrong is said in the widget."""
        self.guarded(self._update)

    def _update(self) -> None:
        try:
            summary, inner = self.refresh()
        except (WorkbenchError, ValueError) as error:
            return self._say(str(error))
        except ModuleNotFoundError as error:
            if not is_torch_missing(error):
                raise
            return self._say(NEEDS_TORCH)
        self.summary = summary
        set_if_changed(
            self.output, "value", framed(f"<p role='status'>{html.escape(summary)}</p>{inner}")
        )
        return self._say("")

    def _say(self, problem: str) -> None:
        self.problem = problem
        set_if_changed(
            self.message,
            "value",
            framed(f"<div class='wb-error' role='alert'>{safe_text(problem, 1500)}</div>")
            if problem
            else "",
        )

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and its words and picture for where no widget runs."""
        answer_in_the_subshell(self.widget)
        data, metadata = mimebundle(self.widget)
        words = f"{self.heading}. {self.summary or self.problem}"
        said = html.escape(self.summary)
        # Where a picture says them while the widget lives, the words stand nowhere else.
        first = "" if said in self.output.value else f"<p>{said}</p>"
        head = f"<h3>{html.escape(self.heading)}</h3>{first}"
        inner = f"{head}{self.message.value}{self.output.value}"
        return with_picture(data, words, self.picture(), inner), metadata


def fixed(value: float, digits: int = 4, sign: str = "") -> str:
    """A number with so many digits behind the point, and no minus before a zero."""
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"


def signed_bar(value: float, largest: float, digits: int = 3) -> str:
    """A number with its sign, and a bar from a middle line: right and blue above 0, left and orange
    below."""
    share = min(abs(value) / largest, 1.0) * 50 if largest > 0 else 0.0
    side = f"left:50%;background:{POSITIVE}" if value > 0 else f"right:50%;background:{NEGATIVE}"
    bar = f"<span style='position:absolute;top:2px;bottom:2px;{side};width:{share:.1f}%'></span>"
    line = (
        "<span style='position:absolute;left:50%;top:0;bottom:0;border-left:1px solid "
        "var(--wb-line)'></span>"
    )
    number = fixed(value, digits, "+")
    return f"{number}<span aria-hidden='true' style='{BAR_FRAME}'>{bar}{line}</span>"


def share_bar(value: float, largest: float, text: str) -> str:
    """A text with a bar from the left, as long as value / largest."""
    # A signal without noise is infinite: a whole bar.
    whole = value >= largest > 0
    part = value / largest if largest > 0 else 0.0
    share = 100.0 if whole else 100 * part
    bar = (
        "<span style='position:absolute;inset:2px auto 2px "
        f"0;width:{share:.1f}%;background:{POSITIVE}'></span>"
    )
    return f"{text}<span aria-hidden='true' style='{BAR_FRAME}'>{bar}</span>"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table of HTML cells; the first one of each row is its head."""
    top = "".join(
        f"<th scope='col'{' style=text-align:right' if i else ''}>{h}</th>" if h else "<td></td>"
        for i, h in enumerate(heads)
    )
    body = "".join(
        f"<tr><th scope='row'>{row[0]}</th>"
        + "".join(f"<td class='wb-number'>{cell}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    title = (
        f"<caption style='text-align:left;font-size:13px'>{caption}</caption>" if caption else ""
    )
    name = html.unescape(re.sub("<[^>]*>", "", caption)) or "table"
    return scrolling(
        name, f"<table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    )
