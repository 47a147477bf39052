"""The stops of the tour, in their order: each opens what it is about and says what is seen
there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.doctor import diagnose
from workbench.errors import WorkbenchError
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.source import RunSource
from workbench.widgets.controls.foresight import loss_words
from workbench.widgets.pages import PAGES
from workbench.widgets.staging.bookmark import FIRST_COLOUR, tokens_of
from workbench.widgets.timeline.marks import KINDS
from workbench.widgets.tokens.step import TokenSteps
from workbench.widgets.tour import figures

if TYPE_CHECKING:
    from workbench.widgets.dashboard import Dashboard

LESS = 4.0
"""By what ε is divided for the question what less of it would have done."""
NOTHING = (".widget-tab-contents .wb-note", ".widget-tab-contents")
"""What is lit where a page has nothing to show: its words for that, or the page."""


@dataclass(frozen=True)
class Card:
    """What a stop says, as plain text, and what it lights: the first of these CSS selectors that
    is seen within the dashboard. With `press` that is clicked, and again when the tour goes on."""

    text: str
    targets: tuple[str, ...]
    press: bool = False


def _judge(dashboard: Dashboard) -> Card:
    _open(dashboard, "overview")
    source = _shown(dashboard)
    is_rewarded = "reward" in source.metrics
    tile = f".wb-tile:nth-child({2 if is_rewarded and len(source.evaluations) else 1})"
    said = figures.held_out_words(source)
    return Card(
        f"{said} This is the judge; the reward is what the training follows, and need not mean "
        "the same. The charts below show both, step by step.",
        (tile, ".wb-tiles", ".wb-run"),
    )


def _timeline(dashboard: Dashboard) -> Card:
    step = _step(dashboard)
    targets = (".wb-tl-row", ".wb-timeline-slot")
    if dashboard.shown_step is None and not dashboard.sources[0].last_step:
        return Card(
            "This run has no step yet: until then a recorded one is shown. All pages show one "
            "step, and here it is chosen: drag the handle, or press ← and → on it.",
            targets,
        )
    dashboard.show_step(step)
    marks = figures.marks_words(dashboard.timeline.timeline.marks, KINDS)
    on_it = f" It carries {marks}: click one for the steps before and after." if marks else ""
    return Card(
        f"All pages show one step: {step} now, chosen so that nothing moves while you read. Drag "
        f"the handle, or press ← and → on it; a click in a chart does the same.{on_it}",
        targets,
    )


def _knob(dashboard: Dashboard) -> Card:
    source = _shown(dashboard)
    is_own = source is dashboard.sources[0]
    said = _less_clip(source, _step(dashboard)) if is_own else ""
    controls = dashboard.controls
    if controls is not None and "epsilon" in controls.rows:
        return Card(
            f"{said}Drag ε, or another knob: while you hold it a sentence says what it would do; "
            "it holds from the next step on, and the record keeps who moved what.".strip(),
            ('.wb-strip .wb-knob:has([aria-label="epsilon"])', ".wb-strip"),
        )
    _open(dashboard, "what_if")
    return Card(
        f"{said}Ask here what another ε, β or advantage would have made of the same answers: it "
        "is computed again from the tokens that the record kept.",
        (".wb-what-if-row", *NOTHING),
    )


def _none_kept(what: str) -> Card:
    return Card(f"{what} Of this step the record kept none.", NOTHING)


def _group(dashboard: Dashboard) -> Card:
    _open(dashboard, "groups")
    step = _step(dashboard)
    source = _shown(dashboard)
    if step not in source.kept_steps("samples"):
        return _none_kept(
            "The answers of each group stand here, with what each reward paid for them."
        )
    said = figures.group_words(source.run.samples(step))
    return Card(
        f"{said} Below each answer stands why it got which reward; its number opens its tokens.",
        (".wb-group", *NOTHING),
    )


def _push(dashboard: Dashboard) -> Card:
    tokens_of(dashboard).quantity_menu.value = FIRST_COLOUR
    dashboard.selection.row = None  # the most telling one
    _open(dashboard, "tokens")
    step = _step(dashboard)
    source = _shown(dashboard)
    if step not in source.kept_steps("tokens"):
        return _none_kept("Each token of an answer stands here, coloured by how it was pushed.")
    found = TokenSteps().read(source, step)
    row = found.telling_row
    place = figures.moved_most(found.batch, row)
    said = figures.push_words(found.batch, row, place, source.run.vocab())
    return Card(
        f"{said} It is held now: its values stand above, and below the loss with its numbers.",
        (f".wb-box > .t:nth-child({place + 1})", *NOTHING),
        press=True,
    )


def _doctor(dashboard: Dashboard) -> Card:
    _open(dashboard, "doctor")
    source = _shown(dashboard)
    said = figures.findings_words(diagnose(source, _step(dashboard)))
    return Card(
        f"{said} Each finding shows its evidence and what to try; where a knob is the remedy, a "
        "button branches the run with it. That is the tour: ? brings it back.",
        (".wb-finding", *NOTHING),
    )


STOPS: dict[str, Callable[[Dashboard], Card]] = {
    "Is it learning?": _judge,
    "One step at a time": _timeline,
    "What would another ε do?": _knob,
    "What did it write, and why was it paid?": _group,
    "Which tokens were pushed?": _push,
    "What is sick, and what helps?": _doctor,
}
"""title -> what opens the stop and says its card."""


def _open(dashboard: Dashboard, page: str) -> None:
    dashboard.tabs.selected_index = list(PAGES).index(page)


def _shown(dashboard: Dashboard) -> RunSource:
    """The run that the pages show: that in focus, or the recorded one before its first step."""
    return dashboard.preview.instead_of(dashboard.sources)[0]


def _step(dashboard: Dashboard) -> int:
    """The step that is chosen, or the newest whose tokens were kept."""
    source = _shown(dashboard)
    if dashboard.shown_step is not None:
        return dashboard.shown_step
    kept = source.kept_steps("tokens")
    return kept[-1] if kept else source.last_step


def _less_clip(source: RunSource, step: int) -> str:
    """What less ε would have done to a step, as a sentence; '' where that cannot be computed."""
    if not step:
        return ""
    epsilon = float(source.run.config_at(step)["epsilon"])
    less = epsilon / LESS
    try:
        words = loss_words(source.run, step, "epsilon", less)
    except (WorkbenchError, ValueError, ModuleNotFoundError):
        # Its tokens were not kept, or torch is not installed: the knob can be shown all the same.
        return ""
    return f"ε {number_text(epsilon)} held in step {step}; {number_text(less)} {words}. "
