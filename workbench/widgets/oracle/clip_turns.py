"""*When clipping turns the gradient round*, as a picture, from stored results."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

from workbench.widgets.base.lab import fixed, share_bar, signed_bar, table
from workbench.widgets.base.labelled import in_a_row, labelled_menu
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.style import BLUE, ORANGE
from workbench.widgets.base.text import menu_text, safe_text
from workbench.widgets.oracle.compass import fan
from workbench.widgets.oracle.page import OraclePage
from workbench.widgets.oracle.stored import load_turned
from workbench.widgets.oracle.turning import CLIPS, OWN, Row

ALL = "all seeds"
TURNED = 0.0
"""Below this cosine a step makes the expected reward smaller."""


@dataclass(frozen=True)
class ClipFigures:
    """What one clip does, over prompts and seeds."""

    cosines: tuple[float, ...]
    """Of the prompts whose gradient is left; ascending."""

    silenced: int
    """Prompts of which the clip leaves no gradient at all, though there is one."""

    clipped: float
    """Mean share of clipped tokens."""

    kl: float
    """Median KL(sampler || policy), nats."""

    @property
    def turned(self) -> int:
        """Prompts whose gradient points the wrong way."""
        return sum(cosine < TURNED for cosine in self.cosines)


def figures_of(rows: Sequence[Row]) -> dict[str, ClipFigures]:
    """By clip. Prompts of which nothing is left without a clip either are left out: there is no
    truth to turn from."""
    taught = {
        (row.policy, row.stale, row.steps, row.seed, row.question)
        for row in rows
        if row.clip == "no clip" and row.cosine is not None
    }
    found = {}
    for clip in CLIPS:
        own = [
            row
            for row in rows
            if row.clip == clip
            and row.question
            and (row.policy, row.stale, row.steps, row.seed, row.question) in taught
        ]
        if own:
            found[clip] = ClipFigures(
                cosines=tuple(sorted(row.cosine for row in own if row.cosine is not None)),
                silenced=sum(row.cosine is None for row in own),
                clipped=float(np.mean([row.clipped for row in own])),
                kl=float(np.median([row.kl for row in own])),
            )
    return found


class ClipTurns(OraclePage):
    """`rows`: stored results; None = those that ship with the package. `figures` are those drawn,
    by clip."""

    heading = "When clipping turns the gradient round"
    lead = (
        "The samples are older than the policy. Each arrow is the expected gradient of one prompt, "
        "at its angle to the truth: nothing but importance ratio and clip is in it, no group, no "
        "noise. A clipped token gives no gradient, and the tokens that are clipped are those that "
        "moved: the ones that decide."
    )

    def __init__(self, rows: Sequence[Row] | None = None) -> None:
        self.rows = load_turned() if rows is None else list(rows)
        if not self.rows:
            raise ValueError("no stored result was given. Give one `Row` or more.")
        kinds = dict.fromkeys((row.policy, row.stale) for row in self.rows)
        self.kinds = list(kinds)
        options = [(menu_text(f"{name}: {kind}", 80), i) for i, (name, kind) in enumerate(kinds)]
        self.kind_menu = labelled_menu("samples", options, "460px", "80px")
        self.steps_menu = labelled_menu("steps old", [("-", 0)], "200px", "80px")
        self.seed_menu = labelled_menu("seed", [(ALL, None)], "180px", "60px")
        super().__init__()

    def controls(self) -> Sequence[widgets.Widget]:
        self.answer(self.kind_menu, self._kind_changed)
        self.answer(self.steps_menu, self._update)
        self.answer(self.seed_menu, self._update)
        with self.filling():
            self._offer()
        return [in_a_row(self.kind_menu, self.steps_menu, self.seed_menu)]

    def _kind_changed(self) -> None:
        with self.filling():
            self._offer()
        self._update()

    def _of_kind(self) -> list[Row]:
        kind = self.kinds[self.kind_menu.value]
        return [row for row in self.rows if (row.policy, row.stale) == kind]

    def _offer(self) -> None:
        """The ages and seeds that there are; the oldest first seen."""
        rows = self._of_kind()
        steps = sorted({row.steps for row in rows})
        self.steps_menu.options = [(str(s) if s else "not by steps", s) for s in steps]
        self.steps_menu.value = steps[-1]
        seeds = sorted({row.seed for row in rows})
        self.seed_menu.options = [(ALL, None), *((str(seed), seed) for seed in seeds)]
        self.seed_menu.value = None

    def shown(self) -> list[Row]:
        """The rows that the menus choose."""
        seed = self.seed_menu.value
        return [
            row
            for row in self._of_kind()
            if row.steps == self.steps_menu.value and seed in (None, row.seed)
        ]

    def refresh(self) -> tuple[str, str]:
        self.figures = found = figures_of(self.shown())
        if not found:
            raise ValueError("of these prompts none has a gradient left. Choose other samples.")
        parts = [_drawn(clip, f) for clip, f in found.items()]
        grid = (
            "<div style='display:flex;flex-wrap:wrap;gap:4px 12px'>"
            f"{''.join(parts)}</div><p class='wb-dim'>Blue: within 90° of the truth. Orange: the "
            "expected reward falls. To the right and to the left is the same angle.</p>"
        )
        return _words(found, self._of_kind()[0].stale), grid + clip_table(found)

    def picture(self) -> str:
        """The fan of the clip that does the most harm."""
        worst = min(self.figures.items(), key=lambda item: min(item[1].cosines, default=1.0))
        return fan(_arrows(worst[1]), html.escape(self.summary, quote=True), "#212121")


def _drawn(clip: str, f: ClipFigures) -> str:
    words = f"{clip}: {_cosine_words(f)}"
    return (
        f"<figure style='margin:0;width:260px'><figcaption><b>{safe_text(clip)}</b></figcaption>"
        f"{fan(_arrows(f), html.escape(words, quote=True))}</figure>"
    )


def _arrows(f: ClipFigures) -> list[tuple[float, str]]:
    return [(cosine, BLUE if cosine >= TURNED else ORANGE) for cosine in f.cosines]


def clip_table(found: dict[str, ClipFigures]) -> str:
    """A row for each clip, as HTML."""
    most = max((f.clipped for f in found.values()), default=0.0)
    rows = [
        [
            safe_text(clip),
            signed_bar(float(np.median(f.cosines)), 1.0) if f.cosines else "none left",
            fixed(min(f.cosines), 3, "+") if f.cosines else "none left",
            f"{f.turned} of {len(f.cosines) + f.silenced}",
            str(f.silenced),
            share_bar(f.clipped, most, f"{f.clipped:.2%}"),
            fixed(f.kl, 4),
        ]
        for clip, f in found.items()
    ]
    heads = [
        "clip",
        "median cosine",
        "lowest",
        "turned round",
        "silenced",
        "clipped tokens",
        "KL, nats",
    ]
    return table(heads, rows, "expected gradient of each prompt against the truth")


def _cosine_words(f: ClipFigures) -> str:
    if not f.cosines:
        return f"no gradient is left of {f.silenced} prompts"
    words = (
        f"cosines from {number_text(f.cosines[0], '.2f')} to {number_text(f.cosines[-1], '.2f')}, "
        f"{f.turned} turned round"
    )
    return words + (f", {f.silenced} silenced" if f.silenced else "")


def _words(found: dict[str, ClipFigures], stale: str) -> str:
    parts = "; ".join(f"{clip}: {_cosine_words(f)}" for clip, f in found.items())
    kl = next(iter(found.values())).kl
    how = "an extreme case" if stale == OWN else "as in training"
    return f"Samples {kl:.3g} nats old ({how}). {parts}."
