"""The estimator page: choose an estimator, and see at once how its gradient lies to the truth."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from workbench.widgets.base.labelled import in_a_row, labelled_menu, tick_box
from workbench.widgets.base.text import menu_text, safe_text
from workbench.widgets.oracle.background import Background, OnProgress, ShouldStop
from workbench.widgets.oracle.compass import compass
from workbench.widgets.oracle.estimates import BATCHES, Quality, quality
from workbench.widgets.oracle.estimator_words import (
    ages,
    idle_words,
    quality_table,
    quality_words,
    setting_words,
)
from workbench.widgets.oracle.page import OraclePage
from workbench.widgets.oracle.settings import LOSS_TYPES, RECIPES, Setting
from workbench.widgets.oracle.stored import load_worlds
from workbench.widgets.oracle.world import World

GENERATIONS = (2, 4, 8, 16, 32, 64)
BASELINES = ("group", "leave_one_out", "batch", "none")
SCALINGS = ("group", "batch", "none")
MOST_UPDATES, MOST_STALE = 4, 5
"""The oldest sampler that both ask for together, `MOST_UPDATES + MOST_STALE - 1` = 8 steps, is
known to the worlds that ship."""
LABEL = "150px"


class EstimatorPage(OraclePage):
    """`worlds`: the policies that can be asked about; None = those that ship with the package.

    setting   what the controls say
    figures   its `Quality`
    kept      (name, setting, quality) of the rows that a person kept
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
        self.kept: list[tuple[str, Setting, Quality]] = []
        self._make_controls()
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

    def _make_controls(self) -> None:
        def menu(label: str, options: Sequence[Any], width: str = "300px") -> widgets.Dropdown:
            return labelled_menu(label, options, width, LABEL)

        def slider(label: str, low: float, high: float, step: float, value: float) -> Any:
            return widgets.FloatSlider(
                value=value,
                min=low,
                max=high,
                step=step,
                description=label,
                style={"description_width": LABEL},
                layout={"width": "400px", "max_width": "100%"},
            )

        def whole(label: str, low: int, high: int) -> Any:
            return widgets.IntSlider(
                value=low,
                min=low,
                max=high,
                description=label,
                style={"description_width": LABEL},
                layout={"width": "400px", "max_width": "100%"},
            )

        policies = [(menu_text(world.name, 60), i) for i, world in enumerate(self.worlds)]
        self.world_menu = menu("policy", policies)
        self.generations = widgets.SelectionSlider(
            options=GENERATIONS,
            value=8,
            description="num_generations",
            style={"description_width": LABEL},
            layout={"width": "400px", "max_width": "100%"},
        )
        self.loss = menu("loss_type", LOSS_TYPES)
        self.baseline = menu("advantage_baseline", BASELINES)
        self.scaling = menu("scale_rewards", SCALINGS)
        self.clip = tick_box("clip", "80px")
        self.clip.value = True
        self.epsilon = slider("epsilon", 0.01, 0.5, 0.01, 0.2)
        self.epsilon_high = slider("epsilon_high", 0.01, 1.0, 0.01, 0.2)
        self.beta = slider("beta", 0.0, 1.0, 0.01, 0.0)
        self.updates = whole("updates (mu)", 1, MOST_UPDATES)
        self.stale = whole("sampler's age, steps", 0, MOST_STALE)

    def controls(self) -> Sequence[widgets.Widget]:
        moved = (
            self.world_menu,
            self.generations,
            self.loss,
            self.baseline,
            self.scaling,
            self.clip,
            self.epsilon,
            self.epsilon_high,
            self.beta,
            self.updates,
            self.stale,
        )
        for control in moved:
            self.answer(control, self._update)
        self.keep.on_click(lambda _: self.guarded(self._keep))
        self.clear.on_click(lambda _: self.guarded(self._clear))
        return [
            in_a_row(self.world_menu, self.loss),
            in_a_row(self.baseline, self.scaling),
            in_a_row(self.generations, self.beta),
            in_a_row(self.epsilon, self.epsilon_high, self.clip),
            in_a_row(self.updates, self.stale),
            in_a_row(self.keep, self.clear, self.compare.widget),
        ]

    @property
    def world(self) -> World:
        """The policy that is asked about."""
        place: int = self.world_menu.value
        return self.worlds[place]

    @property
    def setting(self) -> Setting:
        """What the controls say. cispo's epsilon_high is a cap of the ratio, 1 above the slider's
        number."""
        loss = self.loss.value
        high = self.epsilon_high.value
        return Setting(
            loss_type=loss,
            num_generations=self.generations.value,
            advantage_baseline=self.baseline.value,
            scale_rewards=self.scaling.value,
            epsilon=self.epsilon.value,
            epsilon_high=1 + high if loss == "cispo" else high,
            beta=self.beta.value,
            updates=self.updates.value,
            stale=self.stale.value,
            clip=self.clip.value,
        )

    def set(self, **changes: Any) -> None:
        """Move the controls by the names of `Setting`, and draw. Raises ValueError for a name that
        is none."""
        controls = {
            "loss_type": self.loss,
            "num_generations": self.generations,
            "advantage_baseline": self.baseline,
            "scale_rewards": self.scaling,
            "epsilon": self.epsilon,
            "epsilon_high": self.epsilon_high,
            "beta": self.beta,
            "updates": self.updates,
            "stale": self.stale,
            "clip": self.clip,
        }
        unknown = sorted(changes.keys() - controls.keys())
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is no setting of this page. Choose from {', '.join(controls)}."
            )
        with self.filling():
            for name, value in changes.items():
                controls[name].value = value
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
        rows += [(name, kept) for name, _, kept in self.kept]
        side_by_side = (
            "<div style='display:flex;flex-wrap:wrap;gap:8px 24px'><div style='flex:0 1 320px'>"
            f"{drawn}{legend}</div><div style='flex:1 1 600px;min-width:0'>{quality_table(rows)}"
            "</div></div>"
        )
        return words, f"{about}{side_by_side}"

    def picture(self) -> str:
        return compass(self.figures, html.escape(self.summary, quote=True), "#212121")

    # ------------------------------------------------------------ rows that stay

    def _keep(self) -> None:
        name = f"{self.world.name}: {setting_words(self.setting)}"
        self.kept.append((name, self.setting, self.figures))
        self._update()

    def _clear(self) -> None:
        self.kept.clear()
        self._update()

    def _compare(
        self, on_progress: OnProgress, should_stop: ShouldStop
    ) -> list[tuple[str, Setting, Quality]]:
        # Read once: the controls may move while this goes on.
        setting = self.setting
        world = self.world
        found = []
        for done, (name, changes) in enumerate(RECIPES.items()):
            on_progress(done, len(RECIPES))
            own = replace(setting, **{**_USUAL, **changes})
            where = f"{name} ({world.name}, G={own.num_generations}{ages(own)})"
            found.append((where, own, quality(world, own)))
        return found

    def _compared(self, found: list[tuple[str, Setting, Quality]]) -> None:
        self.kept[:] = found
        self._update()


_USUAL = {"advantage_baseline": "group", "scale_rewards": "group"}
