"""The problems of a case, and a reward that differs within a group."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from workbench.policy import Policy
from workbench.tasks import load_task
from workbench.tasks.types import Problem, Task
from yardstick.cases import Case, Shape

WORDS = ("one", "two", "six", "ten", "red", "sun", "map", "box")


def arbitrary(completions: list[Any], **columns: Any) -> list[float]:
    """A number from 0 to 1 that depends on the text alone. Hardly ever the same twice: a group of
    equal rewards would be skipped by one contender and not by the other."""
    return [zlib.crc32(c[0]["content"].encode()) / 2**32 for c in completions]


def task_of(case: Case, policy: Policy, batches: int) -> Task:
    """The task whose first `batches` batches are measured: arithmetic for the embedded policy, else
    questions whose prompts are as long as the shape says."""
    if case.model == "embedded":
        return load_task("arithmetic")
    lengths = lengths_of(case.shape, batches)
    made = [Problem(question(policy, number, tokens), "1") for number, tokens in enumerate(lengths)]
    return Task("made up", tuple(made[1:]), tuple(made[:1]))


def lengths_of(shape: Shape, batches: int) -> list[int]:
    """The tokens of each prompt, spread evenly from the shortest to the longest, and one more for
    the held-out problem."""
    low, high = shape.prompt_tokens
    count = batches * shape.prompts + 1
    return [low + (high - low) * (i * 7 % count) // max(count - 1, 1) for i in range(count)]


def question(policy: Policy, number: int, tokens: int) -> str:
    """A question whose prompt has `tokens` tokens, or as many less as the last word needs."""
    text = f"{number}"
    for addition in (" word", "."):
        while True:
            more = text + (addition if addition == "." else f" {WORDS[len(text) % 8]}")
            if tokens_of(policy, more) > tokens:
                break
            text = more
    return text


def tokens_of(policy: Policy, text: str) -> int:
    """The length of the prompt that asks it."""
    return len(policy.encode_prompt([{"role": "user", "content": text}]))


def in_order(task: Task, count: int, seed: int) -> Sequence[Problem]:
    """The problems that our trainer draws first, which the other one gets too."""
    return [task.train[i] for i in task.draw(0, count, seed)]
