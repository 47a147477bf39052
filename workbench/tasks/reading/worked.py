"""The worked solution of a row: the reasoning of its data, without what marks the final answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workbench.tasks.format import TAGS, parse
from workbench.tasks.reading.columns import Keys, value_at
from workbench.tasks.reading.golds import HASHED_LINE, INTRODUCED_LINE, LETTER, WHOLE, Gold

SOLUTION_KEYS = (
    "solution",
    "rationale",
    "worked_solution",
    "generated_solution",
    "explanation",
    "reasoning",
)
"""Keys that hold a worked solution beside a short answer."""

_ANNOTATION = re.compile(r"<<[^<>\n]*>>")
"""GSM8K's calculations for a calculator: "48/2 = <<48/2=24>>24"."""

_ONLY_A_BOX = re.compile(r"[\s$]*\\(?:boxed|fbox)\s*(?:\{[^\n]*\}|\S+)[\s$.]*")


def worked_solution(row: Mapping[str, Any], keys: Keys, gold: Gold, full: str) -> str | None:
    """The reasoning in `row`: at the key that was named, else what stands before the gold in its
    answer, else at the first known key; None where it has none."""
    if keys.solution is not None:
        return _reasoning_at(row, keys.solution, gold)
    if _may_be_worked(full, gold):
        before = reasoning_in(full)
        if before and before != gold.text:
            return before
    found = (_reasoning_at(row, key, gold) for key in SOLUTION_KEYS if key != keys.answer)
    return next((reasoning for reasoning in found if reasoning is not None), None)


def _may_be_worked(full: str, gold: Gold) -> bool:
    """Whether the answer may hold more than the gold; that of a choice is often its text."""
    if gold.found == LETTER:
        return "####" in full or "\\boxed" in full
    return gold.found != WHOLE


def _reasoning_at(row: Mapping[str, Any], key: str, gold: Gold) -> str | None:
    value = value_at(row, key)
    if not isinstance(value, str):
        return None
    reasoning = reasoning_in(value)
    # A short answer under the name of a solution shows no way to it.
    return reasoning if reasoning and reasoning.strip("$ .") != gold.text else None


def reasoning_in(text: str) -> str:
    """`text` without the line that marks its final answer, the tags of a format, and a calculator's
    annotations; empty where nothing else is in it."""
    parsed = parse(text)
    if parsed is not None:
        return parsed.think
    body, _, last = text.partition("<answer>")[0].strip().rpartition("\n")
    if HASHED_LINE.fullmatch(last.strip()):
        last = ""
        # Elsewhere <<…>> may be code.
        body = _ANNOTATION.sub("", body)
    elif INTRODUCED_LINE.fullmatch(last.strip()):
        last = ""
    reasoning = f"{body}\n{last}"
    for tag in TAGS:
        reasoning = reasoning.replace(tag, "")
    # What taking one out has put together to another, or a box alone, is no reasoning.
    if any(tag in reasoning for tag in TAGS) or _ONLY_A_BOX.fullmatch(reasoning):
        return ""
    return reasoning.strip()
