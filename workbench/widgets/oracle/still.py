"""The oracle's trees as a plain SVG, for where no widget runs: the first and the last moment side
by side."""

from __future__ import annotations

import html

import numpy as np

from workbench.widgets.base.style import GREEN
from workbench.widgets.oracle.layout import Block, blocks_of, visible
from workbench.widgets.oracle.snapshots import Snapshots

CHARACTER = 7.0
"""Pixels of a character at the size that the picture writes."""
HEIGHT, TOP, LEGEND = 300, 44, 20
LEAST_LABEL = 11
INK, GRID, PAPER = "#212121", "#BDBDBD", "#FFFFFF"


def tree_picture(snapshots: Snapshots) -> str:
    """The tree at the first and the last moment, coloured by expected reward."""
    blocks = blocks_of(snapshots)
    moments = sorted({0, len(snapshots.moments) - 1})
    width = max((b.start + len(b.text) for b in blocks), default=1) * CHARACTER + 60
    parts = [
        f"<g transform='translate({i * (width + 30):.0f},0)'>{_tree(snapshots, blocks, moment)}</g>"
        for i, moment in enumerate(moments)
    ]
    whole = len(moments) * (width + 30)
    question = html.escape(visible(snapshots.question)[:200])
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' role='img' viewBox='0 0 {whole:.0f} "
        f"{TOP + HEIGHT + LEGEND}' width='{whole:.0f}' style='max-width:100%;height:auto' "
        f"font-family='monospace' font-size='11.5' fill='{INK}'><desc>completions of {question}"
        f"</desc><rect width='100%' height='100%' fill='{PAPER}'/>"
        f"<text x='4' y='16' font-weight='bold'>{question}</text>{''.join(parts)}"
        f"<text x='4' y='{TOP + HEIGHT + 14}'>height: probability; the deeper the green, the "
        "higher the expected reward</text></svg>"
    )


def _tree(snapshots: Snapshots, blocks: list[Block], moment: int) -> str:
    least = float(snapshots.reward_C.min())
    span = float(snapshots.reward_C.max()) - least or 1.0
    parts = [f"<text x='4' y='36'>{html.escape(visible(snapshots.moments[moment]))}</text>"]
    # Where the next child of each block begins; the first blocks lie in the whole height.
    free = {-1: 0.0}
    for place, block in enumerate(blocks):
        share = float(block.probability_S[moment])
        top = free[block.parent]
        free[block.parent] = top + share
        free[place] = top
        if share * HEIGHT < 0.4 or np.isnan(block.value_S[moment]):
            continue
        depth = (float(block.value_S[moment]) - least) / span
        parts.append(_block(block, top, share, depth))
    return "".join(parts)


def _block(block: Block, top: float, share: float, depth: float) -> str:
    x = 4 + block.start * CHARACTER
    y = TOP + top * HEIGHT
    height = share * HEIGHT
    width = max(len(block.text) * CHARACTER - 1, 2)
    drawn = (
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' fill='{GREEN}' "
        f"fill-opacity='{0.5 * depth:.2f}' stroke='{GRID}' stroke-width='.7'/>"
    )
    if height < LEAST_LABEL:
        return drawn
    words = html.escape(block.text)
    return (
        f"{drawn}<text x='{x:.1f}' y='{y + height / 2 + 4:.1f}' xml:space='preserve'>{words}</text>"
    )
