"""The reward functions that come with the workbench, in TRL's signature, and the strict notion of a
right answer.

`f(prompts, completions, **columns) -> list[float | None]`: a column is a list with an entry per
completion.
`answer` is the column with the gold answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.rewards.answers import answers_equal, check_gold
from workbench.tasks.format import extract_answer, parse, tagged_answer

Completion = str | Sequence[Mapping[str, Any]]
"""A completion as TRL hands it over: text, or for a conversation its new messages."""


def completion_text(completion: Completion) -> str:
    """The text of a completion: itself, or what the assistant said in its messages. Raises
    `TypeError`."""
    if isinstance(completion, str):
        return completion
    messages = list(completion) if isinstance(completion, Sequence) else []
    said = [
        m.get("content")
        for m in messages
        if isinstance(m, Mapping) and m.get("role") == "assistant"
    ]
    texts = [content for content in said if isinstance(content, str)]
    if texts and len(texts) == len(said):
        return "\n".join(texts)
    raise TypeError(
        "a completion must be text, or a list of messages with text from the assistant, as in "
        f"[{{'role': 'assistant', 'content': '8'}}]. This one is {completion!r:.200}"
    )


def format_reward(completions: Sequence[Completion], **_: Any) -> list[float]:
    """1 where the whole text is `<think>…</think><answer>…</answer>` (see
    `workbench.tasks.format.parse`), else 0."""
    return [float(parse(completion_text(c)) is not None) for c in completions]


def answer_reward(
    completions: Sequence[Completion], answer: Sequence[str], **_: Any
) -> list[float]:
    """1 where the one `<answer>…</answer>` of the text holds the gold answer, whatever stands
    around it, else 0.

    Raises `workbench.rewards.answers.GoldError` for a gold answer that cannot be read.
    """
    return [
        float(_is_right(tagged_answer(completion_text(c)), a))
        for c, a in zip(completions, answer, strict=True)
    ]


def lenient_answer_reward(
    completions: Sequence[Completion], answer: Sequence[str], **_: Any
) -> list[float]:
    """1 where the likeliest answer in the text, tagged or not, is the gold answer, else 0. Raises
    `GoldError`."""
    return [
        float(_is_right(extract_answer(completion_text(c)), a))
        for c, a in zip(completions, answer, strict=True)
    ]


def strict_correct(text: str, gold: str) -> bool:
    """Whether all of `text` is in the format and its answer is `gold`: what accuracy counts. Raises
    `GoldError`."""
    parsed = parse(text)
    return _is_right(parsed.answer if parsed else None, gold)


def lenient_correct(text: str, gold: str) -> bool:
    """Whether the likeliest answer in `text` is `gold`, so that a gain in format is not taken for
    one in ability."""
    return _is_right(extract_answer(text), gold)


def _is_right(given: str | None, gold: str) -> bool:
    # A gold answer that cannot be read is an error, also where nothing was answered.
    check_gold(gold)
    return given is not None and answers_equal(given, gold)
