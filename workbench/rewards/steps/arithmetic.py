"""Step rewards by a rule, for arithmetic: each equation that the thought writes out, and the
answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.rewards.answers.equal import answers_equal, check_gold
from workbench.rewards.functions import Completion, completion_text
from workbench.rewards.steps.checked import Step
from workbench.rewards.steps.equations import equations
from workbench.tasks.format import tagged_answer


def arithmetic_steps(
    prompts: Sequence[Any], completions: Sequence[Completion], answer: Sequence[str], **_: Any
) -> list[list[Step]]:
    """1 for each equation before the answer that is right and 0 for each that is wrong; then, as
    the last step, 1 where the one `<answer>…</answer>` is the gold answer, else 0 (None where the
    two could not be compared in time).

    What can be hacked: an equation is judged by itself, not by what it is good for. One that is
    right and beside the point (`1+1=2`) is paid as well as one that leads on, and a working that
    goes wrong by a wrong choice (the borrow forgotten: `7-3=4 8-4=4` for 83 - 47) is paid for each
    of its steps. Labels by roll-ins (`workbench.rewards.model`) see both. Raises `GoldError`.
    """
    texts = [completion_text(completion) for completion in completions]
    return [_steps(text, gold) for text, gold in zip(texts, answer, strict=True)]


def _steps(text: str, gold: str) -> list[Step]:
    check_gold(gold)
    thought, _, _ = text.partition("<answer>")
    steps: list[Step] = [(found.end, float(found.is_right)) for found in equations(thought)]
    if not text:
        return steps
    given = tagged_answer(text)
    is_right = False if given is None else answers_equal(given, gold)
    # An equation that ends with the text: the answer is missing, and takes its place.
    if steps and steps[-1][0] == len(text):
        steps.pop()
    steps.append((len(text), None if is_right is None else float(is_right)))
    return steps
