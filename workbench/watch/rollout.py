"""One rollout of TRL's, as far as it has come, and the record step that it becomes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.libraries.trl_ import ROW
from workbench.objective import (
    Advantages,
    group_advantages,
    merge_metrics,
    policy_loss,
    update_metrics,
)
from workbench.runs.figures import length_figures, truncation_figures
from workbench.runs.step_record import KnobChange, Samples, StepRecord, TokenArrays
from workbench.tasks.reading.columns import GOLD_COLUMNS
from workbench.training.record import reward_metrics

STORED = {
    "old_logp": "old_per_token_logps",
    "ref_logp": "ref_per_token_logps",
    "sampler_logp": "sampling_per_token_logps",
}
"""The record's names of what TRL may hand over with a rollout."""


@dataclass
class WatchedRollout:
    """What is known of it. B completions in group order, T tokens."""

    config: GRPOConfig
    """In force when it began."""
    reward_names: Sequence[str]
    knobs: list[KnobChange]
    rows: Sequence[Mapping[str, Any]] = ()
    """B rows of the data set."""
    completions: list[str] = field(default_factory=list)
    ids: list[list[int]] = field(default_factory=list)
    rewards_BK: Tensor | None = None
    advantages: Tensor | None = None
    stored: dict[str, Tensor] = field(default_factory=dict)
    updates: list[dict[str, float]] = field(default_factory=list)
    micro_batches: int = 0
    """Those that were put through the model."""
    seconds: dict[str, float] = field(default_factory=dict)
    evaluation: dict[str, float] = field(default_factory=dict)
    _open: list[dict[str, Tensor]] = field(default_factory=list)
    _open_loss: float = 0.0

    def __post_init__(self) -> None:
        self._began = time.perf_counter()
        self._phase_began = self._began

    # ------------------------------------------------------------------------------ as it comes

    def phase_ends(self, name: str) -> None:
        """The time since the last phase belongs to this one."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._phase_began
        self._phase_began = now

    def rewarded(self, rows: Any, texts: Any, ids: Any, rewards: Tensor) -> None:
        """Texts and scores, with the ids as they were sampled, without padding."""
        self.rows = list(rows)
        self.completions = [text_of(text) for text in texts]
        self.ids = [[int(i) for i in row] for row in ids]
        self.rewards_BK = rewards.detach().cpu().double()

    def rolled_out(self, output: Mapping[str, Any]) -> None:
        """Advantages and log-probabilities that came with the rollout."""
        self.advantages = output["advantages"].detach().float().cpu()
        for ours, theirs in STORED.items():
            if output.get(theirs) is not None:
                self.stored[ours] = output[theirs].detach().float().cpu()
        unknown = torch.full(tuple(output["completion_ids"].shape), float("nan"))
        for name in ("logp", "entropy"):
            self.stored[name] = unknown.clone()
        self.stored["coefficient"] = torch.zeros_like(unknown)
        self.stored["update"] = unknown.clone()

    def passed(self, inputs: Mapping[str, Any], logp: Tensor, entropy: Tensor | None) -> None:
        """A micro-batch under the weights of now: what is kept is what an update saw last."""
        rows_R = inputs[ROW].cpu()
        mask_RT = inputs["completion_mask"].bool()
        if "tool_mask" in inputs:
            mask_RT = mask_RT & inputs["tool_mask"].bool()
        unknown = float("nan")
        kept = {"logp": logp} if entropy is None else {"logp": logp, "entropy": entropy}
        for name, values in kept.items():
            # TRL writes 0 where its mask leaves tokens out.
            known = torch.where(mask_RT, values.detach().float(), unknown)
            self.stored[name][rows_R] = known.cpu()
        self.stored["update"][rows_R] = float(len(self.updates) + 1)
        with torch.no_grad():
            found = policy_loss(
                logp.detach().float(),
                inputs["advantages"].detach().float(),
                mask_RT,
                self.config,
                old_logp=_given(inputs, "old_per_token_logps"),
                ref_logp=_given(inputs, "ref_per_token_logps"),
                entropy=None if entropy is None else entropy.detach().float(),
                sampler_logp=_given(inputs, "sampling_per_token_logps"),
            )
        self._open.append(found.metrics)

    def differentiated(self, inputs: Mapping[str, Any], gradient: Tensor) -> None:
        """The tokens' coefficients: minus the derivative of the loss."""
        self.stored["coefficient"][inputs[ROW].cpu()] = -gradient.detach().float().cpu()

    def micro_batch_done(self, loss: float) -> None:
        """Its share of the update's loss, as TRL divides it."""
        self._open_loss += loss
        self.micro_batches += 1

    def updated(self, gradient_norm: float, learning_rate: float, trl_step: int) -> None:
        """An optimizer step: its micro-batches of this rollout in one."""
        if not self._open:
            return
        figures = merge_metrics(self._open)
        figures |= {"loss": self._open_loss, "grad_norm": gradient_norm}
        self.updates.append(figures)
        self.learning_rate = learning_rate
        self.trl_step = trl_step
        self._open = []
        self._open_loss = 0.0

    # ------------------------------------------------------------------------------ as it is kept

    def record(self, step: int, ends: set[int], problem_ids: Sequence[str]) -> StepRecord:
        """The step of the record. `ends`: ids that end a completion; `problem_ids`: B of them."""
        assert self.rewards_BK is not None
        assert self.advantages is not None
        self.phase_ends("update")
        advantages = group_advantages(_counted(self.rewards_BK), self.config)
        return StepRecord(
            step=step,
            metrics=self._metrics(advantages, ends),
            knobs=self.knobs,
            samples=self._samples(advantages, ends, problem_ids),
            tokens=self._tokens(),
        )

    def _truncated_B(self, ends: set[int]) -> np.ndarray[Any, Any]:
        return np.array([not ids or ids[-1] not in ends for ids in self.ids])

    def _metrics(self, advantages: Advantages, ends: set[int]) -> dict[str, float]:
        metrics = update_metrics(self.updates)
        metrics |= length_figures([len(ids) for ids in self.ids])
        metrics |= truncation_figures(self._truncated_B(ends))
        metrics["learning_rate"] = self.learning_rate
        metrics["trl/global_step"] = float(self.trl_step)
        assert self.rewards_BK is not None
        metrics |= reward_metrics(self.rewards_BK, self.reward_names, advantages)
        metrics |= {f"seconds/{name}": value for name, value in self.seconds.items()}
        metrics["seconds/step"] = time.perf_counter() - self._began
        return metrics | self.evaluation

    def _samples(
        self, advantages: Advantages, ends: set[int], problem_ids: Sequence[str]
    ) -> Samples:
        size = self.config.num_generations
        firsts = self.rows[::size]
        assert self.advantages is not None
        assert self.rewards_BK is not None
        per_row = self.advantages
        if per_row.dim() == 2:
            per_row = per_row.mean(1)
        return Samples(
            num_generations=size,
            problem_ids=list(problem_ids[::size]),
            prompts=[prompt_of(row) for row in firsts],
            gold_answers=[gold_of(row) for row in firsts],
            completions=self.completions,
            rewards_BK=self.rewards_BK,
            reward_B=advantages.total_B,
            advantage_B=per_row,
            baseline_B=advantages.baseline_B,
            length_B=[len(ids) for ids in self.ids],
            truncated_B=self._truncated_B(ends),
            dead_N=advantages.dead_N,
        )

    def _tokens(self) -> TokenArrays:
        lengths = [len(ids) for ids in self.ids]
        width = self.stored["logp"].shape[1]
        mask_BT = np.arange(width) < np.array(lengths)[:, None]
        flat = [i for ids in self.ids for i in ids]
        floats = {name: values.numpy()[mask_BT] for name, values in self.stored.items()}
        if self.advantages is not None and self.advantages.dim() == 2:
            floats["advantage"] = self.advantages.numpy()[mask_BT]
        return TokenArrays(lengths, flat, floats)


def _counted(rewards_BK: Tensor) -> Tensor:
    """The rewards as TRL sums them: a function that says nothing counts 0, unless all do."""
    scored_B1 = ~rewards_BK.isnan().all(1, keepdim=True)
    return torch.where(scored_B1, rewards_BK.nan_to_num(0.0), rewards_BK)


def _given(inputs: Mapping[str, Any], name: str) -> Tensor | None:
    value = inputs.get(name)
    return None if value is None else value.detach().float()


def text_of(text: Any) -> str:
    """A completion, or a prompt, as TRL hands it over: text, or messages."""
    if isinstance(text, str):
        return text
    if isinstance(text, Mapping):
        content = text.get("content")
        if isinstance(content, list):
            return "".join(str(part.get("text", "")) for part in content)
        return "" if content is None else str(content)
    return "\n".join(text_of(part) for part in text)


def prompt_of(row: Mapping[str, Any]) -> str:
    """The question of a row: its last message, where it has messages."""
    prompt = row["prompt"]
    return text_of(prompt if isinstance(prompt, str) else prompt[-1])


def gold_of(row: Mapping[str, Any]) -> str | None:
    """The gold answer, where a column by a usual name has one."""
    for name in GOLD_COLUMNS:
        if row.get(name) is not None:
            return str(row[name])
    return None
