"""The leader's trainer: the loop of every other, whose model computes in several processes.

A rank that has no row of an update (all its groups are dead, or there are fewer groups than
processes) takes part with a gradient of zeros. Denominators are the whole update's in every
process, so the gradients are summed and not averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.config.losses import looks_at_update
from workbench.distributed.starting import start_team
from workbench.distributed.team import Team, TeamLostError
from workbench.distributed.tensors import share_out
from workbench.distributed.torchrun import torchrun_size
from workbench.methods import Batch
from workbench.objective import BatchTotals, totals_of
from workbench.policy.policy import PolicyError
from workbench.rollout.native import NativeEngine
from workbench.rollout.types import Rollout
from workbench.runs.store.writer import RunWriter
from workbench.training.checkpoints import Checkpoint
from workbench.training.shared.checks import check_processes, check_shared
from workbench.training.shared.engine import SharedEngine
from workbench.training.shared.work import Pushed, Work
from workbench.training.trainer import Trainer
from workbench.training.update import in_one, skipped_rows, totals_looked_at

HELPER = "workbench.training.shared.helper"


class SharedTrainer(Trainer):
    """A trainer that leads a team of `processes`, which it starts when it is made. Takes what
    `Trainer` takes. Raises `ConfigError` for what cannot be shared out, and from a step what
    `Team.ask` does."""

    engine: Any
    """A `SharedEngine`; or the leader's own, where servers sample for all processes."""

    def __init__(
        self,
        *parts: Any,
        processes: int,
        open_run: Callable[[], RunWriter],
        **others: Any,
    ) -> None:
        self.processes = processes
        self._team: Team | None = None
        self._work: Work | None = None
        self._end_team: Callable[[], object] = lambda: None
        self._sent_batch: Batch | None = None
        try:
            super().__init__(*parts, open_run=partial(self._share, open_run), **others)
        except BaseException:
            self._end_team()
            raise

    def _share(self, open_run: Callable[[], RunWriter]) -> RunWriter:
        """Start the others before there is a record: they may fail too."""
        check_shared(self.config, self.fault)
        if isinstance(self.engine, NativeEngine):
            cancelled = self.engine.should_stop or (lambda: False)
            self.engine.should_stop = lambda: cancelled() or self._team_is_broken_off()
            self.engine = SharedEngine(self.engine, self.ask, self.processes, self._end)
        else:
            self._end_with(self.engine)
        self._assemble()
        return open_run()

    def _end_with(self, engine: Any) -> None:
        """Whoever has no more use for the servers has none for the other processes."""
        free = engine.free

        def free_all() -> None:
            self._end()
            free()

        engine.free = free_all

    @property
    def own_engine(self) -> Any:
        return self.engine.own if isinstance(self.engine, SharedEngine) else self.engine

    # ---------------------------------------------------------------------------- the team

    def ask(self, name: str, **given: Any) -> list[Any]:
        """Have a piece of `Work` done in every process; see `Team.ask`. A team that is gone is
        started anew, with the weights of now."""
        team, work = self._assemble()
        return team.ask(work, name, given)

    def _assemble(self) -> tuple[Team, Work]:
        if self._team is not None and self._work is not None and not self._team.lost:
            return self._team, self._work
        if self._team is not None and torchrun_size() > 1:
            raise TeamLostError(
                "a process of this run is gone, and torchrun alone starts them. Go on from the "
                "last checkpoint."
            )
        self._end()
        if self.dirty:
            # The weights are somewhere between two steps, and the others' were lost with them.
            raise TeamLostError(
                f"step {self.steps_done + 1} was broken off after an update, and a process of it "
                "is gone. Load a checkpoint: start_run(..., resume=True)."
            )
        team, self._end_team = start_team(HELPER, self.processes, self.policy.device)
        how = (str(self.policy.source), self.config, self.policy.device.type)
        team.broadcast((*how, torch.get_num_threads()))
        work = Work(team, self.policy, self.method, self.own_engine, self.optimizer)
        self._team, self._work = team, work
        self._send_state()
        sums: list[Tensor] = team.ask(work, "sums", {})
        if not all(torch.allclose(sums[0], own, rtol=1e-9) for own in sums):
            raise PolicyError(
                f"the processes read other weights from {self.policy.source!r} than this policy "
                "has: what was changed after it was loaded, or is in memory alone, does not reach "
                "them. Save it (save_policy) and load it from there."
            )
        return team, work

    def _send_state(self) -> None:
        """Everyone goes on from the leader's weights and optimizer."""
        self._sent_batch = None
        self.ask("take_state")

    def _end(self) -> None:
        """End the other processes."""
        self._end_team()
        self._team = self._work = None

    def _team_is_broken_off(self) -> bool:
        return self._team is not None and self._team.broken_off()

    def train(self, steps: int | None = None, **how: Any) -> None:
        super().train(steps, **how)
        if self.steps_done >= self.config.max_steps:
            # Their memory is for others now. Whoever extends the run starts them again.
            self._end()

    def cancel(self) -> None:
        super().cancel()
        # The evaluation that ends a step is part of the step, and is never broken off.
        if self._team is not None and not self.dirty:
            self._team.break_off()

    def restore(self, checkpoint: Checkpoint) -> None:
        super().restore(checkpoint)
        if self._team is not None and not self._team.lost:
            self._send_state()

    # --------------------------------------------------------------------- the parts of a step

    def logps(self, rollout: Rollout, config: GRPOConfig) -> Tensor:
        rows_B = torch.arange(len(rollout.mask_BT))
        shares = self._in_groups(rollout, rows_B)
        found = self.ask("logps", shares=shares, rollout=rollout, config=config)
        return put_together(rollout.sampler_logp_BT, shares, found)

    @contextmanager
    def as_reference(self) -> Iterator[None]:
        reference = self._reference()
        _, work = self._assemble()
        if work.reference is not reference:
            work.reference = reference
            self.ask("take_reference")
        with reference.active():
            self.ask("as_reference", on=True)
            try:
                yield
            finally:
                self.ask("as_reference", on=False)

    def refresh_reference(self, config: GRPOConfig, step: int) -> None:
        super().refresh_reference(config, step)
        if self._work is not None and config.sync_ref_model:
            # The others' is the one of before.
            self._work.reference = None

    def gradient(
        self, batch: Batch, rows_R: Tensor, config: GRPOConfig, step: int
    ) -> dict[str, float]:
        totals = self._totals(batch, rows_R, config)
        pushing_R = self.method.rows(batch, rows_R, config)
        skipped_R = skipped_rows(batch, rows_R, pushing_R)
        pushed: list[Pushed] = self.ask(
            "gradient",
            pushing=self._in_groups(batch.rollout, pushing_R),
            skipped=self._in_groups(batch.rollout, skipped_R),
            batch=None if batch is self._sent_batch else batch,
            selected_BT=batch.selected_BT,
            config=config,
            totals=totals,
            step=step,
        )
        self._sent_batch = batch
        for own in pushed:
            batch.keep(own.rows_R, own.logp_RT, own.entropy_RT)
            batch.coefficient_BT[own.rows_R] = own.coefficient_RT
        self.ask("sum_gradients", step=step)
        return in_one(*(own.found for own in pushed))

    def move(self, config: GRPOConfig) -> dict[str, float]:
        group = self.optimizer.param_groups[0]
        settings = {name: group[name] for name in ("lr", "weight_decay")}
        moved: dict[str, float] = self.ask("move", settings=settings, config=config)[0]
        return moved

    def _totals(self, batch: Batch, rows_R: Tensor, config: GRPOConfig) -> BatchTotals:
        """What the update's rows are divided by, in whichever process they are."""
        batch.selected_BT = None
        if not looks_at_update(config):
            return totals_of(batch.loss_mask_BT, rows_R, config)
        shares = self._in_groups(batch.rollout, rows_R)
        looked = self.ask("look", shares=shares, rollout=batch.rollout, config=config)
        logp_BT, entropy_BT = (
            put_together(batch.logp_BT, shares, [None if own is None else own[i] for own in looked])
            for i in (0, 1)
        )
        return totals_looked_at(batch, rows_R, logp_BT[rows_R], entropy_BT[rows_R], config)

    def _in_groups(self, rollout: Rollout, rows_R: Tensor) -> list[list[int]]:
        """These rows, in their order, for each process: whole groups, of about as many tokens."""
        lengths, group_size = rollout.lengths.completion_B, rollout.num_generations
        groups: dict[int, list[int]] = {}
        for row in rows_R.tolist():
            groups.setdefault(row // group_size, []).append(row)
        members = list(groups.values())
        costs = [float(sum(lengths[row] for row in rows)) for rows in members]
        return [
            [row for place in places for row in members[place]]
            for places in share_out(costs, self.processes)
        ]


def put_together(
    like_BT: Tensor, shares: Sequence[Sequence[int]], found: Sequence[Tensor | None]
) -> Tensor:
    """(B, T) what each process found of its share; 0 where no share has a row."""
    known = [values for values in found if values is not None]
    whole_BT = known[0].new_zeros(like_BT.shape)
    for rows, values in zip(shares, found, strict=True):
        if values is not None:
            whole_BT[torch.tensor(rows, device=whole_BT.device)] = values
    return whole_BT


def trainer_of(processes: int) -> Callable[..., Trainer]:
    """How the trainer of a run is made, by the number of its processes. Raises `ConfigError`."""
    check_processes(processes)
    return Trainer if processes == 1 else partial(SharedTrainer, processes=processes)
