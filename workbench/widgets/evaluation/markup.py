"""The tables of the page, and the kept completions of a problem. Everything is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from workbench.rewards import lenient_correct, strict_correct
from workbench.runs import Answered
from workbench.widgets.base.text import safe_text
from workbench.widgets.evaluation.figures import (
    JUDGES,
    Figures,
    Share,
    figures_at,
    form_alone,
    labels_of,
    main_figures,
    samples_of,
    sharpening,
)

EVALUATION_CSS = Path(__file__).with_name("evaluation.css").read_text(encoding="utf-8")
MEANING = {
    "greedy": "the likeliest answer is right",
    "mean": "one sample is right (of {k}, on average): pass@1",
    "maj": "the answer that most of {k} samples give is right",
    "pass": "one of {k} samples is right",
}
LIMIT = 1200
"""Characters of a completion that are shown."""


def words_html(frame: pd.DataFrame, split: str, steps: tuple[int, int]) -> str:
    """How many problems and samples, and what training has sharpened, by each judge."""
    found = {
        judge: (
            figures_at(frame, split, steps[0], judge),
            figures_at(frame, split, steps[1], judge),
        )
        for judge in JUDGES
    }
    after = found["strict"][1]
    n = max((share.n for share in after.values()), default=0)
    said = (
        f"{n} problems of {split}, {samples_of(after)} samples of each; step {steps[0]} and step "
        f"{steps[1]}."
    )
    if steps[0] == steps[1]:
        said += " There is one evaluation with samples yet: nothing to compare it with."
        return f"<div role='status'>{safe_text(said, 400)}</div>"
    parts = [f"<div>{safe_text(said, 400)}</div>"]
    for judge, (before, later) in found.items():
        if words := sharpening(before, later):
            parts.append(f"<div><b>{judge}:</b> {safe_text(words, 1000)}</div>")
    parts.append(f"<div>{form_alone(found['strict'], found['lenient'])}</div>")
    return f"<div role='status'>{''.join(parts)}</div>"


def main_table(frame: pd.DataFrame, split: str, steps: tuple[int, int]) -> str:
    """Each figure before and after, strict beside lenient."""
    of_judge = {judge: [figures_at(frame, split, s, judge) for s in steps] for judge in JUDGES}
    # Of each by itself: the two may have drawn different numbers of samples.
    names = dict.fromkeys(name for both in of_judge["strict"] for name in main_figures(both))
    rows = "".join(_main_row(name, of_judge) for name in names)
    columns = "".join(
        f'<th class="wb-number">{judge}, before (step {steps[0]})</th>'
        f'<th class="wb-number">after (step {steps[1]})</th>'
        for judge in JUDGES
    )
    return (
        '<table aria-label="before and after, strict and lenient">'
        f"<tr><th>figure</th>{columns}<th>what it is</th></tr>{rows}</table>"
        '<div class="wb-dim">Strict: the whole completion has the form. Lenient: the likeliest '
        "answer anywhere in the text, so that a gain in form is not taken for one in ability. "
        "Intervals: 95 %, by the spread between problems.</div>"
    )


def _main_row(name: str, of_judge: dict[str, list[Figures]]) -> str:
    cells = "".join(
        cell(figures.get(name)) for both in of_judge.values() for figures in (both[0], both[-1])
    )
    what, _, k = name.partition("@")
    meaning = MEANING.get(what, "").format(k=k)
    return (
        f'<tr><th scope="row">{safe_text(name, 30)}</th>{cells}<td>{safe_text(meaning)}</td></tr>'
    )


def cell(share: Share | None, between: str = " ") -> str:
    """A share, and `between` it and its interval."""
    if share is None or not share.is_known:
        return '<td class="wb-number wb-dim">not counted</td>'
    return (
        f'<td class="wb-number"><span class="wb-share">{share.value:.1%}</span>{between}'
        f'<span class="wb-dim wb-interval">{share.low:.1%} to {share.high:.1%}</span></td>'
    )


def label_table(
    frame: pd.DataFrame, split: str, steps: tuple[int, int], grouping: str, judge: str
) -> str:
    """The figures by subject, level or kind, before → after."""
    labels = labels_of(frame, split, steps[1], grouping)
    whole = figures_at(frame, split, steps[1], judge)
    k = samples_of(whole)
    names = [name for name in ("greedy", f"maj@{k}", f"pass@{k}") if name in whole]
    heads = "".join(
        f'<th class="wb-number">{safe_text(name, 30)} before</th><th class="wb-number">after</th>'
        for name in names
    )
    rows = ""
    for label in labels:
        both = [figures_at(frame, split, step, judge, grouping, label) for step in steps]
        # One below the other: six columns side by side are wider than a page.
        cells = "".join(cell(figures.get(name), "<br>") for name in names for figures in both)
        n = next((share.n for share in both[1].values()), 0)
        rows += (
            f'<tr><th scope="row">{safe_text(label, 80)}</th><td class="wb-number">{n}</td>'
            f"{cells}</tr>"
        )
    return (
        f'<table aria-label="by {grouping}, {judge}"><tr><th>{grouping}</th>'
        f'<th class="wb-number">problems</th>{heads}</tr>{rows}</table>'
    )


# ------------------------------------------------------------ kept completions


def problem_html(both: Sequence[tuple[str, Answered]]) -> str:
    """All that was said to one problem, (when, answers) each: greedy and samples, with what each
    judge thinks of them."""
    asked = both[0][1]
    labels = [
        f"{name} {safe_text(value, 80)}"
        for name, value in (
            ("kind", asked.kind),
            ("subject", asked.subject),
            ("level", asked.level),
        )
        if value
    ]
    parts = "".join(_said(when, answered) for when, answered in both)
    return (
        f'<div class="wb-text">{safe_text(asked.question)}</div><div>gold answer: <span '
        f'class="wb-text">{safe_text(asked.answer, 400)}</span> <span class="wb-dim">'
        f'{", ".join(labels)}</span></div><div class="wb-columns">{parts}</div>'
    )


def _said(when: str, answered: Answered) -> str:
    texts = [("greedy", answered.greedy)]
    texts += [(f"sample {i}", text) for i, text in enumerate(answered.samples, start=1)]
    judged = {text: _verdicts(text, answered.answer) for _, text in texts}
    right = sum(judged[text][0] is True for text in answered.samples)
    count = f", {right} of {len(answered.samples)} samples strictly right"
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td class="wb-text">{safe_text(text, LIMIT)}</td>'
        f"<td>{_flags(*judged[text])}</td></tr>"
        for name, text in texts
    )
    return (
        f'<div class="wb-said"><div><b>{safe_text(when, 60)}</b>'
        f"{count if answered.samples else ''}</div>"
        f'<table aria-label="{safe_text(when, 60)}">{rows}</table></div>'
    )


def _verdicts(text: str, gold: str) -> tuple[bool | None, bool | None]:
    return strict_correct(text, gold), lenient_correct(text, gold)


def _flags(strict: bool | None, lenient: bool | None) -> str:
    if strict is None or lenient is None:
        return '<span class="wb-flag">not compared in time</span>'
    if strict:
        return '<span class="wb-flag wb-right">✔ right</span>'
    if lenient:
        return '<span class="wb-flag">right, not in the form</span>'
    return '<span class="wb-flag wb-wrong">✖ wrong</span>'
