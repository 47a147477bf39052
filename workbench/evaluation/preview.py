"""What the policy will really get: one prompt as the chat template renders it, and how long all of
them are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.evaluation.prompts import prompt_limit
from workbench.policy.policy import Policy
from workbench.tasks.types import Task


@dataclass(frozen=True)
class Preview:
    """The prompts of a task, as a policy gets them."""

    text: str
    """The first training prompt, special tokens included."""

    tokens: int
    """Its length."""

    lengths: tuple[int, ...]
    """Tokens of every prompt, training split first."""

    limit: int | None
    """max_prompt_length, or less where the model's positions leave no more."""

    why: str
    """The limit and where it comes from, in words."""

    system_left_out: bool
    """Whether the template leaves the system message out, as the embedded policy's does."""

    without_template: bool
    """Whether the policy has no chat template: the turns are glued together, without their
    roles."""

    @property
    def too_long(self) -> int:
        """How many prompts are over the limit."""
        return sum(self.limit is not None and length > self.limit for length in self.lengths)

    def __str__(self) -> str:
        """In words; the text in quotes, control characters spelled out, line breaks kept."""
        lines = "\n".join(f"  {line!r}"[:400] for line in self.text.split("\n"))
        middle = np.median(self.lengths)
        spread = f"{min(self.lengths)} to {max(self.lengths)} tokens, at the median {middle:.0f}"
        over = "no limit is set"
        if self.limit is not None:
            share = self.too_long / len(self.lengths)
            over = f"{self.too_long} ({share:.1%}) over {self.why}"
        if self.system_left_out:
            lines += "\n  (the chat template leaves the system message out)"
        if self.without_template:
            lines += (
                "\n  (the policy has no chat template: the turns follow one another with an empty "
                "line between, and nothing says whose they are)"
            )
        return (
            f"the first prompt as the policy gets it, {self.tokens} tokens:\n{lines}\n"
            f"all {len(self.lengths)} prompts: {spread}; {over}."
        )


def preview(
    policy: Policy,
    task: Task,
    max_prompt_length: int | None = None,
    max_completion_length: int | None = None,
) -> Preview:
    """The first prompt of `task` as `policy` gets it, and the lengths of all. With
    `max_completion_length` the limit is a run's, which leaves room for a completion in the model's
    positions. Raises `PolicyError` where the chat template cannot render a prompt."""
    limit = max_prompt_length
    why = f"max_prompt_length={limit}"
    if max_completion_length is not None:
        limit, source = prompt_limit(policy, max_completion_length, max_prompt_length)
        if limit != max_prompt_length:
            why = f"the limit of {limit}: {source}"
    problems = [*task.train, *task.held_out]
    messages = task.messages(problems[0])
    first = policy.encode_prompt(messages)
    lengths = tuple(len(policy.encode_prompt(task.messages(p))) for p in problems)
    text = policy.tokenizer.decode(first, clean_up_tokenization_spaces=False)
    system = messages[0]["content"].strip() if messages[0]["role"] == "system" else ""
    return Preview(
        text=text,
        tokens=len(first),
        lengths=lengths,
        limit=limit,
        why=why,
        system_left_out=system not in text,
        without_template=not policy.tokenizer.chat_template,
    )
