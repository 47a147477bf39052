"""The completions in which a finding can be read: chosen from the record, drawn as a table."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from workbench.doctor.finding import SHOWN, Show, span
from workbench.runs import DamagedError
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.text import opened_html, own_part, safe_text

AT_ONCE = 6
TEXT_LIMIT = 400


@dataclass(frozen=True)
class Chosen:
    """What `chosen` found: the completions to show, of how many, in which steps."""

    rows: pd.DataFrame
    count: int
    steps: tuple[int, ...]


def chosen(source: RunSource, show: Show) -> Chosen:
    """The completions of the kind that `show` names, the newest step first; of each distinct text
    the first. Steps that were not kept, or are damaged, are left out."""
    found = []
    last = source.run.last_step()
    for step in sorted(set(show.steps), reverse=True):
        # A rewind may have taken the step away meanwhile.
        if step > last:
            continue
        try:
            samples = source.run.samples(step)
        except DamagedError:
            continue
        if len(samples):
            found.append(_of_kind(samples, show.which))
    if not found:
        return Chosen(pd.DataFrame(), 0, ())
    every = pd.concat(found, ignore_index=True)
    if show.which in ("best paid", "worst paid"):
        every = every.sort_values(
            "reward", ascending=show.which == "worst paid", kind="stable", ignore_index=True
        )
    steps = tuple(sorted(set(every["step"].tolist())))
    distinct = every.drop_duplicates("completion")
    return Chosen(distinct.head(AT_ONCE), len(every), steps)


def _of_kind(samples: pd.DataFrame, which: str) -> pd.DataFrame:
    if which == "cut off":
        return samples[samples["truncated"].astype(bool)]
    if which == "dead":
        dead = samples[samples["dead"].astype(bool)]
        return dead.drop_duplicates("group")
    if which == "not scored":
        rewards = [name for name in samples if str(name).startswith("rewards/")]
        return samples[samples[rewards].isna().any(axis=1)]
    return samples


def completions_html(source: RunSource, show: Show, key: str) -> str:
    """A table of the completions, each with a button that opens its tokens (`data-act` = `key`,
    step and row)."""
    found = chosen(source, show)
    if not len(found.rows):
        wanted = span(sorted(show.steps))
        return f"<div class='wb-why' role='status'>None of {wanted} was kept in the record.</div>"
    names = source.reward_names
    titles = [*(safe_text(name, 40).replace("_", "_<wbr>") for name in names), "reward"]
    heads = "".join(f"<th class='wb-number'>{title}</th>" for title in titles)
    body = "".join(_row(source, row, names, key) for _, row in found.rows.iterrows())
    words = f"{len(found.rows)} of {found.count:,}: {SHOWN[show.which]}, {span(found.steps)}"
    return (
        f"<div class='wb-read' tabindex='0' role='region' aria-label='{words}'><p class='wb-why'>"
        f"{words}</p><table><tr><th>step</th><th>row</th><th>completion</th>{heads}"
        f"<th>gold</th><td></td></tr>{body}</table></div>"
    )


def _row(source: RunSource, row: pd.Series, names: list[str], key: str) -> str:
    text = str(row["completion"])
    written = own_part(text, source.opened)
    greyed = opened_html(text.removesuffix(written))
    shown = safe_text(written, TEXT_LIMIT) or "<span class='wb-dim'>empty</span>"
    paid = "".join(_number(float(row[f"rewards/{name}"])) for name in names)
    gold = "none" if row["gold_answer"] is None else safe_text(str(row["gold_answer"]), 80)
    step, place = int(row["step"]), int(row["row"])
    button = (
        f"<button type='button' class='wb-act' data-act='{key}/tokens/{step}/{place}' "
        f"data-lm-suppress-shortcuts='true' aria-label='open the tokens of row {place} of step "
        f"{step}'>tokens</button>"
    )
    return (
        f"<tr><td class='wb-number'>{step}</td><td class='wb-number'>{place}</td>"
        f"<td class='wb-text'>{greyed}{shown}</td>{paid}{_number(float(row['reward']))}"
        f"<td class='wb-text'>{gold}</td><td>{button}</td></tr>"
    )


def _number(value: float) -> str:
    return f"<td class='wb-number'>{number_text(value, missing='not scored')}</td>"
