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

from workbench.widgets.base.source import RunSource
from workbench.widgets.overview.markers import knob_strip
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
    plot_text,
    points,
    stack,
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
    x_range: tuple[float, float]
    strip: Strip

    def panel(self, title: str, about: str, traces: Sequence[Trace], **how: Any) -> Chart:
        nothing = "not measured in this run" if self.alone else "not measured in these runs"
        how.setdefault("note", "" if traces else nothing)
        return make_chart(title, about, traces, x_range=self.x_range, strip=self.strip, **how)

    def lines(self, *metrics: tuple[str, str], legend: bool = False, **more: Any) -> list[Trace]:
        """Lines of some (metric, name)s. Of several runs the first metric is the thick one;
        `legend` names the runs."""
        traces = []
        for run in self.runs:
            for k, (metric, name) in enumerate(metrics):
                y = run.column(metric)
                if y is not None and self.alone:
                    traces += lines(run.steps, y, name, look(k), **more)
                elif y is not None:
                    full = run.name if k == 0 else f"{run.name}, {name}"
                    traces += lines(
                        run.steps, y, full, run.look, thin=k > 0, legend=legend and k == 0, **more
                    )
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
    x_range = (-0.01 * last, max(last * 1.01, last + 0.2))
    strip = knob_strip(
        sources, last
    )  # all of them: a run keeps its look whether or not another one has a step yet
    if step is not None:
        strip = replace(strip, shapes=[*strip.shapes, marker(step, dash="solid", width=1)])
    sheet = Sheet(runs, len(sources) == 1, x_range, strip)
    return [panel(sheet) for panel in PANELS]


def reward(sheet: Sheet) -> Chart:
    """Mean reward with the mean spread within a group as a band; alone also each function."""
    focus, spread, mean = (
        sheet.runs[0],
        sheet.runs[0].column("reward_std"),
        sheet.runs[0].column("reward"),
    )
    names = (
        [(f"rewards/{n}", plot_text(n)) for n in focus.source.reward_names] if sheet.alone else []
    )
    names = names if len(names) > 1 else []
    traces, about = sheet.lines(("reward", "mean"), *names, legend=True), "mean"
    if spread is not None and mean is not None:
        around = band(
            focus.steps,
            mean - spread,
            mean + spread,
            "± spread",
            focus.look.colour,
            showlegend=False,
        )
        about = (
            "mean, band: ± spread in a group"
            if sheet.alone
            else f"mean, band: ± spread, {focus.name}"
        )
        traces = [around, *traces]
    return sheet.panel("reward", about, traces)


def accuracy(sheet: Sheet) -> Chart:
    """Held-out accuracy with its interval, a line per split."""
    traces = []
    for run in sheet.runs:
        table = run.source.evaluations
        for k, split in enumerate(dict.fromkeys(table["split"])):
            rows = table[table["split"] == split]
            x, y, low, high = (
                rows[c].to_numpy(dtype=float) for c in ("step", "accuracy", "low", "high")
            )
            name = (
                plot_text(split)
                if sheet.alone
                else run.name
                if k == 0
                else f"{run.name}, {plot_text(split)}"
            )
            style = look(k) if sheet.alone else run.look
            traces.append(
                points(
                    x, y, low, high, name, style, hovertemplate="%{y:.1%}", showlegend=sheet.alone
                )
            )
    note = "" if traces else NO_EVALUATION
    return sheet.panel("held-out accuracy", "with its interval", traces, y=SHARE, note=note)


def kl(sheet: Sheet) -> Chart:
    """KL, or that there is none to measure."""
    traces = sheet.lines(("kl", "kl"))
    without = not traces and not any(run.source.run.config.get("beta") for run in sheet.runs)
    how = {"note": NO_KL} if without else {}
    about = "to the reference, nats per token"
    if traces and all(is_measured_only(run) for run in sheet.runs):
        about += "; measured, not in the loss"
    return sheet.panel("kl", about, traces, y=TO_ZERO | _scale(traces), **how)


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
    low, high = run.column("ratio_min"), run.column("ratio_max")
    return (
        low is not None
        and high is not None
        and all((v[np.isfinite(v)] == 1).all() for v in (low, high))
    )


def entropy(sheet: Sheet) -> Chart:
    return sheet.panel(
        "entropy", "of the policy, nats per token", sheet.lines(("entropy", "entropy")), y=TO_ZERO
    )


def gradient(sheet: Sheet) -> Chart:
    traces = sheet.lines(("grad_norm", "grad_norm"))
    return sheet.panel("grad_norm", "before clipping", traces, y=TO_ZERO | _scale(traces))


def length(sheet: Sheet) -> Chart:
    """Lengths on the left, the truncated share on the right."""
    if sheet.alone:
        traces = sheet.lines(("completion_length", "mean"), ("completion_length_max", "max"))
        share = sheet.runs[0].column("truncated_share")
        cut = (
            [] if share is None else lines(sheet.runs[0].steps, share, "truncated (right)", look(2))
        )
        about = "tokens"
    else:
        traces, about = (
            sheet.lines(("completion_length", "mean")),
            "tokens; thin: truncated share (right)",
        )
        cut = [
            trace
            for run in sheet.runs
            if (y := run.column("truncated_share")) is not None
            for trace in lines(
                run.steps, y, f"{run.name}, truncated", run.look, thin=True, legend=False
            )
        ]
    right = [trace | {"yaxis": "y2", "hovertemplate": "%{y:.1%}"} for trace in cut]
    y2 = {"tickformat": ".0%", "range": [0, 1], "tickvals": [0, 0.5, 1]}
    return sheet.panel("completion_length", about, traces + right, y=TO_ZERO, y2=y2)


def dead(sheet: Sheet) -> Chart:
    traces = sheet.lines(("dead_group_share", "dead"), hovertemplate="%{y:.1%}")
    return sheet.panel("dead_group_share", "groups whose rewards are all equal", traces, y=SHARE)


def mismatch(sheet: Sheet) -> Chart:
    traces = sheet.lines(
        ("sampler_logp_difference", "mean"), ("sampler_logp_difference_max", "max")
    )
    about = (
        "sampler vs trainer, nats" if sheet.alone else "sampler vs trainer, nats: mean, thin: max"
    )
    log = traces and all((t["y"][np.isfinite(t["y"])] > 0).all() for t in traces)
    return sheet.panel(
        "logp difference", about, traces, y=LOG | {"tickformat": ".0e"} if log else TO_ZERO
    )


def seconds(sheet: Sheet) -> Chart:
    """Where a step's time goes; of several runs only its sum."""
    run = sheet.runs[0]
    phases = {
        name: run.column(name) for name in run.source.metrics.columns if name.startswith("seconds/")
    }
    total = phases.pop("seconds/step", None)
    parts = {
        plot_text(name.removeprefix("seconds/")): y for name, y in phases.items() if y is not None
    }
    if not sheet.alone or not parts:
        return sheet.panel("seconds", "per step", sheet.lines(("seconds/step", "step")), y=TO_ZERO)
    spikes = []
    if total is not None:
        if len(total) > POINTS:
            spikes = lines(
                run.steps, total, "slowest and fastest step", Look(GREY, "solid", "circle")
            )[:1]
        rest = total - np.sum([np.nan_to_num(y) for y in parts.values()], axis=0)
        parts |= {"rest": rest} if np.nanmax(rest) > 0.01 * np.nanmax(total) else {}
    return sheet.panel(
        "seconds", "per step, by phase", [*stack(run.steps, parts), *spikes], y=TO_ZERO
    )


def _scale(traces: Sequence[Trace]) -> dict[str, Any]:
    """A logarithmic axis where a few spikes would flatten everything else and no value forbids
    it."""
    values = (
        np.concatenate([t["y"][np.isfinite(t["y"])] for t in traces]) if traces else np.zeros(0)
    )
    spiky = len(values) and values.min() > 0 and values.max() > SPREAD_OF_SPIKES * np.median(values)
    return LOG if spiky else {}


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
