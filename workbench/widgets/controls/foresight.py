"""What a knob would do, in one sentence, before it is moved: computed from the newest kept step.

    Foresight(session).sentence("epsilon", 0.05)   "would clip 3 of 1,132 tokens (0.2: 1)"

What the model would make of it cannot be known from a batch; what the loss makes of it can.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import WorkbenchError
from workbench.runs import Run

if TYPE_CHECKING:
    from workbench.training.session import Session
    from workbench.widgets.what_if.comparison import Outcome
    from workbench.widgets.what_if.kept_batch import KeptBatch

CLIPS = ("epsilon", "epsilon_high", "delta")
OF_THE_LOSS = (
    *CLIPS,
    "beta",
    "divergence_threshold",
    "clip_cov_ratio",
    "clip_cov_min",
    "clip_cov_max",
    "kl_cov_ratio",
    "kl_cov_coef",
)
"""Fields whose effect on a kept batch can be computed again."""
STEP_SIZES = ("learning_rate", "critic_learning_rate", "reward_model_learning_rate")
NO_STEP = "takes effect from the first step on"


class Foresight:
    """Answers for one session, from the newest step of its record."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def sentence(self, name: str, value: float) -> str:
        """What `value` would do, without the value itself; empty where nothing can be said."""
        now = getattr(self._session.config, name)
        if name in STEP_SIZES:
            return step_size_words(value, now)
        if name == "temperature":
            return temperature_words(value, now)
        if name not in OF_THE_LOSS:
            return ""
        step = self._session.step_number
        if step == 0:
            return NO_STEP
        # A value that cannot be, and a batch that was not kept, are answers too.
        try:
            return loss_words(self._session.run, step, name, value)
        except (WorkbenchError, ValueError) as error:
            return f"cannot be tried on step {step}: {error}"


def step_size_words(value: float, now: float) -> str:
    """How much longer a step would be."""
    if now == 0:
        return "sets the weights in motion"
    if value == now:
        return "as now"
    return f"makes each step {value / now:.3g} times as long"


def temperature_words(value: float, now: float) -> str:
    """What a temperature does to what is sampled."""
    if value == now:
        return "as now"
    wider = "more varied" if value > now else "more alike"
    return f"makes the next rollout's completions {wider} ({now:.3g} now)"


def loss_words(run: Run, step: int, name: str, value: float) -> str:
    """What `value` would have done in a step, from its kept tokens. Raises `WorkbenchError` where
    they were not kept, ValueError for a value that cannot be."""
    kept, happened = _kept_step(str(run.path), run.position()[0], step)
    would = _outcome(kept, {name: value})
    tokens = int(kept.counted_BT.sum())
    if name in CLIPS:
        clipped, before = (int((one.clipped_BT != 0).sum()) for one in (would, happened))
        return f"would clip {clipped:,} of {tokens:,} tokens of step {step} (was {before:,})"
    return f"{gradient_words(happened.gradient_BT, would.gradient_BT)} in step {step}"


def gradient_words(happened: np.ndarray, would: np.ndarray) -> str:
    """How the gradient at the log-probabilities would have differed."""
    one = happened.astype(float).ravel()
    other = would.astype(float).ravel()
    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if 0.0 in lengths:
        return "would leave no gradient" if lengths[1] == 0 else "would give a gradient"
    cosine = float(np.clip(one @ other / (lengths[0] * lengths[1]), -1, 1))
    turned = np.degrees(np.arccos(cosine))
    return f"gradient {lengths[1] / lengths[0]:.3g} times as long, turned by {turned:.0f}°"


def _outcome(kept: KeptBatch, changes: dict[str, Any]) -> Outcome:
    from workbench.widgets.what_if.comparison import outcome

    return outcome(kept, kept.changed(changes)[0])


@lru_cache(maxsize=2)
def _kept_step(path: str, cuts: int, step: int) -> tuple[KeptBatch, Outcome]:
    """A kept step and what it came to; a drag asks many times. `cuts` tells a step that was made
    again after a rewind from the one before."""
    from workbench.widgets.what_if.kept_batch import KeptBatch

    kept = KeptBatch.of(Run.open(path).batch(step))
    return kept, _outcome(kept, {})
