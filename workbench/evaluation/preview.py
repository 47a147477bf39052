"""What the policy will really get: one prompt as the chat template renders it, and how long all of
them are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    """max_prompt_length."""

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
            over = f"{self.too_long} ({share:.1%}) over max_prompt_length={self.limit}"
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


def preview(policy: Policy, task: Task, max_prompt_length: int | None = None) -> Preview:
    """The first prompt of `task` as `policy` gets it, and the lengths of all. Raises `PolicyError`
    where the chat template cannot render one."""
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
        limit=max_prompt_length,
        system_left_out=system not in text,
        without_template=not policy.tokenizer.chat_template,
    )
