"""The HTML of the lab: the group's table, before and after, and the table of a reward check.
Everything is escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from workbench.rewards.check import RewardCheck, Row
from workbench.widgets.base.lab import fixed, signed_bar
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.text import opened_html, own_part, safe_text
from workbench.widgets.reward_lab.scoring import Bench, Paid

REWARD_LAB_CSS = Path(__file__).with_name("reward_lab.css").read_text(encoding="utf-8")
SHORT = 160
"""Characters of a completion in the table; the one that is edited stands whole in its box."""
OF_A_KIND = 2
"""Texts of a check that are shown of each kind."""
EXAMPLE_LIMIT = 300


def group_table(bench: Bench, after: Paid, row: int, text: str) -> str:
    """The group: each reward, total and advantage; what the edit has changed as before → after."""
    heads = "".join(
        f'<th class="wb-number">{safe_text(name, 40).replace("_", "_<wbr>")}</th>'
        for name in (*bench.scorer.names, "total", "advantage")
    )
    rows = "".join(_row(bench, after, g, row, text) for g in range(len(bench.group.texts)))
    return (
        f'<table class="wb-lab-group" aria-label="the group"><tr><td></td><th>completion</th>'
        f"{heads}</tr>{rows}</table>"
    )


def _row(bench: Bench, after: Paid, g: int, edited: int, text: str) -> str:
    before = bench.before
    shown = text if g == edited else bench.group.texts[g]
    written = own_part(shown, bench.step.opened)
    greyed = opened_html(shown.removesuffix(written))
    pairs = [
        *zip(before.rewards_GK[g], after.rewards_GK[g], strict=True),
        (before.total_G[g], after.total_G[g]),
    ]
    numbers = "".join(f'<td class="wb-number">{_change(was, now)}</td>' for was, now in pairs)
    largest = max(1e-9, *map(abs, before.advantage_G), *map(abs, after.advantage_G))
    was = float(before.advantage_G[g])
    now = float(after.advantage_G[g])
    kind = ' class="wb-edited"' if g == edited else ""
    return (
        f'<tr{kind}><th scope="row">{safe_text(bench.group.labels[g], 40)}</th>'
        f'<td class="wb-text wb-shortened">{greyed}{safe_text(written, SHORT)}</td>{numbers}'
        f'<td class="wb-number">{_was(was, now, fixed(was, 3, "+"))}'
        f"{signed_bar(now, largest)}</td></tr>"
    )


def _change(was: float, now: float) -> str:
    shown = number_text(float(now))
    if not _differ(was, now):
        return shown
    return f'{_was(was, now, number_text(float(was)))}<span class="wb-now">{shown}</span>'


def _was(was: float, now: float, text: str) -> str:
    """What stands before a number that has changed; nothing where it has not."""
    return f'<span class="wb-was">{text} → </span>' if _differ(was, now) else ""


def _differ(was: float, now: float) -> bool:
    both_missing = math.isnan(was) and math.isnan(now)
    return not both_missing and not math.isclose(was, now, rel_tol=1e-9, abs_tol=1e-12)


def summary_of(bench: Bench, after: Paid, row: int, is_edited: bool) -> str:
    """What the edit does, in words; plain text."""
    before = bench.before
    label = bench.group.labels[row]
    if not is_edited:
        said = (
            f"{label}, as it was: total {number_text(float(after.total_G[row]))}, advantage "
            f"{fixed(float(after.advantage_G[row]), 3, '+')}. Change its text above."
        )
    else:
        columns = zip(
            bench.scorer.names, before.rewards_GK[row], after.rewards_GK[row], strict=True
        )
        moved = [
            f"{name} {number_text(float(was))} → {number_text(float(now))}"
            for name, was, now in columns
            if _differ(was, now)
        ]
        said = (
            f"{label}: total {number_text(float(before.total_G[row]))} → "
            f"{number_text(float(after.total_G[row]))} ({', '.join(moved) or 'no reward moved'}), "
            f"advantage {fixed(float(before.advantage_G[row]), 3, '+')} → "
            f"{fixed(float(after.advantage_G[row]), 3, '+')}."
        )
    if after.dead:
        said += " All totals of the group are equal now: a dead group, which teaches nothing."
    elif before.dead:
        said += " The group was dead, all totals equal; now it teaches something."
    return said


# ------------------------------------------------------------ the check


def check_html(check: RewardCheck) -> str:
    """False positives and false negatives by kind, and examples of them."""
    rows = "".join(
        f'<tr><th scope="row">{safe_text(c.kind, 60)}</th><td class="wb-number">{c.texts}</td>'
        f'<td class="wb-number">{c.paid}</td>{_count(c.false_positives)}'
        f"{_count(c.false_negatives)}{_count(c.not_scored)}{_count(c.failed)}</tr>"
        for c in check.counts()
    )
    titles = ("texts", "paid", "false positives", "false negatives", "not scored", "failed")
    heads = "".join(f'<th class="wb-number">{title}</th>' for title in titles)
    return (
        f'<div role="status">{safe_text(check_words(check), 600)}</div>'
        f'<table aria-label="the reward check"><tr><th>kind of text</th>{heads}</tr>{rows}</table>'
        + _examples("Paid, and should not be", check.false_positives)
        + _examples("Right, and not paid", check.false_negatives)
        + _examples("Failed", check.failures)
    )


def check_words(check: RewardCheck) -> str:
    """The check in a sentence or two."""
    wrong = [
        _many(len(check.false_positives), "false positive"),
        _many(len(check.false_negatives), "false negative"),
    ]
    said = (
        f"{check.reward} on {_many(len(check.problems), 'problem')} of {check.task}: of "
        f"{len(check.rows)} texts {' and '.join(wrong)}."
    )
    if check.failures:
        said += f" It fails on {len(check.failures)}: each would end a training."
    if check.blind:
        said += (
            f" For {_many(check.blind, 'problem')} a wrong answer is paid as much as the right one "
            "in every form."
        )
    return said


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _count(number: int) -> str:
    kind = "wb-bad" if number else "wb-none"
    return f'<td class="wb-number"><span class="{kind}">{number}</span></td>'


def _examples(title: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    # Some of each kind: a reward that fails one kind often fails all its texts.
    kinds = dict.fromkeys(row.kind for row in rows)
    chosen = [[row for row in rows if row.kind == kind][:OF_A_KIND] for kind in kinds]
    shown = "".join(_example(row) for of_kind in chosen for row in of_kind)
    count = sum(map(len, chosen))
    more = f", of which {count} are shown" if len(rows) > count else ""
    return (
        f"<details><summary>{title}: {_many(len(rows), 'text')}{more}</summary>"
        f'<table><tr><th>kind</th><th class="wb-number">paid</th><th>text</th><th>question, gold '
        f"answer</th></tr>{shown}</table></details>"
    )


def _example(row: Row) -> str:
    score = "failed" if row.score is None else number_text(row.score)
    failure = f"<br>{safe_text(row.failure, EXAMPLE_LIMIT)}" if row.failure else ""
    return (
        f'<tr><td>{safe_text(row.kind, 60)}<br><span class="wb-dim">{safe_text(row.note, 80)}'
        f'</span></td><td class="wb-number">{score}</td>'
        f'<td class="wb-text">{safe_text(row.text, EXAMPLE_LIMIT)}{failure}</td>'
        f'<td>{safe_text(row.question, EXAMPLE_LIMIT)}<br><span class="wb-dim">gold </span>'
        f"{safe_text(row.gold, 80)}</td></tr>"
    )
