"""How good an estimate of the policy gradient one batch is, under any settings of the objective,
against the true gradient of a `World`.

Suffixes beside the world's: M batches, G completions of a group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from workbench.widgets.oracle.batches import gradients
from workbench.widgets.oracle.settings import Setting, config_of
from workbench.widgets.oracle.world import Array, World

BATCHES = 200
"""Drawn where nobody asks for more: a third of a second, errors of about .01."""
MOST_GENERATIONS = 64
"""Random numbers drawn for each group, so that a group of 8 is the beginning of one of 16."""
PARTS = 10
"""Parts of the batches, left out one at a time for the standard errors."""


@dataclass(frozen=True)
class Quality:
    """What an estimate is worth. Errors are standard errors over the batches."""

    cosine_of_mean: float
    """Cosine between the mean of very many batches and the truth, freed of the noise that the mean
    of so few has left. 1 = unbiased up to a factor."""

    cosine_of_mean_error: float

    cosine_of_batch: float
    """Mean cosine between the gradient of one batch and the truth, over the batches that have
    one."""

    cosine_of_batch_error: float

    signal_to_noise: float
    """Squared length of the mean over the mean squared distance of a batch from it, as the core
    has it: batches twice as large have twice as much."""

    dead: float
    """Share of groups whose rewards are all equal."""

    clipped: float
    """Share of tokens that are clipped, of all tokens."""

    cosine_M: Array
    """The cosine of each batch; NaN where it has no gradient."""

    length_M: Array
    """The length of each batch's gradient, over that of the mean."""

    side_M: Array
    """On which side of the truth it lies: 1 where the mean errs to, -1 on the other."""

    @property
    def bias_degrees(self) -> float:
        """The angle between the mean and the truth; NaN where the mean's cosine is."""
        # Not min(1.0, cosine): beside NaN that is 1, an angle of 0.
        return math.degrees(math.acos(max(min(self.cosine_of_mean, 1.0), -1.0)))


def quality(world: World, setting: Setting, batches: int = BATCHES, seed: int = 0) -> Quality:
    """Draw batches of one group a prompt and hold their gradients against the truth. Equal seeds
    draw alike under all settings, so that differences between settings are sharper than errors.

    Raises ValueError for a sampler older than the world knows, `ConfigError` for settings that
    cannot be together.
    """
    oldest = setting.stale + setting.updates - 1
    if not 0 <= setting.stale <= oldest <= world.steps_back:
        raise ValueError(
            f"stale={setting.stale} with updates={setting.updates} asks for a sampler {oldest} "
            f"steps old; this world knows {world.steps_back}. Lower one of the two."
        )
    config = config_of(setting, prompts_per_step=len(world.questions))
    random = np.random.default_rng(seed)
    shape = (batches, len(world.questions), MOST_GENERATIONS)
    uniform_MNG = random.random(shape)[:, :, : setting.num_generations]
    total_MR = np.zeros((batches, world.factor_ER.shape[1]))
    dead = 0.0
    clipped = 0.0
    for stale in range(setting.stale, oldest + 1):
        one = gradients(world, config, stale, uniform_MNG)
        total_MR += one.gradient_MR
        dead += one.dead / setting.updates
        clipped += one.clipped / setting.updates
    return judged(total_MR, world.true_gradient(), dead, clipped)


def judged(gradient_MR: Array, truth_R: Array, dead: float = 0.0, clipped: float = 0.0) -> Quality:
    """The figures of M independent gradients against the truth."""
    length_M = np.linalg.norm(gradient_MR, axis=1)
    truth = float(np.linalg.norm(truth_R))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine_M = (gradient_MR @ truth_R) / (length_M * truth)
    counted_M = cosine_M[np.isfinite(cosine_M)]
    of_mean, ratio = _cosine_of_mean(gradient_MR, truth_R)
    # The jackknife: how much the figure moves when a tenth of the batches is left out.
    parts = np.array_split(np.arange(len(gradient_MR)), min(PARTS, len(gradient_MR)))
    left_out = [_cosine_of_mean(np.delete(gradient_MR, part, axis=0), truth_R)[0] for part in parts]
    known = [cosine for cosine in left_out if not math.isnan(cosine)]
    spread = np.var(known) * (len(parts) - 1) if known else math.nan
    mean = float(np.linalg.norm(gradient_MR.mean(0)))
    of_batch = of_batch_error = math.nan
    if len(counted_M):
        of_batch = float(counted_M.mean())
        of_batch_error = float(counted_M.std() / math.sqrt(len(counted_M)))
    return Quality(
        cosine_of_mean=of_mean,
        cosine_of_mean_error=float(np.sqrt(spread)),
        cosine_of_batch=of_batch,
        cosine_of_batch_error=of_batch_error,
        signal_to_noise=ratio,
        dead=dead,
        clipped=clipped,
        cosine_M=cosine_M,
        length_M=length_M / mean if mean > 0 else length_M,
        side_M=_sides(gradient_MR, truth_R),
    )


def _sides(gradient_MR: Array, truth_R: Array) -> Array:
    mean_R = gradient_MR.mean(0)
    squared = float(truth_R @ truth_R)
    if squared == 0:
        return np.ones(len(gradient_MR))
    across_R = mean_R - truth_R * float(mean_R @ truth_R) / squared
    sides_M: Array = np.where(gradient_MR @ across_R < 0, -1.0, 1.0)
    return sides_M


def _cosine_of_mean(gradient_MR: Array, truth_R: Array) -> tuple[float, float]:
    """The cosine of the expectation with the truth (NaN where one of them is 0), and signal over
    noise.

    |mean|² of M batches is too large by the noise over M; that is taken off, so that the angle does
    not shrink as batches are added.
    """
    count = len(gradient_MR)
    mean_R = gradient_MR.mean(0)
    noise = float(((gradient_MR - mean_R) ** 2).sum() / max(count - 1, 1))
    signal = float(mean_R @ mean_R) - noise / count
    if signal <= 0:
        return float("nan"), 0.0
    ratio = signal / noise if noise > 0 else math.inf
    truth = float(np.linalg.norm(truth_R))
    if truth == 0:
        return math.nan, ratio
    along = float(mean_R @ truth_R) / truth
    return max(-1.0, min(1.0, along / math.sqrt(signal))), ratio
