"""The pieces of a step, timed on a policy: the engine, the log-probabilities, the update and the
optimizer that training uses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from workbench.config import GRPOConfig
from workbench.config.engines import facts_of
from workbench.methods import Batch, Method, loss_mask
from workbench.plan.rates import quickest
from workbench.plan.trace.micro_batches import longest_rollout
from workbench.policy.logprobs import completion_logps
from workbench.policy.optim import make_optimizer
from workbench.policy.policy import Policy
from workbench.policy.reference import Reference
from workbench.policy.ways import Ways
from workbench.rewards import RewardSet
from workbench.rollout import make_engine
from workbench.rollout.types import Rollout, Sampling
from workbench.training.update import accumulate_gradient, apply_gradient

TOKENS = {"cpu": 512, "cuda": 8192}
"""Tokens of a trial's forward, at most. A GPU needs many to be busy: with few, launching its
kernels is all that is timed."""
CONTEXT = {"cpu": 2048, "cuda": 16384}
"""Tokens before the first that a trial's rollout draws, over all rows that go through the
layers."""
DRAWN = 5
"""Tokens that a trial's rollout draws after the first."""
REPEATS, ENOUGH = 3, 0.5
"""Times that a piece is timed at most, and the seconds after which it is not timed once more."""


@dataclass(frozen=True)
class Pieces:
    """What the pieces of a step take."""

    seconds: dict[str, float]
    """By piece. prompt: one prompt's forward and its first token. token: one more token of every
    completion (of as many rows as a trial takes, each further row at what the last ones cost).
    logprobs, reference, gradient: the `scored` tokens. optimizer: one update of all trained
    weights, clipping included."""
    tokens: int
    """Tokens that went through the layers for them."""
    scored: int
    """Completion tokens whose log-probabilities were computed."""


def time_pieces(policy: Policy, config: GRPOConfig, prompt_tokens: int, context: int) -> Pieces:
    """Time each piece, the quickest of `REPEATS` after one that warms up. context: tokens before
    the one that is drawn."""
    rollout, rows = _trial_rows(policy, config, prompt_tokens)
    return Pieces(
        _rollout_seconds(policy, config, prompt_tokens, context)
        | _training_seconds(policy, config, rollout, rows),
        tokens=_tokens(policy, rollout, rows),
        scored=len(rows) * config.max_completion_length,
    )


def _rollout_seconds(
    policy: Policy, config: GRPOConfig, prompt_tokens: int, context: int
) -> dict[str, float]:
    rows, kind, clock = config.completions_per_step, policy.device.type, _Clock(policy.device)
    engine = make_engine(
        config.rollout_engine,
        policy.model,
        policy.eos_token_ids,
        policy.pad_token_id,
        config=config,
        should_stop=clock,
    )
    generator = torch.Generator().manual_seed(0)
    width = min(context, CONTEXT[kind])
    timed = (
        min(rows, max(CONTEXT[kind] // width, 2)) if not facts_of(config).shares_prompt else rows
    )

    def draw(width: int, rows: int, tokens: int) -> None:
        engine.generate(
            [[1] * width],
            rows,
            Sampling(tokens, config.temperature, config.top_k, config.top_p),
            generator,
        )

    def token(rows: int) -> float:
        return min(
            clock.each_of_last(DRAWN, lambda: draw(width, rows, 1 + DRAWN)) for _ in range(REPEATS)
        )

    draw(prompt_tokens, min(2, rows), 2)  # warms up
    seconds = token(timed)
    if timed < rows:
        seconds = of_all_rows(seconds, token(timed // 2), timed, rows)
    return {"prompt": _quickest(lambda: draw(prompt_tokens, 1, 1), policy), "token": seconds}


class _Clock:
    """Asked by an engine before every token whether to stop: it notes when. So the prompt's
    forward, far longer, is not in the difference."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.times: list[float] = []

    def __call__(self) -> bool:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.times.append(time.perf_counter())
        return False

    def each_of_last(self, tokens: int, call: Callable[[], object]) -> float:
        """Seconds of each of the last tokens of a call, on average."""
        self.times.clear()
        call()
        return (self.times[-1] - self.times[-1 - tokens]) / tokens


def of_all_rows(seconds: float, of_half: float, timed: int, rows: int) -> float:
    """Seconds of a token in `rows` rows, from those in `timed` and in half as many: reading the
    weights is shared by all rows, so only what a row adds is multiplied. Between no more than was
    timed and as much again for each row."""
    each = (seconds - of_half) / (timed - timed // 2)
    return seconds + (rows - timed) * min(max(each, 0.0), seconds / timed)


def _training_seconds(
    policy: Policy, config: GRPOConfig, rollout: Rollout, rows: torch.Tensor
) -> dict[str, float]:
    optimizer = make_optimizer(policy.trainable_parameters(), config)

    @torch.no_grad()
    def logps() -> torch.Tensor:
        return completion_logps(policy.model, rollout, rows, config.temperature)[0]

    def reference_logps() -> None:
        with Reference(policy).active():
            logps()

    advantages = torch.ones(len(rollout.mask_BT), device=policy.device)
    rollout.sampler_logp_BT[rows] = logps().float()
    batch = Batch(
        rollout,
        advantages,
        loss_mask(rollout, config),
        sampler_logp_BT=rollout.sampler_logp_BT,
        old_logp_BT=rollout.sampler_logp_BT,
        ref_logp_BT=rollout.sampler_logp_BT,
    )
    whole = config.replace(micro_batch_size=len(rows))
    # What a method does beside it is not timed here: the gradient is the same pass for all.
    plain = Method(policy, config, RewardSet("format"))

    def gradient() -> None:
        accumulate_gradient(policy, plain, batch, rows, whole, 1)

    def zeros() -> None:
        for p in policy.trainable_parameters():
            p.grad = torch.zeros_like(p)

    def update() -> None:
        zeros()
        apply_gradient(policy, optimizer, config)

    seconds = {"logprobs": _quickest(logps, policy), "gradient": _quickest(gradient, policy)}
    seconds["reference"] = (
        _quickest(reference_logps, policy) if policy.has_adapter else seconds["logprobs"]
    )
    return seconds | {"optimizer": max(_quickest(update, policy) - _quickest(zeros, policy), 0.0)}


def _trial_rows(
    policy: Policy, config: GRPOConfig, prompt_tokens: int
) -> tuple[Rollout, torch.Tensor]:
    """As many rows of the first micro-batch as have few enough tokens, at least one."""
    with torch.device(policy.device):
        rollout = longest_rollout(config, prompt_tokens)
        rows = torch.arange(config.longest_at_once)
    while len(rows) > 1 and _tokens(policy, rollout, rows) > TOKENS[policy.device.type]:
        rows = rows[:-1]
    return rollout, rows


def _tokens(policy: Policy, rollout: Rollout, rows: torch.Tensor) -> int:
    return Ways(policy.model).computed_tokens(rollout.lengths, rows.tolist())


def _quickest(call: Callable[[], object], policy: Policy) -> float:
    return quickest(call, policy.device, REPEATS, ENOUGH)
