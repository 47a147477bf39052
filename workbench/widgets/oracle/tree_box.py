"""`TreeBox`: the tree of one prompt's completions in the page, with the moment as a slider of its
own, so that the tree follows it at once, with the kernel busy too.

What is sent is plain text and numbers; the script puts text as text, never as HTML.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.page import module_beside
from workbench.widgets.base.style import CSS
from workbench.widgets.oracle.layout import Block, blocks_of, visible
from workbench.widgets.oracle.snapshots import Array, Snapshots
from workbench.widgets.tokens.scales import colour_css

COLOURS = ("reward", "advantage", "change")
"""What a block's colour can mean: V, V − J, or how much likelier it is than at the first moment."""
TREE_CSS = (Path(__file__).parent / "tree.css").read_text(encoding="utf-8") + colour_css(".wb-tree")


class TreeBox(anywidget.AnyWidget):
    """show(snapshots, says) draws a tree.

    moment   the place of the moment that is shown
    colour   one of `COLOURS`
    chosen   the block that a person chose last, -1 before; `blocks` has it
    """

    _esm = module_beside(str(Path(__file__).with_name("tree")))
    _css = CSS + TREE_CSS

    tree: traitlets.Dict[str, Any] = traitlets.Dict({"blocks": []}).tag(sync=True)
    moment = traitlets.Int(0, min=0).tag(sync=True)
    colour = traitlets.Enum(COLOURS, "reward").tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.layout.width = "calc(100% - 4px)"
        self.blocks: list[Block] = []
        answer_in_the_subshell(self)

    def show(self, snapshots: Snapshots, says: tuple[str, ...]) -> None:
        """Draw this prompt's tree; `says` is a sentence for each moment."""
        self.blocks = blocks_of(snapshots)
        with self.hold_sync():
            self.chosen = -1
            self.moment = min(self.moment, len(snapshots.moments) - 1)
            self.tree = tree_as_sent(snapshots, self.blocks, says)


def tree_as_sent(
    snapshots: Snapshots, blocks: list[Block], says: tuple[str, ...]
) -> dict[str, Any]:
    """The tree as JSON: numbers with NaN as None, texts with every character visible."""
    reward_C = snapshots.reward_C
    expected_S = snapshots.reward_S
    far = np.abs(reward_C[None, :] - expected_S[:, None]).max()
    drawn = [
        {
            "parent": block.parent,
            "texts": list(block.texts),
            "completion": block.completion,
            "reward": None if block.completion < 0 else float(reward_C[block.completion]),
        }
        for block in blocks
    ]
    return {
        "question": visible(snapshots.question),
        "answer": visible(snapshots.answer),
        "moments": [visible(name) for name in snapshots.moments],
        "says": list(says),
        "blocks": drawn,
        "probability": _rows([block.probability_S for block in blocks]),
        "value": _rows([block.value_S for block in blocks]),
        "expected": expected_S.tolist(),
        "least": float(reward_C.min()),
        "largest": float(reward_C.max()),
        "farthest": float(far),
    }


def _rows(columns: list[Array]) -> list[list[float | None]]:
    """A list for each moment."""
    rows = np.array(columns).T
    return [[None if np.isnan(x) else float(f"{x:.7g}") for x in row] for row in rows.tolist()]
