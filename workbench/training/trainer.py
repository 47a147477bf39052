"""The training loop of GRPO (DeepSeekMath, arXiv 2402.03300, algorithm 1, lines 5 to 11), one
screen.

`Trainer.step` reads top to bottom: draw prompts, sample groups, reward, advantage,
log-probabilities, updates, record. Everything that it calls is a short function elsewhere. The
trainer owns the state; it prints nothing and knows no widget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.evaluation.accuracy import evaluate
from workbench.objective import group_advantages, update_metrics, updates_of
from workbench.policy.logprobs import completion_logps
from workbench.policy.policy import Policy, PolicyError
from workbench.policy.reference import Reference, costs_no_big_copy
from workbench.rewards import RewardSet, RewardTable, ShuffledRewards
from workbench.rollout import RolloutCancelled, make_engine, rest
from workbench.rollout.types import Rollout, Sampling
from workbench.runs.records import Evaluation, StepRecord
from workbench.runs.writer import RunWriter
from workbench.tasks.types import Problem, Task, columns_of
from workbench.training import checkpoints, record, state
from workbench.training.batch import Batch, loss_mask
from workbench.training.knobs import Knobs
from workbench.training.memory import explained
from workbench.training.optim import make_optimizer
from workbench.training.phases import Phases
from workbench.training.schedule import learning_rate_at
from workbench.training.update import accumulate_gradient, apply_gradient


class Trainer:
    """Trains `policy` on `task` with `rewards`; `run` keeps the record, `out/checkpoints` the
    checkpoints.

    Make one with `workbench.training.start_run`, which also resumes. After an exception inside
    `step` the weights are those of the last whole step unless `dirty` is set; then only a
    checkpoint leads back.
    """

    def __init__(
        self,
        policy: Policy,
        task: Task,
        rewards: RewardSet | ShuffledRewards,
        config: GRPOConfig,
        *,
        open_run: Callable[[], RunWriter],
        out: Path,
    ) -> None:
        """open_run: gives the record; called when all else stands, so that what cannot start leaves
        no record."""
        self.policy, self.task, self.rewards = policy, task, rewards
        self.knobs = Knobs(config, rewards.names)
        self.folder = Path(out) / "checkpoints"
        self._cancelled = False
        self.engine = make_engine(
            config.rollout_engine,
            policy.model,
            policy.eos_token_ids,
            policy.pad_token_id,
            config=config,
            should_stop=lambda: self._cancelled and not self.dirty,
        )  # the evaluation that ends a step is part of the step
        self.optimizer = make_optimizer(policy.trainable_parameters(), config)
        with explained("reference", config, policy.source):
            self.reference: Reference | None = (
                Reference(policy) if self.asks_reference(config) else None
            )
        self.run = open_run()
        self.generator = torch.Generator().manual_seed(config.seed)
        self.steps_done, self.cursor, self.dirty = 0, 0, False

    @property
    def config(self) -> GRPOConfig:
        """The config in force."""
        return self.knobs.config

    # ------------------------------------------------------------------------------------------------- the loop

    def step(self) -> StepRecord:
        """Make one step, record it, and save a checkpoint when one is due.

        Raises what a reward function or the NaN guard raised, and `OutOfMemory`.
        """
        if self.dirty:
            raise RuntimeError(
                f"step {self.steps_done + 1} was broken off after an update. Load a checkpoint: start_run(..., resume=True)."
            )
        start, knobs = self.generator.get_state(), self.knobs.snapshot()
        try:
            with explained(
                "record", self.config, self.policy.source
            ):  # what lies between the phases
                step = self._step()
        except BaseException as e:
            e.add_note(f"This was in step {self.steps_done + 1}.")
            self.optimizer.zero_grad(set_to_none=True)
            if not self.dirty:  # no update was made: the same step can be tried again
                self.generator.set_state(start)
                self.knobs.restore(knobs)
            raise
        if step.step % self.config.save_steps == 0 or step.step == self.config.max_steps:
            self.save()
        return step

    def _step(self) -> StepRecord:
        changes, config, number, phases = (
            self.knobs.take(),
            self.config,
            self.steps_done + 1,
            Phases(self.config, self.policy.source),
        )
        indices = self.task.draw(self.cursor, config.prompts_per_step, config.seed)
        problems = [self.task.train[i] for i in indices]

        with phases("rollout"):
            rollout = self.sample(problems, config)
            completions = record.text_of(self.policy, rollout)
            rest(self.engine)
        with phases("reward"):
            table = self.score(problems, completions, rollout, config, number)
            rewards_BK = torch.as_tensor(table.rewards_BK)
        advantages = group_advantages(rewards_BK, config)
        batch = Batch(
            rollout, advantages.advantage_B.to(self.policy.device), loss_mask(rollout, config)
        )
        with phases("logprobs"):
            self.add_old_and_reference(batch, config)
        with phases("update"):
            for group in self.optimizer.param_groups:
                group.update(lr=learning_rate_at(number, config), weight_decay=config.weight_decay)
            updates = []
            for rows in updates_of(config, self.policy.device):
                gradient = accumulate_gradient(self.policy, batch, rows, config, number)
                self.dirty = True
                updates.append(gradient | apply_gradient(self.policy, self.optimizer, config))

        self.refresh_reference(config, number)
        metrics = update_metrics(updates) | record.rollout_metrics(rollout)
        metrics |= record.reward_metrics(rewards_BK, table.names, advantages) | phases.metrics()
        metrics |= {"learning_rate": learning_rate_at(number, config)}
        due = (config.eval_steps and number % config.eval_steps == 0) or number == config.max_steps
        step = StepRecord(
            step=number,
            metrics=metrics,
            knobs=changes,
            tokens=record.tokens_of(batch),
            samples=record.samples_of(
                problems, indices, completions, rewards_BK, advantages, batch
            ),
            evaluations=[self.evaluate()] if due else [],
        )
        self.run.write_step(step)
        self.steps_done, self.cursor, self.dirty = (
            number,
            self.cursor + config.prompts_per_step,
            False,
        )
        return step

    def train(
        self,
        steps: int | None = None,
        *,
        on_step: Callable[[StepRecord], None] = lambda step: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Step until `max_steps`, or for `steps` more, or until `should_stop()`; ends with a
        checkpoint.

        A run that has come to `max_steps` is finished and its record closed.
        """
        last = (
            self.config.max_steps
            if steps is None
            else min(self.steps_done + steps, self.config.max_steps)
        )
        try:
            with suppress(RolloutCancelled):
                while self.steps_done < last and not should_stop():
                    on_step(self.step())
        finally:
            self.allow()
        if self.steps_done not in checkpoints.steps_in(self.folder):
            self.save()
        if self.steps_done >= self.config.max_steps and not self.run.closed:
            self.run.finish("finished")

    def cancel(self) -> None:
        """Break off the rollout in hand (from any thread): `train` then returns, at the last whole
        step."""
        self._cancelled = True

    def allow(self) -> None:
        """Take back a `cancel` that met no rollout."""
        self._cancelled = False

    # ---------------------------------------------------------------------------------------- the
    # parts of a step

    def sample(self, problems: Sequence[Problem], config: GRPOConfig) -> Rollout:
        """G completions for each problem, from the current weights."""
        prompts = [self._prompt(p, config) for p in problems]
        sampling = Sampling(
            config.max_completion_length, config.temperature, config.top_k, config.top_p
        )
        return self.engine.generate(prompts, config.num_generations, sampling, self.generator)

    def _prompt(self, problem: Problem, config: GRPOConfig) -> list[int]:
        ids = self.policy.encode_prompt(self.task.messages(problem))
        if config.max_prompt_length is not None and len(ids) > config.max_prompt_length:
            raise PolicyError(
                f"the prompt {problem.question[:60]!r} has {len(ids)} tokens, max_prompt_length is {config.max_prompt_length}. "
                "Raise max_prompt_length or leave such problems out; prompts are never cut."
            )
        return ids

    def score(
        self,
        problems: Sequence[Problem],
        completions: Sequence[str],
        rollout: Rollout,
        config: GRPOConfig,
        step: int,
    ) -> RewardTable:
        """The rewards of all completions, by function."""
        rows = [p for p in problems for _ in range(config.num_generations)]
        return self.rewards.score(
            prompts=[self.task.messages(p) for p in rows],
            completions=[[{"role": "assistant", "content": text}] for text in completions],
            completion_ids=rollout.completion_lists(),
            columns=columns_of(rows),
            step=step,
        )

    @torch.no_grad()
    def add_old_and_reference(self, batch: Batch, config: GRPOConfig) -> None:
        """Log-probabilities before the first update, where a later update needs them, and the
        reference's."""
        if not config.on_policy:
            batch.old_logp_BT = self._logps(batch.rollout, config)
        if self.asks_reference(config):
            if self.reference is None:
                self.reference = self._first_policy_as_reference()
            with self.reference.active():
                batch.ref_logp_BT = self._logps(batch.rollout, config)

    def asks_reference(self, config: GRPOConfig) -> bool:
        """True where the loss has a KL, or where one is measured without a second copy of a big
        model."""
        return config.beta > 0 or (config.measure_kl and costs_no_big_copy(self.policy))

    def _logps(self, rollout: Rollout, config: GRPOConfig) -> Tensor:
        rows = torch.arange(config.completions_per_step, device=self.policy.device)
        parts = rows.split(
            config.micro_batch_size or config.completions_per_step // config.updates_per_rollout
        )
        return torch.cat(
            [
                completion_logps(self.policy.model, rollout, part, config.temperature)[0]
                for part in parts
            ]
        )

    def refresh_reference(self, config: GRPOConfig, step: int) -> None:
        """Mix the policy into the reference when it is time to."""
        if (
            config.sync_ref_model
            and self.reference is not None
            and step % config.ref_model_sync_steps == 0
        ):
            self.reference.mix_in_policy(config.ref_model_mixup_alpha)

    def _first_policy_as_reference(self) -> Reference:
        """The policy as it was before the first step; needed when a KL is first asked for in
        mid-run."""
        return Reference(
            self.policy,
            None
            if self.policy.has_adapter
            else checkpoints.load(self.folder, 0).tensors["weights"],
        )

    def evaluate(self) -> Evaluation:
        """Greedy strict accuracy on the first `num_eval_problems` held-out problems."""
        problems = self.task.held_out[: self.config.num_eval_problems]
        with explained("evaluation", self.config, self.policy.source):
            return evaluate(
                self.engine,
                self.policy,
                self.task,
                problems,
                self.config.max_completion_length,
                batch_size=self.config.completions_per_step,
            )

    def save(self) -> Path:
        """Write a checkpoint of the last whole step; see `workbench.training.state`."""
        path = checkpoints.save(self.folder, state.checkpoint_of(self))
        checkpoints.prune(self.folder, self.config.save_total_limit)
        return path
