"""The table of the doctor's rules. A rule is a function: `Facts` in, a `Finding` out, or None where
all is as it should be.

To add one: write the function `(facts: Facts) -> Finding | None` in the file of this folder that
its subject belongs to, with what it measures against in `doctor/thresholds.py` and the reason
there; add its row to `RULES`, where its finding shall stand among the others; add a case to
`tests/doctor/test_rules.py`: a run that triggers it and one close to it that must not. Tests fail
when the row or the case is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable

from workbench.doctor.facts import Facts
from workbench.doctor.finding import Finding
from workbench.doctor.rules import (
    completions,
    consistency,
    groups,
    imported,
    methods,
    objective,
    optimizer,
    over_optimisation,
    reward_parts,
    rewards,
    run,
    sampler,
    texts,
)

Rule = Callable[[Facts], Finding | None]

RULES: tuple[Rule, ...] = (
    run.ended,
    run.recorded_errors,
    run.no_steps,
    optimizer.not_finite,
    texts.gold_in_prompt,
    texts.rewards_swapped,
    texts.answer_not_checked,
    texts.truncated_paid,
    consistency.advantage_sign,
    consistency.end_token_masked,
    consistency.denominator_wrong,
    consistency.padding_counted,
    consistency.ratio_to_reference,
    consistency.kl_inverted,
    sampler.sampler_shifted,
    sampler.sampler_temperature,
    sampler.sampler_ahead,
    sampler.sampler_stale,
    sampler.sampler_lags,
    optimizer.update_too_large,
    run.accuracy_fell,
    run.accuracy_improved,
    run.knob_changed,
    rewards.all_equal,
    reward_parts.not_scored,
    rewards.hacked,
    over_optimisation.over_optimised,
    rewards.dropped,
    rewards.falling,
    rewards.rising,
    rewards.rising_without_accuracy,
    rewards.flat,
    rewards.saturated,
    reward_parts.component_dominates,
    reward_parts.component_never_pays,
    reward_parts.component_flat,
    reward_parts.component_rare,
    groups.dead_groups,
    completions.nothing_ends,
    completions.truncated,
    completions.length_drift,
    completions.entropy_collapse,
    completions.entropy_explosion,
    objective.no_gradient,
    objective.loss_near_zero,
    objective.epsilon_idle,
    objective.clipped_too_often,
    objective.kl_high,
    objective.sampler_mismatch,
    methods.critic_idle,
    methods.chosen_falls,
    methods.teacher_not_followed,
    optimizer.learning_rate_zero,
    optimizer.learning_rate_moved,
    optimizer.gradient_spikes,
    optimizer.gradient_clipped,
    run.step_time,
    imported.imported,
    run.evaluation_says_little,
)
"""In this order within a severity: what happened to the run, the goal, the rewards, the
completions, the machinery."""
