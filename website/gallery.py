"""The gallery: every page of the dashboard and every widget, with its picture, the first words of
its docstring and the code that shows it. `docs/make_gallery.py` takes the pictures by that code."""

from __future__ import annotations

from dataclasses import dataclass

from website.api import path_of
from website.repository import ROOT
from workbench.widgets import _HOMES
from workbench.widgets.base.style import CSS
from workbench.widgets.doctor.markup import DOCTOR_CSS

FOLDER = "docs/gallery"


@dataclass(frozen=True)
class Exhibit:
    """A widget or a page."""

    title: str
    about: str
    """What is seen and done."""
    code: str
    """Its last line shows it."""
    picture: str = ""
    """One of `docs/`; '' for the gallery's own."""


def _page_of(name: str) -> str:
    return f'Dashboard(recorded("long"), page="{name}")'


PAGES: dict[str, Exhibit] = {
    "overview": Exhibit(
        "Overview",
        "A tile for each figure that matters, curves with one zoom, crosshair and smoothing.",
        _page_of("overview"),
        "docs/dashboard-light.png",
    ),
    "groups": Exhibit(
        "Groups",
        "Each prompt's answers, what each reward paid and why; dead groups in one line.",
        _page_of("groups"),
        "docs/groups-light.png",
    ),
    "tokens": Exhibit(
        "Tokens",
        "One answer under the microscope, coloured by push; a click writes a token's loss out.",
        _page_of("tokens"),
        "docs/tokens-dark.png",
    ),
    "what_if": Exhibit(
        "What if",
        "The same batch under another β, ε or loss, without a model.",
        _page_of("what_if"),
        "docs/what-if-dark.png",
    ),
    "compare": Exhibit(
        "Compare",
        "Runs and branches side by side, what was changed, the map of the forks.",
        'Dashboard([recorded("long"), recorded("branch")], page="compare")',
        "docs/compare-light.png",
    ),
    "tornado": Exhibit(
        "Tornado",
        "Each knob lower and higher for a few steps, against what another seed does.",
        'session.tornado().result()\nDashboard(session, page="tornado")',
    ),
    "evaluation": Exhibit(
        "Evaluation",
        "Greedy, mean@K, maj@K and pass@K before and after training, with intervals.",
        "config = GRPOConfig(max_steps=16, eval_samples=8, num_eval_problems=200)\n"
        'session = Session("embedded", "arithmetic", config=config)\n'
        'session.start().wait()\nDashboard(session, page="evaluation")',
    ),
    "best_paid": Exhibit(
        "Best paid",
        "The ten best-paid distinct answers: a hacked reward is seen at a glance.",
        'Dashboard(recorded("hacked"), page="best_paid")',
    ),
    "behaviours": Exhibit(
        "Behaviours",
        "The kinds of answers as a stream over the steps.",
        _page_of("behaviours"),
    ),
    "doctor": Exhibit(
        "Doctor",
        "What is going on, in words, with the curve it rests on and what to try.",
        'Dashboard(recorded("kl_blow_up"), page="doctor")',
    ),
}
"""Page of the dashboard -> its exhibit."""

_ORACLE = "from workbench.widgets.oracle import load_trees\n"
WIDGETS: dict[str, Exhibit] = {
    "Dashboard": Exhibit(
        "Dashboard",
        "A run while it trains: bar, knobs, timeline, pages.",
        'session = Session("embedded", "arithmetic")\nDashboard(session)',
        "docs/training.webp",
    ),
    "AdvantageLab": Exhibit(
        "AdvantageLab", "Rewards of a group in, advantages out.", "AdvantageLab([1, 1, 0, 0])"
    ),
    "ClipLab": Exhibit("ClipLab", "Where ε stops a token, by the sign of its push.", "ClipLab()"),
    "KLLab": Exhibit(
        "KLLab",
        "Two distributions, their KL, and what k1, k2 and k3 make of it.",
        "KLLab([0.7, 0.2, 0.1], [0.4, 0.4, 0.2])",
    ),
    "LengthLab": Exhibit(
        "LengthLab",
        "What one token weighs under each reduction of the loss.",
        "LengthLab(lengths=[4, 8, 16, 32], advantages=[1, -1, 1, -1])",
    ),
    "DrawFirst": Exhibit(
        "DrawFirst", "Sketch the curve before the run, then see both.", 'DrawFirst("held_out")'
    ),
    "RewardLab": Exhibit(
        "RewardLab",
        "Edit an answer: all rewards and the group's advantages answer at once.",
        'RewardLab(recorded("long"))',
    ),
    "AllItCanSay": Exhibit(
        "AllItCanSay",
        "All that a small policy can say to a prompt, as a tree with its probabilities.",
        f"{_ORACLE}AllItCanSay(sorted(load_trees(), key=lambda tree: -len(tree.ids)))",
    ),
    "WhereDecided": Exhibit(
        "WhereDecided",
        "At which token the reward is decided: the true credit of each.",
        f"{_ORACLE}WhereDecided(load_trees())",
    ),
    "EstimatorPage": Exhibit(
        "EstimatorPage", "Every estimator of the gradient against the true one.", "EstimatorPage()"
    ),
    "ClipTurns": Exhibit(
        "ClipTurns", "How far the clip turns the gradient away from the true one.", "ClipTurns()"
    ),
    "RunOracle": Exhibit(
        "RunOracle",
        "The exact oracle beside a run: what a prompt's tree was before and after its steps.",
        "RunOracle(session)",
    ),
    "ExperimentView": Exhibit(
        "ExperimentView",
        "Variants over paired seeds with their controls: table, answer, curves, live.",
        "ExperimentView(experiment)",
    ),
    "PlanView": Exhibit(
        "PlanView", "Does it fit? Memory by part and phase before anything is loaded.", "PlanView()"
    ),
}
"""Public widget -> its exhibit."""


def exhibits() -> dict[str, Exhibit]:
    """All of them by name: widgets first."""
    return WIDGETS | PAGES


def picture_of(name: str) -> str:
    """The repository's path of an exhibit's picture."""
    return exhibits()[name].picture or f"{FOLDER}/{name.lower()}.png"


def page() -> str:
    """The gallery as Markdown."""
    return (
        "---\nhide: [navigation]\n---\n\n# Gallery\n\n"
        "Each line of code shows what stands above it: `from workbench import *`, "
        "`from workbench.widgets import *` and `from workbench.course import recorded` come "
        "before. Stored runs need neither a GPU nor torch.\n\n## Widgets\n\n"
        + "\n\n".join(_entry(name) for name in WIDGETS)
        + "\n\n## Pages of the dashboard\n\n"
        + "\n\n".join(_entry(name) for name in PAGES)
    )


def _entry(name: str) -> str:
    shown = exhibits()[name]
    reference = ""
    if name in _HOMES:
        reference = f" [Reference](api/widgets.md#{path_of(name, _HOMES[name])})."
    file = picture_of(name)
    picture = f"![{shown.title}: {shown.about}]({file})\n\n" if (ROOT / file).exists() else ""
    return f"### {shown.title}\n\n{shown.about}{reference}\n\n{picture}```python\n{shown.code}\n```"


def style() -> str:
    """The workbench's own style sheets, for the doctor's figures."""
    return CSS + DOCTOR_CSS
