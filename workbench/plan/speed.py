"""Seconds of a step, from two rates of the device: how fast it reads memory and how fast it
multiplies.

A limit is what the device cannot go below:

    one token of every row     the larger of (bytes of the weights + keys and values) / bandwidth
                               and operations / rate
    a pass over all tokens     operations / rate

An estimate is a range between the limit and a share of it that programs of this kind seldom fall
below, with the time that Python and kernel launches take for every layer added. Those shares are
assumptions, and named so; they were not measured on the device unless the plan says so. A trial
(`trial`) takes the estimate's place, and needs no rates.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.config import GRPOConfig
from workbench.config.engines import facts_of
from workbench.config.losses import looks_at_update
from workbench.plan import ledger
from workbench.plan.beside import Teacher, asks_old, asks_reference, has_critic, samples
from workbench.plan.devices import Device
from workbench.plan.trace.micro_batches import tokens_of_batch, tokens_of_passes
from workbench.plan.trace.skeleton import Skeleton

SHARE_OF_LIMIT = {"cuda": (0.6, 0.15), "cpu": (0.8, 0.25)}
"""Of the limit, what the quick and the slow end of the range reach: an assumption, by kind of
device."""
SECONDS_PER_LAYER = {"cuda": (2e-4, 8e-4), "cpu": (1e-4, 4e-4)}
"""Python and kernel launches for one layer of one forward, quick and slow: an assumption. vLLM's
graphs have none."""

TRIAL_RANGE = {"cpu": (0.9, 1.35), "cuda": (0.4, 2.5)}
"""What a step took, divided by what a trial came to. CPU: 0.91 to 1.31 in the 19 cases of
benchmarks/plan_against_peaks.py, median 1.06; long rows and many 4-bit layers take longest. CUDA:
an assumption, never measured."""


@dataclass(frozen=True)
class Seconds:
    """Seconds by phase."""

    limit: dict[str, float] | None
    """What the device cannot go below; None where its rates are unknown."""
    low: dict[str, float]
    """The quick end of the estimate ..."""
    high: dict[str, float]
    """... and the slow one."""
    source: str
    """Where the figures come from, in words."""
    trial: dict[str, float] | None = None
    """What a trial on the device came to; None where there was none."""

    @property
    def step(self) -> tuple[float | None, float, float]:
        """(limit, low, high) of a whole step, rewards apart."""
        return (
            None if self.limit is None else sum(self.limit.values()),
            sum(self.low.values()),
            sum(self.high.values()),
        )


def seconds_of(
    skeleton: Skeleton,
    config: GRPOConfig,
    prompt_tokens: int,
    device: Device,
    teacher: Teacher | None = None,
) -> Seconds | None:
    """The seconds of a step on `device`; None where no rates are known."""
    compute = "bfloat16" if skeleton.autocast else str(skeleton.dtype).removeprefix("torch.")
    rate, bandwidth = device.flops_of(compute), device.bandwidth
    if rate is None or bandwidth is None:
        return None
    rollout = 0.0
    if samples(config):
        rollout = rollout_limit(skeleton, config, prompt_tokens, device, rate, bandwidth)
    forward = forward_operations(skeleton, config, prompt_tokens)
    critic = critic_operations(skeleton, config, prompt_tokens)
    graded = 0.0 if teacher is None else teacher_operations(teacher, config, prompt_tokens)
    limit = {
        "rollout": rollout,
        "logprobs": (logprob_passes(skeleton, config) * forward + critic + graded) / rate,
        "update": update_factor(config) * (forward + critic) / rate,
    }
    forwards = _forwards(skeleton, config, prompt_tokens, teacher)
    if not facts_of(config).launches_per_token:
        forwards["rollout"] = 0
    layers = skeleton.plain_config.num_hidden_layers
    low, high = (
        {name: s / share + layers * launch * forwards[name] for name, s in limit.items()}
        for share, launch in zip(
            SHARE_OF_LIMIT[device.kind], SECONDS_PER_LAYER[device.kind], strict=True
        )
    )
    quick, slow = SHARE_OF_LIMIT[device.kind]
    return Seconds(
        limit,
        low,
        high,
        f"{compute} rate and bandwidth: {device.source}; range: {quick:.0%} to {slow:.0%} of "
        "these (an assumption)",
    )


def from_trial(
    trial: dict[str, float], limit: dict[str, float] | None, source: str, kind: str
) -> Seconds:
    """The seconds of a trial: on a CPU with the range in which measured steps lay, on a GPU with a
    wide one, and words that it is assumed."""
    low, high = ({name: s * factor for name, s in trial.items()} for factor in TRIAL_RANGE[kind])
    said = (
        ""
        if kind == "cpu"
        else "; the range is an assumption: on a GPU no trial has been compared with a step"
    )
    return Seconds(limit, low, high, source + said, trial)


def logprob_passes(skeleton: Skeleton, config: GRPOConfig) -> int:
    """The policy's forward passes without gradient over the whole batch: old and reference
    log-probabilities."""
    return int(asks_old(config)) + int(asks_reference(skeleton, config))


def critic_operations(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> float:
    """Operations of one pass of the critic, which has the policy's layers and one number in place
    of the words; 0 without one."""
    if not has_critic(config):
        return 0.0
    words = 2 * skeleton.head * config.completions_per_step * config.max_completion_length
    return forward_operations(skeleton, config, prompt_tokens) - words


def teacher_operations(teacher: Teacher, config: GRPOConfig, prompt_tokens: int) -> float:
    """Operations of the teacher's pass over all completions."""
    return forward_operations(teacher.skeleton, config, prompt_tokens)


def update_factor(config: GRPOConfig) -> int:
    """Operations of the updates in forwards: one forward, one backward to the inputs, one to the
    weights where all are trained, and one more forward where activations are computed again; times
    the passes over the batch."""
    return config.num_iterations * (
        2 + int(config.lora_rank == 0) + int(config.gradient_checkpointing)
    )


def forward_operations(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> float:
    """Operations of one pass over all completions: layers on every computed token, the head on the
    scored ones, attention."""
    tokens = tokens_of_batch(skeleton, config, prompt_tokens)
    scored = config.completions_per_step * config.max_completion_length
    rows = max(tokens - scored, prompt_tokens) / prompt_tokens  # each row has its prompt once
    attention = 4 * _attention_width(skeleton) * tokens * tokens / rows
    return 2 * skeleton.body * tokens + 2 * skeleton.head * scored + attention


def rollout_limit(
    skeleton: Skeleton,
    config: GRPOConfig,
    prompt_tokens: int,
    device: Device,
    rate: float,
    bandwidth: float,
) -> float:
    """Seconds for the prompts and for one token after another of all rows at their full length."""
    B, T = config.completions_per_step, config.max_completion_length
    engine = facts_of(config)
    prompts = config.prompts_per_step if engine.shares_prompt else B
    prefill = 2 * skeleton.body * prompts * prompt_tokens / rate
    middle = prompt_tokens + T / 2
    half = config.replace(max_completion_length=max(T // 2, 1))
    cache = ledger.sampled_kv_bytes(
        skeleton, B, config.prompts_per_step, prompt_tokens, half, device.kind
    )
    operations = (
        2 * (skeleton.body + skeleton.head) * B + 4 * _attention_width(skeleton) * B * middle
    )
    return prefill + T * max(
        (read_bytes(skeleton, engine.own_memory is not None) + cache) / bandwidth,
        operations / rate,
    )


def read_bytes(skeleton: Skeleton, own_weights: bool = False) -> float:
    """Bytes that one token of the rollout moves for the weights. Quantised ones are written out and
    read again; under autocast so is the bfloat16 copy. An engine with weights of its own has them
    in the format of the arithmetic."""
    if own_weights:
        return (skeleton.body + skeleton.head) * (
            2 if skeleton.autocast else skeleton.dtype.itemsize
        )
    head = skeleton.head * skeleton.dtype.itemsize
    body = float(skeleton.body * skeleton.dtype.itemsize)
    if skeleton.constants:
        return head + skeleton.constants + min(skeleton.weights, skeleton.body) + 2 * body
    if skeleton.autocast:
        return 2 * (head + body)
    return head + body


def _attention_width(skeleton: Skeleton) -> int:
    """Heads times their size, over all layers."""
    c = skeleton.plain_config
    size = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    return int(c.num_hidden_layers * c.num_attention_heads * size)


def _forwards(
    skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int, teacher: Teacher | None
) -> dict[str, float]:
    """Forwards of the policy's layers in each phase, a backward counted as one and a half; a
    teacher's by its own layers."""
    models = 1 + int(has_critic(config))
    graded = 0.0
    if teacher is not None:
        graded = teacher.skeleton.plain_config.num_hidden_layers
        graded /= skeleton.plain_config.num_hidden_layers
    batches = len(tokens_of_passes(skeleton, config, prompt_tokens))
    passes_of_update = 2.5
    if looks_at_update(config) and batches > config.updates_per_rollout:
        # The whole update is looked at before the first of its micro-batches.
        passes_of_update += 1.0
    return {
        "rollout": config.max_completion_length if samples(config) else 0,
        "logprobs": batches * (logprob_passes(skeleton, config) + models - 1 + graded),
        "update": round(passes_of_update * batches * config.num_iterations) * models,
    }
