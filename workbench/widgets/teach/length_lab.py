"""What one token weighs: the losses' length normalisations on a few completions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from workbench.config import LOSSES
from workbench.config.losses import LOSS_REDUCTIONS
from workbench.widgets.base.lab import Lab, share_bar, signed_bar, table
from workbench.widgets.controls.number_box import NumberBox

FIRST = {loss.reduction: name for name, loss in reversed(LOSSES.items())}
"""Reduction -> the first loss that has it of its own accord."""
ROWS: dict[str, dict[str, Any]] = {
    FIRST.get(name, name): {"loss_type": FIRST.get(name, "dapo"), "loss_reduction": name}
    for name in LOSS_REDUCTIONS
}
"""Row -> the settings that it shows: a loss for each reduction, or the reduction itself where no
loss has it of its own accord."""
LONGEST = 64


@dataclass(frozen=True)
class LengthFigures:
    """By loss type and completion: `weight`, what one token of it weighs in the loss of its update;
    `push`, the sum of weight x advantage over its tokens."""

    weight: dict[str, list[float]]
    push: dict[str, list[float]]


def length_figures(
    lengths: Sequence[int],
    advantages: Sequence[float],
    max_completion_length: int = LONGEST,
    updates: int = 1,
) -> LengthFigures:
    """The weights of completions that are split into so many updates. Raises ValueError for sizes
    that cannot be."""
    wrong = [n for n in lengths if not 1 <= n <= max_completion_length]
    if wrong:
        raise ValueError(
            f"length {wrong[0]}: must lie between 1 and "
            f"max_completion_length={max_completion_length}."
        )
    weights = {
        name: _weights(row, lengths, max_completion_length, updates) for name, row in ROWS.items()
    }
    sums = {
        name: [x * n * a for x, n, a in zip(column, lengths, advantages, strict=True)]
        for name, column in weights.items()
    }
    return LengthFigures(weights, sums)


def _weights(
    row: dict[str, Any], lengths: Sequence[int], longest: int, updates: int
) -> list[float]:
    """What a token of each completion weighs: minus the gradient of its update's loss where A = 1
    and the ratio is 1."""
    import torch

    from workbench.config import ConfigWarning, GRPOConfig
    from workbench.objective import LossBatch, totals_of, updates_of

    B = len(lengths)
    # The smallest groups that there can be, so that prompt_mean has more than one of them.
    group_size = 2 if B % (2 * updates) == 0 else B // updates
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        config = GRPOConfig(
            **row,
            beta=0.0,
            max_completion_length=longest,
            num_generations=group_size,
            prompts_per_step=B // group_size,
            updates_per_rollout=updates,
        )
    mask_BT = torch.arange(max(lengths)) < torch.tensor(list(lengths))[:, None]
    logp_BT = torch.zeros(mask_BT.shape, dtype=torch.float64, requires_grad=True)
    batch = LossBatch(logp_BT, torch.ones(B, dtype=torch.float64), mask_BT)
    losses = [
        batch.rows(rows).loss(config, totals_of(mask_BT, rows, config)).loss
        for rows in updates_of(config, torch.device("cpu"))
    ]
    (gradient_BT,) = torch.autograd.grad(torch.stack(losses).sum(), logp_BT)
    return (-gradient_BT[:, 0]).tolist()


def _rule(name: str) -> str:
    """What a row is, with its source, and what a token weighs in it."""
    if name in LOSS_REDUCTIONS:
        return f"<b>loss_reduction={name}</b>: {LOSS_REDUCTIONS[name]}"
    loss = LOSSES[name]
    return f"<b>{name}</b> ({loss.source}): {loss.words}; {LOSS_REDUCTIONS[loss.reduction]}"


class LengthLab(Lab):
    """Choose the lengths and advantages of a few completions (an even number of them, to split them
    into two updates)."""

    heading = "What one token weighs"
    lead = (
        "A loss adds up the tokens' terms and divides. Which number it divides by decides whether "
        "a token of a long completion "
        "counts as much as one of a short completion."
    )

    def __init__(
        self, lengths: Sequence[int] = (4, 8, 16, 32), advantages: Sequence[float] = (1, -1, 1, -1)
    ) -> None:
        if len(lengths) != len(advantages) or len(lengths) < 4 or len(lengths) % 2:
            raise ValueError(
                f"{len(lengths)} lengths and {len(advantages)} advantages: give as many of both, "
                "an even number from 4 on."
            )
        self.lengths = [
            NumberBox(f"length {i + 1}", 1, LONGEST, n, self.update, whole=True)
            for i, n in enumerate(lengths)
        ]
        self.advantages = [
            NumberBox(f"advantage {i + 1}", -2.0, 2.0, float(a), self.update, step=0.1)
            for i, a in enumerate(advantages)
        ]
        self.longest = NumberBox(
            "max_completion_length",
            1,
            4 * LONGEST,
            LONGEST,
            self.update,
            whole=True,
            label_width="170px",
        )
        self.updates = widgets.Dropdown(
            options=[1, 2],
            value=1,
            description="updates_per_rollout",
            style={"description_width": "170px"},
            layout={"width": "260px"},
        )
        super().__init__()

    def controls(self) -> Sequence[widgets.Widget]:
        self.answer(self.updates, self._update)
        columns = [
            widgets.VBox([box.widget for box in boxes]) for boxes in (self.lengths, self.advantages)
        ]
        return [
            widgets.HBox(columns, layout={"flex_flow": "row wrap"}),
            self.longest.widget,
            self.updates,
        ]

    def refresh(self) -> tuple[str, str]:
        lengths, advantages = [b.value for b in self.lengths], [b.value for b in self.advantages]
        self.figures = f = length_figures(
            lengths, advantages, self.longest.value, self.updates.value
        )
        heads = ["loss_type", *(f"completion {i + 1}<br>{n} tokens" for i, n in enumerate(lengths))]
        weights = [
            [name, *(share_bar(x, max(f.weight[name]), f"{x:.4f}") for x in f.weight[name])]
            for name in ROWS
        ]
        pushes = [
            [name, *(signed_bar(x, max(map(abs, f.push[name])), 4) for x in f.push[name])]
            for name in ROWS
        ]
        rules = "".join(f"<li>{_rule(name)}</li>" for name in ROWS)
        return self._words(f, lengths), (
            table(
                heads, weights, "weight of one token in the loss of its update (bars: within a row)"
            )
            + table(
                heads, pushes, "all tokens of the completion together: weight × tokens × advantage"
            )
            + f"<ul>{rules}</ul>"
        )

    def _words(self, f: LengthFigures, lengths: Sequence[int]) -> str:
        short, long = lengths.index(min(lengths)), lengths.index(max(lengths))
        if lengths[short] == lengths[long]:
            return (
                "All completions are equally long: no loss type prefers one of them. Change a "
                "length."
            )
        ratios = [f"{name} {f.weight[name][short] / f.weight[name][long]:.3g}" for name in ROWS]
        return (
            f"A token of completion {short + 1} ({lengths[short]} tokens) weighs, relative to one "
            f"of completion {long + 1} "
            f"({lengths[long]} tokens): {', '.join(ratios)} times."
        )
