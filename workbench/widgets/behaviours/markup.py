"""The HTML of the examples of a kind. Everything is escaped."""

from __future__ import annotations

import pandas as pd

from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.text import opened_html, own_part, safe_text

TEXT_LIMIT, PROMPT_LIMIT = 600, 300


def examples_html(found: pd.DataFrame, opened: str) -> str:
    """The completions (rows of `Run.samples`), one below the other with what was asked and paid."""
    heads = "".join(f'<th class="wb-number">{name}</th>' for name in ("row", "reward", "advantage"))
    rows = "".join(_row(sample, opened) for _, sample in found.iterrows())
    return (
        f'<table aria-label="examples"><tr><th>asked</th><th>answered</th>{heads}</tr>'
        f"{rows}</table>"
    )


def _row(sample: pd.Series, opened: str) -> str:
    written = own_part(sample["completion"], opened)
    greyed = opened_html(sample["completion"].removesuffix(written))
    gold = safe_text(str(sample["gold_answer"]), 100)
    numbers = "".join(
        f'<td class="wb-number">{number_text(float(sample[name]))}</td>'
        for name in ("row", "reward", "advantage")
    )
    return (
        f'<tr><td class="wb-text">{safe_text(sample["prompt"], PROMPT_LIMIT)}'
        f'<br><span class="wb-dim">gold {gold}</span></td>'
        f'<td class="wb-text">{greyed}{safe_text(written, TEXT_LIMIT)}</td>{numbers}</tr>'
    )
