"""What the tour says of a run: sentences made of its own numbers. Plain text, no widget; what comes
from a model or a data set is cut and made legible, and the page shows it as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.doctor import Finding
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.text import menu_text
from workbench.widgets.tokens.inputs import row_inputs

if TYPE_CHECKING:
    import pandas as pd

TEXT = 60
"""Characters of a prompt, an answer or a finding that a card quotes."""


def held_out_words(source: RunSource) -> str:
    """Where the held-out accuracy began and stands; of a run without evaluations the reward."""
    known = source.evaluations
    if not len(known):
        return f"No evaluation on held-out problems was recorded. {reward_words(source)}".strip()
    last = known.iloc[-1]
    own = known[known["split"] == last.split]
    first = own.iloc[0]
    interval = ""
    if np.isfinite(last.low):
        interval = f" (95 % interval {last.low:.0%} to {last.high:.0%}, {last.n} problems)"
    now = f"{last.accuracy:.0%} after step {last.step}{interval}"
    if len(own) > 1:
        then = f"after step {first.step}" if first.step else "before training"
        now = f"{first.accuracy:.0%} {then}, {now}"
    return f"Held-out accuracy: {now}."


def reward_words(source: RunSource) -> str:
    """The mean reward at the first and the newest step; '' where there is none."""
    rows = source.metrics
    if not len(rows) or "reward" not in rows:
        return ""
    first, last = rows.iloc[0], rows.iloc[-1]
    return (
        f"Mean reward: {number_text(first.reward, '.3g')} in step {first.step:.0f}, "
        f"{number_text(last.reward, '.3g')} in step {last.step:.0f}."
    )


def marks_words(marks: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """'6 evaluations and 2 knob changes', by the names of their kinds; '' without a mark."""
    count = Counter(str(mark["kind"]) for mark in marks)
    said = [_counted(n, names[kind]) for kind, n in count.most_common()]
    return _listed(said)


def group_words(samples: pd.DataFrame) -> str:
    """The group of a step that teaches most: its question, how its answers were paid."""
    live = samples[~samples["dead"].astype(bool)]
    groups = samples["group"].nunique()
    dead = groups - live["group"].nunique()
    if not len(live):
        return (
            f"All {groups} groups of this step are dead: the answers of each were paid alike, so "
            "that no one stands above its group, and nothing is learnt."
        )
    spread = live.groupby("group")["reward"].std()
    group = live[live["group"] == spread.fillna(0.0).idxmax()]
    question = menu_text(str(group["prompt"].iloc[0]), TEXT)
    low, high = group["reward"].min(), group["reward"].max()
    words = (
        f"{len(group)} answers to “{question}”, paid {number_text(low)} to {number_text(high)}, "
        f"{number_text(group['reward'].mean(), '.3g')} on average: what stands above that becomes "
        "likelier, what stands below less likely."
    )
    if dead:
        words += f" {_counted(dead, 'group')} of {groups} taught nothing: all answers paid alike."
    return words


def push_words(batch: Mapping[str, Any], row: int, place: int, texts: Mapping[int, str]) -> str:
    """Where an answer's push moves most."""
    inputs = row_inputs(batch, row)
    advantage = float(np.nan_to_num(batch["advantages_B"][row]))
    moved = f"are pushed {'up' if advantage > 0 else 'down'}"
    if advantage == 0:
        moved = "stand as its group does, and what moves them is the KL alone"
    token_id = int(inputs.ids_T[place])
    # White space as the tokens show it.
    token = texts.get(token_id, f"id {token_id}").replace(" ", "·").replace("\n", "⏎")
    words = (
        f"Row {row} got reward {number_text(batch['reward_B'][row])}, advantage "
        f"{number_text(advantage, '+.3g')}: its {len(inputs.ids_T)} tokens {moved}."
    )
    if inputs.logp_T is None or not np.isfinite(inputs.logp_T[place]):
        return words
    p = number_text(float(np.exp(inputs.logp_T[place])), ".2g")
    shown = menu_text(token, 20)
    return f"{words} A push moves most where the policy was unsure: “{shown}” had p {p}."


def moved_most(batch: Mapping[str, Any], row: int) -> int:
    """The token of an answer with the largest |push|·(1 − p); the first where that is not known."""
    inputs = row_inputs(batch, row)
    if inputs.coefficient_T is None or inputs.logp_T is None:
        return 0
    moved_T = abs(inputs.coefficient_T) * (1 - np.exp(inputs.logp_T))
    return int(np.nan_to_num(moved_T).argmax())


def findings_words(findings: Sequence[Finding]) -> str:
    """How many findings of each kind, and what the first one says."""
    if not findings:
        return "It has found nothing yet."
    count = Counter(finding.severity for finding in findings)
    said = _listed([_counted(n, severity) for severity, n in count.items()])
    first = menu_text(findings[0].what, 2 * TEXT)
    return f"{said[:1].upper()}{said[1:]} here. First: “{first}”"


def _counted(n: int, word: str) -> str:
    """'1 note', '3 notes', '2 branches'; "good", of the doctor's findings, has no plural."""
    if n == 1 or word == "good":
        return f"{n} {word}"
    return f"{n} {word}es" if word.endswith("ch") else f"{n} {word}s"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
