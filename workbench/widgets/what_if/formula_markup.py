"""The loss of a token as its paper writes it, each symbol with this token's number under it, as
MathML. Needs no torch.

The branch of a minimum that decides has a frame, and a sentence says which one it is and why.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.config import GRPOConfig
from workbench.config.losses import LOSSES, SEQUENCE_LEVELS, reduction_of
from workbench.widgets.base.numbers import all_digits, number_text

FORMULA_CSS = (Path(__file__).parent / "formula.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class TokenFormula:
    """One token's loss under some settings.

    form       the name of the term's function in `workbench.objective.terms`
    numbers    symbol -> number, as the loss computed with it
    low, high  the ratios between which nothing is clipped
    updates    of the step; its recorded loss is the mean of theirs
    clipped    True where the loss counts the token as clipped
    """

    form: str
    numbers: Mapping[str, float]
    settings: GRPOConfig
    low: float
    high: float
    updates: int
    clipped: bool

    @property
    def contribution(self) -> float:
        """What the token adds to the loss of its update."""
        return self.numbers["term"] * self.numbers["share"]

    @property
    def decides(self) -> str:
        """Which branch of the surrogate's minimum decides: "first" is the ratio's own, "second" the
        clipped one, "both" where they are equal, "" where there is no minimum."""
        if "first" not in self.numbers:
            return ""
        first = self.numbers["first"]
        second = self.numbers["second"]
        if first == second:
            return "both"
        return "first" if first < second else "second"


def formula_html(formula: TokenFormula) -> str:
    """The formula, what it is made of, and what it adds to the loss."""
    lines = [
        _line("ℓ", _whole(formula), formula.numbers["term"]),
        _ratio_line(formula),
        _kl_line(formula),
        _contribution_line(formula),
    ]
    body = "".join(f'<div class="wb-formula-line">{line}</div>' for line in lines if line)
    said = html.escape(words(formula))
    return f'<div class="wb-formula">{body}<p>{said}</p>{_digits(formula)}</div>'


def words(formula: TokenFormula) -> str:
    """What decides, in a sentence."""
    return WORDS.get(formula.form, _pushes_words)(formula)


# ------------------------------------------------------------------------------------- the symbols


def under(symbol: str, value: float) -> str:
    """A symbol with its number under it."""
    return f'<munder><mrow>{symbol}</mrow><mtext class="wb-n">{number_text(value)}</mtext></munder>'


def letter(name: str, below: str = "", above: str = "") -> str:
    """A letter with an index and an exponent."""
    inner = f"<mi>{name}</mi>"
    if below and above:
        return f"<msubsup>{inner}<mi>{below}</mi><mi>{above}</mi></msubsup>"
    if below:
        return f"<msub>{inner}<mi>{below}</mi></msub>"
    return inner


MINUS, TIMES, COMMA, PLUS = (f"<mo>{sign}</mo>" for sign in ("−", "·", ",", "+"))
OPEN, CLOSE = '<mo stretchy="false">(</mo>', '<mo stretchy="false">)</mo>'


def called(name: str, *arguments: str) -> str:
    """A function of some arguments."""
    return f"<mi>{name}</mi>{OPEN}{COMMA.join(arguments)}{CLOSE}"


def _product(*factors: str) -> str:
    return TIMES.join(factor for factor in factors if factor)


def _line(name: str, right: str, value: float) -> str:
    result = f'<mo>=</mo><mtext class="wb-n">{number_text(value)}</mtext>'
    return f'<math displaystyle="true"><mi>{name}</mi><mo>=</mo>{right}{result}</math>'


def _log_policy(formula: TokenFormula) -> str:
    return under(f"<mi>log</mi>{letter('π', 'θ')}", formula.numbers["logp"])


# --------------------------------------------------------------------------------- the terms' forms


def _whole(formula: TokenFormula) -> str:
    """The right side of the token's loss: weight, policy term, KL."""
    numbers = formula.numbers
    weight = under("<mi>w</mi>", numbers["w"]) if has_weight(formula) else ""
    term = MINUS + _product(weight, FORMS[formula.form](formula))
    if formula.settings.beta > 0 and "kl" in numbers:
        beta = under("<mi>β</mi>", formula.settings.beta)
        term += PLUS + _product(beta, under("<mi>KL</mi>", numbers["kl"]))
    return term


def has_weight(formula: TokenFormula) -> bool:
    """True where a mask or the sampler correction may weigh the token."""
    settings = formula.settings
    return (
        settings.importance_sampling_mode is not None
        or settings.off_policy_mask_threshold is not None
        or settings.top_entropy_quantile < 1
        or formula.numbers["w"] != 1
    )


def _minimum(formula: TokenFormula) -> str:
    numbers = formula.numbers
    advantage = under("<mi>A</mi>", numbers["A"])
    ratio = under("<mi>r</mi>", numbers["r"])
    first = ratio
    if formula.settings.delta is not None:
        first = called("min", ratio, under("<mi>δ</mi>", formula.settings.delta))
    low = under("<mn>1</mn><mo>−</mo><mi>ε</mi>", formula.low)
    high = under(f"<mn>1</mn><mo>+</mo>{letter('ε', _high_name(formula))}", formula.high)
    second = called("clip", ratio, low, high)
    branches = {"first": _product(first, advantage), "second": _product(second, advantage)}
    return called("min", *(_branch(formula, name, inner) for name, inner in branches.items()))


def _high_name(formula: TokenFormula) -> str:
    return "" if formula.settings.epsilon_high is None else "high"


def _branch(formula: TokenFormula, name: str, inner: str) -> str:
    """A branch of the minimum with its value; framed where it decides."""
    decides = formula.decides in (name, "both")
    css = "wb-decides" if decides else "wb-idle"
    value = f'<mtext class="wb-n">= {number_text(formula.numbers[name], "+.4g")}</mtext>'
    return f'<mrow class="{css}"><munder><mrow>{inner}</mrow>{value}</munder></mrow>'


def _masked(formula: TokenFormula) -> str:
    numbers = formula.numbers
    mask = under("<mi>M</mi>", 0.0 if formula.clipped else 1.0)
    return _product(mask, under("<mi>r</mi>", numbers["r"]), under("<mi>A</mi>", numbers["A"]))


def _cap(formula: TokenFormula) -> str:
    numbers = formula.numbers
    cap = under(letter("ε", "high"), formula.high)
    held = called("sg", called("min", under("<mi>r</mi>", numbers["r"]), cap))
    return _product(held, under("<mi>A</mi>", numbers["A"]), _log_policy(formula))


def _gate(formula: TokenFormula) -> str:
    numbers = formula.numbers
    tau = under("<mi>τ</mi>", numbers["tau"])
    ratio = under("<mi>r</mi>", numbers["r"])
    inner = f"{tau}{OPEN}{ratio}<mo>−</mo><mn>1</mn>{CLOSE}"
    gate = under(f"<mi>σ</mi>{OPEN}{inner}{CLOSE}", numbers["gate"])
    scale = "<mfrac><mn>4</mn><mi>τ</mi></mfrac>"
    return _product(under("<mi>A</mi>", numbers["A"]), gate, scale)


def _weighted(formula: TokenFormula) -> str:
    numbers = formula.numbers
    phi = called("sg", under("<mi>φ</mi>", numbers["phi"]))
    return _product(phi, under("<mi>A</mi>", numbers["A"]), _log_policy(formula))


def _geometric(formula: TokenFormula) -> str:
    numbers = formula.numbers
    mean = under("<mover><mrow><mi>log</mi><mi>r</mi></mrow><mo>¯</mo></mover>", numbers["mean"])
    return _product(f"<mi>exp</mi>{OPEN}{mean}{CLOSE}", under("<mi>A</mi>", numbers["A"]))


def _likelihood(formula: TokenFormula) -> str:
    return _product(under("<mi>A</mi>", formula.numbers["A"]), _log_policy(formula))


def _kept_of_selected(formula: TokenFormula) -> str:
    keep = under("<mi>K</mi>", 1 - formula.numbers["chosen"])
    return _product(keep, _minimum(formula))


def _held(formula: TokenFormula) -> str:
    """The penalty is inside the policy term, with the other sign."""
    numbers = formula.numbers
    product = _product(under("<mi>r</mi>", numbers["r"]), under("<mi>A</mi>", numbers["A"]))
    chosen = under("<mi>S</mi>", numbers["chosen"])
    strength = under("<mi>c</mi>", formula.settings.kl_cov_coef)
    distance = under("<mo>|</mo><mi>log</mi><mi>r</mi><mo>|</mo>", numbers["distance"])
    return f"{OPEN}{product}{MINUS}{_product(chosen, strength, distance)}{CLOSE}"


FORMS: dict[str, Callable[[TokenFormula], str]] = {
    "clipped_surrogate": _minimum,
    "capped_reinforce": _cap,
    "log_likelihood": _likelihood,
    "soft_gate": _gate,
    "gamma_weighted": _weighted,
    "geometric_mean": _geometric,
    "masked_surrogate": _masked,
    "covariance_clipped": _kept_of_selected,
    "covariance_held": _held,
}
"""The name of a term's function -> minus what it is, as its paper writes it; a test holds the
table against `workbench.objective.TERMS`."""


# ------------------------------------------------------------------------------- what stands below


def _ratio_line(formula: TokenFormula) -> str:
    """The ratio from the probabilities of the token; of a whole sequence it is a mean."""
    numbers = formula.numbers
    if formula.form == "log_likelihood":
        return ""
    if formula.settings.importance_sampling_level in SEQUENCE_LEVELS:
        inner = "<mtext>mean over the completion of log π − log π</mtext>"
        return _line("r", f"<mi>exp</mi>{OPEN}{inner}<mi>old</mi>{CLOSE}", numbers["r"])
    now, old = (math.exp(numbers[name]) for name in ("logp", "old_logp"))
    symbols = f"<mfrac><mrow>{letter('π', 'θ')}</mrow><mrow>{letter('π', 'old')}</mrow></mfrac>"
    values = "".join(f"<mtext class='wb-n'>{number_text(value)}</mtext>" for value in (now, old))
    return _line("r", f"{symbols}<mo>=</mo><mfrac>{values}</mfrac>", numbers["r"])


def _kl_line(formula: TokenFormula) -> str:
    numbers = formula.numbers
    if formula.settings.beta == 0 or "kl" not in numbers:
        return ""
    difference = under("<mi>d</mi>", numbers["d"])
    inner = ESTIMATES[formula.settings.kl_estimator](difference)
    if formula.settings.use_bias_correction_kl:
        inner = _product(under("<mi>r</mi>", numbers["r"]), f"{OPEN}{inner}{CLOSE}")
    meaning = f"<mspace width='1em'/><mtext>d = log </mtext>{letter('π', 'ref')}"
    meaning += f"<mtext> − log </mtext>{letter('π', 'θ')}"
    return _line("KL", inner, numbers["kl"]).replace("</math>", meaning + "</math>")


ESTIMATES: dict[str, Callable[[str], str]] = {
    "k1": lambda d: MINUS + d,
    "k2": lambda d: f"<mfrac><msup><mrow>{d}</mrow><mn>2</mn></msup><mn>2</mn></mfrac>",
    "k3": lambda d: f"<msup><mi>e</mi><mi>d</mi></msup>{MINUS}{d}{MINUS}<mn>1</mn>",
}
"""kl_estimator -> how it is written."""


def _contribution_line(formula: TokenFormula) -> str:
    numbers = formula.numbers
    right = _product(
        under("<mi>ℓ</mi>", numbers["term"]), under("<mi>share</mi>", numbers["share"])
    )
    return _line("adds to the loss", right, formula.contribution).replace(
        "<mi>adds to the loss</mi>", "<mtext>adds to the loss</mtext>"
    )


def _digits(formula: TokenFormula) -> str:
    """Every number in full, to be copied."""
    rows = [*formula.numbers.items(), ("contribution", formula.contribution)]
    cells = "".join(
        f"<tr><th scope='row'>{html.escape(NAMES.get(name, name))}</th>"
        f"<td class='wb-number'>{all_digits(value)}</td></tr>"
        for name, value in rows
    )
    reduction = html.escape(reduction_of(formula.settings))
    share = f"share: what loss_reduction={reduction} multiplies a token's term by."
    if formula.updates > 1:
        share += f" The step's loss is the mean over {formula.updates} updates."
    return (
        "<details><summary>all digits</summary>"
        f"<table class='wb-digits'><tbody>{cells}</tbody></table><p>{share}</p></details>"
    )


NAMES = {
    "logp": "log π",
    "old_logp": "log π_old",
    "first": "r·A",
    "second": "clip(r)·A",
    "capped": "r, capped",
    "clip": "clip(r)",
    "policy": "policy term",
    "term": "ℓ",
    "kl": "KL",
    "loss": "loss of its update",
    "contribution": "adds to that loss",
    "estimate": "KL estimate",
    "distance": "|log r|",
    "mean": "mean held log ratio",
}
"""Number -> what it is called where it is not by its symbol."""


def _minimum_words(formula: TokenFormula) -> str:
    numbers = formula.numbers
    if numbers["A"] == 0:
        return "A = 0: whatever r is, the policy term is 0 and pushes nothing."
    ratio = number_text(numbers["r"])
    low, high = (number_text(bound) for bound in (formula.low, formula.high))
    sign = "A > 0" if numbers["A"] > 0 else "A < 0"
    if formula.decides == "both":
        return (
            f"r = {ratio} lies within {low} to {high}: both branches are equal, and the token is "
            "pushed as its advantage asks."
        )
    if formula.decides == "second":
        side = f"above {high}" if numbers["r"] > formula.high else f"below {low}"
        return (
            f"r = {ratio} is {side} and {sign}: the clipped branch decides. It does not depend on "
            "the policy, so the token is pushed no further."
        )
    if numbers["capped"] != numbers["r"]:
        return f"r = {ratio} is beyond delta: the cap decides, and the token is not pushed."
    return (
        f"r = {ratio} is outside {low} to {high}, but {sign} asks for the way back: the unclipped "
        "branch decides, and the token keeps its push."
    )


def _selected_words(formula: TokenFormula) -> str:
    if formula.numbers["chosen"]:
        return "This token was chosen by its covariance (K = 0): it is left out of the push."
    return _minimum_words(formula)


def _pushes_words(formula: TokenFormula) -> str:
    facts = LOSSES[formula.settings.loss_type]
    return f"{formula.settings.loss_type}: {facts.words} ({facts.source})."


WORDS: dict[str, Callable[[TokenFormula], str]] = {
    "clipped_surrogate": _minimum_words,
    "covariance_clipped": _selected_words,
}
