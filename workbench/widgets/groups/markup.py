"""The HTML of the group view: a prompt with its completions, what each got and why. Everything is
escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.rewards import compared_plainly, lenient_correct
from workbench.tasks.format import tagged_answer
from workbench.widgets.base.bar import BAR_CSS, advantage_bar
from workbench.widgets.base.numbers import all_digits, number_text
from workbench.widgets.base.style import scrolling
from workbench.widgets.base.text import opened_html, own_part, safe_text, tokens_text
from workbench.widgets.groups.answer import answer_in, reason_of
from workbench.widgets.groups.folds import Fold, folds_of
from workbench.widgets.groups.shown_text import marked
from workbench.widgets.groups.table import GroupTable

GROUPS_CSS = BAR_CSS + (Path(__file__).parent / "groups.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Look:
    """How groups are drawn.

    query    what is searched for, marked in the texts
    limit    characters of a completion that are shown
    largest  the largest |advantage| of the step, a full bar
    by       the reward function, or the total, that says right or wrong
    opens    whether a row can be clicked, which opens its tokens
    """

    query: str
    limit: int
    largest: float
    by: str
    opens: bool = False


def group_html(table: GroupTable, n: int, rows_G: np.ndarray, look: Look) -> str:
    """Group `n`: heading and a table of the completions for which `rows_G` (bool) is True, equal
    ones once."""
    numbers = [
        *(safe_text(name, 40).replace("_", "_<wbr>") for name in table.rewards),
        "reward",
        "advantage",
        "tokens",
    ]
    columns = "".join(f'<th class="wb-number">{title}</th>' for title in numbers)
    head = f'<th class="wb-number">row</th><th>completion</th>{columns}'
    body = "".join(_row(table, n, fold, look) for fold in folds_of(table, n, rows_G))
    hidden = int((~rows_G).sum())
    more = (
        f'<div class="wb-dim">{hidden} other completions of this group do not match.</div>'
        if hidden
        else ""
    )
    return (
        f'<div class="wb-group" data-group="{n}">{_heading(table, n, look)}'
        f'<table aria-label="group {n}: {table.G} completions">'
        f"<tr>{head}</tr>{body}</table>{more}</div>"
    )


def dead_strip(table: GroupTable, groups: Sequence[int], look: Look, room: int) -> str:
    """The groups that teach nothing, a chip each in one line; a click opens one. Of those that no
    longer fit into `room` characters only the number is said."""
    everything = np.ones(table.G, bool)
    chips: list[str] = []
    for n in groups:
        chip = (
            f'<details class="wb-dead-one" data-group="{n}"><summary>{n} <span class="wb-dim">all '
            f"{number_text(table.reward_NG[n, 0])}</span></summary>"
            f"{group_html(table, n, everything, look)}</details>"
        )
        room -= len(chip)
        # One in any case, or there would be nothing to click.
        if chips and room < 0:
            break
        chips.append(chip)
    left = len(groups) - len(chips)
    more = (
        f' <span class="wb-dim">and {left} more: choose “dead groups only”.</span>' if left else ""
    )
    return (
        f'<div class="wb-dead"><span><b>{len(groups)} dead</b> <span class="wb-dim">equal '
        "rewards, so every advantage is 0 and nothing is learnt:</span></span> "
        f"{''.join(chips)}{more}</div>"
    )


def _heading(table: GroupTable, n: int, look: Look) -> str:
    gold = table.gold_N[n]
    gold_text = "none" if gold is None else marked(str(gold), look.query, 200)
    baseline_G = table.baseline_NG[n]
    same = len(set(map(repr, baseline_G.tolist()))) == 1
    baseline = number_text(float(baseline_G[0]), missing="none") if same else "one for each row"
    asked = f'<b>Group {n}</b> <span class="wb-text">{marked(table.prompt_N[n], look.query, 600)}'
    return (
        f"{scrolling('prompt', asked + '</span>', 'wb-asked')}"
        f'<div class="wb-facts">gold answer: <span class="wb-text">{gold_text}</span> · '
        f"mean reward {number_text(table.mean_N[n])}, "
        f"std {number_text(table.std_N[n], missing='none')} · "
        f'baseline {baseline} · <span class="wb-dim">{safe_text(table.problem_N[n], 80)}</span> '
        f"{_state(table, n)}</div>"
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


def _row(table: GroupTable, n: int, fold: Fold, look: Look) -> str:
    g = fold.first
    rewards = "".join(
        _number(values_NG[n, g]) for values_NG in (*table.rewards.values(), table.reward_NG)
    )
    advantage = float(table.advantage_NG[n, g])
    text = table.completion_NG[n, g]
    written = own_part(text, table.opened)
    greyed = opened_html(text.removesuffix(written))
    gold = table.gold_N[n]
    # In what the policy wrote: the template's part is greyed and stands before it.
    answer = answer_in(written, None if gold is None else str(gold))
    rows = " ".join(map(str, fold.rows))
    tokens = tokens_text(int(table.length_NG[n, g]), str(table.completion_NG[n, g]))
    return (
        f'<tr data-row="{fold.rows[0]}" data-rows="{rows}">'
        f'<td class="wb-number">{_which(fold, look)}</td>'
        '<td class="wb-completion">'
        f'<div class="wb-text">{greyed}{marked(written, look.query, look.limit, answer)}</div>'
        f"{_remarks(table, n, g, look)}</td>{rewards}"
        f'<td class="wb-number" '
        f'title="{all_digits(advantage)}">{advantage_bar(advantage, look.largest)}</td>'
        f'<td class="wb-number">{tokens}</td></tr>'
    )


def _which(fold: Fold, look: Look) -> str:
    """The row's number, which opens its tokens, and how many are the same."""
    first = fold.rows[0]
    rows = ", ".join(map(str, fold.rows))
    times = ""
    if len(fold.rows) > 1:
        times = f' <b class="wb-times" title="rows {rows} are the same">×{len(fold.rows)}</b>'
    if not look.opens:
        return f"{first}{times}"
    return (
        f'<button class="wb-open" type="button" title="open the tokens of row {first}" '
        f'aria-label="row {first}: open its tokens">{first}</button>{times}'
    )


def _number(value: float, missing: str = "not scored") -> str:
    """A cell with four digits, and the exact number in its title."""
    return (
        f'<td class="wb-number" title="{all_digits(value)}">'
        f"{number_text(value, missing=missing)}</td>"
    )


def _remarks(table: GroupTable, n: int, g: int, look: Look) -> str:
    """Right or wrong and what else there is to say, and why each reward paid what it paid."""
    right_NG, wrong_NG = table.right(look.by)
    text, gold = table.completion_NG[n, g], table.gold_N[n]
    words = []
    if right_NG[n, g]:
        words.append("right")
    elif wrong_NG[n, g]:
        words.append(_why_unpaid(text, gold))
    if table.truncated_NG[n, g]:
        left_out = table.config.get("mask_truncated_completions")
        words.append("truncated, left out of the loss" if left_out else "truncated")
    elif not table.advantage_NG[n, g] and not table.config.get("beta"):
        words.append("no gradient: advantage 0, beta 0")
    if not own_part(text, table.opened):
        words.append("empty")
    flags = " ".join(f'<span class="wb-flag">{word}</span>' for word in words)
    reasons = []
    for name, values_NG in table.rewards.items():
        why = reason_of(name, values_NG[n, g], text, None if gold is None else str(gold))
        if why:
            short = name.removesuffix("_reward")
            paid = number_text(values_NG[n, g])
            reasons.append(f"{safe_text(short, 40)} {paid}: {safe_text(why, 200)}")
    return f'<div class="wb-reason">{flags} <span class="wb-dim">{" · ".join(reasons)}</span></div>'


def _why_unpaid(text: str, gold: object) -> str:
    """ "right, untagged" where the gold answer, a number or words, is given but not in a tag; else
    "wrong"."""
    plainly_right = (
        compared_plainly(gold) and tagged_answer(text) is None and lenient_correct(text, str(gold))
    )
    return "right, untagged" if plainly_right else "wrong"
