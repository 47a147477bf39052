"""Rules on what single methods have beside the others: PPO's critic, DPO's pairs, a teacher."""

from __future__ import annotations

from workbench.doctor import thresholds as t
from workbench.doctor.acts import faster, held_nearer, slower
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Curve, Finding, figure, percent, span
from workbench.doctor.rules.rewards import saturated


def critic_idle(facts: Facts) -> Finding | None:
    """The critic tells no better than one number what is to be expected."""
    values = facts.recent("explained_variance")
    if len(facts.steps) < t.CRITIC_STEPS or len(values) < t.FEWEST_VALUES or saturated(facts):
        return None
    share = facts.median("explained_variance")
    if share > t.CRITIC_EXPLAINS:
        return None
    harm = "worse than one number for all" if share < 0 else "no better than one number for all"
    rate = facts.config.get("critic_learning_rate")
    return Finding(
        "critic_idle",
        "warning",
        f"The critic explains {percent(max(share, 0.0))} of the returns' variance, {harm}: the "
        "advantages are the returns themselves, and its memory and time are spent for nothing.",
        f"median explained_variance {figure(share)}, value_loss "
        f"{figure(facts.median('value_loss'))} in {span(facts.recent_span())}",
        f"Change critic_learning_rate (now {rate}; lower it where the share is below 0), widen "
        f"cliprange_value (now {facts.config.get('cliprange_value')}) to the reward's own range, "
        "or take a method without a critic, such as rloo.",
        curve=Curve.over("explained_variance", facts.recent_span()),
    )


def chosen_falls(facts: Facts) -> Finding | None:
    """The margin grows because the rejected answers fall faster, while the chosen ones fall too."""
    chosen = facts.recent("dpo_chosen_log_ratio")
    margin = facts.median("dpo_margin")
    if len(chosen) < t.FEWEST_STEPS or not margin > 0:
        return None
    level = facts.median("dpo_chosen_log_ratio")
    if level > -t.CHOSEN_FELL:
        return None
    return Finding(
        "dpo_chosen_falls",
        "warning",
        "The margin between chosen and rejected answers is there, but the chosen ones have become "
        "less likely than under the reference, too: what is learnt is to write neither, and the "
        "likelihood goes to something else.",
        f"median log pi/pi_ref of the chosen answers {figure(level)} nats, of the rejected ones "
        f"{figure(facts.median('dpo_rejected_log_ratio'))}, dpo_margin {figure(margin)} in "
        f"{span(facts.recent_span())}",
        f"Raise dpo_beta (now {facts.config.get('dpo_beta')}), lower learning_rate (now "
        f"{facts.config.get('learning_rate')}), or imitate the chosen answers with online_rft.",
        curve=Curve.over("dpo_chosen_log_ratio", facts.recent_span()),
        acts=held_nearer(facts, facts.step),
    )


def teacher_not_followed(facts: Facts) -> Finding | None:
    """The reverse KL to the teacher, which is what is minimised, does not fall."""
    progress = facts.progress("reverse_kl")
    level = facts.median("reverse_kl")
    if len(facts.steps) < t.PROGRESS_STEPS or progress is None:
        return None
    if progress.down or not level > t.REVERSE_KL_NOTICED:
        return None
    rate = facts.config.get("learning_rate")
    tried = "" if not rate else f", try {figure(rate / 3 if progress.up else 3 * rate)}"
    return Finding(
        "teacher_not_followed",
        "warning",
        "The reverse KL to the teacher "
        + ("rises: the policy moves away from it." if progress.up else "does not fall.")
        + " It is what distillation lowers.",
        f"reverse_kl {progress} nats per token, the start of {span(facts.steps)} against the end",
        f"Change learning_rate (now {rate}{tried}), make more of each step (prompts_per_step, "
        f"num_generations), and check that the teacher (now {facts.config.get('teacher')!r:.80}) "
        "solves the task as it is asked here.",
        curve=Curve.over("reverse_kl", facts.steps),
        acts=slower(facts, facts.step, 3) if progress.up else faster(facts, facts.step, 3),
    )
