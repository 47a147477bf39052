"""What a step cannot go below: operations and bytes that it needs, over the machine's rates.

Needed is what no way of computing it is spared: each prompt once, each sampled token once, the head
where a token is scored. A rate is what one large product or one copy reaches in the same process.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

FORWARDS_OF_AN_UPDATE = {True: 3, False: 2}
"""A forward, a backward to the inputs, and one to the weights where all of them are trained."""


@dataclass(frozen=True)
class Size:
    """What a model costs."""

    body: int
    """Multiplied weights of the layers: 2 operations a token each."""
    head: int
    """Those of the output head."""
    attention: int
    """Heads times their size over all layers: 4 operations for a token and one it looks at."""
    weight_bytes: float
    """Bytes of layers and head as they are kept."""
    cache_bytes: float
    """Bytes of keys and values of one token."""
    trains_all: bool
    """All weights are trained, not an adapter."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def needed_tokens(prompts: list[int], lengths: list[int], phase: str) -> int:
    """Tokens that have to pass the layers; of a rollout not the last one of each completion."""
    last = len(lengths) if phase == "rollout" else 0
    return sum(prompts) + sum(lengths) - last


def looked_at(prompts: list[int], lengths: list[int]) -> float:
    """Over all tokens, how many each attends to, itself included; a prompt's once."""
    group = len(lengths) // len(prompts)
    own = sum(n * (n + 1) / 2 for n in (*prompts, *lengths))
    return own + sum(n * prompts[i // group] for i, n in enumerate(lengths))


def forward_operations(size: Size, prompts: list[int], lengths: list[int]) -> dict[str, float]:
    """Of one pass over prompts and completions: those with weights, and those of the attention."""
    tokens = needed_tokens(prompts, lengths, "update")
    return {
        "weights": 2.0 * size.body * tokens + 2.0 * size.head * sum(lengths),
        "attention": 4.0 * size.attention * looked_at(prompts, lengths),
    }


def update_operations(size: Size, prompts: list[int], lengths: list[int]) -> float:
    """Forward and backward. A frozen weight has no gradient of its own; the attention has none to
    spare, since both its factors are computed."""
    once = forward_operations(size, prompts, lengths)
    return FORWARDS_OF_AN_UPDATE[size.trains_all] * once["weights"] + 3 * once["attention"]


def rollout_seconds(
    size: Size, prompts: list[int], lengths: list[int], flops: float, bandwidth: float
) -> float:
    """The prompts once, then a token of every row that goes on: weights, and keys and values (a
    prompt's once for its group), are read for each."""
    group = len(lengths) // len(prompts)
    inside = 4.0 * size.attention * sum(n * (n + 1) / 2 for n in prompts)
    prefill = 2.0 * size.body * sum(prompts) + 2.0 * size.head * len(prompts) + inside
    seconds = prefill / flops
    for place in range(1, max(lengths)):
        alive = [i for i, n in enumerate(lengths) if n > place]
        groups = {i // group for i in alive}
        seen = sum(prompts[i // group] + place for i in alive)
        operations = 2.0 * (size.body + size.head) * len(alive) + 4.0 * size.attention * seen
        read = sum(prompts[g] for g in groups) + place * len(alive)
        moved = size.weight_bytes + size.cache_bytes * read
        seconds += max(operations / flops, moved / bandwidth)
    return seconds


def limits(
    size: Size,
    prompts: list[int],
    lengths: list[int],
    rates: dict[str, float],
    logprob_passes: int,
) -> dict[str, float]:
    """Seconds that each phase takes at least, at the machine's `rates` (see `probe`)."""
    flops, bandwidth = rates["flops"], rates["bandwidth"]
    once = sum(forward_operations(size, prompts, lengths).values())
    found = {
        "rollout": rollout_seconds(size, prompts, lengths, flops, bandwidth),
        "logprobs": logprob_passes * once / flops,
        "update": update_operations(size, prompts, lengths) / flops,
    }
    return {phase: seconds for phase, seconds in found.items() if seconds > 0}
