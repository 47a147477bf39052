"""What a branch has come to: the same held-out problems, asked in the same way after each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.config import GRPOConfig
from workbench.evaluation.accuracy import greedy_accuracy
from workbench.objective.kl import kl_per_token
from workbench.policy.logprobs import completion_logps
from workbench.policy.pieces import pieces_of
from workbench.rewards.functions import as_messages
from workbench.rewards.watchdog import WATCH_FILE
from workbench.rollout.types import Rollout, Sampling
from workbench.tasks.types import Problem, columns_of
from workbench.training import record
from workbench.training.reward_effects import torch_settings_kept
from workbench.training.tornado.branch import BranchTrainer

PROBLEMS = 128
"""Held-out problems that are asked after each branch: the first of the split."""


@dataclass(frozen=True)
class Ruler:
    """Measures a policy in the same way whatever the branch has changed: its sampling settings,
    reward weights and random numbers are those of the run that was branched from."""

    config: GRPOConfig
    problems: Sequence[Problem]
    step: int
    """What reward functions are told that the step is."""

    def measure(self, trainer: BranchTrainer) -> dict[str, float]:
        """Reward, KL (where the run measures one), entropy and accuracy of the policy now."""
        totals: list[np.ndarray] = []
        sums = {"kl": 0.0, "entropy": 0.0}
        tokens = 0
        at_once = self.config.completions_per_step
        generator = torch.Generator().manual_seed(self.config.seed)
        for start in range(0, len(self.problems), at_once):
            part = self.problems[start : start + at_once]
            rollout = self._sample(trainer, part, generator)
            totals.append(self._reward_B(trainer, part, rollout))
            counted = self._sums(trainer, rollout)
            tokens += int(counted.pop("tokens"))
            for name, value in counted.items():
                sums[name] += value
        known_B = np.concatenate(totals)
        known_B = known_B[~np.isnan(known_B)]
        # Without a score, or an answer that could be compared in time, there is no such measure.
        measured = {"reward": float(known_B.mean())} if len(known_B) else {}
        if trainer.asks_reference(self.config):
            measured["kl"] = sums["kl"] / max(tokens, 1)
        measured["entropy"] = sums["entropy"] / max(tokens, 1)
        return measured | self._accuracy(trainer)

    def _sample(
        self, trainer: BranchTrainer, problems: Sequence[Problem], generator: torch.Generator
    ) -> Rollout:
        config = self.config
        prompts = [trainer.policy.encode_prompt(trainer.task.messages(p)) for p in problems]
        sampling = Sampling(
            config.max_completion_length, config.temperature, config.top_k, config.top_p
        )
        rollout = trainer.engine.generate(prompts, 1, sampling, generator)
        trainer.engine.release_between_rollouts()
        return rollout

    def _reward_B(
        self, trainer: BranchTrainer, problems: Sequence[Problem], rollout: Rollout
    ) -> np.ndarray:
        messages = [trainer.task.messages(problem) for problem in problems]
        with torch_settings_kept(trainer.rewards.names):
            table = trainer.rewards.score(
                prompts=messages,
                completions=as_messages(record.text_of(trainer.policy, rollout, messages)),
                completion_ids=rollout.completion_lists(),
                columns=columns_of(problems),
                step=self.step,
                timeout=self.config.reward_timeout,
                should_stop=trainer.is_cancelled,
                watch_file=trainer.out / WATCH_FILE,
            )
        return table.total_B(self.config.reward_weights)

    @torch.no_grad()
    def _sums(self, trainer: BranchTrainer, rollout: Rollout) -> dict[str, float]:
        """KL and entropy summed over the sampled tokens, and how many there are."""
        sums = {"kl": 0.0, "entropy": 0.0, "tokens": int(rollout.mask_BT.sum())}
        model = trainer.policy.model
        temperature = self.config.temperature
        for part in pieces_of(model, rollout, self.config):
            # What stands on padding is 0 in all of these.
            logp_RT, entropy_RT = completion_logps(model, rollout, part, temperature)
            sums["entropy"] += float(entropy_RT.cpu().double().sum())
            if trainer.asks_reference(self.config):
                with trainer.reference_active():
                    ref_logp_RT, _ = completion_logps(model, rollout, part, temperature)
                sums["kl"] += float(kl_per_token(logp_RT, ref_logp_RT).cpu().double().sum())
        return sums

    def _accuracy(self, trainer: BranchTrainer) -> dict[str, float]:
        found = greedy_accuracy(
            trainer.engine,
            trainer.policy,
            trainer.task,
            self.problems,
            self.config.max_completion_length,
            batch_size=self.config.completions_per_step,
        )
        return {"accuracy": found.correct / found.n} if found.n else {}
