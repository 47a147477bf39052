"""Rules on the run as a whole: how it ended, what was evaluated, which knobs moved, where the time
goes."""

from __future__ import annotations

import math

from workbench.doctor import thresholds as t
from workbench.doctor.acts import branch_from, show, slower
from workbench.doctor.facts import Facts
from workbench.doctor.finding import ACCURACY, Curve, Finding, figure, percent, points, quoted, span
from workbench.doctor.rules.rewards import hacked
from workbench.doctor.statistics import departure

Z = 1.96
FOLLOWED = ("reward", "kl", "entropy", "clip_ratio_region", "completion_length", "grad_norm")
"""Metrics that are compared before and after a knob change."""
PHASES = {
    "rollout": (
        "Sampling is the work of most runs. A shorter max_completion_length (now "
        "{max_completion_length}), fewer num_generations (now {num_generations}) or a faster "
        "rollout_engine (now {rollout_engine}) shorten it."
    ),
    "update": (
        "Forward and backward passes dominate: fewer num_iterations (now {num_iterations}), a "
        "larger micro_batch_size (now {micro_batch_size}; where that is None micro_batch_tokens, "
        "now {micro_batch_tokens}) if memory allows, or lora_rank (now {lora_rank}) shorten them."
    ),
    "logprobs": (
        "beta=0 (now {beta}) with measure_kl=False saves the reference's pass, "
        "updates_per_rollout=1 (now {updates_per_rollout}) the second look at the old policy."
    ),
    "reward": (
        "Find the slow function: seconds per call times completions. A checker that starts "
        "processes or asks a network is best batched or cached."
    ),
}
"""What shortens each phase, with the config's values."""


def no_steps(facts: Facts) -> Finding | None:
    """Nothing to say yet."""
    if facts.step > 0:
        return None
    return Finding(
        "no_steps",
        "note",
        "There is no step yet.",
        f"the run is {facts.meta.status}, with 0 steps recorded",
        "Start it, or wait: the first findings come after a few steps.",
    )


def ended(facts: Facts) -> Finding | None:
    """A run that failed, was interrupted or was stopped, with its reason."""
    status = facts.meta.status
    reason = facts.meta.reason
    if not facts.newest or status not in ("failed", "interrupted", "stopped"):
        return None
    texts = {
        "failed": (
            "problem",
            "The run failed.",
            "Mend the cause, then resume: the last checkpoint is whole.",
        ),
        "interrupted": (
            "warning",
            "The run was interrupted: its process is gone.",
            "Resume it: the last checkpoint is whole.",
        ),
        "stopped": (
            "note",
            "The run was stopped.",
            "Resume it, or branch from one of its checkpoints.",
        ),
    }
    severity, what, remedy = texts[status]
    because = f"; reason: {quoted(reason)}" if reason else ""
    return Finding(f"run_{status}", severity, what, f"after step {facts.step}{because}", remedy)


def recorded_errors(facts: Facts) -> Finding | None:
    """Errors and warnings that the run itself noted."""
    is_trouble = facts.events["kind"].isin(["error", "warning"])
    is_recent = facts.events["step"] > facts.step - t.KNOB_STEPS
    found = facts.events[is_trouble & is_recent]
    if not len(found):
        return None
    last = found.iloc[-1]
    is_error = last["kind"] == "error"
    noted = "an error" if is_error else "a warning"
    return Finding(
        "recorded_error" if is_error else "recorded_warning",
        "problem" if is_error else "warning",
        f"The run noted {noted}: {quoted(last['text'])}",
        f"at step {last['step']}; {len(found)} such in the last {t.KNOB_STEPS} steps",
        "What it says is the cause; the run goes on from its last whole step.",
        acts=show(facts, "any", [int(last["step"])]),
    )


def accuracy_improved(facts: Facts) -> Finding | None:
    """The good news, with its certainty."""
    rows = facts.held_out
    if len(rows) < 2 or rows[-1].low <= rows[0].high:
        return None
    return Finding(
        "accuracy_improved",
        "good",
        f"Held-out accuracy improved by {points(rows[-1].accuracy - rows[0].accuracy)}, beyond "
        "what chance explains.",
        f"{rows[0]}, {rows[-1]}: the 95 % intervals do not overlap{_was_better(facts)}",
        curve=Curve(ACCURACY, rows[0].step, rows[-1].step),
    )


def _was_better(facts: Facts) -> str:
    """That the gain was larger once, where it was."""
    if facts.accuracy_fall is None:
        return ""
    peak, _ = facts.accuracy_fall
    return f"; it was {percent(peak.accuracy)} at step {peak.step}"


def accuracy_fell(facts: Facts) -> Finding | None:
    """Held-out accuracy was better before, and the reward does not explain it by rising."""
    fall = facts.accuracy_fall
    if fall is None or hacked(facts):
        return None
    peak, last = fall
    return Finding(
        "accuracy_fell",
        "warning",
        "Held-out accuracy has fallen from its best, beyond what chance explains.",
        f"{peak}, {last}: the 95 % intervals do not overlap",
        f"Branch from the checkpoint nearest to step {peak.step}, with a lower learning_rate (now "
        f"{facts.config.get('learning_rate')}) or a higher {facts.pull}.",
        curve=Curve(ACCURACY, peak.step, last.step),
        acts=slower(facts, peak.step),
    )


def evaluation_says_little(facts: Facts) -> Finding | None:
    """No evaluation, or one on too few problems."""
    # A stretch of a run may lie between two evaluations.
    is_whole = facts.since == 1
    # Of an imported run it is said with all else that its files did not hold.
    asks = is_whole and facts.imported is None
    if not len(facts.evaluations) and facts.step >= t.WINDOW and asks:
        return Finding(
            "no_evaluation",
            "note",
            "There is no held-out evaluation: whether the policy gets better is not known, only "
            "that it is paid more.",
            f"0 evaluations in {span(facts.steps)}",
            "Give the task held-out problems; eval_steps and num_eval_problems say how often and "
            "on how many.",
        )
    last = facts.held_out[-1] if facts.held_out else None
    if last is None or last.high - last.low <= 2 * t.INTERVAL_WIDE:
        return None
    # The normal interval's size, solved for n; near 0 and 1 its variance would promise too much.
    share = min(max(last.accuracy, 0.1), 0.9)
    wanted = math.ceil(share * (1 - share) * (Z / t.INTERVAL_WANTED) ** 2)
    return Finding(
        "evaluation_wide",
        "note",
        f"The evaluation says little: with n={last.n} problems the accuracy is known to "
        f"±{50 * (last.high - last.low):.0f} points, and gains smaller than that are chance.",
        f"held-out accuracy {last}",
        f"num_eval_problems={wanted} brings ±{100 * t.INTERVAL_WANTED:.0f} points (now "
        f"{facts.config.get('num_eval_problems')}), where the task has so many.",
        curve=Curve(ACCURACY, last.step, last.step),
    )


def knob_changed(facts: Facts) -> Finding | None:
    """The last knob change, and what followed it."""
    first = max(facts.step - t.KNOB_STEPS + 1, facts.since)
    recent = facts.knobs[facts.knobs["step"] >= first]
    if not len(recent):
        return None
    step = int(recent["step"].iloc[-1])
    moved = [
        f"{row.name} {quoted(row.old)} → {quoted(row.new)}"
        for row in recent.itertuples()
        if row.step == step
    ]
    followed = _followed(facts, step)
    before = {row.name: row.old for row in recent.itertuples() if row.step == step}
    return Finding(
        "knob_changed",
        "note",
        f"At step {step} a knob was moved: {', '.join(moved)}. {followed}",
        f"{int((facts.steps >= step).sum())} steps since, compared with where the {t.WINDOW} "
        "before were heading",
        f"To know what the change did, branch from step {max(step - 1, 0)} with the old value "
        "and compare the two runs.",
        curve=Curve.over("reward", facts.steps[facts.steps >= step]),
        acts=branch_from(facts, max(step - 1, 0), "as before", **before),
    )


def _followed(facts: Facts, step: int) -> str:
    """Which curves left the course that they were on before a change."""
    cut = int((facts.steps < step).sum())
    if len(facts.steps) - cut < t.FEWEST_VALUES:
        return f"Too early to say what follows: wait for {t.FEWEST_VALUES} steps."
    found = []
    for name in FOLLOWED:
        before = facts.values(name, slice(max(cut - t.WINDOW, 0), cut))
        after = facts.values(name, slice(cut, None))
        moved = departure(before, after)
        if moved and (moved.up or moved.down):
            found.append(
                f"{name} {figure(moved.after)} instead of {figure(moved.before)} (noise "
                f"±{figure(moved.margin)})"
            )
    if not found:
        return "Nothing has left its earlier course by more than noise since."
    return f"Since then: {'; '.join(found)}."


def step_time(facts: Facts) -> Finding | None:
    """One phase takes most of a step's time."""
    medians = {
        column.removeprefix("seconds/"): facts.median(column)
        for column in facts.metrics.columns
        if column.startswith("seconds/") and column != "seconds/step"
    }
    medians = {name: value for name, value in medians.items() if math.isfinite(value)}
    total = facts.median("seconds/step")
    if len(facts.steps) < t.FEWEST_STEPS or not medians or not total > 0:
        return None

    # A slow reward function comes first even where another phase is slower: it is the user's own
    # code, and often the easiest to mend.
    name = max(medians, key=lambda phase: medians[phase])
    if medians.get("reward", 0.0) >= t.REWARD_SLOW * total:
        name = "reward"
    share = medians[name] / total
    if share < (t.REWARD_SLOW if name == "reward" else t.PHASE_DOMINATES):
        return None
    known = {field: facts.config.get(field) for field in _FIELDS}
    known["rollout_engine"] = facts.engine
    remedy = PHASES.get(name, "See what this phase does.")
    return Finding(
        "step_time",
        "warning" if name == "reward" else "note",
        f"The phase {quoted(name)!r} takes {percent(share)} of a step's time.",
        f"{figure(medians[name])} s of {figure(total)} s a step (medians of "
        f"{span(facts.recent_span())})",
        remedy.format(**known),
        curve=Curve.over(f"seconds/{name}", facts.recent_span()),
    )


_FIELDS = (
    "max_completion_length",
    "num_generations",
    "num_iterations",
    "micro_batch_size",
    "micro_batch_tokens",
    "lora_rank",
    "beta",
    "updates_per_rollout",
)
