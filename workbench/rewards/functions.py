"""The reward functions that come with the workbench, in TRL's signature, and the strict notion of a
right answer.

`f(prompts, completions, **columns) -> list[float | None]`: a column is a list with an entry per
completion.
`answer` is the column with the gold answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from workbench.rewards.answers.equal import answers_equal, check_gold, gold_kind
from workbench.rewards.answers.extract import extract_answer
from workbench.tasks.format import parse, tagged_answer

Completion = str | Sequence[Mapping[str, Any]]
"""A completion as TRL hands it over: text, or for a conversation its new messages."""

UNDECIDED = "answers_not_compared"
"""The metric that counts the answers of a step which were not scored, because math-verify ran out
of time or memory."""


def as_messages(texts: Iterable[str]) -> list[list[dict[str, str]]]:
    """Texts as reward functions get completions of a conversation: one message of the assistant
    each."""
    return [[{"role": "assistant", "content": text}] for text in texts]


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
    `workbench.tasks.format.parse`), else 0.

    Source: DeepSeek-R1's format reward (arXiv 2501.12948, section 2.2.2). Hackable: nothing is
    asked of what stands in the tags but that the answer is not blank.
    """
    return [float(parse(completion_text(c)) is not None) for c in completions]


def answer_reward(
    completions: Sequence[Completion],
    answer: Sequence[str],
    log_metric: Callable[[str, float], None] | None = None,
    **_: Any,
) -> list[float | None]:
    """1 where the one `<answer>…</answer>` of the text holds the gold answer, whatever stands
    around it, else 0; None where the two could not be compared in time.

    Hackable: how the answer was found is not looked at, so that a guess is paid as often as it is
    right; where there are few answers (a choice, a small number) that is often. Raises
    `workbench.rewards.answers.equal.GoldError` for a gold answer that cannot be read.
    """
    given = [tagged_answer(completion_text(c)) for c in completions]
    return _scores([_is_right(g, a) for g, a in zip(given, answer, strict=True)], log_metric)


def lenient_answer_reward(
    completions: Sequence[Completion],
    answer: Sequence[str],
    log_metric: Callable[[str, float], None] | None = None,
    **_: Any,
) -> list[float | None]:
    """1 where the likeliest answer in the text, tagged or not, is the gold answer, else 0; None
    where the two could not be compared in time. Raises `GoldError`.

    Hackable: it reads free text by rules, and a text that no rule foresaw may be taken for an
    answer that it does not give; docs/answers.md counts how often.
    """
    texts = [completion_text(c) for c in completions]
    return _scores([lenient_correct(t, a) for t, a in zip(texts, answer, strict=True)], log_metric)


def strict_correct(text: str, gold: str) -> bool | None:
    """Whether all of `text` is in the format and its answer is `gold`: what accuracy counts. None
    where the two could not be compared in time. Raises `GoldError`."""
    parsed = parse(text)
    return _is_right(parsed.answer if parsed else None, gold)


def lenient_correct(text: str, gold: str) -> bool | None:
    """Whether the likeliest answer in `text` is `gold`, so that a gain in format is not taken for
    one in ability. None as for `strict_correct`."""
    return _is_right(extract_answer(text, gold_kind(gold)), gold)


def _is_right(given: str | None, gold: str) -> bool | None:
    # A gold answer that cannot be read is an error, also where nothing was answered.
    check_gold(gold)
    return False if given is None else answers_equal(given, gold)


def _scores(
    right: Sequence[bool | None], log_metric: Callable[[str, float], None] | None
) -> list[float | None]:
    undecided = sum(verdict is None for verdict in right)
    if undecided and log_metric is not None:
        log_metric(UNDECIDED, undecided)
    return [None if verdict is None else float(verdict) for verdict in right]
