"""*Where it was decided*: the exact value V token by token along a completion, and Q − V as credit
beside the advantage that GRPO pays to all tokens alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

from workbench.widgets.base.lab import fixed, share_bar, table
from workbench.widgets.base.labelled import in_a_row, labelled_menu
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.style import GREEN
from workbench.widgets.base.text import menu_text, safe_text
from workbench.widgets.oracle.layout import visible
from workbench.widgets.oracle.page import OraclePage, as_list, prompt_menu
from workbench.widgets.oracle.snapshots import Array, Snapshots, alternatives, values_along
from workbench.widgets.plots import Chart
from workbench.widgets.plots.liveplot import LivePlot
from workbench.widgets.plots.pieces import SMALL, make_chart, marker, plot_text
from workbench.widgets.tokens.box import Column, Readings, TokenBox
from workbench.widgets.tokens.markup import page, token_list
from workbench.widgets.tokens.pieces import piece_of
from workbench.widgets.tokens.row import Quantity
from workbench.widgets.tokens.scales import Scale

STD_FLOOR = 1e-4
"""Added to the std before it divides, as in `workbench.objective`."""
IN_MENU = 30
DECISIONS = 3
"""Tokens of which the alternatives are shown: those whose credit is farthest from 0,"""
LEAST_SHARE = 0.02
"""and holds at least this share of all steps up and down."""
CREDIT = Quantity("credit Q − V", "", "diverging", 1e-6, "What this token changed of V.")


@dataclass(frozen=True)
class Decided:
    """One completion of T tokens at one moment."""

    value_T1: Array
    """V before each token and after the last, (T + 1,): the first is J, the last the reward."""

    advantage: float
    """What GRPO pays each token of it in a group without end: (r − J) / (std + 0.0001)."""

    credit_T: Array
    """Q − V of each token; they add up to r − J."""

    @property
    def strongest(self) -> list[int]:
        """The tokens that decided, the strongest first: those with the largest steps of V, as far
        as they hold a share worth naming."""
        size_T = np.abs(self.credit_T)
        order = np.argsort(-size_T, kind="stable")[:DECISIONS]
        least = max(LEAST_SHARE * float(size_T.sum()), CREDIT.noise)
        return [int(t) for t in order if size_T[t] > least]


def decided(snapshots: Snapshots, completion: int, moment: int | str = 0) -> Decided:
    """V, credit and advantage along a completion. Raises ValueError for one that has no probability
    at that moment."""
    place = snapshots.moment(moment)
    if snapshots.probability_SC[place, completion] == 0:
        raise ValueError(
            f"completion {completion} has no probability at {snapshots.moments[place]!r} that "
            "was worth counting. Choose another moment or completion."
        )
    value_T1 = values_along(snapshots, completion, place)
    reward = float(snapshots.reward_C[completion])
    spread = float(snapshots.spread_S[place])
    advantage = (reward - float(snapshots.reward_S[place])) / (spread + STD_FLOOR)
    return Decided(value_T1, advantage, np.diff(value_T1))


class WhereDecided(OraclePage):
    """Choose a prompt, a moment and a completion; `figures` is what is drawn."""

    heading = "Where it was decided"
    lead = (
        "V is the expected reward, given the tokens so far; exact, since all continuations are "
        "known. Where the curve steps, the answer was decided. The step itself, Q − V, is the "
        "credit that the token has earned; GRPO pays each token of the completion the same."
    )

    def __init__(self, prompts: Snapshots | Sequence[Snapshots]) -> None:
        self.prompts = as_list(prompts)
        self.menu = prompt_menu(self.prompts)
        self.moment_menu = labelled_menu("moment", [("", 0)], "260px", "90px")
        self.completion_menu = labelled_menu("completion", [("", 0)], "560px", "90px")
        self.plot = LivePlot(columns=1, height=260, label="V along the completion")
        self.tokens = TokenBox()
        self._offered: Snapshots | None = None
        super().__init__()

    @property
    def snapshots(self) -> Snapshots:
        """The prompt that is shown."""
        place: int = self.menu.value
        return self.prompts[place]

    def controls(self) -> Sequence[widgets.Widget]:
        self.answer(self.menu, self._update)
        self.answer(self.moment_menu, self._moment_changed)
        self.answer(self.completion_menu, self._update)
        return [in_a_row(self.menu, self.moment_menu), self.completion_menu]

    def pictures(self) -> Sequence[widgets.Widget]:
        return [self.plot, self.tokens]

    def picture(self) -> str:
        return self.plot.picture()

    def show(self, completion: int, moment: int | str = 0) -> None:
        """Draw this completion at this moment. Raises ValueError for one that cannot be."""
        decided(self.snapshots, completion, moment)
        with self.filling():
            self.moment_menu.value = self.snapshots.moment(moment)
            self._offer_completions()
            if completion not in [value for _, value in self.completion_menu.options]:
                extra = self._named(completion)
                self.completion_menu.options = (*self.completion_menu.options, extra)
            self.completion_menu.value = completion
        self.update()

    def _moment_changed(self) -> None:
        with self.filling():
            self._offer_completions()
        self._update()

    def _offer(self) -> None:
        """The moments and completions of another prompt."""
        with self.filling():
            names = [(menu_text(name, 60), i) for i, name in enumerate(self.snapshots.moments)]
            self.moment_menu.options = names
            self.moment_menu.value = 0
            self.completion_menu.options = [("", -1)]
            self._offer_completions()
        self._offered = self.snapshots

    def _offer_completions(self) -> None:
        """Those that are probable at the moment, the likeliest first; a choice that still stands
        stays."""
        chosen = self.completion_menu.value
        probability_C = self.snapshots.probability_SC[self.moment_menu.value]
        order = self.snapshots.likeliest(self.moment_menu.value)
        there = [c for c in order if probability_C[c] > 0]
        kept = there[:IN_MENU] + [c for c in there[IN_MENU:] if c == chosen]
        self.completion_menu.options = [self._named(c) for c in kept]
        self.completion_menu.value = chosen if chosen in kept else kept[0]

    def _named(self, completion: int) -> tuple[str, int]:
        share = self.snapshots.probability_SC[self.moment_menu.value, completion]
        reward = number_text(float(self.snapshots.reward_C[completion]))
        text = menu_text(self.snapshots.text(completion), 90)
        return f"{share:.2%}, reward {reward}: {text}", completion

    def refresh(self) -> tuple[str, str]:
        if self._offered is not self.snapshots:
            self._offer()
        snapshots = self.snapshots
        completion = self.completion_menu.value
        moment = self.moment_menu.value
        self.figures = f = decided(snapshots, completion, moment)
        pieces = snapshots.pieces[completion]
        self.plot.show([value_chart(f, pieces)])
        self.tokens.show(*token_page(f, pieces, snapshots.ids[completion]))
        return _words(f, pieces), decision_tables(snapshots, f, completion, moment)


def value_chart(f: Decided, pieces: Sequence[str]) -> Chart:
    """V as a step curve: over each token stands V before it, and behind it V after it."""
    count = len(pieces)
    # Two points a token: the step is drawn where the token stands.
    x = np.repeat(np.arange(count + 1), 2)[1:-1]
    y = np.repeat(f.value_T1[1:], 2)
    line = {
        "type": "scatter",
        "x": np.concatenate([[-1.0, 0.0], x]).astype("f4"),
        "y": np.concatenate([np.repeat(f.value_T1[0], 2), y]).astype("f4"),
        "name": "V",
        "mode": "lines",
        "line": {"color": GREEN, "width": 2.5, "dash": "solid"},
        "hovertemplate": "%{y:.4~g}",
        "showlegend": False,
    }
    chart = make_chart(
        "V along the completion",
        "expected reward once the token has been said",
        [line],
        x_range=(-1.0, float(count)),
        y={"rangemode": "tozero", "title": {"text": "expected reward"}},
    )
    layout = chart["layout"]
    layout["xaxis"] |= {
        "tickvals": [t + 0.5 for t in range(count)],
        "ticktext": [plot_text(visible(piece), 12) for piece in pieces],
        "tickfont": {"size": SMALL, "family": "monospace"},
        "tickangle": -60,
        "title": {"text": ""},
    }
    layout["shapes"] = [marker(float(t)) for t in f.strongest]
    layout["hovermode"] = "closest"
    layout["margin"]["b"] = 76
    said = [f"after {visible(pieces[t])!r} {f.value_T1[t + 1]:.3g}" for t in f.strongest]
    layout["meta"]["summary"] = (
        f"V begins at {f.value_T1[0]:.3g} and ends at {f.value_T1[-1]:.3g}; its largest steps: "
        f"{', '.join(said) or 'none'}."
    )
    return chart


def token_page(f: Decided, pieces: Sequence[str], ids: Sequence[int]) -> tuple[str, list[Readings]]:
    """The tokens twice: coloured by credit, and by what GRPO pays; with their values for the
    read-out."""
    advantage_T = np.full(len(ids), f.advantage)
    limit = max(float(np.abs(f.credit_T).max()), abs(f.advantage), CREDIT.noise)
    scale = Scale(CREDIT, limit, True)
    shown = [piece_of(i, text) for i, text in zip(ids, pieces, strict=True)]
    panes = []
    for title, values_T in (
        ("exact credit: Q − V of each token", f.credit_T),
        ("GRPO: the same advantage for every token", advantage_T),
    ):
        css = [scale.class_of(level) for level in scale.levels(values_T).tolist()]
        tokens = token_list(list(zip(css, shown, strict=True)), f"tokens, {title}")
        panes.append(f"<div class='wb-pane'><b>{title}</b>{tokens}</div>")
    columns = [
        Column("V before", "", "number", f.value_T1[:-1]),
        Column("Q", "", "number", f.value_T1[1:]),
        Column("credit Q − V", "", "signed", f.credit_T),
        Column("GRPO's advantage", "", "signed", advantage_T),
    ]
    key = (
        "<div class='wb-dim'>Blue: above 0. Orange with stripes: below. Both rows have one "
        f"scale, whose deepest colour is {number_text(limit, '.3g')}.</div>"
    )
    return page(panes) + key, [Readings(0, columns), Readings(0, columns)]


def decision_tables(snapshots: Snapshots, f: Decided, completion: int, moment: int) -> str:
    """What else could have been said at the tokens that decided, as HTML."""
    parts = []
    for t in sorted(f.strongest):
        found = alternatives(snapshots, completion, t, moment)
        before = number_text(float(f.value_T1[t]))
        own = snapshots.pieces[completion][t]
        caption = f"token {t}, {_quoted(own)}: V before it is {before}"
        rows = [
            [_quoted(text), share_bar(chance, 1.0, f"{chance:.2%}"), fixed(value, 3)]
            for text, chance, value in found[:6]
        ]
        parts.append(
            table(["it could say", "probability", "Q: expected reward then"], rows, caption)
        )
    return "".join(parts) or "<p class='wb-dim'>No token of it decided anything: V is flat.</p>"


def _quoted(text: str) -> str:
    return f"<span class='wb-text'>«{safe_text(visible(text), 60)}»</span>"


def _words(f: Decided, pieces: Sequence[str]) -> str:
    start, end = (number_text(float(v)) for v in (f.value_T1[0], f.value_T1[-1]))
    text = f"V goes from J = {start} to the reward {end}. "
    if not f.strongest:
        return text + "No token decided anything."
    first = f.strongest[0]
    share = abs(f.credit_T[first]) / np.abs(f.credit_T).sum()
    step = number_text(float(f.credit_T[first]), "+.3g")
    whole = number_text(float(f.value_T1[-1] - f.value_T1[0]), "+.3g")
    return text + (
        f"The largest step is at token {first}, {visible(pieces[first])!r}: {step}, {share:.0%} of "
        f"all steps up and down. GRPO pays each of the {len(pieces)} tokens "
        f"{number_text(f.advantage, '+.3g')}; the exact credits add up to r − J = {whole}."
    )
