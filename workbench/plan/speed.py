"""Seconds of a step, from two rates of the device: how fast it reads memory and how fast it
multiplies.

A limit is what the device cannot go below:

    one token of every row     max( (bytes of the weights + keys and values) / bandwidth, operations / rate )
    a pass over all tokens     operations / rate

An estimate is a range between the limit and a share of it that programs of this kind seldom fall
below, with the time that Python and kernel launches take for every layer added. Those shares are
assumptions, and named so; they were not measured on the device unless the plan says so. A trial
(`trial`) takes the estimate's place, and needs no rates.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.config import GRPOConfig
from workbench.plan import memory, trace
from workbench.plan.devices import Device
from workbench.plan.skeleton import Skeleton

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
    """`limit`: what the device cannot go below, None where its rates are unknown. `low` and `high`:
    the range of the estimate. `trial`: what a trial on the device came to, None where there was
    none. By phase."""

    limit: dict[str, float] | None
    low: dict[str, float]
    high: dict[str, float]
    source: str
    trial: dict[str, float] | None = None

    @property
    def step(self) -> tuple[float | None, float, float]:
        """(limit, low, high) of a whole step, rewards apart."""
        return (
            None if self.limit is None else sum(self.limit.values()),
            sum(self.low.values()),
            sum(self.high.values()),
        )


def seconds_of(
    skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int, device: Device
) -> Seconds | None:
    """The seconds of a step on `device`; None where no rates are known."""
    compute = "bfloat16" if skeleton.autocast else str(skeleton.dtype).removeprefix("torch.")
    rate, bandwidth = device.flops_of(compute), device.bandwidth
    if rate is None or bandwidth is None:
        return None
    limit = {
        "rollout": rollout_limit(skeleton, config, prompt_tokens, rate, bandwidth),
        "logprobs": logprob_passes(config)
        * forward_operations(skeleton, config, prompt_tokens)
        / rate,
        "update": update_factor(config)
        * forward_operations(skeleton, config, prompt_tokens)
        / rate,
    }
    forwards = _forwards(config)
    if config.rollout_engine == "vllm":
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
        f"{compute} rate and bandwidth: {device.source}; range: {quick:.0%} to {slow:.0%} of these (an assumption)",
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


def logprob_passes(config: GRPOConfig) -> int:
    """Forward passes without gradient over the whole batch: old and reference log-probabilities."""
    return int(not config.on_policy) + int(config.asks_reference)


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
    tokens = trace.computed_tokens(skeleton, config, prompt_tokens)
    scored = config.completions_per_step * config.max_completion_length
    rows = max(tokens - scored, prompt_tokens) / prompt_tokens  # each row has its prompt once
    attention = 4 * _attention_width(skeleton) * tokens * tokens / rows
    return 2 * skeleton.body * tokens + 2 * skeleton.head * scored + attention


def rollout_limit(
    skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int, rate: float, bandwidth: float
) -> float:
    """Seconds for the prompts and for one token after another of all rows at their full length."""
    B, T = config.completions_per_step, config.max_completion_length
    prompts = B if config.rollout_engine == "transformers" else config.prompts_per_step
    prefill = 2 * skeleton.body * prompts * prompt_tokens / rate
    middle = prompt_tokens + T / 2
    cache = memory.kv_bytes(skeleton, B, prompt_tokens + T) * middle / (prompt_tokens + T)
    operations = (
        2 * (skeleton.body + skeleton.head) * B + 4 * _attention_width(skeleton) * B * middle
    )
    return prefill + T * max(
        (read_bytes(skeleton, config.rollout_engine == "vllm") + cache) / bandwidth,
        operations / rate,
    )


def read_bytes(skeleton: Skeleton, by_vllm: bool = False) -> float:
    """Bytes that one token of the rollout moves for the weights. Quantised ones are written out and
    read again; under autocast so is the bfloat16 copy. vLLM has a copy of its own in the format of
    the arithmetic."""
    if by_vllm:
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
    return c.num_hidden_layers * c.num_attention_heads * size


def _forwards(config: GRPOConfig) -> dict[str, int]:
    """Forwards in each phase, a backward counted as one and a half."""
    share = config.completions_per_step // config.updates_per_rollout
    batches = -(-share // len(trace.micro_batch(config))) * config.updates_per_rollout
    return {
        "rollout": config.max_completion_length,
        "logprobs": batches * logprob_passes(config),
        "update": round(2.5 * batches * config.num_iterations),
    }
