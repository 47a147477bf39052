"""Iterative GRPO, Algorithm 1 of DeepSeekMath (arXiv 2402.03300) to its last line.

    1   the policy begins as the initial one
    2   for each iteration:
    3       the reference becomes the policy as it is
    4       for each of M steps:                        (`ref_model_sync_steps`)
    5           a batch of prompts is drawn
    6           the old policy becomes the policy
    7           G answers are sampled for each prompt from the old policy
    8           the reward model scores each of them
    9           each token gets its advantage from its group
    10          for each of mu passes:                  (`num_iterations`)
    11              the policy is moved up the objective
    12      the reward model is trained further, with a tenth of old data

Lines 5 to 11 are a step of the trainer (`training/trainer.py`); this file has what frames them.
Labels for line 12 come from the task's gold answers, compared strictly. Deviations: the paper's
reward model learns from data that it does not describe; with rules alone as rewards there is
nothing to retrain, and only the reference is refreshed, which a warning says.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.config import ConfigWarning, GRPOConfig
from workbench.methods.base import Method, Scored
from workbench.methods.batch import Batch
from workbench.policy.policy import Policy
from workbench.rewards import Rewards, RewardSet
from workbench.rewards.model import (
    GoldScored,
    ModelReward,
    Outcome,
    Pair,
    RewardModel,
    RewardTraining,
    gold_scored,
    outcomes_of,
    pairs_of,
    retrain,
)


class IterativeGRPO(Method):
    """Coefficient: GRPO's, with the reward model and the reference of the iteration."""

    def __init__(self, policy: Policy, config: GRPOConfig, rewards: Rewards) -> None:
        super().__init__(policy, config, rewards)
        self.models: list[RewardModel] = [
            function.model for function in rewards.functions if isinstance(function, ModelReward)
        ]
        self.gold = RewardSet("answer")
        """Who labels them for line 12."""
        self.new: list[GoldScored] = []
        """The answers of this iteration, with their gold rewards."""
        self.old: list[GoldScored] = []
        """Those of all before it."""
        if not self.models:
            warnings.warn(
                "method='iterative_grpo' without a reward model among the rewards: the reference "
                "is refreshed, and nothing is retrained. Make one with `workbench reward train` "
                "and name it: --reward model:FOLDER.",
                ConfigWarning,
                stacklevel=3,
            )

    def end_step(self, batch: Batch, scored: Scored, config: GRPOConfig, step: int) -> None:
        self.figures = {}
        if not self.models:
            return
        self.new += gold_scored(scored.prompts(), scored.completions, scored.columns(), self.gold)
        # Line 4: the iteration has M steps.
        if step % config.ref_model_sync_steps:
            return
        # Line 12.
        for number, model in enumerate(self.models):
            new = examples_of(model.kind, self.new)
            if not new:
                # All answers of each problem were alike: there is no pair, and nothing to learn.
                continue
            losses = retrain(
                model,
                new,
                examples_of(model.kind, self.old),
                RewardTraining(learning_rate=config.reward_model_learning_rate, seed=step),
                share=config.replay_share,
            )
            self.figures[f"reward_model_loss_{number}" if number else "reward_model_loss"] = float(
                np.mean(losses)
            )
        self.old += self.new
        self.new = []
        # Line 3 of the next iteration is `Trainer.refresh_reference`, with ref_model_mixup_alpha=1.

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        files = {
            f"reward_model_{number}": dict(model.model.state_dict())
            for number, model in enumerate(self.models)
        }
        return files | {"answers": {"old": as_bytes(self.old), "new": as_bytes(self.new)}}

    def load(self, files: Mapping[str, dict[str, Tensor]]) -> None:
        for number, model in enumerate(self.models):
            model.model.load_state_dict(files[f"reward_model_{number}"])
        self.old = answers_in(files["answers"]["old"])
        self.new = answers_in(files["answers"]["new"])


def examples_of(kind: str, answers: list[GoldScored]) -> list[Pair] | list[Outcome]:
    """What a reward model of this kind learns from. Raises ValueError for another kind."""
    if kind == "pairs":
        return pairs_of(answers)
    if kind == "outcome":
        return outcomes_of(answers)
    raise ValueError(
        f"a reward model of kind {kind!r} cannot be retrained in a run: its labels are not those "
        "of whole answers. Take one of kind 'pairs' or 'outcome'."
    )


def as_bytes(answers: list[GoldScored]) -> Tensor:
    """The answers as a tensor, since a checkpoint holds tensors."""
    rows = [[a.problem, a.messages, a.completion, a.gold] for a in answers]
    return torch.frombuffer(bytearray(json.dumps(rows).encode()), dtype=torch.uint8)


def answers_in(kept: Tensor) -> list[GoldScored]:
    """What `as_bytes` was given."""
    rows: list[Any] = json.loads(kept.numpy().tobytes())
    return [
        GoldScored(problem, tuple(messages), text, gold) for problem, messages, text, gold in rows
    ]
