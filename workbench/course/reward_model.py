"""Two pictures of a reward model: how it goes stale as the policy moves, and whether its
probabilities are what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.course.chart import chart, panel
from workbench.widgets.plots import Chart
from workbench.widgets.plots.liveplot import LivePlot
from workbench.widgets.plots.pieces import lines, look, make_chart, plot_text, points

if TYPE_CHECKING:
    from workbench.evaluation.reward_agreement import StepAgreement
    from workbench.evaluation.reward_quality import RewardQuality


def stale_chart(found: Sequence[StepAgreement]) -> LivePlot:
    """What `reward_model_agreement` found: the agreement of each step with its 95 % interval, and
    beside it the model's mean reward and the gold one's. Raises ValueError for less than two
    steps."""
    step = np.array([one.step for one in found], float)
    if len(step) < 2:
        raise ValueError(
            f"the course of {len(step)} step(s) cannot be drawn. Ask reward_model_agreement for "
            "two steps or more."
        )
    proxy = panel("the model's reward", step, {"reward model": [o.proxy for o in found]})
    gold = panel("the gold reward", step, {"gold": [o.gold for o in found]})
    return chart(_agreement(step, found), proxy, gold, columns=3, label="reward model going stale")


def _agreement(step: np.ndarray, found: Sequence[StepAgreement]) -> Chart:
    value = np.array([one.agreement.value for one in found])
    low = np.array([one.agreement.low for one in found])
    high = np.array([one.agreement.high for one in found])
    # Where no group has a pair there is nothing to know: no bar over the whole axis.
    low = np.where(np.isnan(value), np.nan, low)
    high = np.where(np.isnan(value), np.nan, high)
    guess = lines(step, np.full_like(step, 0.5), plot_text("chance"), look(1))
    return make_chart(
        plot_text("ranks as the gold reward does", 60),
        plot_text("share of pairs, 95 %", 90),
        [points(step, value, low, high, plot_text("reward model"), look(0)), *guess],
        x_range=(float(step.min()) - 0.5, float(step.max()) + 0.5),
        y={"range": [0, 1]},
    )


def reliability_chart(quality: RewardQuality) -> LivePlot:
    """The reliability diagram of a reward model: of predictions of one size, how often it was so,
    with a 95 % interval; on the diagonal they are what they say."""
    bins = [one for one in quality.bins if one.n]
    predicted = np.array([one.predicted for one in bins])
    observed = np.array([one.observed for one in bins])
    low = np.array([one.interval[0] for one in bins])
    high = np.array([one.interval[1] for one in bins])
    start = quality.bins[0].low
    diagonal = np.array([start, 1.0])
    drawn = panel(
        "is a probability what it says?",
        diagonal,
        {"calibrated": diagonal},
        about=f"calibration error {quality.calibration_error.value:.3f}",
        x_title="predicted",
        y_title="observed",
        y_range=(0, 1),
    )
    drawn["data"].append(points(predicted, observed, low, high, plot_text("model"), look(1)))
    return chart(drawn, columns=1, label="reliability of the reward model")
