"""The panels of the overview: from runs to plotly charts. Pure: the widget, the HTML export and
the tests share it.

    charts(sources)            ten charts (see `plots.Chart`)
    charts(sources, step=40)   the same with step 40 marked

One run alone shows every component in its own colour and dash; several runs have a colour and a
dash each, and what is a thick line for the first quantity of a panel is a thin one for the second;
the first panel has the legend of the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench.runs.control import Band
from workbench.widgets.base.source import RunSource
from workbench.widgets.overview.ghost import with_ghost
from workbench.widgets.overview.markers import knob_lines
from workbench.widgets.plots import Chart
from workbench.widgets.plots.decimate import POINTS
from workbench.widgets.plots.pieces import (
    GREY,
    Look,
    Strip,
    Trace,
    band,
    lines,
    look,
    make_chart,
    marker,
    over_steps,
    plot_text,
    points,
    stack,
    step_range,
)

SHARE = {"tickformat": ".3~%", "rangemode": "tozero"}
TO_ZERO = {"rangemode": "tozero"}
LOG = {"type": "log", "nticks": 4, "tickformat": "~g"}
ON_POLICY = (
    "on-policy: ratio is exactly 1, clipping cannot happen<br>(one update per rollout, so epsilon "
    "does nothing)"
)
NO_KL = "no KL: with beta = 0 there is no reference to measure it to"
NO_EVALUATION = "no evaluation yet"
CONTROL_SAID = "; grey: rewards that say nothing"
SHARE_ON_THE_RIGHT = {"tickformat": ".0%", "range": [0, 1], "tickvals": [0, 0.5, 1]}
SHORTEST = 4
"""Steps of the shortest axis: at step 1 the first point is not to stand in the middle of
nothing."""
SPREAD_OF_SPIKES = 20.0
"""An axis turns logarithmic when its largest value is so many times the median: a spike would
flatten the rest."""


@dataclass(frozen=True)
class Shown:
    """A run in the picture."""

    source: RunSource
    name: str
    look: Look

    @property
    def steps(self) -> np.ndarray:
        steps: np.ndarray[Any, Any] = self.source.metrics["step"].to_numpy()
        return steps

    def column(self, name: str) -> np.ndarray | None:
        """The metric at each step; None where the run has no finite value of it."""
        if name not in self.source.metrics:
            return None
        values = self.source.metrics[name].to_numpy(dtype=float)
        return values if np.isfinite(values).any() else None


@dataclass(frozen=True)
class Sheet:
    """What the panels have in common."""

    runs: list[Shown]
    alone: bool
    last: int
    marks: list[dict[str, Any]]
    """Vertical lines: the knob changes and the step that is chosen."""

    def panel(
        self, title: str, about: str, traces: Sequence[Trace], first: int = 1, **how: Any
    ) -> Chart:
        """A chart over the steps from `first` on: training begins at step 1, what is measured
        before it at 0."""
        nothing = "not measured in this run" if self.alone else "not measured in these runs"
        how.setdefault("note", "" if traces else nothing)
        strip = Strip(self.marks, [])
        last = max(self.last, SHORTEST)
        x_range = step_range(first, last)
        return over_steps(
            make_chart(title, about, traces, x_range=x_range, strip=strip, **how), first, last
        )

    def lines(self, *metrics: tuple[str, str], legend: bool = False, **more: Any) -> list[Trace]:
        """Lines of some (metric, name)s. Of several runs the first metric is the thick one;
        `legend` names the runs."""
        traces = []
        for run in self.runs:
            for k, (metric, name) in enumerate(metrics):
                y = run.column(metric)
                if y is None:
                    continue
                if self.alone:
                    traces += lines(run.steps, y, name, look(k), **more)
                    continue
                more["legendgroup"] = run.name  # hidden in one chart, hidden in all
                # Several runs: the look tells the runs apart, so the width tells the metrics.
                first = k == 0
                full = run.name if first else f"{run.name}, {name}"
                named = legend and first
                traces += lines(run.steps, y, full, run.look, thin=not first, legend=named, **more)
        return traces


def charts(sources: Sequence[RunSource], step: int | None = None) -> list[Chart]:
    """The overview's charts. Empty while no run has a step. The first source is the one in
    focus."""
    runs = [
        Shown(s, plot_text(s.label, 24), look(i)) for i, s in enumerate(sources) if len(s.metrics)
    ]
    if not runs:
        return []
    last = max(run.source.last_step for run in runs)
    # Of all sources: a run keeps its look whether or not another one has a step yet.
    marks = knob_lines(sources, last)
    if step is not None:
        marks.append(marker(step, dash="solid"))
    sheet = Sheet(runs, len(sources) == 1, last, marks)
    return with_ghost([panel(sheet) for panel in PANELS], sources)


def reward(sheet: Sheet) -> Chart:
    """Mean reward with the mean spread within a group as a band; alone also each function."""
    focus = sheet.runs[0]
    spread = focus.column("reward_std")
    mean = focus.column("reward")

    # A single function is the mean itself, give or take its weight; of several runs it is too much.
    names = []
    if sheet.alone and len(focus.source.reward_names) > 1:
        # All are rewards: without that word more of them stand in one line.
        names = [
            (f"rewards/{n}", plot_text(n.removesuffix("_reward") or n))
            for n in focus.source.reward_names
        ]
    ghost = control_band(focus.source.control_reward)
    traces = [*ghost, *sheet.lines(("reward", "mean"), *names, legend=True)]
    if spread is None or mean is None:
        return sheet.panel("reward", f"mean{CONTROL_SAID if ghost else ''}", traces)

    # The band of one run only, below the lines: several would hide one another.
    colour = focus.look.colour
    low = mean - spread
    high = mean + spread
    around = band(focus.steps, low, high, "± spread", colour, showlegend=False)
    whose = "± spread in a group" if sheet.alone else f"± spread, {focus.name}"
    about = f"mean, band: {whose}{CONTROL_SAID if ghost else ''}"
    return sheet.panel("reward", about, [around, *traces])


def control_band(reached: Band | None) -> list[Trace]:
    """What runs with rewards that say nothing reached, as a grey ghost; nothing without a
    control."""
    if reached is None:
        return []
    return [band(reached.step, reached.low, reached.high, "control", GREY)]


def accuracy(sheet: Sheet) -> Chart:
    """Held-out accuracy with its interval, a line per split, and what the controls reached."""
    ghost = control_band(sheet.runs[0].source.control_accuracy)
    traces = []
    for run in sheet.runs:
        table = run.source.evaluations
        for k, split in enumerate(dict.fromkeys(table["split"])):
            rows = table[table["split"] == split]
            columns = ("step", "accuracy", "low", "high")
            x, y, low, high = (rows[column].to_numpy(dtype=float) for column in columns)
            if sheet.alone:
                name = plot_text(split)
                style = look(k)
            else:
                name = run.name if k == 0 else f"{run.name}, {plot_text(split)}"
                style = run.look
            how = {"hovertemplate": "%{y:.1%}", "showlegend": sheet.alone}
            if not sheet.alone:
                how["legendgroup"] = run.name
            traces.append(points(x, y, low, high, name, style, **how))
    note = "" if traces else NO_EVALUATION
    about = f"with its interval{CONTROL_SAID if ghost else ''}"
    drawn = [*ghost, *traces]
    # What the policy could do before the first step stands at 0.
    return sheet.panel("held-out accuracy", about, drawn, first=0, y=SHARE, note=note)


def kl(sheet: Sheet) -> Chart:
    """KL, or that there is none to measure."""
    traces = sheet.lines(("kl", "kl"))
    # With a beta the KL is only not there yet, with 0 there will never be any; what beta was in an
    # imported run is not known.
    without = not traces and all(run.source.run.config.get("beta") == 0 for run in sheet.runs)
    how: dict[str, Any] = {"note": NO_KL} if without else {}
    scale = _scale(traces)
    about = "to the reference, nats per token"
    # Beside the KL itself, which says how far the policy has gone, not how hard beta pulls.
    pull = "share of gradient"
    share = on_the_right(sheet, "kl_gradient_share", pull, pull, place=1)
    if share:
        traces += share
        how["y2"] = SHARE_ON_THE_RIGHT
        about += "" if sheet.alone else f"; thin: {pull} (right)"
    if traces and all(is_measured_only(run) for run in sheet.runs):
        about += "; measured, not in the loss"
    return sheet.panel("kl", about, traces, y=TO_ZERO | scale, **how)


def on_the_right(sheet: Sheet, metric: str, alone: str, beside: str, place: int) -> list[Trace]:
    """A share on the right axis: of a run alone under the name `alone` in the look of `place`, of
    several as thin lines called 'RUN, beside'."""
    traces: list[Trace] = []
    for run in sheet.runs:
        share = run.column(metric)
        if share is None:
            continue
        if sheet.alone:
            traces += lines(run.steps, share, f"{alone} (right)", look(place))
        else:
            how: dict[str, Any] = {"thin": True, "legend": False, "legendgroup": run.name}
            traces += lines(run.steps, share, f"{run.name}, {beside}", run.look, **how)
    return [trace | {"yaxis": "y2", "hovertemplate": "%{y:.1%}"} for trace in traces]


def is_measured_only(run: Shown) -> bool:
    """True when beta was 0 all the time."""
    return run.source.run.config.get("beta") == 0 and "beta" not in set(run.source.knobs["name"])


def clipping(sheet: Sheet) -> Chart:
    """Shares of clipped tokens, or why there can be none."""
    fixed = [run for run in sheet.runs if is_on_policy(run)]
    free = [run for run in sheet.runs if run not in fixed]
    traces = replace(sheet, runs=free).lines(("clip_ratio_low", "low"), ("clip_ratio_high", "high"))
    about = "share of tokens clipped" if sheet.alone else "share of tokens clipped: low, thin: high"
    if not fixed:
        return sheet.panel("clip_ratio", about, traces, y=SHARE)
    names = ", ".join(run.name for run in fixed)
    note = f"on-policy, never clipped (ratio is exactly 1): {names}" if traces else ON_POLICY
    return sheet.panel("clip_ratio", about, traces, y=SHARE, note=note)


def is_on_policy(run: Shown) -> bool:
    """True when the importance ratio was exactly 1 for every token of every step."""
    low = run.column("ratio_min")
    high = run.column("ratio_max")
    if low is None or high is None:
        return False
    return all((v[np.isfinite(v)] == 1).all() for v in (low, high))


def entropy(sheet: Sheet) -> Chart:
    traces = sheet.lines(("entropy", "entropy"))
    return sheet.panel("entropy", "of the policy, nats per token", traces, y=TO_ZERO)


def gradient(sheet: Sheet) -> Chart:
    traces = sheet.lines(("grad_norm", "grad_norm"))
    return sheet.panel("grad_norm", "before clipping", traces, y=TO_ZERO | _scale(traces))


def length(sheet: Sheet) -> Chart:
    """Lengths on the left, the truncated share on the right."""
    # The third look: the first two are those of mean and max.
    right = on_the_right(sheet, "truncated_share", "truncated", "truncated", place=2)
    if sheet.alone:
        about = "tokens"
        traces = sheet.lines(("completion_length", "mean"), ("completion_length_max", "max"))
    else:
        about = "tokens; thin: truncated share (right)"
        traces = sheet.lines(("completion_length", "mean"))
    return sheet.panel("completion_length", about, traces + right, y=TO_ZERO, y2=SHARE_ON_THE_RIGHT)


def dead(sheet: Sheet) -> Chart:
    traces = sheet.lines(("dead_group_share", "dead"), hovertemplate="%{y:.1%}")
    return sheet.panel("dead_group_share", "groups whose rewards are all equal", traces, y=SHARE)


def mismatch(sheet: Sheet) -> Chart:
    metric = "sampler_logp_difference"
    traces = sheet.lines((metric, "mean"), (f"{metric}_max", "max"))
    about = "sampler vs trainer, nats"
    if not sheet.alone:
        about += ": mean, thin: max"
    # It is a matter of rounding, so of orders of magnitude; but 0 has no place on such an axis.
    log = traces and all((t["y"][np.isfinite(t["y"])] > 0).all() for t in traces)
    axis = LOG | {"tickformat": ".0e"} if log else TO_ZERO
    return sheet.panel("logp difference", about, traces, y=axis)


def seconds(sheet: Sheet) -> Chart:
    """Where a step's time goes; of several runs only its sum."""
    run = sheet.runs[0]
    columns = [name for name in run.source.metrics.columns if name.startswith("seconds/")]
    phases = {name: run.column(name) for name in columns}
    total = phases.pop("seconds/step", None)
    parts = {
        plot_text(name.removeprefix("seconds/")): y for name, y in phases.items() if y is not None
    }
    # Stacks of several runs would hide one another.
    if not sheet.alone or not parts:
        whole = sheet.lines(("seconds/step", "step"))
        return sheet.panel("seconds", "per step", whole, y=TO_ZERO)

    spikes: list[Trace] = []
    if total is not None:
        # The areas of a long run are means: without this line a slow step would not be seen.
        if len(total) > POINTS:
            grey = Look(GREY, "solid", "circle")
            spikes = lines(run.steps, total, "slowest and fastest step", grey)[:1]
        # So that the areas add up to the step, as far as the difference can be seen at all.
        rest = total - np.sum([np.nan_to_num(y) for y in parts.values()], axis=0)
        if np.nanmax(rest) > 0.01 * np.nanmax(total):
            parts["rest"] = rest
    areas = stack(run.steps, parts)
    return sheet.panel("seconds", "per step, by phase", [*areas, *spikes], y=TO_ZERO)


def _scale(traces: Sequence[Trace]) -> dict[str, Any]:
    """A logarithmic axis where a few spikes would flatten everything else and no value forbids
    it."""
    if not traces:
        return {}
    values = np.concatenate([t["y"][np.isfinite(t["y"])] for t in traces])
    if len(values) == 0 or values.min() <= 0:
        return {}
    return LOG if values.max() > SPREAD_OF_SPIKES * np.median(values) else {}


PANELS: tuple[Callable[[Sheet], Chart], ...] = (
    reward,
    accuracy,
    kl,
    clipping,
    entropy,
    gradient,
    length,
    dead,
    mismatch,
    seconds,
)
