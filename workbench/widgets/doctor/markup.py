"""The doctor's cards as HTML: the one look of severities, a finding's words, its curve, and buttons
for what can be done. The page and the export draw the same cards. Everything is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.doctor import SEVERITIES, SIGNS, Finding
from workbench.doctor.finding import SHOWN, Branch, Show, quoted, span
from workbench.doctor.pages import TITLES, page_address
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.text import safe_text
from workbench.widgets.doctor.spark import spark_html

DOCTOR_CSS = Path(__file__).with_name("doctor.css").read_text(encoding="utf-8")
TEXT_LIMIT, NAME_LIMIT = 1200, 80
BADGE = ("problem", "warning")
"""What a person should know of without opening the page."""

ActsOf = Callable[[Finding], str]
"""What stands below a finding's words: its buttons, as HTML."""


def no_acts(finding: Finding) -> str:
    """For where nothing can be done: an exported page."""
    return ""


def badge_of(findings: Sequence[Finding]) -> str:
    """'✖1 ▲4': how many problems and warnings; '' where there is neither."""
    count = Counter(finding.severity for finding in findings)
    return " ".join(f"{SIGNS[severity]}{count[severity]}" for severity in BADGE if count[severity])


def cards_html(
    source: RunSource,
    findings: Sequence[Finding],
    shown: int,
    *,
    since: int = 1,
    several: bool = False,
    acts_of: ActsOf = no_acts,
) -> str:
    """The findings of a run as of step `shown`, or of the steps from `since` to it, under a line
    that counts them."""
    name = f"<b>{safe_text(source.label, NAME_LIMIT)}</b>, " if several else ""
    last = source.last_step
    when = "" if shown == last else f" (as it stood then; the run goes on to step {last})"
    which = f"step {shown}{when}"
    if since > 1:
        which = f"steps {since} to {shown} alone"
    head = f"<p>{name}{which}: <span role='status'>{counts(findings)}</span></p>"
    cards = "".join(_card(source, finding, shown, acts_of(finding)) for finding in findings)
    return head + (f"<ul class='wb-doctor' aria-label='Findings'>{cards}</ul>" if cards else "")


def counts(findings: Sequence[Finding]) -> str:
    """'1 problem, 4 warnings, 2 notes'."""
    count = Counter(finding.severity for finding in findings)
    words = [
        f"{count[s]} {s}{'s' if s != 'good' and count[s] > 1 else ''}"
        for s in SEVERITIES
        if count[s]
    ]
    return ", ".join(words) or "nothing out of the ordinary so far."


def severity_class(severity: str) -> str:
    """The class that brings a severity's colour."""
    # That of a note is another one: 'wb-note' is a box of all views.
    return "wb-note-card" if severity == "note" else f"wb-{severity}"


def severity_html(severity: str) -> str:
    """Sign and word; the colour comes from the card."""
    sign = f"<span class='wb-sign' aria-hidden='true'>{SIGNS[severity]}</span>"
    return f"<span class='wb-severity'>{sign}{severity}</span>"


def _card(source: RunSource, finding: Finding, shown: int, acts: str) -> str:
    """One finding: what it is, the evidence with its curve, what to try, what can be done."""
    remedy = (
        f"<p><span class='wb-label'>Try:</span> {_words(finding.try_)}</p>" if finding.try_ else ""
    )
    return (
        f"<li class='wb-finding {severity_class(finding.severity)}' "
        f"data-key='{safe_text(finding.key)}'>"
        "<div class='wb-finding-body'><div class='wb-finding-words'>"
        f"<p class='wb-what'>{severity_html(finding.severity)}"
        f"{_words(finding.what)}</p>"
        f"<p><span class='wb-label'>Evidence:</span> {_words(finding.evidence)}</p>"
        f"{remedy}{_more(finding.key)}</div>{spark_html(source, finding.curve, shown)}</div>{acts}"
        "</li>"
    )


def _more(key: str) -> str:
    """The way to the finding's page on the site; '' where none is published."""
    address = page_address(key)
    if not address:
        return ""
    return (
        f"<p><a href='{safe_text(address)}' target='_blank' rel='noopener noreferrer'>"
        f"More: {safe_text(TITLES[key])}</a></p>"
    )


def _words(text: str) -> str:
    """A text of a finding, in which a figure stays with its unit."""
    return safe_text(text, TEXT_LIMIT).replace(" %", "&nbsp;%")


def act_text(act: Branch | Show) -> str:
    """What the button of an act says: exactly what it does."""
    if isinstance(act, Show):
        return f"show {SHOWN[act.which]}, {span(sorted(act.steps))}"
    knobs = ", ".join(f"{name} {quoted(value)}" for name, value in act.knobs.items())
    how = f" ({act.how})" if act.how else ""
    return f"branch from {act.step} with {knobs}{how}"


def button_html(key: str, text: str, *, refused: str = "", opened: bool | None = None) -> str:
    """A button that sends `key`. `refused`: why it cannot be pressed. `opened`: whether what it
    shows is shown; None for one that shows nothing."""
    disabled = f" disabled title='{safe_text(refused)}'" if refused else ""
    expanded = "" if opened is None else f" aria-expanded='{str(opened).lower()}'"
    # On the button itself, or the notebook's own keys reach past it.
    return (
        f"<button type='button' class='wb-act' data-act='{safe_text(key)}'{disabled}{expanded} "
        f"data-lm-suppress-shortcuts='true'>{safe_text(text, 200)}</button>"
    )


def note_html(text: str) -> str:
    """A line that a screen reader says."""
    return f"<div class='wb-note' role='status'>{safe_text(text)}</div>"
