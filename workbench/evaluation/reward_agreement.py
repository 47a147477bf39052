"""How a reward model goes stale: of the completions that a run recorded, step by step, how often it
ranks two of one problem as the gold reward does.

A model is right about what it was trained on. As the policy moves, its completions become others:
where the agreement falls from its first steps', the model is asked about what it does not know, and
wants retraining (line 12 of Algorithm 1 of DeepSeekMath).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import WorkbenchError
from workbench.evaluation.estimators import Estimate, wilson_interval
from workbench.rewards import RewardSet
from workbench.rewards.functions import as_messages
from workbench.rewards.model import RewardModel
from workbench.runs import Run
from workbench.tasks.types import Message

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 500
"""Bootstrap samples of a step's groups."""


class AgreementError(WorkbenchError, ValueError):
    """A run whose record does not tell how a reward model ranks."""


@dataclass(frozen=True)
class StepAgreement:
    """One recorded step."""

    step: int
    agreement: Estimate
    """Share of the pairs that the model ranks as the gold reward does, a tie a half; n counts the
    groups that have such a pair. NaN where none has."""
    pairs: int
    """Pairs of one group with different gold rewards."""
    proxy: float
    """The model's mean reward."""
    gold: float
    """The mean gold reward."""


def reward_model_agreement(
    run: Run,
    model: RewardModel | str,
    *,
    gold: str | RewardSet = "answer",
    steps: Sequence[int] | None = None,
    system_prompt: str | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[StepAgreement]:
    """The agreement on the completions of each recorded step (or of `steps`).

    `model` is a reward model, which scores the recorded completions anew, or the name of a reward
    that the run recorded. `gold` likewise: the name of a recorded reward ("answer_reward"), or a
    reward (set) that is computed from the recorded gold answers. `system_prompt` stands before each
    question, as the task's does: a model is to be asked what it was trained on. A record keeps
    completions of those steps that `Run.samples` gives; others are left out. Raises
    `AgreementError` where nothing is left.
    """
    asked = range(1, run.last_step() + 1) if steps is None else steps
    found: list[StepAgreement] = []
    for done, step in enumerate(asked):
        samples = run.samples(step)
        if len(samples):
            proxy_B = _proxy(samples, model, system_prompt)
            gold_B = _gold(samples, gold)
            found.append(_agreement(step, samples["group"].to_numpy(), proxy_B, gold_B, seed))
        on_progress(done + 1, len(asked))
    if not found:
        raise AgreementError(
            f"run {run.meta.name!r} has kept the completions of none of these steps, so that "
            "nothing can be ranked. Choose steps whose samples were kept (Run.samples(step))."
        )
    return found


def _proxy(samples: pd.DataFrame, model: RewardModel | str, system: str | None) -> np.ndarray:
    if isinstance(model, str):
        return _recorded(samples, model)
    before: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    messages = [[*before, {"role": "user", "content": prompt}] for prompt in samples["prompt"]]
    scores: np.ndarray = model.scores(messages, list(samples["completion"])).numpy().astype(float)
    return scores


def _gold(samples: pd.DataFrame, gold: str | RewardSet) -> np.ndarray:
    if isinstance(gold, str) and f"rewards/{gold}" in samples:
        return _recorded(samples, gold)
    rewards = gold if isinstance(gold, RewardSet) else RewardSet(gold)
    table = rewards.score(
        prompts=[[{"role": "user", "content": prompt}] for prompt in samples["prompt"]],
        completions=as_messages(samples["completion"]),
        columns={"answer": list(samples["gold_answer"])},
        step=0,
    )
    return table.total_B(rewards.weights).astype(float)


def _recorded(samples: pd.DataFrame, name: str) -> np.ndarray:
    column = f"rewards/{name}"
    if column not in samples:
        known = [c.removeprefix("rewards/") for c in samples if str(c).startswith("rewards/")]
        raise AgreementError(
            f"the run recorded no reward {name!r}. It recorded {', '.join(known)}; a reward model "
            "is loaded with load_reward_model(FOLDER)."
        )
    values: np.ndarray = samples[column].to_numpy(float)
    return values


def _agreement(
    step: int, group_B: np.ndarray, proxy_B: np.ndarray, gold_B: np.ndarray, seed: int
) -> StepAgreement:
    counts = []
    for group in np.unique(group_B):
        inside = group_B == group
        counts.append(ranked_alike(proxy_B[inside], gold_B[inside]))
    alike_N = np.array([alike for alike, _ in counts])
    pairs_N = np.array([pairs for _, pairs in counts])
    return StepAgreement(
        step=step,
        agreement=_estimate(alike_N[pairs_N > 0], pairs_N[pairs_N > 0], seed),
        pairs=int(pairs_N.sum()),
        proxy=_mean(proxy_B),
        gold=_mean(gold_B),
    )


def ranked_alike(proxy_G: np.ndarray, gold_G: np.ndarray) -> tuple[float, int]:
    """Of the pairs of a group with different gold rewards, how many the other ranks alike (a tie
    counts a half), and how many there are. What was not scored (NaN) is in no pair."""
    known = ~(np.isnan(proxy_G) | np.isnan(gold_G))
    gold_GG = np.sign(gold_G[known][:, None] - gold_G[known])
    proxy_GG = np.sign(proxy_G[known][:, None] - proxy_G[known])
    better_GG = gold_GG > 0
    alike = ((proxy_GG > 0) + 0.5 * (proxy_GG == 0))[better_GG].sum()
    return float(alike), int(better_GG.sum())


def _estimate(alike_N: np.ndarray, pairs_N: np.ndarray, seed: int) -> Estimate:
    """The share over all pairs; its interval by groups drawn anew."""
    n = len(pairs_N)
    if n == 0:
        return Estimate(math.nan, 0.0, 1.0, 0)
    rows_DN = np.random.default_rng(seed).integers(0, n, (DRAWS, n))
    drawn = alike_N[rows_DN].sum(1) / pairs_N[rows_DN].sum(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = float(alike_N.sum() / pairs_N.sum())
    # One group, or groups that are all alike, do not prove that the next one is so, too.
    if low == high:
        low, high = wilson_interval(value * n, n)
    return Estimate(value, float(low), float(high), n)


def _mean(values_B: np.ndarray) -> float:
    known = values_B[~np.isnan(values_B)]
    return float(known.mean()) if len(known) else math.nan


def as_columns(found: Sequence[StepAgreement]) -> dict[str, list[Any]]:
    """By column, for a table or a chart: step, agreement, low, high, n, pairs, proxy, gold."""
    return {
        "step": [one.step for one in found],
        "agreement": [one.agreement.value for one in found],
        "low": [one.agreement.low for one in found],
        "high": [one.agreement.high for one in found],
        "n": [one.agreement.n for one in found],
        "pairs": [one.pairs for one in found],
        "proxy": [one.proxy for one in found],
        "gold": [one.gold for one in found],
    }
