"""The training loop of GRPO (DeepSeekMath, arXiv 2402.03300, algorithm 1, lines 5 to 11), one
screen.

`Trainer.step` reads top to bottom: draw prompts, sample groups, reward, advantage,
log-probabilities, updates, record. Everything that it calls is a short function elsewhere. The
trainer owns its state: others read it, and change it only through `snapshot`, `restore`,
`take_back`, `continue_record`, `replace_parts` and the knobs. It prints nothing and knows no
widget.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from workbench.config import GRPOConfig
from workbench.config.schedule import learning_rate_at
from workbench.evaluation.accuracy import greedy_accuracy
from workbench.evaluation.prompts import encode_prompt
from workbench.evaluation.recorded import sampled_evaluations
from workbench.faults import Fault
from workbench.methods import Batch, Scored, loss_mask, make_method
from workbench.methods.sft import demonstrations
from workbench.objective import (
    Advantages,
    EntropyControl,
    group_advantages,
    update_metrics,
    updates_of,
)
from workbench.policy import apart
from workbench.policy.logprobs import logps_in_parts
from workbench.policy.optim import load_optimizer, make_optimizer, optimizer_tensors
from workbench.policy.packing import shares_prompts
from workbench.policy.past_weights import PastWeights
from workbench.policy.policy import Policy
from workbench.policy.reference import Reference, costs_no_big_copy
from workbench.rewards import Rewards, RewardTable, ScoringCancelledError
from workbench.rewards.functions import as_messages
from workbench.rewards.watchdog import WATCH_FILE
from workbench.rollout import RolloutCancelledError, make_engine
from workbench.rollout.native import NativeEngine, shares_decoding
from workbench.rollout.types import Rollout, Sampling
from workbench.runs.sampled_evaluation import SampledEvaluation
from workbench.runs.step_record import Evaluation, StepRecord
from workbench.runs.store.writer import RunWriter
from workbench.tasks.curriculum import PassRates
from workbench.tasks.types import Problem, Task, columns_of
from workbench.training import checkpoints, random_state, record
from workbench.training.checkpoints import Checkpoint
from workbench.training.dynamic_sampling import Groups, dead_places, live_places
from workbench.training.in_hand import InHand
from workbench.training.knobs import Knobs
from workbench.training.out_of_memory import explain_out_of_memory
from workbench.training.phases import Phases
from workbench.training.reward_effects import torch_settings_kept
from workbench.training.truth import facts_of
from workbench.training.update import accumulate_gradient, apply_gradient


class Trainer:
    """Trains `policy` on `task` with `rewards`; `run` keeps the record, `out/checkpoints` the
    checkpoints.

    Make one with `workbench.training.start_run`, which also resumes. After an exception inside
    `step` the weights are those of the last whole step unless `dirty` is set; then only a
    checkpoint leads back.
    """

    steps_done: int
    """Whole steps made."""
    cursor: int
    """Problems drawn so far, the place in the task's shuffled order."""
    dirty: bool
    """True between a step's first update and its record: the weights belong to no whole step."""
    unrecorded: StepRecord | None
    """A step that was made whole and could not be recorded: `save_copy` still can."""
    in_hand: InHand
    """What the step that is being made has come to, for whoever watches."""
    processes = 1
    """How many processes make a step together (see `workbench.training.shared`)."""

    def __init__(
        self,
        policy: Policy,
        task: Task,
        rewards: Rewards,
        config: GRPOConfig,
        *,
        open_run: Callable[[], RunWriter],
        out: Path,
        fault: Fault | None = None,
    ) -> None:
        """open_run: gives the record; called when all else stands, so that what cannot start leaves
        no record. fault: a mistake to make on purpose (see `workbench.faults`)."""
        self.policy = policy
        self.task = task
        self.rewards = rewards
        self.knobs = Knobs(config, rewards.names)
        self.out = Path(out).absolute()
        self.folder = self.out / "checkpoints"
        self.steps_done = 0
        self.cursor = 0
        self._next_cursor = 0
        self.pass_rates = PassRates.none_yet(len(task.train))
        self.entropy = EntropyControl(config.entropy_coef)
        self.past = PastWeights(policy, config.rollout_staleness)
        self.dirty = False
        self.unrecorded = None
        self.in_hand = InHand(policy.text_of)
        # An event, because a trainer that borrows this one's engine is broken off by the same call.
        self._cancelled = threading.Event()
        self.engine = make_engine(
            config.rollout_engine,
            policy.model,
            policy.eos_token_ids,
            policy.pad_token_id,
            config=config,
            # The evaluation that ends a step is part of the step, and is never broken off.
            should_stop=lambda: self._cancelled.is_set() and not self.dirty,
        )
        if isinstance(self.engine, NativeEngine):
            self.engine.on_look = self.in_hand.looked
        self.optimizer = make_optimizer(policy.trainable_parameters(), config)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.reference: Reference | None = None
        if self.asks_reference(config):
            with explain_out_of_memory("reference", config, policy.source):
                self.reference = Reference(policy)
        # "critic" or "teacher", where the method has one.
        beside = [name for name in config.method_facts.models if name != "reference"]
        with explain_out_of_memory((beside or ["method"])[0], config, policy.source):
            self.method = make_method(policy, config, rewards)
        self.fault = fault
        if fault is not None:
            fault.install(self)
        # Last: whatever could not start has raised by now, and leaves no record behind.
        self.run = open_run()
        # What serves need not be what the config asks for, and the record says which it was.
        self.run.add_to_environment(
            rollout_engine=self.engine.name,
            processes=self.processes,
            shared_prompts=shares_prompts(policy.model),
            shared_decoding=shares_decoding(self.engine),
            attention_apart=apart.reason_against(policy.model) is None,
            # Completions are recorded as whole messages: so much of each the template wrote.
            opened_answer=policy.opened(task.messages(task.train[0])),
            **facts_of(policy, task),
            **({} if fault is None else {"fault": fault.spec}),
        )

    def replace_parts(
        self, *, task: Task, rewards: Rewards, engine: Any, method: Any, trainer_class: type
    ) -> None:
        """Go on with other parts, which a fault has put its wrappers around, and with the steps of
        a subclass."""
        self.task = task
        self.rewards = rewards
        self.engine = engine
        self.method = method
        self.__class__ = trainer_class

    @property
    def config(self) -> GRPOConfig:
        """The config in force."""
        return self.knobs.config

    @property
    def own_engine(self) -> Any:
        """The engine of this process, for whoever moves the weights in this process alone."""
        return self.engine

    # --------------------------------------------------------------------------------- the loop

    def step(self) -> StepRecord:
        """Make one step, record it, and save a checkpoint when one is due.

        Raises what a reward function or the NaN guard raised, and `OutOfMemoryError`.
        """
        if self.dirty:
            raise RuntimeError(
                f"step {self.steps_done + 1} was broken off after an update. Load a checkpoint: "
                "start_run(..., resume=True)."
            )
        # Before the work, which would be for nothing.
        self.run.check_in_place()
        generator_before = self.generator.get_state()
        knobs_before = self.knobs.snapshot()
        try:
            # "record" is the name of all that lies between the named phases.
            with explain_out_of_memory("record", self.config, self.policy.source):
                step = self._step()
        except BaseException as e:
            e.add_note(f"This was in step {self.steps_done + 1}.")
            self.optimizer.zero_grad(set_to_none=True)
            if not self.dirty:
                # No update was made: the same step can be tried again, with the same numbers.
                self.generator.set_state(generator_before)
                self.knobs.restore(knobs_before)
            raise
        finally:
            self.in_hand.leave()
        # After the record, which no checkpoint may be ahead of.
        if step.step % self.config.save_steps == 0 or step.step == self.config.max_steps:
            self.save()
        return step

    def _step(self) -> StepRecord:
        # Knobs move here and nowhere else, so that one config holds for the whole step.
        changes = self.knobs.take()
        config = self.config
        number = self.steps_done + 1
        phases = Phases(config, self.policy.source, self.in_hand.enter)
        groups, advantages, next_cursor, seen = self.draw(config, number, phases)
        problems, completions, table = groups.problems, groups.completions, groups.table
        rollout = groups.rollout
        rewards_BK = torch.as_tensor(table.rewards_BK)
        batch = self.batch_of(rollout, advantages, config)
        # Before the first update: the old policy is the one that made the rollout.
        with phases("logprobs"):
            self.add_old_and_reference(batch, config)
            scored = self.scored(problems, completions, table, advantages)
            batch.advantages = self.credit(batch, scored, config)
        with phases("update"):
            # Set anew in every step: knobs may have moved both, and the schedule goes by the step's
            # number.
            for group in self.optimizer.param_groups:
                group.update(lr=learning_rate_at(number, config), weight_decay=config.weight_decay)
            updates = []
            self.past.keep(number)
            for rows in updates_of(config, self.policy.device):
                gradient = self.gradient(batch, rows, self.entropy.in_force(config), number)
                # Only now: until the gradient is whole no weight has moved, and the step can be
                # tried again.
                self.dirty = True
                moved = self.move(config)
                updates.append(gradient | moved | self.method.learn(batch, rows, config))
                self.entropy = self.entropy.after(gradient, config)

        # After the updates: what is mixed in is the policy of this step.
        self.refresh_reference(config, number)
        self.method.end_step(batch, scored, config, number)
        metrics = update_metrics(updates) | record.rollout_metrics(rollout)
        metrics |= record.reward_metrics(rewards_BK, table.names, advantages) | phases.metrics()
        metrics |= self.method.figures | {"learning_rate": learning_rate_at(number, config)}
        metrics |= self.entropy.figures(config)
        if config.max_resample > 0:
            metrics |= {"prompts_drawn": float(next_cursor - self.cursor)}
        # What reward functions counted comes last, where there is no room for all; a name of the
        # record's own keeps its meaning.
        metrics |= {name: v for name, v in table.metrics.items() if name not in metrics}
        step = StepRecord(
            step=number,
            metrics=metrics,
            knobs=changes,
            tokens=record.tokens_of(batch) if config.keeps_tokens(number) else None,
            samples=record.samples_of(
                problems, groups.indices, completions, rewards_BK, advantages, batch
            ),
            evaluations=self.evaluations_after(number),
            sampled_evaluations=self.evaluate_with_samples(number),
        )
        # The record comes first: a step that it does not hold has not been made.
        self.unrecorded = step
        self._next_cursor = next_cursor
        # Of all that were drawn, the groups that made place for others too.
        for drawn in seen if config.curriculum == "pass_rate" else []:
            self.pass_rates = self.pass_rates.after(drawn.indices, drawn.right_NG(config))
        self.write(step)
        self.steps_done = number
        self.cursor = next_cursor
        self.dirty = False
        self.unrecorded = None
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
        last = self.config.max_steps
        if steps is not None:
            last = min(self.steps_done + steps, last)
        try:
            # A rollout or a scoring that was broken off ends the training as a stop does: at the
            # last whole step.
            with suppress(RolloutCancelledError, ScoringCancelledError):
                while self.steps_done < last and not should_stop():
                    on_step(self.step())
        finally:
            self.allow()
        if self.steps_done not in checkpoints.steps_in(self.folder):
            self.save()
        if self.steps_done >= self.config.max_steps and not self.run.closed:
            self.run.finish("finished")

    def cancel(self) -> None:
        """Break off the rollout or the reward in hand (from any thread): `train` then returns, at
        the last whole step."""
        self._cancelled.set()

    def allow(self) -> None:
        """Take back a `cancel` that met neither."""
        self._cancelled.clear()

    # ----------------------------------------------------------------------- the parts of a step

    def draw(
        self, config: GRPOConfig, step: int, phases: Phases
    ) -> tuple[Groups, Advantages, int, list[Groups]]:
        """The step's groups, what each completion is worth in them, where the next step draws from,
        and all that was drawn. With max_resample dead groups make place for others, so many times
        at most."""
        cursor = self.cursor + config.prompts_per_step
        groups = self.groups(self.cursor, config.prompts_per_step, config, step, phases)
        # Of whole groups, before updates and micro-batches take them apart.
        advantages = group_advantages(torch.as_tensor(groups.table.rewards_BK), config)
        seen = [groups]
        for _ in range(config.max_resample):
            dead = dead_places(advantages)
            if not dead:
                break
            others = self.groups(cursor, len(dead), config, step, phases)
            cursor += len(dead)
            seen.append(others)
            found = group_advantages(torch.as_tensor(others.table.rewards_BK), config)
            live = live_places(found)
            groups = groups.with_replaced(dead[: len(live)], others, live)
            advantages = group_advantages(torch.as_tensor(groups.table.rewards_BK), config)
        return groups, advantages, cursor, seen

    def groups(
        self, cursor: int, count: int, config: GRPOConfig, step: int, phases: Phases
    ) -> Groups:
        """So many prompts from this place of the order on, with their completions and rewards."""
        # By place in the order, not from the generator: a resumed run draws what it would have
        # drawn.
        if config.curriculum == "pass_rate":
            indices = self.pass_rates.draw(cursor, count, config)
        else:
            indices = self.task.draw(cursor, count, config.seed)
        problems = [self.task.train[i] for i in indices]
        # The rollout is over before the passes of the trainer begin: an engine that shares the GPU
        # gives its memory back for them.
        wanted = len(problems) * config.num_generations
        with phases("rollout"), self.in_hand.counting(wanted):
            rollout = self.sample(problems, config)
            messages = [self.task.messages(problem) for problem in problems]
            completions = record.text_of(self.policy, rollout, messages)
            self.in_hand.sampled(completions)
            self.engine.release_between_rollouts()
        # A reward function that raises does so while the weights still are those of the last step.
        with phases("reward"), torch_settings_kept(self.rewards.names):
            table = self.score(problems, completions, rollout, config, step)
        return Groups(indices, problems, rollout, completions, table)

    def sample(self, problems: Sequence[Problem], config: GRPOConfig) -> Rollout:
        """G completions for each problem, from whom the method learns."""
        prompts = [
            encode_prompt(self.policy, self.task, problem, config.max_prompt_length)
            for problem in problems
        ]
        sampling = Sampling(
            config.max_completion_length, config.temperature, config.top_k, config.top_p
        )
        source = config.method_facts.sampled_from
        if source == "demonstrations":
            return demonstrations(self.policy, self.task, problems, prompts, config)
        other_weights = self.as_reference() if source == "initial" else self.past.active()
        with other_weights:
            return self.engine.generate(prompts, config.num_generations, sampling, self.generator)

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
            completions=as_messages(completions),
            completion_ids=rollout.completion_lists(),
            columns=columns_of(rows),
            step=step,
            timeout=config.reward_timeout,
            should_stop=self._cancelled.is_set,
            watch_file=self.out / WATCH_FILE,
        )

    def batch_of(self, rollout: Rollout, advantages: Advantages, config: GRPOConfig) -> Batch:
        """The rollout as the updates take it, with the advantages of its completions."""
        own = config.method_facts.sampled_from == "policy"
        return Batch(
            rollout,
            advantages.advantage_B.to(self.policy.device),
            loss_mask(rollout, config),
            sampler_logp_BT=rollout.sampler_logp_BT if own else None,
        )

    def scored(
        self,
        problems: Sequence[Problem],
        completions: Sequence[str],
        table: RewardTable,
        advantages: Advantages,
    ) -> Scored:
        """The step's completions as a method looks at them."""
        return Scored(
            task=self.task,
            problems=[p for p in problems for _ in range(self.config.num_generations)],
            completions=completions,
            functions=len(table.names),
            advantages=advantages,
            step=self.steps_done + 1,
            should_stop=self._cancelled.is_set,
            watch_file=self.out / WATCH_FILE,
        )

    def credit(self, batch: Batch, scored: Scored, config: GRPOConfig) -> torch.Tensor:
        """What each completion, or each token, is weighed with: the method's answer."""
        # A step-reward function is a person's own code, as a reward function is.
        step_rewards = [config.step_rewards] if config.step_rewards else []
        with torch_settings_kept(step_rewards):
            return self.method.credit(batch, scored, config)

    def gradient(
        self, batch: Batch, rows_R: torch.Tensor, config: GRPOConfig, step: int
    ) -> dict[str, float]:
        """Put the gradient of an update into the parameters; its loss and metrics."""
        return accumulate_gradient(self.policy, self.method, batch, rows_R, config, step)

    def move(self, config: GRPOConfig) -> dict[str, float]:
        """Move the weights by that gradient; how far they went."""
        return apply_gradient(self.policy, self.optimizer, config)

    @torch.no_grad()
    def add_old_and_reference(self, batch: Batch, config: GRPOConfig) -> None:
        """Log-probabilities before the first update, where a later update needs them, and the
        reference's."""
        if not config.on_policy or config.method_facts.asks_old:
            batch.old_logp_BT = self.logps(batch.rollout, config)
        if self.asks_reference(config):
            with self.as_reference():
                batch.ref_logp_BT = self.logps(batch.rollout, config)

    def logps(self, rollout: Rollout, config: GRPOConfig) -> torch.Tensor:
        """(B, T) log-probabilities of all completions under the weights of now."""
        return logps_in_parts(self.policy.model, rollout, config)

    def as_reference(self) -> AbstractContextManager[None]:
        """Inside, the policy's model is the reference."""
        return self._reference().active()

    def asks_reference(self, config: GRPOConfig) -> bool:
        """True where the loss has a KL, or where one is measured without a second copy of a big
        model."""
        wanted = config.beta > 0 or config.method_facts.asks_reference
        return wanted or (config.measure_kl and costs_no_big_copy(self.policy))

    def _reference(self) -> Reference:
        """The reference, made when it is first asked for."""
        if self.reference is None:
            self.reference = self._first_policy_as_reference()
        return self.reference

    def refresh_reference(self, config: GRPOConfig, step: int) -> None:
        """Mix the policy into the reference when it is time to."""
        if (
            config.sync_ref_model
            and self.reference is not None
            and step % config.ref_model_sync_steps == 0
        ):
            self.reference.mix_in_policy(config.ref_model_mixup_alpha)

    def _first_policy_as_reference(self) -> Reference:
        """The policy as it was before the first step; needed when a KL is first
        asked for in mid-run."""
        return Reference(self.policy, checkpoints.load(self.folder, 0).tensors["weights"])

    def write(self, step: StepRecord) -> None:
        """Put a step into the record."""
        self.run.write_step(step)

    def evaluations_after(self, step: int) -> list[Evaluation]:
        """The greedy evaluation after `step`, where one is due."""
        every = self.config.eval_steps
        is_due = (every and step % every == 0) or step == self.config.max_steps
        if not is_due:
            return []
        self.in_hand.enter("evaluation")
        return [self.evaluate()]

    def evaluate(self) -> Evaluation:
        """Greedy strict accuracy on the first `num_eval_problems` held-out problems."""
        problems = self.task.held_out[: self.config.num_eval_problems]
        with explain_out_of_memory("evaluation", self.config, self.policy.source):
            return greedy_accuracy(
                self.engine,
                self.policy,
                self.task,
                problems,
                self.config.max_completion_length,
                batch_size=self.config.completions_per_step,
            )

    def evaluate_with_samples(self, step: int) -> list[SampledEvaluation]:
        """mean@K, maj@k and pass@k after `step`, where the config asks for them there."""
        if self.config.evaluates_samples_at(step):
            self.in_hand.enter("evaluation")
        with explain_out_of_memory("evaluation", self.config, self.policy.source):
            return sampled_evaluations(self.engine, self.policy, self.task, self.config, step)

    # -------------------------------------------------------------------------------- its state

    def snapshot(self) -> Checkpoint:
        """Everything that the next step depends on: weights, optimizer, random generators,
        position, knobs. Raises RuntimeError when a step was broken off after an update."""
        if self.dirty:
            raise RuntimeError(
                f"step {self.steps_done + 1} was broken off after an update, so there is no whole "
                "state to save. Resume from the last checkpoint."
            )
        return self._state(self.steps_done, self.cursor)

    def _state(self, step: int, cursor: int) -> Checkpoint:
        tensors = {
            "weights": self.policy.trainable_state(),
            "optimizer": optimizer_tensors(self.optimizer),
            "random": random_state.random_tensors(self.generator),
        }
        tensors |= self.method.tensors() | self.past.tensors()
        if self.config.curriculum == "pass_rate":
            arrays = self.pass_rates.to_arrays()
            tensors["curriculum"] = {name: torch.tensor(a) for name, a in arrays.items()}
        # Before the first step the reference's weights are the policy's own.
        own_copy = None if self.reference is None else self.reference.weights
        if step > 0 and own_copy is not None:
            tensors["reference"] = own_copy
        config, pending = self.knobs.snapshot()
        values = {
            "cursor": cursor,
            "entropy": self.entropy.to_list(),
            "config": config.to_dict(),
            "pending": pending,
            "random": random_state.random_values(),
            "reference": None if self.reference is None else self.reference.kind,
        }
        return Checkpoint(step, tensors, values)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over the state of a checkpoint: go on as if there had been no break."""
        tensors, values = checkpoint.tensors, checkpoint.state
        self.policy.load_trainable_state(tensors["weights"])
        load_optimizer(self.optimizer, tensors["optimizer"])
        random_state.load_random_tensors(self.generator, tensors["random"])
        random_state.load_random_values(values["random"])
        self.method.load(tensors)
        self.past.load(tensors)
        pending = {name: (value, who) for name, (value, who) in values["pending"].items()}
        self.knobs.restore((GRPOConfig.from_dict(values["config"]), pending))
        self.steps_done = checkpoint.step
        self.cursor = values["cursor"]
        self.entropy = EntropyControl.from_list(values.get("entropy"), self.config)
        if "curriculum" in tensors:
            kept = tensors["curriculum"]
            self.pass_rates = PassRates(kept["solved"].numpy(), kept["tried"].numpy())
        self.dirty = False
        self.unrecorded = None
        self.reference = None
        if "reference" in tensors:
            self.reference = Reference(self.policy, tensors["reference"])
            return
        if values.get("reference") == "adapter":
            self.reference = Reference.of_base(self.policy)
            return
        # The reference is the policy that was just loaded, where that is the first one. In all
        # other cases the first step that asks for one takes it from the checkpoint of step 0.
        if checkpoint.step == 0 and self.asks_reference(self.config):
            self.reference = Reference(self.policy)

    def take_back(self, checkpoint: Checkpoint) -> None:
        """Take over a state of this trainer after another one has trained its model and its
        optimizer."""
        # Set first: where this fails, the weights belong to no whole step, and a session goes back
        # to a checkpoint.
        self.dirty = True
        # A step that was broken off has left gradients.
        self.optimizer.zero_grad(set_to_none=True)
        self.restore(checkpoint)

    def save(self) -> Path:
        """Write a checkpoint of the last whole step. Raises `SaveError` where the disk refuses,
        `RecordGoneError` and `TakenOverError` where the folder is no longer this run's."""
        # Else the checkpoint would lie beside another run's record, or be all that is there. Asked
        # again when it is written: that takes long.
        check = self.run.check_in_place
        check()
        path = checkpoints.save(self.folder, self._marked(self.snapshot(), self.run), check)
        if not self.run.closed:
            self.run.note_checkpoint(self.steps_done)
        checkpoints.prune(self.folder, self.config.save_total_limit)
        return path

    def _marked(self, checkpoint: Checkpoint, record: RunWriter) -> Checkpoint:
        """The checkpoint with what binds it to its record: the mark of the step that it was made
        after, and a copy of the facts of the run."""
        bound = {
            checkpoints.MARK: record.mark_of(checkpoint.step),
            checkpoints.FACTS: record.lasting_facts(),
        }
        return replace(checkpoint, state=checkpoint.state | bound)

    def save_copy(self, folder: str | Path) -> Path:
        """Write the run to another folder, as it is in memory: the record as far as it goes and a
        checkpoint of the last step. Returns the folder; resumed there, the run goes on as here.

        It helps where the run's own folder is gone or full. Raises `RunRecordError` where `folder`
        holds a run, `SaveError` where the disk refuses there too.
        """
        out = Path(folder).absolute()
        with self.run.copy(out) as record:
            checkpoint = self.snapshot() if self.unrecorded is None else self._unrecorded_state()
            if self.unrecorded is not None:
                record.write_step(self.unrecorded)
            # The first one holds the weights of the reference.
            if checkpoints.folder_of(self.folder, 0).is_dir():
                checkpoints.copy(self.folder, out / "checkpoints", 0)
            checkpoints.save(out / "checkpoints", self._marked(checkpoint, record))
            record.note_checkpoint(checkpoint.step)
        return out

    def _unrecorded_state(self) -> Checkpoint:
        """What a checkpoint would have been, had the step been recorded."""
        return self._state(self.steps_done + 1, self._next_cursor)

    def continue_record(self, step: int) -> None:
        """Cut the record back to `step` and write on there, whether it was closed or not."""
        self.run.close()
        self.run = RunWriter.resume(self.out, step, pieces=self.policy.pieces)

    def go_back_to(self, checkpoint: Checkpoint) -> None:
        """State and record become those of a checkpoint; what came after it is deleted."""
        if self.run.closed:
            self.continue_record(self.steps_done)
        # Known before they go: else the next resume would take them for removed by hand.
        self.run.note_checkpoint(checkpoint.step)
        # Checkpoints first: none may ever be ahead of the record, whenever the process is killed.
        checkpoints.drop_after(self.folder, checkpoint.step)
        self.continue_record(checkpoint.step)
        self.restore(checkpoint)
