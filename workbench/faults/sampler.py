"""Mistakes between the sampler and the trainer: other weights, another temperature, other
places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.faults.base import Fault, FaultError, Patient
from workbench.libraries.hf_peft import starts_at_zero
from workbench.policy.past_weights import PastWeights
from workbench.policy.reference import swapped_weights
from workbench.rollout.types import Rollout


class StaleSampler(Fault):
    """The sampler has the weights of some steps ago ("stale_sampler:8": of 8; 4 unless said).

    Had by: huggingface/trl#5312 (weights not synchronized after sleep). One sees the trainer's
    log-probabilities leave the sampler's as soon as the policy moves, and learning that lags and
    may oscillate. After a resume the lag begins anew at the checkpoint.
    """

    name = "stale_sampler"
    reports = ("huggingface/trl#5312",)
    finding_keys = ("sampler_stale",)

    def __init__(self, steps: int = 4) -> None:
        super().__init__()
        if steps < 1:
            raise FaultError(f"stale_sampler:{steps}: the sampler must be 1 step behind or more.")
        self.spec = f"{self.name}:{steps}"
        self._steps = steps
        self._past: PastWeights | None = None

    def check(self, config: GRPOConfig) -> None:
        """It needs a sampler that is to have the weights of now."""
        _check_samples_now(self.name, config)

    def sampled(self, sample: Callable[[], Rollout], trainer: Patient) -> Rollout:
        """The rollout of the oldest weights that are kept."""
        if self._past is None:
            # Those of now are among them.
            self._past = PastWeights(trainer.policy, self._steps + 1)
        self._past.keep(trainer.steps_done)
        with self._past.active():
            return sample()


class DoubleMergedAdapter(Fault):
    """The sampler's weights hold the adapter twice: merged into the base, and applied again.

    Had by: radixark/miles#1087 (base weights exported with the adapter merged in). One sees a
    mismatch that is 0 in the first step, where the adapter does nothing yet, and grows with it;
    rewards look better than the policy is, because the sampler is ahead of it.
    """

    name = "double_merged_adapter"
    reports = ("radixark/miles#1087",)
    finding_keys = ("sampler_ahead",)
    needs = {"lora_rank": 8, "learning_rate": 1e-3}  # noqa: RUF012

    def check(self, config: GRPOConfig) -> None:
        """It needs an adapter."""
        if config.lora_rank == 0:
            raise FaultError(
                f"fault={self.name!r} counts a LoRA adapter twice, and lora_rank=0 trains all "
                "weights. Set lora_rank=8."
            )
        _check_samples_now(self.name, config)

    def sampled(self, sample: Callable[[], Rollout], trainer: Patient) -> Rollout:
        """The rollout of a policy whose adapter is twice as strong."""
        now = trainer.policy.trainable_state()
        # The product of both factors is what is added, so that one of them is doubled.
        doubled = {
            name: 2 * weight.detach() if starts_at_zero(name) else weight.detach()
            for name, weight in now.items()
        }
        with swapped_weights(now, doubled):
            return sample()


def _check_samples_now(name: str, config: GRPOConfig) -> None:
    source = config.method_facts.sampled_from
    if source != "policy":
        raise FaultError(
            f"fault={name!r} gives the sampler other weights than the policy's of now, and "
            f"method={config.method!r} takes its completions from {source!r}. Set another method, "
            "such as 'grpo'."
        )
    if config.rollout_staleness > 0:
        raise FaultError(
            f"fault={name!r} gives the sampler other weights than the policy's of now, and with "
            f"rollout_staleness={config.rollout_staleness} it has those of earlier steps on "
            "purpose. Set rollout_staleness=0."
        )


class _ChangedHiddenStates(Fault):
    """A fault of the trainer's log-probabilities alone: what its head is given is changed. The
    branches of a tornado, which are made outside the trainer's own steps, do without it."""

    def changed(self, hidden_NCH: Tensor, config: GRPOConfig) -> Tensor:
        """The hidden states as the head gets them."""
        raise NotImplementedError

    @contextmanager
    def during_a_step(self, trainer: Patient) -> Iterator[None]:
        """With a hook at the head, which the sampler passes untouched."""

        def hook(head: torch.nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            if self.samples_now:
                return None
            return (self.changed(given[0], trainer.config), *given[1:])

        head = trainer.policy.model.get_output_embeddings()
        handle = head.register_forward_pre_hook(hook)
        try:
            yield
        finally:
            handle.remove()


class TemperatureNotDivided(_ChangedHiddenStates):
    """The trainer takes the log-probabilities of the plain logits, though the sampler had divided
    them by the temperature.

    Had by: unslothai/unsloth-zoo#832, GMISWE/tinker-cloud#26 (the other way round). Invisible at
    temperature 1. Elsewhere one sees a mismatch from the first step on, before any weight has
    moved, that rises and falls with the sampler's own log-probability.
    """

    name = "temperature_not_divided"
    reports = ("unslothai/unsloth-zoo#832", "GMISWE/tinker-cloud#26")
    finding_keys = ("sampler_temperature",)
    needs = {"temperature": 0.7}  # noqa: RUF012

    def check(self, config: GRPOConfig) -> None:
        """A temperature of 1 divides by nothing."""
        if config.temperature == 1:
            raise FaultError(
                f"fault={self.name!r} has no effect at temperature=1. Set temperature=0.7."
            )

    def changed(self, hidden_NCH: Tensor, config: GRPOConfig) -> Tensor:
        """Times the temperature, which the division then takes away."""
        return hidden_NCH * config.temperature


class ShiftedLogps(_ChangedHiddenStates):
    """The log-probability of each token is read one place too late, from the logits that predict
    the token after it.

    Had by: lucidrains/PaLM-rlhf-pytorch#31, AI-Hypercomputer/maxtext#2103, and in review at
    PrimeIntellect-ai/prime-rl#1525. One sees tokens that the trainer holds for next to impossible
    although the policy wrote them, from the first step on, and a policy that falls apart.
    """

    name = "shifted_logps"
    reports = (
        "lucidrains/PaLM-rlhf-pytorch#31",
        "AI-Hypercomputer/maxtext#2103",
        "PrimeIntellect-ai/prime-rl#1525",
    )
    finding_keys = ("sampler_shifted",)

    def changed(self, hidden_NCH: Tensor, config: GRPOConfig) -> Tensor:
        """Each place gets its right neighbour's; the last one keeps its own."""
        return torch.cat([hidden_NCH[:, 1:], hidden_NCH[:, -1:]], 1)
