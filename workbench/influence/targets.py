"""What moved most in a step: completions, or tokens of one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workbench.influence.files import Question
from workbench.influence.gradients import Weights
from workbench.influence.kept_step import KeptStep
from workbench.influence.result import InfluenceError


@dataclass(frozen=True)
class Target:
    """A completion that moved, or one token of it."""

    row: int
    position: int = -1
    """-1: the whole completion."""

    def weights(self, mask_T: Tensor) -> Weights:
        """What its log-probability is a sum of; `mask_T` is True on the tokens of the row."""
        if self.position < 0:
            return Weights(mask_T.float())
        only_T = torch.zeros_like(mask_T, dtype=torch.float32)
        only_T[self.position] = 1.0
        return Weights(only_T)


def targets_of(question: Question, step: KeptStep, moved_BT: Tensor) -> list[Target]:
    """The completions or tokens of a question. Raises `InfluenceError` for one that is not
    there."""
    moved_B = moved_BT.sum(1).cpu().numpy()
    if question.rows is None:
        rows = distinct_movers(step, moved_B)[: question.count]
    else:
        rows = list(question.rows)
        if not rows or not all(0 <= row < len(moved_B) for row in rows):
            raise InfluenceError(
                f"completion={rows}: step {step.number} has completions 0 to {len(moved_B) - 1}. "
                "Name one or more of these."
            )
    if not question.tokens:
        return [Target(row) for row in rows]
    length = int(step.batch.rollout.lengths_B[rows[0]])
    by_size = moved_BT[rows[0], :length].abs().argsort(descending=True, stable=True)
    # In the order of the text, which is how they are read.
    return [Target(rows[0], position) for position in sorted(by_size[: question.count].tolist())]


def distinct_movers(step: KeptStep, moved_B: np.ndarray) -> list[int]:
    """Rows by how far they moved, farthest first; of equal answers to one prompt the first."""
    rollout = step.batch.rollout
    answers = [tuple(ids) for ids in rollout.completion_lists()]
    seen = set()
    rows = []
    for row in np.argsort(-np.abs(moved_B), kind="stable").tolist():
        key = (row // rollout.num_generations, answers[row])
        if key not in seen:
            seen.add(key)
            rows.append(row)
    return rows
