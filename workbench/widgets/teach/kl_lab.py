"""Two distributions, their exact KL in both directions, and what the estimators k1, k2, k3 make of
samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets

from workbench.widgets.base.lab import Lab, fixed, table
from workbench.widgets.by_hand.chart import HandChart, Handle, Picture
from workbench.widgets.controls.number_box import NumberBox

INVERTED = "k3 inverted"
NAMES = ("a", "b", "c", "d")
EQUAL = 1e-12
"""Nats below which two distributions are the same."""


@dataclass(frozen=True)
class KLFigures:
    """policy, reference: probabilities. exact, reverse: KL(policy||reference),
    KL(reference||policy) in nats.

    per_token    estimator -> its value when that token was sampled; `INVERTED` is the well-known
                 slip exp(-d) + d - 1
    expectation  estimator -> its mean over samples of the policy
    """

    policy: list[float]
    reference: list[float]
    exact: float
    reverse: float
    per_token: dict[str, list[float]]
    expectation: dict[str, float]


def kl_figures(policy: Sequence[float], reference: Sequence[float]) -> KLFigures:
    """The figures of two distributions, given as weights above 0 that are normalised here. Raises
    ValueError."""
    import torch
    from torch.distributions import Categorical, kl_divergence

    from workbench.objective import KL_ESTIMATORS, kl_per_token

    wrong = [x for x in (*policy, *reference) if not (math.isfinite(x) and x > 0)]
    if wrong:
        raise ValueError(
            f"the weight {wrong[0]:g} must be above 0: where the reference has probability 0 the "
            "KL is infinite."
        )
    p, q = (
        Categorical(probs=torch.tensor(list(x), dtype=torch.float64)) for x in (policy, reference)
    )
    logp, ref_logp = p.logits, q.logits
    values = {name: kl_per_token(logp, ref_logp, name) for name in KL_ESTIMATORS}
    values[INVERTED] = KL_ESTIMATORS["k3"](logp - ref_logp)
    return KLFigures(
        p.probs.tolist(),
        q.probs.tolist(),
        float(kl_divergence(p, q)),
        float(kl_divergence(q, p)),
        {name: v.tolist() for name, v in values.items()},
        {name: float((p.probs * v).sum()) for name, v in values.items()},
    )


class KLLab(Lab):
    """Move two distributions over 2 to 4 tokens; the weights are normalised to sum to 1."""

    heading = "KL and its estimators"
    lead = (
        "The loss penalises the distance from a reference, KL(policy‖reference), estimated from "
        "the one token that was sampled. "
        "With d = log ref − log policy: k1 = −d, k2 = d²/2, k3 = exp(d) − d − 1."
    )

    def __init__(
        self,
        policy: Sequence[float] = (0.7, 0.2, 0.1),
        reference: Sequence[float] = (0.4, 0.4, 0.2),
    ) -> None:
        if len(policy) != len(reference) or not 2 <= len(policy) <= len(NAMES):
            raise ValueError(
                f"policy has {len(policy)} tokens, reference {len(reference)}: give both the same "
                f"2 to {len(NAMES)} tokens."
            )
        self.policy = [
            NumberBox(f"policy {n}", 0.01, 1.0, float(x), self.update)
            for n, x in zip(NAMES, policy, strict=False)
        ]
        self.reference = [
            NumberBox(f"reference {n}", 0.01, 1.0, float(x), self.update)
            for n, x in zip(NAMES, reference, strict=False)
        ]
        self.hand = HandChart(self._dragged, label="the two distributions", height=220)
        super().__init__()

    def _dragged(self, values: dict[str, float]) -> None:
        """A person moved a bar: the other tokens of its distribution share what is left."""
        for name, boxes in (("policy", self.policy), ("reference", self.reference)):
            now = getattr(self.figures, name)
            wanted = [values.get(f"{name} {i}", p) for i, p in enumerate(now)]
            for box, weight in zip(boxes, shared_out(now, wanted), strict=True):
                box.set_if_changed(weight)
        self.update()

    def pictures(self) -> Sequence[widgets.Widget]:
        return [self.hand]

    def controls(self) -> Sequence[widgets.Widget]:
        columns = [
            widgets.VBox([box.widget for box in boxes]) for boxes in (self.policy, self.reference)
        ]
        return columns

    def refresh(self) -> tuple[str, str]:
        self.figures = kl_figures(
            [box.value for box in self.policy], [box.value for box in self.reference]
        )
        self.hand.show(*distribution_picture(self.figures))
        estimators = [
            f"{name}<br>(a known bug)" if name == INVERTED else name
            for name in self.figures.per_token
        ]
        figures_table = table(
            ["", "policy", "reference", *estimators],
            [*_token_rows(self.figures), *_mean_rows(self.figures)],
            "nats; each estimate is that of one sampled token",
        )
        return self._words(self.figures), algebra(self.figures) + figures_table

    def _words(self, f: KLFigures) -> str:
        if f.exact < EQUAL:
            return (
                "The two are equal: the KL is 0 in both directions, and so is every estimate. Move "
                "a weight."
            )
        e = {name: fixed(x) for name, x in f.expectation.items()}
        return (
            f"Exact: KL(policy‖reference) = {f.exact:.4f} nats, KL(reference‖policy) = "
            f"{f.reverse:.4f}. On average k1 gives "
            f"{e['k1']} and k3 {e['k3']}, both exact; k1 alone can be negative. k2 gives "
            f"{e['k2']}: it is biased. The inverted k3, "
            f"exp(−d) + d − 1, gives {e[INVERTED]}: a well-known bug of published code, it "
            "estimates something else."
        )


LEAST, MOST = 0.01, 0.97
"""Probabilities that a bar can be dragged to: at 0 a KL may be infinite."""


def shared_out(now: Sequence[float], wanted: Sequence[float]) -> list[float]:
    """The distribution after the bar that was moved has what is `wanted`: the others keep their
    proportions in what is left. Rounded to what a box shows."""
    gaps = [abs(w - p) for w, p in zip(wanted, now, strict=True)]
    moved = gaps.index(max(gaps))
    if gaps[moved] < DRAGGED:
        return [float(f"{p:.4g}") for p in now]
    target = min(max(wanted[moved], LEAST), MOST)
    rest = sum(p for i, p in enumerate(now) if i != moved)
    shares = [target if i == moved else p * (1 - target) / rest for i, p in enumerate(now)]
    return [float(f"{max(share, 1e-4):.4g}") for share in shares]


DRAGGED = 1e-4
"""A bar that moved by less was not dragged: what a box shows is rounded."""


def distribution_picture(figures: KLFigures) -> tuple[Picture, dict[str, float]]:
    """Both distributions as bars to be dragged."""
    tokens = NAMES[: len(figures.policy)]
    sides = {"policy": (-0.2, "positive"), "reference": (0.2, "neutral")}
    handles = [
        Handle(
            id=f"{name} {i}",
            name=f"{name} {token}",
            low=LEAST,
            high=MOST,
            shape="bar",
            at=i + shift,
            width=0.34,
            kind=kind,
        )
        for name, (shift, kind) in sides.items()
        for i, token in enumerate(tokens)
    ]
    picture = Picture(
        x=(-0.6, len(tokens) - 0.4),
        y=(0.0, 1.0),
        x_label="token; left bar: policy, right bar: reference. Drag a bar's top",
        y_label="probability",
        ticks=[(i, token) for i, token in enumerate(tokens)],
        handles=handles,
        summary=f"KL(policy‖reference) {figures.exact:.4f} nats.",
    )
    values = {f"{name} {i}": p for name in sides for i, p in enumerate(getattr(figures, name))}
    return picture, values


def algebra(figures: KLFigures) -> str:
    """The exact KL, written out with its numbers."""
    parts = " + ".join(
        f"{p:.3f}·log({p:.3f}/{q:.3f})"
        for p, q in zip(figures.policy, figures.reference, strict=True)
    )
    return (
        "<div class='wb-algebra'>KL(policy‖reference) = Σ p·log(p/q) = "
        f"{parts} = <b>{fixed(figures.exact)}</b> nats</div>"
    )


def _token_rows(figures: KLFigures) -> list[list[str]]:
    """What each estimator makes of each token."""
    return [
        [
            f"sampled {token}",
            f"{figures.policy[i]:.4f}",
            f"{figures.reference[i]:.4f}",
            *(fixed(values[i]) for values in figures.per_token.values()),
        ]
        for i, token in enumerate(NAMES[: len(figures.policy)])
    ]


def _mean_rows(figures: KLFigures) -> list[list[str]]:
    """What each estimator gives on average, and how far that is from the KL."""
    means = [figures.expectation[name] for name in figures.per_token]
    return [
        ["expected, under the policy", "", "", *(f"<b>{fixed(mean)}</b>" for mean in means)],
        ["minus the exact KL", "", "", *(fixed(mean - figures.exact, 4, "+") for mean in means)],
    ]
