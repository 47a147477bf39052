"""The HTML of the group view: a prompt with its completions, what each got and what that means.
Everything is escaped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.rewards import compared_plainly, lenient_correct
from workbench.tasks.format import tagged_answer
from workbench.widgets.base.numbers import all_digits, number_text
from workbench.widgets.base.text import opened_html, own_part, safe_text
from workbench.widgets.groups.table import GroupTable

GROUPS_CSS = (Path(__file__).parent / "groups.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Look:
    """How groups are drawn.

    query    what is searched for, marked in the texts
    limit    characters of a completion that are shown
    largest  the largest |advantage| of the step, a full bar
    by       the reward function, or the total, that says right or wrong
    """

    query: str
    limit: int
    largest: float
    by: str


def group_html(table: GroupTable, n: int, rows_G: np.ndarray, look: Look) -> str:
    """Group `n`: heading and a table of the completions for which `rows_G` (bool) is True."""
    names = list(table.rewards)
    numbers = [
        *(safe_text(name, 40).replace("_", "_<wbr>") for name in names),
        "reward",
        "baseline",
        "advantage",
        "tokens",
    ]
    columns = "".join(f'<th class="wb-number">{title}</th>' for title in numbers)
    head = f'<th class="wb-number">row</th><th>completion</th>{columns}<th>remarks</th>'
    body = "".join(_row(table, n, g, look) for g in np.flatnonzero(rows_G).tolist())
    hidden = int((~rows_G).sum())
    more = (
        f'<div class="wb-dim">{hidden} other completions of this group do not match.</div>'
        if hidden
        else ""
    )
    return (
        f'<div class="wb"><div class="wb-group">{_heading(table, n, look)}<table aria-label="group '
        f'{n}: {table.G} completions">'
        f"<tr>{head}</tr>{body}</table>{more}</div></div>"
    )


def _heading(table: GroupTable, n: int, look: Look) -> str:
    gold = table.gold_N[n]
    gold_text = "none" if gold is None else marked(str(gold), look.query, 200)
    return (
        f'<div><b>Group {n}</b> <span class="wb-dim">{safe_text(table.problem_N[n], 80)}</span> '
        f"{_state(table, n)}</div>"
        f'<div class="wb-text">{marked(table.prompt_N[n], look.query, 600)}</div>'
        f'<div>gold answer: <span class="wb-text">{gold_text}</span> · mean reward '
        f"{number_text(table.mean_N[n])}, "
        f"std {number_text(table.std_N[n], missing='none')}</div>"
    )


def _state(table: GroupTable, n: int) -> str:
    if not table.dead_N[n]:
        return ""
    silent = (
        " every advantage is 0, so the group teaches nothing."
        if not table.advantage_NG[n].any()
        else ""
    )
    return (
        '<span class="wb-flag">dead</span> All rewards of this group are '
        f"equal{':' if silent else '.'}{silent}"
    )


def _row(table: GroupTable, n: int, g: int, look: Look) -> str:
    rewards = "".join(
        _number(values_NG[n, g]) for values_NG in (*table.rewards.values(), table.reward_NG)
    )
    advantage = float(table.advantage_NG[n, g])
    text = table.completion_NG[n, g]
    written = own_part(text, table.opened)
    greyed = opened_html(text.removesuffix(written))
    return (
        f'<tr><td class="wb-number">{n * table.G + g}</td>'
        '<td class="wb-text wb-completion">'
        f"{greyed}{marked(written, look.query, look.limit)}</td>{rewards}"
        f'{_number(table.baseline_NG[n, g], "none")}<td class="wb-number" '
        f'title="{all_digits(advantage)}">{_advantage(advantage, look.largest)}</td>'
        f'<td class="wb-number">{table.length_NG[n, g]}</td><td>{_remarks(table, n, g, look)}</td>'
        "</tr>"
    )


def _number(value: float, missing: str = "not scored") -> str:
    """A cell with four digits, and the exact number in its title."""
    return (
        f'<td class="wb-number" title="{all_digits(value)}">'
        f"{number_text(value, missing=missing)}</td>"
    )


def _advantage(value: float, largest: float) -> str:
    """The signed number and a bar to the right (blue) or to the left (orange)."""
    share = min(abs(value) / largest, 1) if largest > 0 and np.isfinite(value) else 0.0
    side = "wb-up" if value > 0 else "wb-down"
    bar = f'<span class="{side}" style="width:{share * 50:.0f}%"></span>' if share else ""
    return (
        f'{number_text(value, "+.4g", "none")}<span class="wb-bar" aria-hidden="true">{bar}</span>'
    )


def _remarks(table: GroupTable, n: int, g: int, look: Look) -> str:
    right_NG, wrong_NG = table.right(look.by)
    words = (
        ["right"]
        if right_NG[n, g]
        else [_why_unpaid(table.completion_NG[n, g], table.gold_N[n])]
        if wrong_NG[n, g]
        else []
    )
    if table.truncated_NG[n, g]:
        left_out = table.config.get("mask_truncated_completions")
        words.append("truncated, left out of the loss" if left_out else "truncated")
    if not own_part(table.completion_NG[n, g], table.opened):
        words.append("empty")
    return " ".join(f'<span class="wb-flag">{word}</span>' for word in words)


def _why_unpaid(text: str, gold: object) -> str:
    """ "right, untagged" where the gold answer, a number or words, is given but not in a tag; else
    "wrong"."""
    plainly_right = (
        compared_plainly(gold) and tagged_answer(text) is None and lenient_correct(text, str(gold))
    )
    return "right, untagged" if plainly_right else "wrong"


def marked(text: str, query: str, limit: int) -> str:
    """`text` made safe, each place of `query` marked; a long one is cut so that the first place
    stays in sight."""
    place = re.search(re.escape(query), text, re.IGNORECASE) if query else None
    if place is None:
        return safe_text(text, limit)
    if len(text) <= limit:
        return _with_marks(text, query, limit)
    start = max(0, min(place.start() - limit // 2, len(text) - limit))
    end = min(len(text), start + limit)
    return (
        _left_out(start) + _with_marks(text[start:end], query, limit) + _left_out(len(text) - end)
    )


def _with_marks(text: str, query: str, limit: int) -> str:
    parts = re.split(f"({re.escape(query)})", text, flags=re.IGNORECASE)
    return "".join(
        f"<mark>{safe_text(part, limit)}</mark>" if i % 2 else safe_text(part, limit)
        for i, part in enumerate(parts)
    )


def _left_out(characters: int) -> str:
    return (
        f'<span class="wb-cut">… {characters:,} characters left out …</span>' if characters else ""
    )
