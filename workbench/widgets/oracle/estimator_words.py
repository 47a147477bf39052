"""What the estimator page says: figures as sentences and as a table, settings in short."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.widgets.base.lab import fixed, share_bar, signed_bar, table
from workbench.widgets.base.text import safe_text
from workbench.widgets.oracle.estimates import Quality
from workbench.widgets.oracle.settings import Setting


def quality_words(found: Quality) -> str:
    """The figures in two sentences."""
    if found.cosine_of_mean != found.cosine_of_mean:
        return "The mean of the batches cannot be told from nothing: there is no signal."
    return (
        f"The mean points {found.bias_degrees:.1f}° beside the truth (cosine "
        f"{fixed(found.cosine_of_mean, 3)} ± {found.cosine_of_mean_error:.3f}). One batch has a "
        f"cosine of {fixed(found.cosine_of_batch, 3)} ± {found.cosine_of_batch_error:.3f}, at a "
        f"signal-to-noise of {fixed(found.signal_to_noise, 2)}. Dead groups {found.dead:.0%}, "
        f"clipped tokens {found.clipped:.2%}."
    )


def quality_table(rows: Sequence[tuple[str, Quality]]) -> str:
    """A row for each estimator, as HTML."""
    largest = max((q.signal_to_noise for _, q in rows), default=1.0)
    cells = [
        [
            safe_text(name, 160),
            _cosine_bar(q.cosine_of_mean),
            "" if math.isnan(q.bias_degrees) else f"{q.bias_degrees:.1f}°",
            _cosine_bar(q.cosine_of_batch),
            share_bar(q.signal_to_noise, largest, fixed(q.signal_to_noise, 2)),
            f"{q.dead:.0%}",
            f"{q.clipped:.2%}",
        ]
        for name, q in rows
    ]
    heads = [
        "estimator",
        "cosine of the mean",
        "bias",
        "cosine of one batch",
        "signal to noise",
        "dead groups",
        "clipped",
    ]
    return table(heads, cells)


def _cosine_bar(cosine: float) -> str:
    return "no signal" if math.isnan(cosine) else signed_bar(cosine, 1.0)


def setting_words(setting: Setting) -> str:
    """The settings that matter, short."""
    parts = [
        setting.loss_type,
        f"G={setting.num_generations}",
        f"baseline {setting.advantage_baseline}",
        f"scale {setting.scale_rewards}",
    ]
    if setting.beta:
        parts.append(f"beta {setting.beta:g}")
    if not setting.clip:
        parts.append("no clip")
    elif setting.stale or setting.updates > 1:
        parts.append(f"clip {setting.epsilon:g}/{setting.epsilon_high or setting.epsilon:g}")
    return ", ".join(parts) + ages(setting)


def ages(setting: Setting) -> str:
    mu = f", mu={setting.updates}" if setting.updates > 1 else ""
    age = f", {setting.stale} steps old" if setting.stale else ""
    return mu + age


def idle_words(setting: Setting) -> str:
    """What cannot show with these settings, in a sentence."""
    if setting.stale == 0 and setting.updates == 1:
        return "The sampler is the policy itself: each ratio is 1, and no clip can bite."
    if setting.loss_type == "reinforce":
        return "reinforce has no ratio: it takes stale samples for its own."
    return ""
