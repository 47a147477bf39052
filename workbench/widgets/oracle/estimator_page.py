"""The estimator page: choose an estimator, and see at once how its gradient lies to the truth."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from workbench.widgets.base.background import Background, OnProgress, ShouldStop
from workbench.widgets.base.labelled import in_a_row
from workbench.widgets.base.text import menu_text, safe_text
from workbench.widgets.oracle.compass import compass
from workbench.widgets.oracle.estimates import BATCHES, Quality, quality
from workbench.widgets.oracle.estimator_controls import in_rows, menu, setting_controls, setting_of
from workbench.widgets.oracle.estimator_words import (
    ages,
    idle_words,
    quality_table,
    quality_words,
    setting_words,
)
from workbench.widgets.oracle.page import OraclePage
from workbench.widgets.oracle.settings import RECIPES, USUAL, Setting
from workbench.widgets.oracle.stored import load_worlds
from workbench.widgets.oracle.world import World

Named = tuple[str, Quality]
"""A row of the table: what it is called, and its figures."""


class EstimatorPage(OraclePage):
    """`worlds`: the policies that can be asked about; None = those that ship with the package.

    of        the controls, by the names of `Setting`
    setting   what they say
    figures   its `Quality`
    kept      the rows that a person kept, and
    recipes   those of the last comparison: (name, quality)
    """

    heading = "Which estimate of the gradient is the better one?"
    lead = (
        "All completions are known here, so the true gradient of the expected reward is known. Two "
        "questions differ: where does the mean of an estimator point (its bias), and how near is "
        "the gradient of one batch, which is what a training steps along?"
    )

    def __init__(self, worlds: Sequence[World] | World | None = None) -> None:
        given = load_worlds() if worlds is None else worlds
        self.worlds = [given] if isinstance(given, World) else list(given)
        self.kept: list[Named] = []
        self.recipes: list[Named] = []
        self.of = setting_controls()
        policies = [(menu_text(world.name, 60), i) for i, world in enumerate(self.worlds)]
        self.world_menu = menu("policy", policies)
        self.compare = Background(
            self,
            "Compare the recipes",
            "All recipes with the group size, clip, beta and sampler that are chosen above",
            self._compare,
            self._compared,
        )
        self.keep = widgets.Button(
            description="Keep this row", tooltip="Add these settings to the table below"
        )
        self.clear = widgets.Button(description="Clear the table")
        super().__init__()

    def controls(self) -> Sequence[widgets.Widget]:
        for control in (self.world_menu, *self.of.values()):
            self.answer(control, self._update)
        self.keep.on_click(lambda _: self.guarded(self._keep))
        self.clear.on_click(lambda _: self.guarded(self._clear))
        return [
            self.world_menu,
            *in_rows(self.of),
            in_a_row(self.keep, self.clear, self.compare.widget),
        ]

    @property
    def world(self) -> World:
        """The policy that is asked about."""
        place: int = self.world_menu.value
        return self.worlds[place]

    @property
    def setting(self) -> Setting:
        """What the controls say."""
        return setting_of(self.of)

    def set(self, **changes: Any) -> None:
        """Move the controls by the names of `Setting`, and draw. Raises ValueError for a name that
        is none."""
        unknown = sorted(changes.keys() - self.of.keys())
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is no setting of this page. Choose from {', '.join(self.of)}."
            )
        with self.filling():
            for name, value in changes.items():
                self.of[name].value = value
        self.update()

    def refresh(self) -> tuple[str, str]:
        setting = self.setting
        self.figures = found = quality(self.world, setting)
        words = quality_words(found)
        drawn = compass(found, html.escape(words, quote=True))
        legend = (
            "<p class='wb-dim'>Each dot is a batch, at its angle to the truth and as far from the "
            "middle as its gradient is long (the mean: half-way). Orange squares point the wrong "
            "way. The arrow is where the mean points.</p>"
        )
        about = (
            f"<p class='wb-dim'>{safe_text(self.world.about)} {len(self.world.questions)} prompts, "
            f"one group of {setting.num_generations} each, {BATCHES} batches. "
            f"{idle_words(setting)}</p>"
        )
        rows = [(f"now: {setting_words(setting)}", found)]
        rows += self.kept + self.recipes
        side_by_side = (
            "<div style='display:flex;flex-wrap:wrap;gap:8px 24px;align-items:center'>"
            f"{drawn}<div style='flex:1 1 300px'>{legend}</div></div>"
        )
        return words, f"{about}{side_by_side}{quality_table(rows)}"

    def picture(self) -> str:
        return compass(self.figures, html.escape(self.summary, quote=True), "#212121")

    # ------------------------------------------------------------ rows that stay

    def _keep(self) -> None:
        name = f"{self.world.name}: {setting_words(self.setting)}"
        self.kept.append((name, self.figures))
        self._update()

    def _clear(self) -> None:
        self.kept.clear()
        self.recipes.clear()
        self._update()

    def _compare(self, on_progress: OnProgress, should_stop: ShouldStop) -> list[Named]:
        # Read once: the controls may move while this goes on.
        setting = self.setting
        world = self.world
        found = []
        for done, (name, changes) in enumerate(RECIPES.items()):
            on_progress(done, len(RECIPES))
            own = replace(setting, **USUAL | changes)
            where = f"{name} ({world.name}, G={own.num_generations}{ages(own)})"
            found.append((where, quality(world, own)))
        return found

    def _compared(self, found: list[Named]) -> None:
        self.recipes[:] = found
        self._update()
