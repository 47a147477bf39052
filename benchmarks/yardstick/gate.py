"""No figure without it: that the contenders compute the same thing.

On fixed tokens loss and gradient of our update and of TRL's are equal; sampled first tokens follow
the exact probabilities; the sampler's log-probabilities are those of a plain pass, before an update
and after it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from yardstick.cases import Case
from yardstick.gradients import gradients_apart, our_gradient, trls_gradient
from yardstick.ours import Numbers, config_of, policy_of
from yardstick.samples import (
    chi_square,
    largest,
    messages_of,
    plain_logps,
    same_samples,
    sample,
)

ROUNDING = {"float32": 1e-3, "bfloat16": 5e-2}
"""How far two ways of computing the same may lie apart, by the format of the arithmetic: of a loss
and a gradient the difference over the norm, of a log-probability nats."""
UNLIKELY = 1e-3
LARGE_STEP = 1e-2
"""A learning rate that moves every weight far beyond rounding."""


@dataclass(frozen=True)
class Findings:
    """What the gate measured on one model."""

    rounding: float
    gradient_rounding: float
    """Wider where TRL keeps the adapter in bfloat16."""
    loss_difference: float
    """|ours - TRL's| over the sum of the terms' sizes."""
    gradient_difference: float
    """The largest over all parameters, |ours - TRL's| / |TRL's|."""
    sampler_logp_difference: float
    """Nats, between the sampler and a plain pass, at most."""
    chi_square_p: float
    """Probability of first tokens that lie at least as far from the exact probabilities."""
    moved: float
    """Nats by which an update moved the log-probabilities of the sampler, at most."""
    sampler_logp_difference_after: float
    """As before, after the update."""

    def failures(self) -> list[str]:
        """What does not hold, in words."""
        found = []
        if not self.loss_difference <= self.rounding:
            found.append(f"our loss is not TRL's: {self.loss_difference:.2g} apart")
        if not self.gradient_difference <= self.gradient_rounding:
            found.append(f"our gradient is not TRL's: {self.gradient_difference:.2g} apart")
        if not self.sampler_logp_difference <= self.rounding:
            found.append(
                f"sampler and plain pass are {self.sampler_logp_difference:.2g} nats apart"
            )
        if not self.chi_square_p >= UNLIKELY:
            found.append(f"first tokens do not follow the model: p = {self.chi_square_p:.2g}")
        if not self.moved > 10 * self.rounding:
            found.append(f"an update did not reach the sampler: it moved {self.moved:.2g} nats")
        if not self.sampler_logp_difference_after <= self.rounding:
            found.append(
                "after an update sampler and plain pass are "
                f"{self.sampler_logp_difference_after:.2g} nats apart"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, with what failed."""
        return asdict(self) | {"failures": self.failures()}


def check(source: str, case: Case, numbers: Numbers) -> Findings:
    """Everything on one model."""
    config, policy = config_of(case, numbers), policy_of(source, case, numbers)
    prompts = [policy.encode_prompt(m) for m in messages_of(case, policy, config)]
    rollout = sample(policy, config, prompts, config.num_generations)
    advantages = torch.linspace(-1, 1, len(rollout.mask_BT), device=policy.device)
    before = largest(rollout.sampler_logp_BT - plain_logps(policy, rollout), rollout)
    chance = chi_square(policy, config, prompts[0])
    loss = our_gradient(policy, config, rollout, advantages)
    other = policy_of(source, case, numbers)
    their_loss = trls_gradient(other, config, numbers, rollout, advantages)
    gradient = gradients_apart(policy, other)
    del other
    torch.optim.AdamW(policy.trainable_parameters(), lr=LARGE_STEP).step()
    after = sample(policy, config, prompts, config.num_generations)
    # The same tokens under both weights, as the plain pass sees them.
    moved = largest(rollout.sampler_logp_BT - plain_logps(policy, rollout), rollout)
    size = advantages.abs().repeat_interleave(rollout.lengths_B).mean()
    return Findings(
        rounding=ROUNDING[numbers.dtype],
        # TRL converts adapters on a quantised base to bfloat16, as the QLoRA paper has it; ours
        # stay float32.
        gradient_rounding=ROUNDING["bfloat16" if config.quantization != "none" else numbers.dtype],
        loss_difference=abs(loss - their_loss) / float(size),
        gradient_difference=gradient,
        sampler_logp_difference=before,
        chi_square_p=chance,
        moved=min(moved, 0.0 if same_samples(rollout, after) else moved),
        sampler_logp_difference_after=largest(
            after.sampler_logp_BT - plain_logps(policy, after), after
        ),
    )
