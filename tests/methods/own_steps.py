"""A step-reward function of a user's own, named by its file."""

from __future__ import annotations

import threading
from typing import Any

import torch


def halves(prompts: Any, completions: Any, **columns: Any) -> list[list[tuple[int, float]]]:
    """Two steps, paid by the letters that they end with."""
    found = []
    for completion in completions:
        text = completion[0]["content"]
        ends = sorted({len(text) // 2, len(text)} - {0})
        found.append([(end, float(ord(text[end - 1]) % 2)) for end in ends])
    return found


async def halves_later(prompts: Any, completions: Any, **columns: Any) -> Any:
    """The same of a function that waits for something."""
    return halves(prompts, completions)


def spoils(prompts: Any, completions: Any, answer: Any, **columns: Any) -> Any:
    """The same, and all that it was given is changed afterwards, torch's settings too."""
    steps = halves(prompts, completions)
    for talk, completion in zip(prompts, completions, strict=True):
        talk.clear()
        completion[0]["content"] = ""
    answer[:] = ["0"] * len(answer)
    torch.set_grad_enabled(False)
    return steps


def never_returns(**columns: Any) -> Any:
    threading.Event().wait()


def one_behind_the_text(prompts: Any, completions: Any, **columns: Any) -> Any:
    steps = halves(prompts, completions)
    steps[2] = [(len(completions[2][0]["content"]) + 1, 1.0)]
    return steps
