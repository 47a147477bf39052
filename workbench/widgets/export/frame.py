"""The frame of the exported page: head with its policy, contents, sections.

Nothing is executed but the two scripts of the page itself, whose digests stand in the policy (a
content security policy in a meta tag): a script, a handler or a link to one in a text of a model
would be refused even where it was not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.widgets.base.text import safe_text


@dataclass(frozen=True)
class Section:
    """A part of the page with its heading; one without HTML is left out."""

    name: str
    """Its anchor."""
    title: str
    html: str


def page_html(
    title: str, css: str, head: str, sections: Sequence[Section], scripts: Sequence[str], data: Any
) -> str:
    """The whole page. The first script is the library that the others use; `data` is read by them,
    as JSON, from the element "charts"."""
    there = [section for section in sections if section.html]
    contents = "".join(
        f'<li><a href="#{section.name}">{safe_text(section.title, 80)}</a></li>'
        for section in there
    )
    body = "\n".join(map(_section_html, there))
    library, *own = (f"<script>{script}</script>" for script in scripts)
    charts = f'<script type="application/json" id="charts">{_inert_json(data)}</script>'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe_text(title, 200)}</title><style>{css}</style></head>"
        f'<body><div class="page"><header><h1>{safe_text(title, 200)}</h1>{head}</header>'
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav><main>{body}</main></div>'
        f"{library}{charts}{''.join(own)}</body></html>"
    )


def _section_html(section: Section) -> str:
    anchor = f"{section.name}-title"
    return (
        f'<section id="{section.name}" aria-labelledby="{anchor}">'
        f'<h2 id="{anchor}">{safe_text(section.title, 120)}</h2>{section.html}</section>'
    )


def _policy(scripts: Sequence[str]) -> str:
    digests = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    # Plotly writes its own styles; a picture of a chart is a data: or blob: address.
    return (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _inert_json(data: Any) -> str:
    """JSON that ends no script element, whatever a text in it says."""
    from plotly.utils import PlotlyJSONEncoder

    text = json.dumps(data, cls=PlotlyJSONEncoder, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
