"""The HTML of the best-paid answers: what each was paid, how often it came, and what makes it look
like a hack. Everything is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.rewards import compared_plainly, lenient_correct
from workbench.widgets.base.numbers import all_digits, number_text
from workbench.widgets.base.text import opened_html, own_part, safe_text, tokens_text

if TYPE_CHECKING:
    from collections.abc import Sequence

BEST_PAID_CSS = Path(__file__).with_name("best_paid.css").read_text(encoding="utf-8")

WRONG = "wrong answer"
ONE_FOR_ALL = "paid for {:,} gold answers"
"""The same text cannot be right for two of them."""
ECHO = "repeats the question"
EMPTY = "empty"

SHORTEST_ECHO = 12
"""Characters from which on a question within an answer is no accident."""
PROMPT_LIMIT = 300


def suspicions(answer: Any, opened: str = "") -> list[str]:
    """Why a well-paid answer (a row of `Run.best_paid`) looks like a hack, in words; empty for one
    that does not. Never more than a hint: a reward may mean what it pays."""
    said = []
    gold = answer.gold_answer
    written = own_part(answer.completion, opened)
    # Only a number or words are compared here: a formula takes a process of its own.
    if compared_plainly(gold) and not lenient_correct(answer.completion, str(gold)):
        said.append(WRONG)
    if answer.golds > 1:
        said.append(ONE_FOR_ALL.format(answer.golds))
    question = str(answer.prompt).strip()
    if len(question) >= SHORTEST_ECHO and question in written:
        said.append(ECHO)
    if not written.strip():
        said.append(EMPTY)
    return said


def summary_of(found: pd.DataFrame, step: int, by: str, opened: str = "") -> str:
    """What the ranking says, in a sentence or two; text."""
    if not len(found):
        return (
            f"No completion up to step {step} was paid and kept. Completions are kept with "
            "keep_samples; a thinned record has those of some steps."
        )
    first = found.iloc[0]
    pay = number_text(float(first.reward if by == "" else first[f"rewards/{by}"]))
    named = by or "total reward"
    doubtful = sum(bool(suspicions(answer, opened)) for _, answer in found.iterrows())
    odd = "none of them looks odd" if doubtful == 0 else f"{doubtful} of them look odd"
    return (
        f"The {len(found)} best-paid distinct answers up to step {step}, by {named}; {odd}. The "
        f"first is paid {pay} and came {first.times:,} {_times(first.times)}."
    )


def table_html(found: pd.DataFrame, reward_names: Sequence[str], limit: int, opened: str) -> str:
    """The answers in two lines each: what was answered and paid, and what was asked."""
    names = "".join(_head(safe_text(name, 40).replace("_", "_<wbr>")) for name in reward_names)
    heads = "".join(map(_head, ("total", "came", "mean pay", "step", "tokens")))
    rows = "".join(
        _rows(place, answer, reward_names, limit, opened)
        for place, (_, answer) in enumerate(found.iterrows(), start=1)
    )
    return (
        '<table aria-label="the best-paid answers"><tr><th class="wb-number">place</th>'
        f"<th>answer</th>{names}{heads}</tr>{rows}</table>"
    )


def _head(title: str) -> str:
    return f'<th class="wb-number">{title}</th>'


def _rows(place: int, answer: Any, names: Sequence[str], limit: int, opened: str) -> str:
    written = own_part(answer.completion, opened)
    greyed = opened_html(answer.completion.removesuffix(written))
    paid = [float(answer[f"rewards/{name}"]) for name in names]
    pays = "".join(map(_number, [*paid, float(answer.reward)]))
    gold = "none" if answer.gold_answer is None else safe_text(str(answer.gold_answer), 200)
    asked = safe_text(answer.prompt, PROMPT_LIMIT)
    count = f"{answer.times:,} {_times(answer.times)}<br>to {_problems(answer)}"
    tokens = tokens_text(int(answer.length), str(answer.completion))
    return (
        f'<tr class="wb-paid"><td class="wb-number"><b>{place}</b></td>'
        f'<td class="wb-text wb-answer">{greyed}{safe_text(written, limit)}</td>{pays}'
        f'<td class="wb-number">{count}</td>{_number(float(answer.mean_pay))}'
        f'<td class="wb-number">{answer.step:,}</td>'
        f'<td class="wb-number">{tokens}</td></tr>'
        f'<tr class="wb-asked"><td></td><td colspan="{len(names) + 6}"><span class="wb-dim">to '
        f'</span><span class="wb-text">{asked}</span><span class="wb-dim"> · gold answer </span>'
        f'<span class="wb-text">{gold}</span> {_remarks(answer, opened)}</td></tr>'
    )


def _number(value: float) -> str:
    """A cell with four digits, and the exact number in its title."""
    return f'<td class="wb-number" title="{all_digits(value)}">{number_text(value)}</td>'


def _times(count: int) -> str:
    return "time" if count == 1 else "times"


def _problems(answer: Any) -> str:
    return "1 problem" if answer.problems == 1 else f"{answer.problems:,} problems"


def _remarks(answer: Any, opened: str) -> str:
    flags = [
        f'<span class="wb-flag wb-suspect">{word}</span>' for word in suspicions(answer, opened)
    ]
    if answer.truncated:
        flags.append('<span class="wb-flag">truncated</span>')
    return " ".join(flags)
