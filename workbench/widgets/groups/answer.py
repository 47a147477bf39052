"""The answer in a completion, and why our own rewards paid it or not. Needs no model; nothing that
an expression would have to be compared for is looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from workbench.rewards import answers_equal, compared_plainly, extract_answer
from workbench.rewards.answers.equal import gold_kind
from workbench.tasks.format import TAGS, parse, tagged_answer

SHOWN = 60
"""Characters of an answer that a reason names."""


@dataclass(frozen=True)
class Found:
    """What is taken for the answer of a completion."""

    text: str
    start: int
    """Where it stands; -1 where it is not there word for word."""
    tagged: bool
    """In the one `<answer>` tag, where the strict rewards look."""


@lru_cache(maxsize=4096)
def answer_in(text: str, gold: str | None) -> Found | None:
    """The answer of a completion: the tagged one, or else the likeliest; None where there is
    none."""
    tagged = tagged_answer(text)
    if tagged is not None:
        return Found(tagged, text.find(tagged, text.find("<answer>") + len("<answer>")), True)
    # Only for plain golds is it known without another process what has to be looked for.
    if not compared_plainly(gold) or gold is None:
        return None
    likely = extract_answer(text, gold_kind(gold))
    return None if likely is None else Found(likely, text.rfind(likely), False)


def reason_of(reward: str, paid: float, text: str, gold: str | None) -> str:
    """Why one of our rewards paid so much, in a few words; '' for a reward that is not ours, for
    one that was not scored, and where the words would not agree with what was paid (a shuffled
    reward, for one)."""
    ask = REASONS.get(reward.removesuffix("_reward"))
    if ask is None or paid != paid:
        return ""
    right, words = ask(text, gold)
    return words if right == (paid > 0) else ""


def _format(text: str, gold: str | None) -> tuple[bool, str]:
    if parse(text) is not None:
        return True, "both tags, nothing around them"
    for tag in TAGS:
        if text.count(tag) != 1:
            times = text.count(tag)
            return False, f"no {tag}" if not times else f"{tag} {times} times"
    body = text.strip()
    if not body.startswith("<think>"):
        return False, "text before <think>"
    if not body.endswith("</answer>"):
        return False, "text after </answer>"
    think_ends, answer_starts = body.find("</think>"), body.find("<answer>")
    if answer_starts < think_ends:
        return False, "the tags are not in order"
    if body[think_ends + len("</think>") : answer_starts].strip():
        return False, "text between the two parts"
    return False, "nothing in the answer"


def _answer(text: str, gold: str | None) -> tuple[bool, str]:
    if tagged_answer(text) is None:
        times = text.count("<answer>")
        if times > 1:
            return False, f"{times} <answer> tags"
        missing = "<answer>" if not times else "</answer>"
        return False, f"no {missing}" if text.count(missing) == 0 else "nothing in the answer"
    return _compared(answer_in(text, gold), gold)


def _lenient(text: str, gold: str | None) -> tuple[bool, str]:
    found = answer_in(text, gold)
    return (False, "no answer found") if found is None else _compared(found, gold)


def _compared(found: Found | None, gold: str | None) -> tuple[bool, str]:
    if found is None or gold is None or not compared_plainly(gold):
        return False, ""
    given = found.text if len(found.text) <= SHOWN else found.text[: SHOWN - 1] + "…"
    if answers_equal(found.text, gold):
        return True, f"{given} is right"
    return False, f"{given}, not {gold[:SHOWN]}"


REASONS: dict[str, Callable[[str, str | None], tuple[bool, str]]] = {
    "format": _format,
    "answer": _answer,
    "lenient_answer": _lenient,
}
"""A reward's name -> (whether it should have paid, why)."""
