"""The texts of an experiment's page. Everything is escaped."""

from __future__ import annotations

from pathlib import Path

from workbench.experiment import Progress, Result
from workbench.experiment.table import cells, columns_of
from workbench.widgets.base.text import safe_text

EXPERIMENT_CSS = Path(__file__).with_name("experiment.css").read_text(encoding="utf-8")
NUMBERS = ("start", "end", "lowest", "highest")


def progress_html(progress: Progress) -> str:
    """How far it is: a bar that a screen reader can read, words, and what is being made."""
    said = safe_text(str(progress), 200)
    share = round(100 * progress.share)
    bar = (
        f'<div class="wb-progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{share}" aria-label="steps made">'
        f'<div style="width:{share}%"></div></div>'
    )
    making = ", ".join(progress.running)
    more = "; ".join(part for part in (progress.at_once, making and f"making {making}") if part)
    return f'{bar}<div role="status">{said}</div><div class="wb-dim">{safe_text(more, 400)}</div>'


def table_html(result: Result) -> str:
    """A row for each variant and control."""
    columns = columns_of(result)
    heads = "".join(f'<th scope="col"{_class(name)}>{safe_text(name)}</th>' for name in columns)
    rows = "".join(
        f'<tr class="{_kind(row.variant.control)}"><th scope="row">{safe_text(texts[0], 60)}</th>'
        + "".join(
            f"<td{_class(name)}>{safe_text(text, 120)}</td>"
            for name, text in zip(columns[1:], texts[1:], strict=True)
        )
        + "</tr>"
        for row, texts in zip(result.rows, cells(result), strict=True)
    )
    return f'<table aria-label="variants and controls"><tr>{heads}</tr>{rows}</table>'


def _class(name: str) -> str:
    return ' class="wb-number"' if name in NUMBERS or name.endswith("%") else ""


def _kind(control: str | None) -> str:
    return "wb-variant" if control is None else "wb-control"


def sentences_html(result: Result) -> str:
    """The answer in words: what can be said of the variants first and larger, then the rest."""
    first = len(result.differences) + len(result.against_controls)
    said = result.sentences()
    answers = "".join(f"<li>{safe_text(words, 400)}</li>" for words in said[:first])
    rest = "".join(f"<li>{safe_text(words, 400)}</li>" for words in said[first:])
    # A list is none for a screen reader once it has another role itself.
    answered = f'<div role="status"><ul class="wb-answers">{answers}</ul></div>'
    return f'{answered}<ul class="wb-dim">{rest}</ul>'


def failed_html(failed: dict[str, str]) -> str:
    """The runs that failed, with what they raised; empty where none did."""
    return "".join(
        f'<div class="wb-error" role="alert"><b>{safe_text(name, 80)} failed.</b> '
        f"{safe_text(words, 600)}</div>"
        for name, words in failed.items()
    )
