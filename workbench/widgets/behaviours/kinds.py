"""Which kind each completion is of, and how many of each a step has. Pure: from frames to counts.

A task may name its kinds (`workbench.tasks.behaviours`); where it does not, a kind is the pattern
of the reward functions that paid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.tasks.behaviours import BEHAVIOURS

HACKED = "hacked"
NOTHING_PAID = "nothing paid"
CUT_OFF = "cut off"
OTHER = "other"
MOST = 7
"""Kinds that are told apart in a picture; of more patterns the rarest are one."""


@dataclass(frozen=True)
class StepKinds:
    """The completions of one step, by row."""

    kinds: list[str]
    rewards: np.ndarray
    """The total reward of each; NaN: not scored."""


def kinds_of(samples: pd.DataFrame, task: str) -> StepKinds:
    """The kind of each completion of a step (`Run.samples`) of a run of that task."""
    rewards = samples["reward"].to_numpy(dtype=float)
    named = BEHAVIOURS.get(task)
    if named is None:
        return StepKinds(_paid_patterns(samples), rewards)
    columns = ("prompt", "gold_answer", "completion")
    # A damaged step has no gold answer: that of no text is none.
    texts = zip(*(samples[name].fillna("").astype(str) for name in columns), strict=True)
    return StepKinds([named.kind_of(*text) for text in texts], rewards)


def _paid_patterns(samples: pd.DataFrame) -> list[str]:
    """'format_reward + answer_reward': the functions that paid something."""
    names = [name for name in samples.columns if name.startswith("rewards/")]
    paid = samples[names].to_numpy(dtype=float) > 0
    short = [name.removeprefix("rewards/") for name in names]
    kinds = []
    for row, truncated in zip(paid, samples["truncated"], strict=True):
        who = " + ".join(name for name, is_paid in zip(short, row, strict=True) if is_paid)
        kinds.append(who or (CUT_OFF if truncated else NOTHING_PAID))
    return kinds


def with_hacked(steps: Mapping[int, StepKinds], task: str) -> dict[int, list[str]]:
    """The kinds by step, where a completion that is not right but was paid more than right ones are
    is hacked: more than the mean so far of the right kind that is paid best. Before the first right
    one nothing is."""
    named = BEHAVIOURS.get(task)
    if named is None:
        return {step: found.kinds for step, found in steps.items()}
    paid: dict[str, list[float]] = {kind: [] for kind in named.right}
    shown = {}
    for step in sorted(steps):
        found = steps[step]
        for kind, reward in zip(found.kinds, found.rewards, strict=True):
            if kind in paid and np.isfinite(reward):
                paid[kind].append(float(reward))
        best = max((float(np.mean(given)) for given in paid.values() if given), default=np.inf)
        # A comparison with NaN is false: what was not scored is not hacked.
        shown[step] = [
            HACKED if kind not in paid and reward > best else kind
            for kind, reward in zip(found.kinds, found.rewards, strict=True)
        ]
    return shown


def shares(shown: Mapping[int, Sequence[str]], task: str) -> dict[str, np.ndarray]:
    """The share of each kind at each step, ascending; the kinds in the order of the picture, those
    that never came left out."""
    steps = sorted(shown)
    counts = {step: Counter(shown[step]) for step in steps}
    total = sum(counts.values(), Counter[str]())
    return {
        kind: np.array([counts[s][kind] / max(len(shown[s]), 1) for s in steps], float)
        for kind in _order(total, task)
    }


def merged(shown: Mapping[int, Sequence[str]], task: str) -> dict[int, list[str]]:
    """The rarest kinds as one, where there are more than a picture can tell apart."""
    total = Counter(kind for kinds in shown.values() for kind in kinds)
    known = _order(total, task)
    if len(known) <= MOST:
        return {step: list(kinds) for step, kinds in shown.items()}
    kept = {kind for kind, _ in total.most_common(MOST - 1)}
    return {s: [k if k in kept else OTHER for k in kinds] for s, kinds in shown.items()}


def varied(samples: pd.DataFrame, most: int) -> list[int]:
    """Rows of at most so many completions, ascending, of as many different groups and texts as
    there are."""
    again = samples["group"].duplicated().astype(int) + samples["completion"].duplicated()
    chosen = samples.assign(again=again).sort_values(["again", "row"], kind="stable").head(most)
    return sorted(int(row) for row in chosen["row"])


def _order(total: Counter[str], task: str) -> list[str]:
    named = BEHAVIOURS.get(task)
    known = [*named.kinds, HACKED] if named else []
    # Patterns: those in which most functions paid lie lowest.
    rest = [kind for kind in total if kind not in known]
    rest.sort(key=lambda kind: (_last(kind), -kind.count("+"), -total[kind], kind))
    return [kind for kind in known if total[kind]] + rest


def _last(kind: str) -> int:
    """The kinds that mean nothing was paid lie on top."""
    return {NOTHING_PAID: 1, CUT_OFF: 2, OTHER: 3}.get(kind, 0)


def kind_at(share_of: Mapping[str, np.ndarray], place: int, height: float) -> str | None:
    """The kind whose band has `height` (0 to 1) at the place-th step; None outside all."""
    top = 0.0
    for kind, values in share_of.items():
        top += float(values[place])
        if values[place] > 0 and 0 <= height <= top + 1e-9:
            return kind
    return None
