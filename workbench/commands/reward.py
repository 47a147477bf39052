"""`workbench reward`: which rewards there are, and what one of them pays, before it is trained
on."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from workbench.commands.printing import line_of, say, say_json, say_lines, terminal

if TYPE_CHECKING:
    from workbench.rewards import RewardCheck
    from workbench.rewards.check import Row

_SHOWN = 160
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class HowToCheck:
    """The options of `workbench reward check`."""

    problems: int
    form: str | None
    paid_from: float | None
    seed: int
    timeout: float
    show: int
    as_json: bool


def reward_check_command(
    reward: str,
    task: str,
    *,
    keys: dict[str, str | None],
    system_prompt: str | None,
    skip_unreadable: bool,
    how: HowToCheck,
) -> None:
    """See `workbench reward check --help`."""
    check = _checked(reward, task, keys, system_prompt, skip_unreadable, how)
    if how.as_json:
        say_json(check.to_dict())
    else:
        _show(check, how.show)


def _checked(
    reward: str,
    task: str,
    keys: dict[str, str | None],
    system_prompt: str | None,
    skip_unreadable: bool,
    how: HowToCheck,
) -> RewardCheck:
    from workbench.rewards import check_reward, resolve_reward, with_readable_golds
    from workbench.tasks import load_task
    from workbench.tasks.for_config import prompt_of

    # What is quick and may be wrong comes before the data.
    function = resolve_reward(reward)
    unreadable_golds = "skip" if skip_unreadable else "refuse"
    loaded = load_task(
        task,
        how.seed,
        **keys,
        system_prompt=prompt_of(system_prompt),
        unreadable_golds=unreadable_golds,
    )
    with terminal().status("asking the reward") as status:
        return check_reward(
            function,
            with_readable_golds(loaded, unreadable_golds),
            problems=how.problems,
            form=how.form,
            paid_from=how.paid_from,
            seed=how.seed,
            timeout=how.timeout,
            on_progress=lambda done, of: status.update(f"problem {done} of {of}"),
        )


# ------------------------------------------------------------------------------ what is printed


def _show(check: RewardCheck, show: int) -> None:
    from rich.table import Table

    from workbench.rewards.check.words import HEADINGS, form_of, table_of, verdict_of

    say(f"reward {check.reward!r} on {len(check.problems)} problems of {check.task!r}")
    say(form_of(check))
    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        is_kind = heading == HEADINGS[0]
        table.add_column(heading, justify="left" if is_kind else "right", no_wrap=is_kind)
    for row in table_of(check):
        mistaken = any(count != "0" for count in row[3:5] + row[6:])
        table.add_row(*(line_of(cell, "bold" if mistaken else "") for cell in row))
    console = terminal()
    console.print(table)
    for verdict, rows in (
        ("failed", check.failures),
        ("false positive", check.false_positives),
        ("false negative", check.false_negatives),
    ):
        _show_examples(verdict, rows, show)
    say(verdict_of(check))


def _show_examples(verdict: str, rows: Sequence[Row], show: int) -> None:
    chosen = _different(rows)
    for row in chosen[:show]:
        said = row.failure or f"score {row.score:g}"
        say(f"{verdict}: {row.kind}, {row.note} (gold {row.gold!r:.40}, {said:.200})", style="bold")
        say(f"  {_excerpt(row.text)!r}")
    if len(chosen) > show > 0:
        say(f"and {len(chosen) - show} more; all of them: --show {len(chosen)}")


def _different(rows: Sequence[Row]) -> list[Row]:
    """One row of each note, and of each kind one before the second of any."""
    by_kind: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_kind.setdefault(row.kind, {}).setdefault(row.note, row)
    rounds = zip_longest(*(notes.values() for notes in by_kind.values()))
    return [row for one_of_each in rounds for row in one_of_each if row is not None]


def _excerpt(text: str) -> str:
    half = _SHOWN // 2
    return text if len(text) <= _SHOWN else f"{text[:half]} … {text[-half:]}"


def reward_list_command(as_json: bool) -> None:
    from workbench.rewards import REWARDS, WITH_PARAMETERS
    from workbench.rewards.parameters import parameters_of

    written: dict[str, Any] = dict(REWARDS)
    for name, kind in WITH_PARAMETERS.items():
        written[f"{name}:{parameters_of(kind)}"] = kind
    described = {name: inspect.getdoc(function) or "" for name, function in written.items()}
    if as_json:
        say_json(described)
        return
    for name, text in described.items():
        say(name, style="bold", copied=True)
        say_lines("\n".join(f"  {line}".rstrip() for line in text.splitlines()))
