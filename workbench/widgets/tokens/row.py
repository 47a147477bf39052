"""The quantities that the token microscope shows of one completion, and in words why one is missing
or trivial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.config import LOSSES, METHODS
from workbench.config.losses import SEQUENCE_LEVELS
from workbench.widgets.tokens.inputs import Array, RowInputs, row_inputs
from workbench.widgets.tokens.left_out import LeftOut, left_out


@dataclass(frozen=True)
class Quantity:
    """A number per token."""

    label: str
    """What the menu and the values call it."""
    unit: str
    """'' where it has none."""
    scale: str
    """'diverging' around 0, 'ratio' around 1 in logarithms, 'sequential' from 0 up, 'surprise'
    from 0 down, 'side'."""
    noise: float
    """Below this distance from the neutral value a number is rounding and gets no colour."""
    meaning: str
    """A sentence for the legend."""


QUANTITIES: dict[str, Quantity] = {
    "coefficient": Quantity(
        "push",
        "",
        "diverging",
        1e-9,
        "Push = −∂loss/∂logp, the gradient coefficient: positive makes the token likelier, "
        "negative less likely. What grad log pi of the token was multiplied with in its last "
        "update, the reduction included. Every method is one: sft 1, grpo A + beta "
        "(pi_ref / pi - 1), dpo +-beta sigmoid(-margin), each over what the loss divides by.",
    ),
    "advantage": Quantity(
        "advantage",
        "",
        "diverging",
        1e-6,
        "A: what the token's gradient is weighted with; positive pushes it up, negative down.",
    ),
    "ratio": Quantity(
        "ratio",
        "",
        "ratio",
        1e-3,
        "r = exp(logp - old_logp): how much likelier the token had become since it was sampled.",
    ),
    "clipped": Quantity(
        "clipped",
        "",
        "side",
        0.5,
        "Low: r below 1 - epsilon with A < 0. High: r above 1 + epsilon_high with A > 0. A clipped "
        "token gives no policy gradient.",
    ),
    "kl": Quantity(
        "kl",
        "nats",
        "sequential",
        1e-4,
        "Estimate of KL(policy, reference) from this token, as beta multiplies it.",
    ),
    "entropy": Quantity(
        "entropy",
        "nats",
        "sequential",
        1e-3,
        "Entropy of the policy at this position: 0 = it was certain.",
    ),
    "change": Quantity(
        "log-prob change",
        "nats",
        "diverging",
        1e-3,
        "logp - old_logp: what the updates did to this token.",
    ),
    "term": Quantity(
        "loss term",
        "",
        "diverging",
        1e-6,
        "What the reduction adds up: weight x policy term + beta x kl. Its value is not a "
        "measure of progress: over a group the terms of centred advantages add up to about 0 while "
        "their gradient does not.",
    ),
    "mismatch": Quantity(
        "sampler mismatch",
        "nats",
        "diverging",
        1e-3,
        "old_logp - sampler_logp: trainer and sampler should agree; 1e-5 is rounding.",
    ),
    "sampled": Quantity(
        "logp when sampled",
        "nats",
        "surprise",
        1e-3,
        "Log-probability of the token before the step's first update: the trainer's own "
        "(old_logp), or the sampler's where that one was not recorded.",
    ),
    "logp": Quantity(
        "logp",
        "nats",
        "surprise",
        1e-3,
        "Log-probability of the token: 0 = certain, the colour deepens with surprise.",
    ),
}
"""name -> what it is, in the order of the menu."""


@dataclass(frozen=True)
class TokenRow:
    """One completion: `ids_T`, the quantities by name (T,) in float64 with NaN = not known, and
    notes on them in words."""

    row: int
    ids_T: Array
    values: dict[str, Array]
    notes: dict[str, str]
    inputs: RowInputs
    left_out: LeftOut
    """Why the loss moved which of its tokens by nothing."""


def token_row(batch: Mapping[str, Any], row: int) -> TokenRow:
    """All quantities of row `row` of what `Run.batch` gives. Raises IndexError for a row that is
    not there, ModuleNotFoundError where torch, which computes them, is not installed."""
    # Here and not above: torch takes seconds, and only a page that computes shall pay for it.
    from workbench.widgets.tokens.contribution import contribution

    x = row_inputs(batch, row)
    computed = contribution(batch, row, x)
    values = {
        "advantage": x.advantage_T,
        "coefficient": x.filled("coefficient"),
        "ratio": computed.ratio_T,
        "clipped": computed.clipped_T,
        "kl": computed.kl_T,
        "entropy": x.filled("entropy"),
        "change": x.log_ratio_T,
        "term": computed.term_T,
        "mismatch": x.filled("old_logp") - x.filled("sampler_logp"),
        "sampled": x.filled("sampler_logp" if x.old_logp_T is None else "old_logp"),
        "logp": x.filled("logp"),
    }
    values = {name: values_T + 0.0 for name, values_T in values.items()}  # no -0
    notes = {name: note_on(name, x) for name in values}
    return TokenRow(
        row=row,
        ids_T=x.ids_T,
        values=values,
        notes={name: note for name, note in notes.items() if note},
        inputs=x,
        left_out=left_out(x, values),
    )


def note_on(name: str, x: RowInputs) -> str:
    """What must be known to read this quantity of this row; '' when nothing. What is missing is
    named before what is trivial."""
    if name == "advantage":
        return _advantage_note(x)
    if (
        name == "mismatch" and x.old_logp_T is not x.logp_T
    ):  # old_logp was recorded: a skipped row has its mismatch
        return _missing(x, "sampler_logp", "old_logp")
    if name == "sampled":
        return _sampled_note(x)
    if not x.settings_known and name in ("clipped", "term"):
        return f"Not available: {UNKNOWN_SETTINGS}."
    if METHODS[x.config.method].of_pairs and name in ("clipped", "term"):
        return (
            "Not available: the loss of this method is of pairs of answers. What each token got is "
            "its push."
        )
    if not x.counted and name != "term":
        return (
            "Truncated, and mask_truncated_completions is on: the whole row was left out of the "
            "loss."
        )
    if (x.skipped or not x.counted) and name != "coefficient":
        return _skipped_note(name, x)
    needs = (*NEEDS[name], "ref_logp") if name == "term" and x.config.beta > 0 else NEEDS[name]
    missing = _missing(x, *needs)
    if missing:
        return missing
    if name == "term":
        return SELECTED.get(x.config.loss_type, "")
    return _trivial(name, x) if name in ("ratio", "clipped", "change", "kl") else ""


UNKNOWN_SETTINGS = "the run's settings are not in the record"


def _sampled_note(x: RowInputs) -> str:
    if x.old_logp_T is not None:
        return ""
    return _missing(x, "sampler_logp") or "The sampler's: old_logp was not recorded for this step."


SELECTED = {
    "clip_cov": "clip_cov has left some tokens of this update out, drawn among those of high "
    "covariance (log-probability with advantage): where it did, the term is the KL's alone.",
    "kl_cov": "kl_cov adds kl_cov_coef x |logp - old_logp| to the tokens of this update with the "
    "highest covariance (log-probability with advantage).",
}
"""loss_type -> what it does to the terms of the tokens that it has chosen."""


NEEDS: dict[str, tuple[str, ...]] = {
    "coefficient": ("coefficient",),
    "ratio": ("logp", "old_logp"),
    "clipped": ("logp", "old_logp"),
    "change": ("logp", "old_logp"),
    "term": ("logp", "old_logp"),
    "kl": ("logp", "ref_logp"),
    "entropy": ("entropy",),
    "logp": ("logp",),
    "mismatch": ("old_logp", "sampler_logp"),
}
"""quantity -> the recorded arrays that it is made of."""


def _missing(x: RowInputs, *names: str) -> str:
    for name in names:
        if getattr(x, f"{name}_T") is None:
            if name == "ref_logp" and x.config.beta == 0 and x.settings_known:
                return "Not available: beta is 0, so there is no reference to compare with."
            return f"Not available: {name} was not recorded for this step."
    return ""


def _advantage_note(x: RowInputs) -> str:
    if len(x.advantage_T) and np.isnan(x.advantage_T).all():
        return "Not available: the advantage of this completion is not in the record."
    if len(x.advantage_T) and not x.advantage_T.any() and not x.settings_known:
        return "The advantage of this completion is exactly 0: only a KL could move its tokens."
    if len(x.advantage_T) and not x.advantage_T.any():
        return "The advantage of this completion is exactly 0: " + (
            "only the KL can move its tokens."
            if x.config.beta > 0
            else "with beta=0 nothing moves its tokens."
        )
    return ""


def _skipped_note(name: str, x: RowInputs) -> str:
    why = (
        "advantage 0 and beta 0 leave it no gradient"
        if x.counted
        else "it is truncated and mask_truncated_completions is on"
    )
    if name == "term":
        return f"The row was left out of the update ({why}): its terms are exactly 0."
    return f"Not computed: the row was skipped in the update, since {why}."


def _trivial(name: str, x: RowInputs) -> str:
    if not x.settings_known:
        return f"By kl_estimator='k3': {UNKNOWN_SETTINGS}." if name == "kl" else ""
    if name == "kl":
        estimator = x.config.kl_estimator
        corrected = (
            ", multiplied by the ratio (use_bias_correction_kl)"
            if x.config.use_bias_correction_kl
            else ""
        )
        return f"kl_estimator='{estimator}'{corrected}."
    if x.on_policy:
        return (
            "On-policy: each rollout serves one update, so old_logp is logp itself, the ratio is "
            "exactly 1 and clipping cannot "
            "fire. epsilon does nothing; the gradient is not 0."
        )
    notes = []
    if x.update == 1:
        notes.append(
            f"This row was used in update 1 of {x.updates}, before the policy had moved: its ratio "
            "is 1 up to rounding."
        )
    level = x.config.importance_sampling_level
    if name in ("ratio", "clipped") and level in SEQUENCE_LEVELS:
        notes.append(f"importance_sampling_level={level!r}: one ratio for the whole completion.")
    if name == "clipped" and LOSSES[x.config.loss_type].caps:
        notes.append(
            f"loss_type={x.config.loss_type!r}: capped above at epsilon_high, and a capped token "
            "keeps its gradient."
        )
    elif name == "clipped" and not LOSSES[x.config.loss_type].clips:
        weighs = "weighs smoothly and " if LOSSES[x.config.loss_type].bound == "smooth" else ""
        notes.append(f"loss_type='{x.config.loss_type}' {weighs}clips nothing.")
    return " ".join(notes)
