"""A comparison in words and in a table. Needs no torch: it reads a `Comparison` that was made
already."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.config import LOSSES, GRPOConfig
from workbench.widgets.base.numbers import number_text

if TYPE_CHECKING:
    from workbench.widgets.what_if.comparison import Comparison, Outcome
    from workbench.widgets.what_if.kept_batch import KeptBatch


def number(value: float) -> str:
    """A number with four figures."""
    return number_text(value, missing="not a number")


def percent(share: float) -> str:
    """A share as a percentage with two figures, three from 10 % on."""
    return f"{100 * share:.3g} %" if share >= 0.1 else f"{100 * share:.2g} %"


def settings(values: Mapping[str, Any]) -> str:
    """epsilon=0.05, loss_type=grpo."""
    return ", ".join(
        f"{name}={f'{v:g}' if isinstance(v, float) else v}" for name, v in values.items()
    )


def sentences(c: Comparison) -> list[str]:
    """What the changes would have done, a sentence each."""
    if not c.changes and not c.kept.settings_known:
        return [
            "Nothing is changed, and the run's settings are not in the record: this is the step "
            "with the workbench's defaults, which need not be what happened. Set what you know of "
            "them, and read each what-if against that.",
            *_idle(c),
        ]
    if not c.changes:
        return [
            "Nothing is changed: this is what happened. Move a control to ask what would have "
            "happened instead.",
            *_idle(c),
        ]
    what = settings({name: new for name, (_, new) in c.changes.items()})
    return [f"With {what} {_clipping(c)}", _gradient(c), *_advantages(c), *_idle(c)]


def _clipping(c: Comparison) -> str:
    new, old = c.what_if, c.happened
    act, before = _act_of(new), _act_of(old)
    if act == before and act != WEIGHS:
        text = f"{act} {percent(_clip(new))} of the tokens instead of {percent(_clip(old))}"
    else:
        would = f"{act} {percent(_clip(new))} of the tokens"
        if act == WEIGHS:
            would = "nothing would have been clipped"
        done = "capped" if before == CAPS else "stopped"
        did = f"{percent(_clip(old))} were {done} when it happened"
        if before == WEIGHS:
            did = "nothing was"
        text = f"{would}, where {did}"
    keep = " A capped token keeps its gradient." if act == CAPS else ""
    return f"{text}: {c.changed_tokens:,} of {c.tokens:,} tokens change.{keep}"


CLIPS, CAPS, WEIGHS = (
    "clipping would have stopped",
    "the cap on the ratio would have held",
    "smooth weights",
)
"""What a loss type does about a ratio far from 1."""


def _act_of(o: Outcome) -> str:
    loss = LOSSES[o.config.loss_type]
    if loss.clips:
        return CLIPS
    return CAPS if loss.caps else WEIGHS


def _gradient(c: Comparison) -> str:
    old, new = c.happened.gradient_norm, c.what_if.gradient_norm
    if not math.isfinite(old + new):
        return "A gradient is not finite: a ratio has overflowed."
    if c.cosine is None:
        return (
            "Neither has a gradient: no token is pushed."
            if old == new == 0
            else (
                "It had no gradient when it happened."
                if old == 0
                else "It would have had no gradient: no token would be pushed."
            )
        )
    if np.array_equal(c.happened.gradient_BT, c.what_if.gradient_BT):
        return "The gradient is exactly the same."
    return (
        f"The gradient would have been {new / old:.3g} times as long; the cosine between the two "
        f"is {c.cosine:.3f} ({_direction(c.cosine)})."
    )


def _direction(cosine: float) -> str:
    for least, words in (
        (0.99, "the same direction"),
        (0.8, "much the same direction"),
        (0.3, "a different direction"),
        (-0.3, "hardly related"),
    ):
        if cosine >= least:
            return words
    return "against it"


def _advantages(c: Comparison) -> list[str]:
    if not c.changed_advantages:
        return []
    return [
        f"{c.changed_advantages} of {len(c.what_if.advantages_B)} completions would have got "
        "another advantage."
    ]


def _idle(c: Comparison) -> list[str]:
    if not c.on_policy or CAPS in (_act_of(c.happened), _act_of(c.what_if)):
        return []
    return [
        "Every ratio is exactly 1 here, because the log-probabilities are those of the policy that "
        "sampled: epsilon, epsilon_high, delta, divergence_threshold and importance_sampling_level "
        "change nothing."
    ]


def _clip(o: Outcome) -> float:
    return o.metrics.get("clip_ratio_region", 0.0)


def notes(c: Comparison, recorded_loss: float | None) -> list[str]:
    """What the figures leave out, a sentence each."""
    found = (
        _assumed(c),
        _skipped(c),
        _left_out(c),
        _one_pass_of_several(c) or _other_loss(c, recorded_loss),
        _several_updates(c),
        _entropy_bonus(c),
    )
    return [text for text in found if text]


def _assumed(c: Comparison) -> str:
    if c.kept.settings_known:
        return ""
    names = ("loss_type", "epsilon", "epsilon_high", "beta", "updates_per_rollout")
    assumed = settings({name: getattr(c.kept.config, name) for name in names})
    return f"The column 'happened' assumes {assumed}: the record does not say them."


def _skipped(c: Comparison) -> str:
    kept = c.kept
    skipped = int(kept.skipped_B.sum())
    if not skipped:
        return ""
    lost = ""
    if c.unknown_but_wanted:
        lost = (
            f" {c.unknown_but_wanted} of them would have an advantage here, and what they would "
            "add is not known."
        )
    return (
        f"{skipped} of {len(kept.skipped_B)} completions had no gradient when it happened "
        "(advantage 0 and no KL), so the trainer "
        "did not compute their log-probabilities. They count in the normalisers and in "
        f"nothing else.{lost}"
    )


def _left_out(c: Comparison) -> str:
    left_out = int(c.kept.left_out_B.sum())
    if not left_out:
        return ""
    return f"{left_out} truncated completions are outside the loss (mask_truncated_completions)."


def _one_pass_of_several(c: Comparison) -> str:
    passes = c.kept.config.num_iterations
    if passes <= 1:
        return ""
    return (
        f"The kept log-probabilities are those of the last of {passes} passes: the figures are "
        "of that pass."
    )


def _other_loss(c: Comparison, recorded_loss: float | None) -> str:
    """The figures do not meet the record, as they should where the last pass is the only one."""
    if recorded_loss is None:
        return ""
    if math.isclose(c.happened.loss, recorded_loss, rel_tol=1e-3, abs_tol=1e-6):
        return ""
    return (
        f"The record says loss {number(recorded_loss)}; computed again from the kept batch it "
        f"is {number(c.happened.loss)}."
    )


def _entropy_bonus(c: Comparison) -> str:
    if not c.kept.config.has_entropy_bonus:
        return ""
    return (
        "The entropy bonus pushes through the whole distribution of each next token, not through "
        "the sampled one alone: its gradient is not in these figures."
    )


def _several_updates(c: Comparison) -> str:
    updates = c.kept.config.updates_per_rollout
    if updates <= 1:
        return ""
    first = ""
    if c.kept.config.num_iterations == 1:
        first = ", and the rows of the first one have ratio 1"
    return (
        f"The batch served {updates} updates: loss, KL and clip fractions are means over "
        f"them{first}. What an update "
        "does to the policy of the next one is not computed again."
    )


def table(c: Comparison) -> str:
    """The figures side by side, as HTML."""
    old, new = c.happened, c.what_if
    rows = [
        ("loss", number(old.loss), number(new.loss)),
        *(_metric_row(name, old, new) for name in METRICS),
        ("gradient norm (log-probs)", number(old.gradient_norm), number(new.gradient_norm)),
        ("tokens with a gradient", percent(c.moving_share(old)), percent(c.moving_share(new))),
        ("mean |advantage|", *(number(_mean_size(o.advantages_B)) for o in (old, new))),
        ("cosine of the gradients", "", "none" if c.cosine is None else f"{c.cosine:.4f}"),
        ("tokens that change clip state", "", f"{c.changed_tokens:,} of {c.tokens:,}"),
    ]
    cells = "".join(
        f"<tr><th scope='row'>{name}</th><td class='wb-number'>{a}</td><td class='wb-number'>"
        f"{b}</td></tr>"
        for name, a, b in rows
    )
    return (
        "<table><thead><tr><th scope='col'>of this step</th><th scope='col' "
        "style='text-align:right'>happened</th>"
        "<th scope='col' style='text-align:right'>what if</th></tr>"
        f"</thead><tbody>{cells}</tbody></table>"
    )


def _mean_size(values_B: np.ndarray) -> float:
    known_B = values_B[~np.isnan(values_B)]
    return float(abs(known_B).mean()) if len(known_B) else math.nan


METRICS: dict[str, Callable[[float], str]] = {
    "clip_ratio_low": percent,
    "clip_ratio_high": percent,
    "kl": number,
    "ratio_max": number,
}


def _metric_row(name: str, old: Outcome, new: Outcome) -> tuple[str, str, str]:
    first, second = (
        METRICS[name](o.metrics[name]) if name in o.metrics else "not known" for o in (old, new)
    )
    return name, first, second


def size_of(kept: KeptBatch) -> str:
    """The size of the batch."""
    rows, counted = len(kept.skipped_B), int(kept.counted_BT.sum())
    return f"{rows} completions, {counted:,} tokens with known log-probabilities"


def advantages_summary(c: Comparison) -> str:
    """What the plot of the advantages shows, for those who do not see it."""
    old, new = (_range(o.advantages_B) for o in (c.happened, c.what_if))
    return (
        f"Advantages of {len(c.happened.advantages_B)} completions by group: from {old} when it "
        f"happened, from {new} in the "
        f"what-if; {c.changed_advantages} differ."
    )


def ratios_summary(
    tokens: int,
    clipped: int,
    config: GRPOConfig,
    lines: Mapping[str, tuple[str, float, float, float]],
) -> str:
    """What the histogram of the ratios shows."""
    said = ", ".join(f"{label} = {number(value)}" for label, value, _, _ in lines.values())
    where = said or f"loss_type={config.loss_type} bounds no ratio"
    return f"Ratios of {tokens:,} tokens, of which {clipped:,} are clipped; {where}."


def changed_rows(c: Comparison) -> str:
    """How many completions change."""
    if not c.changes:
        return "All completions; once a setting is changed, only those that it changes."
    changed, rows = len(c.changed_rows), len(c.kept.skipped_B)
    if not changed:
        return f"None of {rows} completions changes."
    return f"{changed} of {rows} completions change; only these are listed."


def _range(values_B: np.ndarray) -> str:
    known_B = values_B[~np.isnan(values_B)]
    return (
        f"{number_text(float(known_B.min()), '+.3g')} to "
        f"{number_text(float(known_B.max()), '+.3g')}"
        if len(known_B)
        else "none known"
    )
