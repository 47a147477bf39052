"""From the rewards of one group to its advantages, under each scaling and baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from workbench.config.advantages import ESTIMATORS
from workbench.widgets.base.lab import Lab, fixed, signed_bar, table
from workbench.widgets.base.numbers import typographic
from workbench.widgets.by_hand.chart import Curve, HandChart, Handle, Picture
from workbench.widgets.controls.number_box import NumberBox

WAYS: dict[str, dict[str, Any]] = {
    "scale_rewards=group, advantage_std=sample": {},
    "scale_rewards=group, advantage_std=population": {"advantage_std": "population"},
    "scale_rewards=batch": {"scale_rewards": "batch"},
    "scale_rewards=none": {"scale_rewards": "none"},
    "advantage_baseline=leave_one_out, scale_rewards=none": {
        "advantage_baseline": "leave_one_out",
        "scale_rewards": "none",
    },
} | {
    f"advantage_estimator={name}{', advantage_k=2' if facts.uses_k else ''}": {
        "advantage_estimator": name,
        "advantage_k": 2,
    }
    for name, facts in ESTIMATORS.items()
    if not facts.uses_baseline
}
"""Column -> what its `AdvantageRule` says beside the group's size."""


@dataclass(frozen=True)
class AdvantageFigures:
    """Of the group: mean, both stds, whether it is dead, and its advantages by column of `WAYS`,
    less those that its rewards cannot have."""

    mean: float
    sample_std: float
    population_std: float
    dead: bool
    advantages: dict[str, list[float]]


def advantage_figures(
    rewards: Sequence[float], other_groups: Sequence[float] = ()
) -> AdvantageFigures:
    """The figures of the group `rewards` in a batch with `other_groups` (whole groups, one after
    another).

    Raises ValueError for numbers that are not finite and for other groups of another size.
    """
    import torch

    from workbench.objective import AdvantageRule, group_advantages

    G = len(rewards)
    if not all(math.isfinite(r) for r in (*rewards, *other_groups)):
        raise ValueError("every reward must be a finite number.")
    if len(other_groups) % G:
        raise ValueError(
            f"the other groups hold {len(other_groups)} rewards: all groups have the same size, so "
            f"give {G} for each."
        )
    reward_B = torch.tensor([*rewards, *other_groups], dtype=torch.float64)
    answers = {
        column: group_advantages(reward_B, AdvantageRule(G, **rule))
        for column, rule in WAYS.items()
        if not why_not(rule, reward_B.tolist(), G)
    }
    sample, population = (
        answers[f"scale_rewards=group, advantage_std={std}"] for std in ("sample", "population")
    )
    return AdvantageFigures(
        float(sample.mean_N[0]),
        float(sample.std_N[0]),
        float(population.std_N[0]),
        bool(sample.dead_N[0]),
        {column: answer.advantage_B[:G].tolist() for column, answer in answers.items()},
    )


def why_not(rule: Mapping[str, Any], rewards: Sequence[float], group_size: int) -> str:
    """Why these rewards have no advantage of that way; empty where they have one."""
    facts = ESTIMATORS[rule.get("advantage_estimator", "baseline")]
    if facts.least_reward is not None and min(rewards) < facts.least_reward:
        return f"needs rewards of {facts.least_reward:g} or more"
    if facts.uses_k and rule["advantage_k"] >= group_size:
        return f"needs a group of {rule['advantage_k'] + 1} or more"
    return ""


class AdvantageLab(Lab):
    """Move the `rewards` of one group and see its advantages. `other_groups`: the rewards of the
    rest of the batch, which only scale_rewards=batch looks at (whole groups, one after another)."""

    heading = "From rewards to advantages"
    lead = (
        "Each completion of a group is compared with its siblings. Advantage = (reward − baseline) "
        "/ (std + 0.0001); what the baseline and the std are taken over is a choice. The last "
        "columns have a rule of their own: "
        + "; ".join(
            f"{name}, {facts.words} ({facts.source})"
            for name, facts in ESTIMATORS.items()
            if not facts.uses_baseline
        )
        + "."
    )

    def __init__(
        self, rewards: Sequence[float] = (1, 1, 0, 0), other_groups: Sequence[float] | None = None
    ) -> None:
        if len(rewards) < 2:
            raise ValueError(
                f"rewards={list(rewards)}: a group needs at least 2 completions. Give as many "
                "rewards."
            )
        others = [1.0] * (len(rewards) - 1) + [0.0] if other_groups is None else other_groups
        self.rewards = [
            NumberBox(f"reward {i + 1}", -2.0, 2.0, float(r), self.update, step=0.1)
            for i, r in enumerate(rewards)
        ]
        self.others = widgets.Text(
            value=" ".join(f"{r:g}" for r in others),
            description="other groups",
            continuous_update=False,
            style={"description_width": "110px"},
            layout={"width": "410px"},
        )
        self.hand = HandChart(self._dragged, label="rewards of the group", height=200)
        super().__init__()

    def _dragged(self, values: dict[str, float]) -> None:
        """A person moved dots: the boxes follow."""
        for i, box in enumerate(self.rewards):
            box.set_if_changed(values.get(str(i), box.value))
        self.update()

    def pictures(self) -> Sequence[widgets.Widget]:
        return [self.hand]

    def controls(self) -> Sequence[widgets.Widget]:
        self.answer(self.others, self._update)
        return [*(box.widget for box in self.rewards), self.others]

    def refresh(self) -> tuple[str, str]:
        rewards = [box.value for box in self.rewards]
        self.figures = f = advantage_figures(rewards, _numbers(self.others.value))
        self.hand.show(reward_picture(rewards, f), {str(i): r for i, r in enumerate(rewards)})
        largest = max(1e-9, *(abs(a) for column in f.advantages.values() for a in column))
        rows = [
            [
                f"{i + 1}",
                f"{r:g}",
                *(self._bar(f, column, i, largest) for column in WAYS),
            ]
            for i, r in enumerate(rewards)
        ]
        return self._words(f), algebra(rewards, f) + table(
            [
                "completion",
                "reward",
                *(name.replace(", ", "<br>").replace("=", "<br>= ") for name in WAYS),
            ],
            rows,
            "advantages",
        )

    def _bar(self, f: AdvantageFigures, column: str, row: int, largest: float) -> str:
        if column in f.advantages:
            return signed_bar(f.advantages[column][row], largest)
        rewards = [*(box.value for box in self.rewards), *_numbers(self.others.value)]
        return why_not(WAYS[column], rewards, len(self.rewards))

    def _words(self, f: AdvantageFigures) -> str:
        text = (
            f"Mean {f.mean:.4f}, std {f.sample_std:.4f} (sample, divides by G−1) or "
            f"{f.population_std:.4f} (population, divides by G). "
        )
        if f.dead:
            return text + (
                "This is a dead group: all rewards are equal, so every advantage is exactly 0 and "
                "the group teaches "
                "nothing. Change one reward."
            )
        sample, population = (
            ", ".join(
                fixed(a, 3, "+") for a in f.advantages[f"scale_rewards=group, advantage_std={std}"]
            )
            for std in ("sample", "population")
        )
        return text + (
            f"Advantages over the group's std: {sample} (sample, TRL's default) or {population} "
            "(population, the paper's)."
        )


def reward_picture(rewards: Sequence[float], figures: AdvantageFigures) -> Picture:
    """The rewards as dots to be dragged, with the group's mean and its std around it."""
    low = min(-2.0, *rewards)
    high = max(2.0, *rewards)
    # Room at the right for the names of the levels.
    ends = (0.4, len(rewards) * 1.25 + 0.4)
    levels = {
        "mean": (figures.mean, False),
        "mean + std": (figures.mean + figures.sample_std, True),
        "mean − std": (figures.mean - figures.sample_std, True),
    }
    return Picture(
        x=ends,
        y=(low, high),
        x_label="completion of the group: drag its reward",
        y_label="reward",
        ticks=[(i + 1, str(i + 1)) for i in range(len(rewards))],
        curves=[
            Curve(name=name, x=ends, y=[y, y], kind="neutral", dashed=dashed, named=True)
            for name, (y, dashed) in levels.items()
        ],
        handles=[
            Handle(
                id=str(i),
                name=f"reward {i + 1}",
                low=low,
                high=high,
                step=0.1,
                shape="dot",
                at=i + 1,
                kind="positive" if reward >= figures.mean else "negative",
            )
            for i, reward in enumerate(rewards)
        ],
        summary=f"{len(rewards)} rewards, mean {figures.mean:.3f}, std {figures.sample_std:.3f}.",
    )


def algebra(rewards: Sequence[float], figures: AdvantageFigures) -> str:
    """The advantage of each completion, written out with its numbers."""
    if figures.dead:
        return ""
    advantages = figures.advantages["scale_rewards=group, advantage_std=sample"]
    mean = fixed(figures.mean, 3)
    std = fixed(figures.sample_std, 3)
    lines = [
        f"<div>A<sub>{i + 1}</sub> = ({fixed(r, 3)} − {_bracketed(mean)}) / ({std} + 0.0001) = "
        f"<b>{fixed(a, 3, '+')}</b></div>"
        for i, (r, a) in enumerate(zip(rewards, advantages, strict=True))
    ]
    return f"<div class='wb-algebra'>{typographic(''.join(lines))}</div>"


def _bracketed(number: str) -> str:
    """A negative number in brackets, to be subtracted."""
    return f"({number})" if number.startswith("-") else number


def _numbers(text: str) -> list[float]:
    """Numbers between spaces or commas. Raises ValueError."""
    words = text.replace(",", " ").split()
    try:
        return [float(word) for word in words]
    except ValueError:
        raise ValueError(
            f"other groups: {text!r} must be numbers with spaces between them, like 1 0 0 1."
        ) from None
