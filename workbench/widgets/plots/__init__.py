"""Plots that redraw in place: plotly.js in the page, an SVG where no widget runs."""
