"""From the characters of a completion's text to its tokens.

A character belongs to the token with which it is whole: a letter of several bytes may be spread
over several tokens, and then the last of them has it. That is asked of the decoder itself, the
tokens before and with it decoded, so that it holds for byte-level and for sentencepiece-like
tokenizers alike, and for whatever the chat template put before the completion.

Suffixes: B completions, S steps of the completion that has the most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from workbench.rewards.steps.checked import Step, checked_steps

NO_TOKEN = -1
"""In place of a token: the policy wrote none of it."""


HALF_READ = "\ufffd"
"""What a decoder shows for a letter whose last bytes are still to come. Where a text really holds
it, it counts as there with the token behind it."""


class Decodes(Protocol):
    """What of a policy is asked here; `workbench.policy.Policy` has it."""

    def decode(self, ids: Sequence[int], messages: Sequence[dict[str, str]] = ()) -> str:
        """The assistant's whole message, of which the model wrote `ids`."""
        ...


def token_ends(
    decode: Callable[[Sequence[int]], str], ids: Sequence[int], ends: Sequence[int]
) -> list[int]:
    """For each end, in characters of `decode(ids)`, the place in `ids` of the token with which the
    text up to there is whole; -1 where that text stands before the completion.

    What ends with the text ends with the last token, the end token included: it is part of what was
    written. Raises ValueError for an end outside the text.
    """
    whole = decode(ids)
    found = []
    for end in ends:
        if not 0 < end <= len(whole):
            raise ValueError(
                f"a step ends at character {end}: the completion's text has {len(whole)}. Give "
                "ends from 1 to that."
            )
        found.append(len(ids) - 1 if end == len(whole) else _token_with(decode, ids, whole, end))
    return found


def _token_with(
    decode: Callable[[Sequence[int]], str], ids: Sequence[int], whole: str, end: int
) -> int:
    """The first token with which `whole[:end]` is there."""
    low = 0
    high = len(ids)
    # By halves: text only grows.
    while low < high:
        middle = (low + high) // 2
        if _is_there(decode(ids[:middle]), whole, end):
            high = middle
        else:
            low = middle + 1
    first = low
    # But for letters as bytes, of which some decoders show none while one of them is half read.
    for place in range(low - 1, -1, -1):
        part = decode(ids[:place])
        if _is_there(part, whole, end):
            first = place
        elif not part.endswith(HALF_READ):
            break
    return first - 1 if first > 0 else NO_TOKEN


def _is_there(part: str, whole: str, end: int) -> bool:
    """Whether what was decoded of some tokens has `whole[:end]` in it."""
    return part.rstrip(HALF_READ).startswith(whole[:end])


def step_tensors(
    policy: Decodes,
    completion_ids_B: Sequence[Sequence[int]],
    messages_B: Sequence[Sequence[dict[str, str]]],
    steps: Any,
) -> tuple[Tensor, Tensor]:
    """`(step_reward_BS, step_end_BS)` as `workbench.objective.process_advantages` takes them: each
    step's reward (float32, NaN = not scored, or no such step) and the token that it ends with (-1).

    `completion_ids_B` are the sampled tokens without padding, `messages_B` the conversation that
    each answers, `steps` what a step-reward function said of them. A step that stands in what the
    chat template opened is left out: no token of the policy's wrote it. Raises `StepRewardError`.
    """
    texts = [
        policy.decode(ids, messages)
        for ids, messages in zip(completion_ids_B, messages_B, strict=True)
    ]
    rows: list[list[Step]] = checked_steps(steps, texts)
    most = max([1, *map(len, rows)])
    step_reward_BS = torch.full((len(rows), most), math.nan)
    step_end_BS = torch.full((len(rows), most), NO_TOKEN)
    for row, (ids, messages) in enumerate(zip(completion_ids_B, messages_B, strict=True)):
        ends = token_ends(_decoder(policy, messages), ids, [end for end, _ in rows[row]])
        for column, (end, (_, reward)) in enumerate(zip(ends, rows[row], strict=True)):
            if end != NO_TOKEN:
                step_end_BS[row, column] = end
                step_reward_BS[row, column] = math.nan if reward is None else reward
    return step_reward_BS, step_end_BS


def _decoder(policy: Decodes, messages: Sequence[dict[str, str]]) -> Callable[[Sequence[int]], str]:
    return lambda ids: policy.decode(ids, messages)
