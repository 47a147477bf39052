"""Plots that redraw in place: plotly.js in the page, an SVG where no widget runs."""

from __future__ import annotations

from typing import Any

Chart = dict[str, Any]
"""One plot as plotly JSON with numpy arrays for data, `{"data": [...], "layout": {...}}`, which
`plotly.graph_objects.Figure` takes too. `layout["meta"]` may hold `title` and `summary`, plain
texts for the picture and for screen readers."""
