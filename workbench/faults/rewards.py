"""Mistakes in what is asked and what is paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from workbench.config import GRPOConfig
from workbench.faults.base import Fault, FaultError, Patient
from workbench.rewards import RewardTable
from workbench.tasks.types import Problem, Task


class LeakedGold(Fault):
    """The gold answer stands in the prompt.

    Had by: ucbepic/DataAgentBench#56 (a "hint" line that held the gold in 79 of 270 trials). One
    sees training reward and held-out accuracy rise together and quickly: the policy learns to copy,
    and every figure looks fine.
    """

    name = "leaked_gold"
    reports = ("ucbepic/DataAgentBench#56",)
    finding_keys = ("gold_in_prompt",)

    def asked(self, task: Task) -> Task:
        """The task with each answer behind its question."""
        return replace(
            task,
            train=[_with_answer(problem) for problem in task.train],
            held_out=[_with_answer(problem) for problem in task.held_out],
        )


def _with_answer(problem: Problem) -> Problem:
    hint = f" (answer: {problem.answer})"
    # A branch is given a task that has it already.
    if problem.question.endswith(hint):
        return problem
    return replace(problem, question=problem.question + hint)


class RewardAlwaysOne(Fault):
    """The last reward function, which checks the answer, pays 1 whatever it is given.

    Had by: huggingface/open-r1#293 and #86 (1 where the gold could not be parsed). One sees a
    reward that begins high, groups that differ in form alone, and an accuracy that does not follow.
    """

    name = "reward_always_one"
    reports = ("huggingface/open-r1#293", "huggingface/open-r1#86")
    finding_keys = ("answer_not_checked", "rewards_all_equal")

    def rewarded(
        self, table: RewardTable, completion_ids: Sequence[Sequence[int]], trainer: Patient
    ) -> RewardTable:
        """The table with ones in its last column."""
        rewards_BK = table.rewards_BK.copy()
        rewards_BK[:, -1] = 1.0
        return replace(table, rewards_BK=rewards_BK)


class SwappedGroups(Fault):
    """Rewards in the order "every prompt once, G times over" are read as "G times each prompt", so
    that each completion gets another prompt's reward.

    Had by: PeterGriffinJin/Search-R1#88 (group indices), huggingface/trl#3098 and #5030 (asked
    about). One sees a reward of the usual size that does not rise, as in a control run.
    """

    name = "swapped_groups"
    reports = (
        "PeterGriffinJin/Search-R1#88",
        "huggingface/trl#3098",
        "huggingface/trl#5030",
    )
    finding_keys = ("rewards_swapped",)

    def check(self, config: GRPOConfig) -> None:
        """With one prompt both orders are the same."""
        if config.prompts_per_step == 1:
            raise FaultError(
                f"fault={self.name!r} has no effect with prompts_per_step=1: all rewards are "
                "of one prompt. Set prompts_per_step=4."
            )

    def rewarded(
        self, table: RewardTable, completion_ids: Sequence[Sequence[int]], trainer: Patient
    ) -> RewardTable:
        """The rows in the other order."""
        group = trainer.config.num_generations
        order_B = np.arange(len(table.rewards_BK)).reshape(-1, group).T.ravel()
        return replace(table, rewards_BK=table.rewards_BK[order_B])


class TruncatedRight(Fault):
    """A completion that was cut off counts as right: every function pays it 1.

    Had by: whitecircle/halo#8 (a fragment trained as if it had ended by itself). One sees
    completions grow to the limit while the reward rises.
    """

    name = "truncated_right"
    reports = ("whitecircle/halo#8",)
    finding_keys = ("truncated_paid",)
    needs = {"max_completion_length": 22}  # noqa: RUF012

    def rewarded(
        self, table: RewardTable, completion_ids: Sequence[Sequence[int]], trainer: Patient
    ) -> RewardTable:
        """The table with ones in the rows that have no end token."""
        ends = set(trainer.policy.eos_token_ids)
        cut_B = np.array([not ids or ids[-1] not in ends for ids in completion_ids])
        rewards_BK = table.rewards_BK.copy()
        rewards_BK[cut_B] = 1.0
        return replace(table, rewards_BK=rewards_BK)
