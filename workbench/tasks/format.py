"""The `<think>…</think><answer>…</answer>` format: asking for it and reading it strictly.

Everything here takes time linear in the text, whatever the text holds: completions are hostile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

SYSTEM_PROMPT = (
    "Solve the problem. First reason between <think> and </think>, then give only the final "
    "answer between <answer> and </answer>, with nothing before, between or after them: "
    "<think>reasoning</think><answer>answer</answer>"
)

Form = Literal["tags", "box", "hashes"]
"""How a message marks its final answer: <answer> tags, LaTeX's box, GSM8K's ####."""

TAGS = ("<think>", "</think>", "<answer>", "</answer>")


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
        body.count(tag) != 1 for tag in TAGS
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


# ------------------------------------------------------------ writing an answer as it is asked for


def form_asked_for(texts: Iterable[str]) -> Form:
    """The form that a conversation asks for: the first that it names of tags, box and hashes; the
    tags where it names none, which the strict rewards pay."""
    asked = "\n".join(texts)
    if "<answer>" in asked:
        return "tags"
    if "\\boxed" in asked:
        return "box"
    return "hashes" if "####" in asked else "tags"


def written_in(form: Form, reasoning: str, answer: str) -> str:
    """The message of that reasoning and that final answer."""
    if form == "tags":
        return f"<think>{reasoning}</think><answer>{answer}</answer>"
    if form == "hashes":
        return f"{reasoning}\n#### {answer}"
    # MATH's solutions end in their box.
    if boxed_answer(reasoning) == answer:
        return reasoning
    return f"{reasoning}\n\nThe answer is \\boxed{{{answer}}}."


def answer_in(form: Form, message: str) -> str | None:
    """The final answer as that form marks it; None where `message` is not in it."""
    if form == "tags":
        parsed = parse(message)
        return None if parsed is None else parsed.answer
    if form == "box":
        return boxed_answer(message)
    marked = re.findall(r"(?m)^####[ ](.+)\Z", message)
    return marked[0] if len(marked) == 1 and message.count("####") == 1 else None
