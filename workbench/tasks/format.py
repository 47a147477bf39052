"""The `<think>…</think><answer>…</answer>` format: asking for it and reading it strictly.

Everything here takes time linear in the text, whatever the text holds: completions are hostile.
"""

from __future__ import annotations

from dataclasses import dataclass

SYSTEM_PROMPT = (
    "Solve the problem. First reason between <think> and </think>, then give only the final "
    "answer between <answer> and </answer>, with nothing before, between or after them: "
    "<think>reasoning</think><answer>answer</answer>"
)

_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


@dataclass(frozen=True)
class Parsed:
    """The two parts of a well-formed completion, without surrounding white space."""

    think: str
    answer: str


def parse(text: str) -> Parsed | None:
    """The parts of `text` when all of it is `<think>…</think><answer>…</answer>`, else None.

    Strict: each of the four tags exactly once and in this order, an answer that is not blank, and
    nothing but white space before, between and after the two parts. (The seeds'
    `format_reward_func` differs in three points: it takes repeated tags and a blank answer, and no
    line break anywhere.)
    """
    body = text.strip()
    if not (body.startswith("<think>") and body.endswith("</answer>")) or any(
        body.count(tag) != 1 for tag in _TAGS
    ):
        return None
    think, _, rest = body.removeprefix("<think>").partition("</think>")
    between, opened, answer = rest.removesuffix("</answer>").partition("<answer>")
    answer = answer.strip()
    return Parsed(think.strip(), answer) if opened and not between.strip() and answer else None


def tagged_answer(text: str) -> str | None:
    """What stands in the one `<answer>…</answer>` of `text`; None when there is none, a blank one,
    or several.

    Several answers are a hedge, so none of them counts.
    """
    if text.count("<answer>") != 1 or text.count("</answer>") != 1:
        return None
    answer, closed, _ = text.partition("<answer>")[2].partition("</answer>")
    return (answer.strip() or None) if closed else None


def boxed_answer(text: str) -> str | None:
    """What stands in the last `\\boxed{…}`, braces balanced; None when there is none or it is not
    closed."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    start += len("\\boxed{")
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i]
    return None
