"""Why the loss moved a token by nothing: clipped, masked, or in a completion that took no part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.widgets.base.numbers import number_text
from workbench.widgets.tokens.inputs import Array, RowInputs


@dataclass(frozen=True)
class LeftOut:
    """code_T: (T,) float, a place in `words`, or NaN for a token that was moved, or of which it is
    not known. `whole` says why all of the completion took no part; '' where it did."""

    code_T: Array
    words: tuple[str, ...]
    whole: str

    @property
    def masked_T(self) -> Array:
        """bool (T,): left out one by one, by a mask."""
        is_mask = np.array([word.startswith("masked") for word in self.words], bool)
        known_T = np.isfinite(self.code_T)
        masked_T = np.zeros(len(self.code_T), bool)
        masked_T[known_T] = is_mask[self.code_T[known_T].astype(int)]
        return masked_T


def left_out(x: RowInputs, values: Mapping[str, Array]) -> LeftOut:
    """From what the loss saw of a completion and what came of it (`TokenRow.values`)."""
    T = len(x.ids_T)
    whole = _whole(x)
    if whole:
        return LeftOut(np.zeros(T), (whole,), whole)
    push_T = values["coefficient"]
    clipped_T = values["clipped"]
    words = _words(x)
    code_T = np.full(T, np.nan)
    # Beta's own pull stays on a clipped token, so that its push need not be 0.
    code_T[clipped_T < 0] = 0
    code_T[clipped_T > 0] = 1
    unmoved_T = (push_T == 0) & np.isnan(code_T)
    code_T[unmoved_T & (x.advantage_T == 0)] = 2
    code_T[unmoved_T & (x.advantage_T != 0)] = 3
    return LeftOut(code_T, words, "")


def _whole(x: RowInputs) -> str:
    if not x.counted:
        return "truncated, and mask_truncated_completions leaves such completions out of the loss"
    if x.skipped:
        return "advantage 0 and beta 0 leave it no gradient, so it was skipped in the update"
    return ""


def _words(x: RowInputs) -> tuple[str, str, str, str]:
    low = float(x.config.epsilon)
    high = low if x.config.epsilon_high is None else float(x.config.epsilon_high)
    return (
        f"clipped: its ratio is below 1 − ε = {number_text(1 - low)} and A < 0",
        f"clipped: its ratio is above 1 + ε = {number_text(1 + high)} and A > 0",
        "its advantage is 0",
        f"masked by {_masks(x)}",
    )


def _masks(x: RowInputs) -> str:
    """The settings that can leave a single token out."""
    config = x.config
    masks = []
    if config.top_entropy_quantile < 1:
        masks.append(f"top_entropy_quantile={config.top_entropy_quantile:g}")
    if config.off_policy_mask_threshold is not None:
        masks.append(f"off_policy_mask_threshold={config.off_policy_mask_threshold:g}")
    if config.importance_sampling_mode is not None:
        masks.append(f"importance_sampling_mode={config.importance_sampling_mode}")
    return " or ".join(masks) or f"the loss {config.loss_type}"
