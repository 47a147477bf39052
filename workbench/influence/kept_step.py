"""A step of the record, ready to be made again: tokens behind their prompts, advantages, old and
reference log-probabilities, and the loss of its method."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.config import ConfigWarning, GRPOConfig
from workbench.evaluation.prompts import encode_prompt
from workbench.influence.result import InfluenceError
from workbench.methods import Batch, Method, Scored, loss_mask
from workbench.methods.dpo import DPO
from workbench.objective import group_advantages, updates_of
from workbench.policy.policy import Policy
from workbench.rewards import RewardSet
from workbench.rewards.watchdog import WATCH_FILE
from workbench.rollout.request import left_pad
from workbench.rollout.types import Rollout
from workbench.runs import Run
from workbench.tasks.types import Problem, Task
from workbench.training.same_run import TRAIN


@dataclass(frozen=True)
class KeptStep:
    """A step of the record, ready to be made again."""

    number: int
    config: GRPOConfig
    """In force at the step."""
    learning_rate: float
    batch: Batch
    method: Method
    recorded_logp_BT: Tensor
    """The policy's when each row was last used; NaN where it was skipped."""

    def updates(self) -> list[Tensor]:
        """The rows of each update, in order."""
        return updates_of(self.config, self.batch.loss_mask_BT.device)


def config_at(run: Run, step: int) -> GRPOConfig:
    """The config in force at a step, without the warnings, which were given when it was trained."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        return GRPOConfig.from_dict(run.config_at(step))


def kept_step(run: Run, policy: Policy, task: Task, step: int) -> KeptStep:
    """From the record, with the prompts of `task` as `policy` reads them. Raises
    `RunRecordError`, `InfluenceError` where something of it was not kept."""
    stored = run.batch(step)
    samples = run.samples(step)
    config = config_at(run, step)
    _check_kept(stored, config, step)
    device = policy.device
    firsts = samples.groupby("group", sort=True)["problem_id"].first()
    problems = [problem_of(task, problem_id) for problem_id in firsts]
    rollout = _rollout(policy, task, problems, stored, config)

    def known(name: str) -> Tensor | None:
        values = stored.get(f"{name}_BT")
        return None if values is None else torch.as_tensor(values, device=device)

    advantages = known("advantage")
    if advantages is None:
        advantages = torch.as_tensor(stored["advantages_B"]).float().to(device)
    batch = Batch(
        rollout,
        advantages,
        loss_mask(rollout, config),
        sampler_logp_BT=known("sampler_logp"),
        old_logp_BT=known("old_logp"),
        ref_logp_BT=known("ref_logp"),
    )
    # As they were compared in training; the record's float64 are the same numbers.
    rewards_BK = torch.as_tensor(stored["rewards_BK"]).float()
    scored = Scored(
        task=task,
        problems=[p for p in problems for _ in range(rollout.num_generations)],
        completions=samples["completion"].tolist(),
        functions=rewards_BK.shape[1],
        advantages=group_advantages(rewards_BK, config),
        step=step,
        # No reward function is called here that could be broken off.
        should_stop=lambda: False,
        watch_file=run.path.parent / WATCH_FILE,
    )
    rate = run.steps(since=step - 1, columns=["learning_rate"])["learning_rate"].iloc[0]
    return KeptStep(
        number=step,
        config=config,
        learning_rate=float(rate),
        batch=batch,
        method=_method(policy, config, batch, scored),
        recorded_logp_BT=torch.as_tensor(stored["logp_BT"]),
    )


def _check_kept(stored: Mapping[str, Any], config: GRPOConfig, step: int) -> None:
    asks = ["logp"]
    if not config.on_policy or config.method_facts.asks_old:
        asks.append("old_logp")
    if config.beta > 0 or config.method_facts.asks_reference:
        asks.append("ref_logp")
    missing = [name for name in asks if f"{name}_BT" not in stored]
    if missing:
        raise InfluenceError(
            f"step {step}: {', '.join(missing)} of its tokens were not kept, so the step cannot be "
            "made again. Choose a step of a run that the workbench trained."
        )


def problem_of(task: Task, problem_id: str) -> Problem:
    """The problem of the task that a record calls `train/INDEX`."""
    index = str(problem_id).removeprefix(TRAIN)
    if not index.isdecimal() or int(index) >= len(task.train):
        raise InfluenceError(
            f"the record asked problem {str(problem_id)[:60]!r}, which the task {task.name!r} does "
            "not have. Give the run's own with task=TASK."
        )
    return task.train[int(index)]


def _rollout(
    policy: Policy,
    task: Task,
    problems: list[Problem],
    stored: Mapping[str, Any],
    config: GRPOConfig,
) -> Rollout:
    """The completions behind their prompts, padded as the engines do."""
    prompts = [encode_prompt(policy, task, p, config.max_prompt_length) for p in problems]
    prompt_ids_NP, prompt_mask_NP = left_pad(prompts, policy.pad_token_id, policy.device)
    mask_BT = torch.as_tensor(stored["mask_BT"], device=policy.device)
    ids_BT = torch.as_tensor(stored["ids_BT"], device=policy.device).long()
    sampler_BT = stored.get("sampler_logp_BT")
    if sampler_BT is None:
        sampler_BT = torch.full(mask_BT.shape, torch.nan)
    return Rollout(
        prompt_ids_NP=prompt_ids_NP,
        prompt_mask_NP=prompt_mask_NP,
        completion_ids_BT=ids_BT.masked_fill(~mask_BT, policy.pad_token_id),
        mask_BT=mask_BT,
        sampler_logp_BT=torch.as_tensor(sampler_BT, device=policy.device),
        truncated_B=torch.as_tensor(stored["truncated_B"], device=policy.device),
        num_generations=int(stored["num_generations"]),
    )


def _method(policy: Policy, config: GRPOConfig, batch: Batch, scored: Scored) -> Method:
    """What gives the loss. The recorded advantages hold what a method's `credit` had said, so that
    the base class serves all but the one whose loss is of pairs."""
    # Asked for by every method, and called by none after the rollout.
    no_rewards = RewardSet(["format"])
    if not config.method_facts.of_pairs:
        return Method(policy, config, no_rewards)
    pairs = DPO(policy, config, no_rewards)
    # Its pairs are made there, from the rewards of the group.
    pairs.credit(batch, scored, config)
    return pairs
