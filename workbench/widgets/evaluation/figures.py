"""The figures of a run's evaluations with samples, picked out of the record's table. No widget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from workbench.runs import Run
from workbench.runs.store.queries import DAMAGED

JUDGES = ("strict", "lenient")
"""As the record has them, the one that training goes by first."""
GROUPINGS = ("subject", "level", "kind")
"""What figures are also counted by, where the problems have it."""


@dataclass(frozen=True)
class Share:
    """A share of problems, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Problems."""

    @property
    def is_known(self) -> bool:
        """False where no problem was counted."""
        return self.n > 0 and math.isfinite(self.value)


Figures = Mapping[str, Share]
"""greedy, mean@K, maj@k and pass@k, by name."""


def sampled_of(run: Run) -> pd.DataFrame:
    """The figures of the run's evaluations; `attrs["damaged"]` says by step what cannot be read."""
    whole = run.sampled_evaluations()
    found = whole[whole["split"] != DAMAGED]
    found.attrs = dict(whole.attrs)
    return found


def steps_of(frame: pd.DataFrame, split: str) -> list[int]:
    """The steps at which this split was evaluated with samples."""
    return sorted({int(step) for step in frame.loc[frame["split"] == split, "step"]})


def figures_at(
    frame: pd.DataFrame,
    split: str,
    step: int,
    judge: str,
    grouping: str = "all",
    label: str = "",
) -> Figures:
    """The figures of one evaluation by one judge, of all problems or those of a label."""
    mine = (
        (frame["split"] == split)
        & (frame["step"] == step)
        & (frame["judge"] == judge)
        & (frame["grouping"] == grouping)
        & (frame["label"] == label)
    )
    return {
        row.figure: Share(row.value, row.low, row.high, int(row.n))
        for row in frame[mine].itertuples()
    }


def labels_of(frame: pd.DataFrame, split: str, step: int, grouping: str) -> list[str]:
    """The subjects, levels or kinds of an evaluation, in the record's order."""
    mine = (frame["split"] == split) & (frame["step"] == step) & (frame["grouping"] == grouping)
    return list(dict.fromkeys(frame.loc[mine, "label"]))


def groupings_of(frame: pd.DataFrame, split: str) -> list[str]:
    """Those of `GROUPINGS` that this split's figures are counted by."""
    there = set(frame.loc[frame["split"] == split, "grouping"])
    return [grouping for grouping in GROUPINGS if grouping in there]


def samples_of(figures: Figures) -> int:
    """K, the samples of each problem; 0 where there are none."""
    return max((k for _, k in map(parts_of, figures)), default=0)


def parts_of(figure: str) -> tuple[str, int]:
    """("pass", 8) for "pass@8"; ("greedy", 0) for a figure without k."""
    name, _, k = figure.partition("@")
    return name, int(k) if k.isdecimal() and len(k) < 9 else 0


def curve(figures: Figures, name: str) -> list[tuple[int, Share]]:
    """(k, share) of pass@k or maj@k, by k."""
    found = [(parts_of(figure), share) for figure, share in figures.items()]
    return sorted(
        ((k, share) for (own, k), share in found if own == name and k and share.is_known),
        key=lambda point: point[0],
    )


def main_figures(figures: Figures) -> list[str]:
    """The figures of a table, in its order: greedy, mean@K (which is pass@1), maj@K, pass@K."""
    k = samples_of(figures)
    wanted = ["greedy", f"mean@{k}", f"maj@{k}", f"pass@{k}"]
    return [name for name in wanted if name in figures]


# ------------------------------------------------------------ in words


def sharpening(before: Figures, after: Figures) -> str:
    """What training has made of one sample and of K, in words: where pass@1 rises and pass@K does
    not, it has made likelier what the policy could say before (DeepSeekMath, arXiv 2402.03300,
    section 5.2.2: RL raises maj@K, not pass@K). Plain text; empty where there are no samples of
    both."""
    found = _one_and_many(before, after)
    if found is None:
        return ""
    k, one, many = found
    return (
        f"One sample is right for {_percent(one[0])} of the problems before and "
        f"{_percent(one[1])} after; at least one of {k} for {_percent(many[0])} before and "
        f"{_percent(many[1])} after. {_verdict(_moved(*one), _moved(*many), k)}"
    )


def form_alone(strict: tuple[Figures, Figures], lenient: tuple[Figures, Figures]) -> str:
    """That only the form came within reach, where strict pass@K has risen and lenient pass@K has
    not; else empty."""
    found = [_one_and_many(*both) for both in (strict, lenient)]
    if None in found:
        return ""
    moved = [_moved(*both[2]) for both in found if both is not None]
    if moved[0] <= 0 or moved[1] > 0:
        return ""
    return (
        "Judged leniently pass@K has not risen: what came within reach is the form, not the "
        "answers."
    )


def _one_and_many(
    before: Figures, after: Figures
) -> tuple[int, tuple[Share, Share], tuple[Share, Share]] | None:
    """The largest k that both have, and pass@1 and pass@k before and after; None where one of them
    is not known."""
    ks = [{k for k, _ in curve(figures, "pass")} for figures in (before, after)]
    k = max(ks[0] & ks[1], default=0)
    if k < 2 or 1 not in ks[0] & ks[1]:
        return None
    names = ("pass@1", f"pass@{k}")
    one, many = ((before[name], after[name]) for name in names)
    return k, one, many


def _verdict(one: int, many: int, k: int) -> str:
    if one <= 0:
        return (
            "pass@1 has not risen beyond its intervals: no gain is shown."
            if one == 0
            else "pass@1 has fallen beyond its intervals."
        )
    if many == 0:
        return (
            f"Sharpening: training made likelier what {k} samples held before it began; that it "
            f"taught anything beyond them is not shown (pass@{k} stays within its intervals)."
        )
    if many < 0:
        return (
            f"Sharpening with a loss: one sample is right more often, but pass@{k} has fallen: "
            "some problems that were in reach are no more."
        )
    return (
        f"More than sharpening: pass@{k} has risen beyond its intervals too, so that problems "
        f"came within reach of {k} samples that were not before."
    )


def _moved(before: Share, after: Share) -> int:
    """1 or -1 where the two intervals are apart, else 0."""
    return int(after.low > before.high) - int(after.high < before.low)


def _percent(share: Share) -> str:
    return f"{share.value:.1%}".replace("%", " %")
