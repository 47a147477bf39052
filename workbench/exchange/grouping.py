"""The completions of a step as groups of one size, and the figures that follow from them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from workbench.exchange.readers import Completion
from workbench.exchange.rewards import total_of
from workbench.runs import Samples
from workbench.runs.figures import length_figures, mean_of, reward_figures, truncation_figures


def in_whole_groups(rows: list[Completion]) -> tuple[list[Completion], int]:
    """The rows ordered group by group, and how many were left out because their group is not of the
    size that most are of. A group several times that size is a prompt that was drawn twice."""
    groups: dict[tuple[str | None, str, str | None], list[Completion]] = {}
    for key, one in zip(_keys(rows), rows, strict=True):
        groups.setdefault(key, []).append(one)
    sizes = Counter(map(len, groups.values()))
    size = max(sizes, key=lambda each: (sizes[each], -each))
    kept = [one for group in groups.values() if len(group) % size == 0 for one in group]
    return kept, len(rows) - len(kept)


def group_size(rows: list[Completion]) -> int:
    """G of rows that stand group by group."""
    return min(Counter(_keys(rows)).values())


def _keys(rows: list[Completion]) -> list[tuple[str | None, str, str | None]]:
    """What tells the group of each row: its id, or else its prompt and gold answer."""
    ids = Counter(one.group for one in rows)
    # An id that each completion has for itself tells no group.
    tells = len(ids) < len(rows) and None not in ids
    return [(one.group, "", None) if tells else (None, one.prompt, one.gold) for one in rows]


def samples_of(rows: list[Completion], names: list[str]) -> Samples:
    """The rows by column. Baseline and dead groups follow from the rewards; an advantage that is
    not given is NaN."""
    G = group_size(rows)
    reward_B = np.array([total_of(one.rewards, names) for one in rows])
    reward_NG = reward_B.reshape(-1, G)
    first = rows[::G]
    return Samples(
        num_generations=G,
        problem_ids=[one.group or one.prompt[:200] for one in first],
        prompts=[one.prompt for one in first],
        gold_answers=[one.gold for one in first],
        completions=[one.text for one in rows],
        rewards_BK=_by_function(rows, names),
        reward_B=reward_B,
        advantage_B=[np.nan if one.advantage is None else one.advantage for one in rows],
        baseline_B=np.repeat(_means(reward_NG), G),
        length_B=[one.length or 0 for one in rows],
        truncated_B=[bool(one.truncated) for one in rows],
        dead_N=(reward_NG == reward_NG[:, :1]).all(1),
    )


def figures_of(rows: list[Completion], samples: Samples, names: list[str]) -> dict[str, float]:
    """The metrics of a step that its completions give."""
    reward_NG = samples.reward_B.reshape(-1, samples.num_generations)
    alone = samples.num_generations < 2
    std_N = np.full(len(reward_NG), np.nan) if alone else reward_NG.std(1, ddof=1)
    figures = reward_figures(names, samples.rewards_BK, samples.reward_B, std_N, samples.dead_N)
    if np.isnan(figures["reward_std"]):
        del figures["reward_std"]
    if all(one.length is not None for one in rows):
        figures |= length_figures(samples.length_B)
    if all(one.truncated is not None for one in rows):
        figures |= truncation_figures(samples.truncated_B)
    return figures


def evaluation_figures(rows: list[Completion], names: list[str]) -> dict[str, float]:
    """What an evaluation of another trainer got, as metrics of its step."""
    figures = {"eval/reward": mean_of([total_of(one.rewards, names) for one in rows])}
    columns = zip(names, _by_function(rows, names).T, strict=True)
    figures |= {f"eval/rewards/{name}": mean_of(column) for name, column in columns}
    return figures | {"eval/completions": float(len(rows))}


def _by_function(rows: list[Completion], names: list[str]) -> np.ndarray:
    return np.array([[one.rewards.by_function.get(n, np.nan) for n in names] for one in rows])


def _means(reward_NG: np.ndarray) -> np.ndarray:
    return np.array([mean_of(group) for group in reward_NG])
