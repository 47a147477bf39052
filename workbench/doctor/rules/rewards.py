"""Rules on the reward: does it tell completions apart, does it rise, and does it pay for what we
want?"""

from __future__ import annotations

import numpy as np

from workbench.doctor import thresholds as t
from workbench.doctor.acts import best_step, faster, held_nearer, show, slower
from workbench.doctor.facts import Facts
from workbench.doctor.finding import ACCURACY, Curve, Finding, figure, quoted, span
from workbench.doctor.statistics import Change, change

MEASURE_FIRST = " Measure held-out accuracy first: whether what is paid is right is not known."


def no_spread(facts: Facts) -> bool:
    """Every completion of every recent step got one and the same reward, which is not the top of
    what was paid before."""
    spread = facts.recent("reward_std")
    mean = facts.recent("reward")
    if len(spread) < t.FEWEST_STEPS:
        # So few means say nothing: each is over groups that may have been paid differently.
        low, high = facts.reward_range or (0.0, 1.0)
        return low == high and never_alive(facts)
    if spread.max() > 0 or np.ptp(mean) > 1e-9:
        return False
    return place_of(float(mean[-1]), facts) < t.SATURATED


def never_alive(facts: Facts) -> bool:
    """In every step of the run all groups were dead. That is no chance even in a single step,
    which has many groups, and nothing was learned so far."""
    shares = facts.column("dead_group_share")
    return len(shares) > 0 and bool((shares == 1).all())


def place_of(reward: float, facts: Facts) -> float:
    """Where a reward stands between the lowest (0) and the highest (1) that was paid; 0 where only
    one was."""
    low, high = facts.reward_range or (0.0, 0.0)
    return (reward - low) / (high - low) if high > low else 0.0


def all_equal(facts: Facts) -> Finding | None:
    """The reward says the same of everything."""
    if not facts.rewards_teach or not no_spread(facts):
        return None
    value = facts.median("reward")
    dead = "every group is dead and " if facts.compares_groups else ""
    return Finding(
        "rewards_all_equal",
        "problem",
        f"Every completion gets the same reward, {figure(value)}: {dead}nothing can be learned.",
        f"reward_std 0 and reward {figure(value)} in {span(facts.recent_span())}",
        "Call the reward functions on a right and on a wrong completion by hand and see that they "
        "differ. Usual causes: the answer is looked for in another form than the prompt asks for, "
        "completions are cut off before the answer "
        f"(max_completion_length={facts.config.get('max_completion_length')}), or the task is far "
        "too hard or too easy.",
        curve=Curve.over("reward_std", facts.recent_span()),
        acts=show(facts, "any"),
    )


def rising(facts: Facts) -> Finding | None:
    """Good news from the training problems, where held-out accuracy does not speak against it."""
    progress = facts.progress("reward")
    if progress is None or not progress.up or facts.imitates:
        return None
    if facts.accuracy_fall is not None or rising_without_accuracy(facts) is not None:
        return None
    return Finding(
        "reward_rising",
        "good",
        "The reward has risen: the policy learns what the reward functions pay for.",
        f"reward {progress}, the start of {span(facts.steps)} against the end",
        curve=Curve.over("reward", facts.steps),
    )


def falling(facts: Facts) -> Finding | None:
    """The policy gets worse at what it is paid for."""
    progress = facts.progress("reward")
    if facts.imitates or progress is None or not progress.down:
        return None
    if -progress.difference < t.FLAT_PART * facts.spread:
        return None
    rate = facts.config.get("learning_rate")
    lower = f", try {figure(rate / 5)}" if rate else ""
    return Finding(
        "reward_falling",
        "warning",
        "The reward is falling: the updates do harm.",
        f"reward {progress}, the start of {span(facts.steps)} against the end",
        f"Lower learning_rate (now {quoted(rate)}{lower}), look at entropy and kl at the step "
        "where it turned, and branch from a checkpoint before it.",
        curve=Curve.over("reward", facts.steps),
        acts=slower(facts, best_step(facts, "reward", t.WINDOW), 5),
    )


def hacked(facts: Facts) -> Finding | None:
    """Reward up while held-out accuracy falls: the reward is being gamed."""
    fall = facts.accuracy_fall
    if fall is None or facts.imitates:
        return None
    peak, last = fall
    rise = _reward_since(facts, peak.step)
    if rise is None or not rise.up:
        return None
    return Finding(
        "reward_hacked",
        "problem",
        "The reward rises while held-out accuracy falls: the policy has found a way to be paid "
        "without solving the problems.",
        f"reward {rise} since step {peak.step}; accuracy {peak}, then {last}",
        "Read the completions with the highest advantages and see what is paid. Then mend or drop "
        f"that reward function (reward_weights), raise {facts.pull}, and "
        f"branch from step {peak.step}.",
        curve=Curve("reward", peak.step, facts.step),
        acts=(*show(facts, "best paid"), *held_nearer(facts, peak.step)),
    )


def _reward_since(facts: Facts, step: int) -> Change | None:
    """The reward around an evaluation, at least the first window, against the recent reward."""
    cut = max(int((facts.steps <= step).sum()), t.WINDOW)
    late = max(cut, len(facts.steps) - t.WINDOW)
    return change(
        facts.values("reward", slice(cut - t.WINDOW, cut)),
        facts.values("reward", slice(late, None)),
    )


def dropped(facts: Facts) -> Finding | None:
    """A sudden fall, after which the course of the run is another one."""
    values = facts.values("reward")
    if len(values) < t.WINDOW + t.FEWEST_VALUES or facts.imitates:
        return None
    before = values[-t.FEWEST_VALUES - t.WINDOW : -t.FEWEST_VALUES]
    since = values[-t.FEWEST_VALUES :]
    late = change(before, since)
    if late is None or not late.down or not -late.difference >= t.DROP * facts.spread:
        return None
    step = facts.step - t.FEWEST_VALUES
    rate = quoted(facts.config.get("learning_rate"))
    return Finding(
        "reward_dropped",
        "warning",
        "The reward has dropped within a few steps: an update has broken something.",
        f"reward {late}, {t.WINDOW} steps up to step {step} against the {t.FEWEST_VALUES} since",
        f"Watch whether it recovers. If not, branch from a checkpoint at or before step {step} "
        f"with a lower learning_rate (now {rate}) or max_grad_norm (now "
        f"{facts.config.get('max_grad_norm')}), and look at that step's tokens.",
        curve=Curve.over("reward", facts.steps[-t.FEWEST_VALUES :]),
        acts=(*show(facts, "worst paid"), *slower(facts, step)),
    )


def rising_without_accuracy(facts: Facts) -> Finding | None:
    """The reward rises, held-out accuracy stays within its intervals."""
    progress = facts.progress("reward")
    if progress is None or not progress.up or facts.imitates:
        return None
    evaluations = facts.held_out
    if len(evaluations) < 2 or evaluations[-1].step < facts.steps[0] + t.WINDOW:
        return None
    first = evaluations[0]
    last = evaluations[-1]
    overlap = last.low <= first.high and first.low <= last.high
    if not overlap or facts.accuracy_fall or last.accuracy >= t.SOLVED:
        return None

    # While the reward still rises the accuracy may follow; where it has stopped, it will not.
    if flat(facts) is not None:
        severity = "warning"
        consequence = "what was learned does not help on new problems, and it has stopped there."
        remedy = (
            "See which rewards/… curve rose. If only the format's did, give easier problems or a "
            "stronger policy, or weigh the answer more (reward_weights)."
        )
    else:
        severity = "note"
        consequence = "so far the gain may be one of form only."
        remedy = "See which rewards/… curve rises; when only the format's does, wait a little."
    return Finding(
        "reward_without_accuracy",
        severity,
        "The reward has risen, but held-out accuracy has not moved beyond its intervals: "
        + consequence,
        f"reward {progress}; accuracy {first}, then {last}",
        remedy,
        curve=Curve(ACCURACY, first.step, last.step),
        acts=show(facts, "best paid"),
    )


def flat(facts: Facts) -> Finding | None:
    """No progress at all, or none any more."""
    values = facts.values("reward")
    bound = t.FLAT_PART * facts.spread
    # What the rewards do not teach cannot be told by them to have stopped.
    if not facts.rewards_teach:
        return None
    if len(values) < t.PROGRESS_STEPS or not bound > 0 or no_spread(facts) or saturated(facts):
        return None
    quarter = len(values) // 4
    late = change(values[-2 * quarter : -quarter], values[-quarter:])
    whole = facts.progress("reward")
    if late is None or whole is None or not late.within(bound):
        return None
    course = (
        f"reward {late} in the last two quarters of {span(facts.steps)}; a live group's spread is "
        f"{figure(facts.spread)}"
    )
    if not whole.up and not whole.within(bound):
        # It may have fallen, or wandered: neither has stopped rising, nor is it flat.
        return None
    if whole.up:
        return Finding(
            "reward_plateau",
            "note",
            "The reward has stopped rising.",
            course,
            _after_a_plateau(facts),
            curve=Curve.over("reward", facts.steps[-2 * quarter :]),
        )
    rate = facts.config.get("learning_rate")
    higher = f", try {figure(3 * rate)}" if rate else ""
    return Finding(
        "reward_flat",
        "warning",
        "The reward does not improve: what is learned, if anything, is less than noise.",
        course,
        f"Raise learning_rate (now {quoted(rate)}{higher}), make more of each step "
        f"(prompts_per_step, num_generations), lower {facts.pull}, or "
        "look for dead groups.",
        curve=Curve.over("reward", facts.steps[-2 * quarter :]),
        acts=faster(facts, facts.step, 3),
    )


def _after_a_plateau(facts: Facts) -> str:
    """What to try where the reward has stopped rising: with falling accuracy not more of it."""
    if facts.accuracy_fall is not None:
        peak, _ = facts.accuracy_fall
        return f"Held-out accuracy was best at step {peak.step}: go on from there, not from here."
    return (
        "Evaluate and stop, or give harder problems; a higher temperature or a lower beta may "
        "free a further gain."
    )


def saturated(facts: Facts) -> Finding | None:
    """The reward is at the top of what was ever paid."""
    reward = facts.recent("reward")
    bounds = facts.reward_range
    if len(reward) < t.FEWEST_STEPS or bounds is None or facts.imitates:
        return None
    level = float(np.median(reward))
    if place_of(level, facts) < t.SATURATED:
        return None

    what = (
        "The reward is saturated: nearly every completion gets the most that can be had, so little "
        "is left to learn"
    )
    evidence = f"reward {figure(level)} of at most {figure(bounds[1])} in "
    evidence += span(facts.recent_span())
    last = facts.held_out[-1] if facts.held_out else None
    if last is not None:
        evidence += f"; held-out accuracy {last}"
    if last is not None and (last.high < t.SOLVED or facts.accuracy_fall is not None):
        return Finding(
            "reward_saturated",
            "warning",
            f"{what}, although held-out accuracy is not there yet: the reward pays for something "
            "easier.",
            evidence,
            "Give a reward that asks for more.",
            curve=Curve.over("reward", facts.recent_span()),
            acts=show(facts, "best paid"),
        )
    return Finding(
        "reward_saturated",
        "note",
        f"{what}.",
        evidence,
        "Stop here, or give harder problems." + ("" if last else MEASURE_FIRST),
        curve=Curve.over("reward", facts.recent_span()),
    )
