"""No figure without it: that the contenders compute the same thing.

On fixed tokens loss and gradient of our update and of TRL's are equal; sampled first tokens follow
the exact probabilities; the sampler's log-probabilities are those of a plain pass, before an update
and after it.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.methods import Batch, make_method
from workbench.policy import Policy
from workbench.rewards import RewardSet
from workbench.rollout import Sampling, make_engine
from workbench.rollout.types import Rollout
from workbench.training.update import accumulate_gradient
from yardstick.cases import TUNED, Case
from yardstick.ours import Numbers, config_of, policy_of
from yardstick.prompts import arbitrary, in_order, task_of
from yardstick.theirs import plain_trainer

DRAWS, ROWS_AT_ONCE = 4096, 512
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
        if not self.gradient_difference <= self.rounding:
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
    their_loss = trls_gradient(other, case, config, numbers, rollout, advantages)
    gradient = gradients_apart(policy, other)
    del other
    torch.optim.AdamW(policy.trainable_parameters(), lr=LARGE_STEP).step()
    after = sample(policy, config, prompts, config.num_generations)
    # The same tokens under both weights, as the plain pass sees them.
    moved = largest(rollout.sampler_logp_BT - plain_logps(policy, rollout), rollout)
    size = advantages.abs().repeat_interleave(rollout.lengths_B).mean()
    return Findings(
        rounding=ROUNDING[numbers.dtype],
        loss_difference=abs(loss - their_loss) / float(size),
        gradient_difference=gradient,
        sampler_logp_difference=before,
        chi_square_p=chance,
        moved=min(moved, 0.0 if same_samples(rollout, after) else moved),
        sampler_logp_difference_after=largest(
            after.sampler_logp_BT - plain_logps(policy, after), after
        ),
    )


def messages_of(case: Case, policy: Policy, config: GRPOConfig) -> list[list[dict[str, str]]]:
    """The first two prompts of the case."""
    task = task_of(case, policy, 1)
    return [task.messages(p) for p in in_order(task, min(2, config.prompts_per_step), 0)]


def sample(policy: Policy, config: GRPOConfig, prompts: list[list[int]], group: int) -> Rollout:
    """Completions by the engine that is measured; the same uniforms at each call."""
    engine = make_engine(
        config.rollout_engine,
        policy.model,
        policy.eos_token_ids,
        policy.pad_token_id,
        config=config,
    )
    length = min(config.max_completion_length, 24)
    return engine.generate(prompts, group, Sampling(length), torch.Generator().manual_seed(7))


def same_samples(one: Rollout, other: Rollout) -> bool:
    """The same tokens, or as good as the same log-probabilities: no update came in between."""
    return one.completion_lists() == other.completion_lists() and bool(
        torch.equal(one.sampler_logp_BT, other.sampler_logp_BT)
    )


@torch.no_grad()
def plain_logps(policy: Policy, rollout: Rollout) -> Tensor:
    """Log-probabilities as transformers' own forward gives them: a row for each completion, all
    logits, nothing shared."""
    found = torch.zeros_like(rollout.sampler_logp_BT)
    for row, ids in enumerate(rollout.completion_lists()):
        place = row // rollout.num_generations
        prompt = rollout.prompt_ids_NP[place][rollout.prompt_mask_NP[place]].tolist()
        logits = (
            policy.model(input_ids=torch.tensor([prompt + ids], device=policy.device))
            .logits[0]
            .float()
        )
        logp = logits[len(prompt) - 1 : -1].log_softmax(-1)
        found[row, : len(ids)] = logp.gather(
            -1, torch.tensor(ids, device=policy.device)[:, None]
        ).squeeze(-1)
    return found


def largest(difference_BT: Tensor, rollout: Rollout) -> float:
    """The largest difference at a sampled token."""
    return float(difference_BT[rollout.mask_BT].abs().max())


def chi_square(policy: Policy, config: GRPOConfig, prompt: list[int]) -> float:
    """The p-value of sampled first tokens under the plain pass's probabilities; tokens that are
    expected fewer than five times are counted together."""
    engine = make_engine(
        config.rollout_engine,
        policy.model,
        policy.eos_token_ids,
        policy.pad_token_id,
        config=config,
    )
    generator = torch.Generator().manual_seed(11)
    drawn = [
        engine.generate([prompt], ROWS_AT_ONCE, Sampling(1), generator).completion_ids_BT[:, 0]
        for _ in range(DRAWS // ROWS_AT_ONCE)
    ]
    with torch.no_grad():
        logits = (
            policy.model(input_ids=torch.tensor([prompt], device=policy.device)).logits[0, -1].cpu()
        )
    probability = logits.double().softmax(-1)
    counts = torch.bincount(torch.cat(drawn).cpu(), minlength=len(probability)).double()
    return p_value(counts, probability * DRAWS)


def p_value(counts: Tensor, expected: Tensor) -> float:
    """Pearson's test of counts against what is expected of each."""
    often = expected >= 5
    counts = torch.cat([counts[often], counts[~often].sum()[None]])
    expected = torch.cat([expected[often], expected[~often].sum()[None]])
    if expected[-1] < 5:
        # Too rare for a class of its own: it goes to its neighbour.
        counts[-2] += counts[-1]
        expected[-2] += expected[-1]
        counts, expected = counts[:-1], expected[:-1]
    if len(expected) < 2:
        return 1.0
    statistic = ((counts - expected) ** 2 / expected).sum()
    degrees = torch.tensor((len(expected) - 1) / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(degrees, statistic / 2))


def our_gradient(policy: Policy, config: GRPOConfig, rollout: Rollout, advantages: Tensor) -> float:
    """The loss of one update over all rows; its gradient stays in the parameters."""
    config = one_update(config)
    batch = Batch(rollout, advantages, rollout.mask_BT)
    rows = torch.arange(len(rollout.mask_BT), device=policy.device)
    method = make_method(policy, config, RewardSet([arbitrary]))
    return accumulate_gradient(policy, method, batch, rows, config, 1)["loss"]


def one_update(config: GRPOConfig) -> GRPOConfig:
    """Without KL and with one update: what is left is what every case has in common."""
    return GRPOConfig(**config.to_dict() | {"updates_per_rollout": 1, "beta": 0.0})


def trls_gradient(
    policy: Policy,
    case: Case,
    config: GRPOConfig,
    numbers: Numbers,
    rollout: Rollout,
    advantages: Tensor,
) -> float:
    """The same by TRL."""
    rows = [{"prompt": [{"role": "user", "content": "a"}], "answer": "1"}] * 4
    with tempfile.TemporaryDirectory() as out:
        trainer = plain_trainer(TUNED, policy, one_update(config), numbers, rows, out)
        trainer.model.train()
        # One pass makes up the whole update here.
        trainer.current_gradient_accumulation_steps = trainer.args.steps_per_generation
        group = rollout.num_generations
        inputs = {
            "prompt_ids": rollout.prompt_ids_NP.repeat_interleave(group, 0),
            "prompt_mask": rollout.prompt_mask_NP.repeat_interleave(group, 0).long(),
            "completion_ids": rollout.completion_ids_BT,
            "completion_mask": rollout.mask_BT.long(),
            "advantages": advantages,
            "num_items_in_batch": rollout.mask_BT.sum(),
        }
        loss = trainer.compute_loss(trainer.model, inputs)
        loss.backward()
    return float(loss.detach())


def gradients_apart(ours: Policy, theirs: Policy) -> float:
    """The largest relative difference of a parameter's gradient."""
    pairs = zip(ours.trainable_parameters(), theirs.trainable_parameters(), strict=True)
    return max(relative(own.grad, other.grad) for own, other in pairs)


def relative(one: Tensor | None, other: Tensor | None) -> float:
    """|one - other| / |other|; a gradient that is missing is 0 everywhere."""
    if one is None and other is None:
        return 0.0
    first = torch.zeros_like(other) if one is None else one  # type: ignore[arg-type]
    second = torch.zeros_like(first) if other is None else other
    size = float(second.norm())
    apart = float((first - second).norm())
    # An adapter's first factor has no gradient before its second one has moved.
    if size == 0:
        return 0.0 if apart == 0 else float("inf")
    return apart / size
