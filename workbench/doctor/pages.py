"""What each finding is called, and its page on the site.

A finding's page is made from its rule: words, evidence, thresholds, the faults that it names, and
an example (`website/findings.py`). Its title stands here, beside the address that leads to it.
"""

from __future__ import annotations

SITE = ""
"""Address of the published site, as in "https://example.org/workbench". Empty where none has been
published: then no finding carries a link."""

TITLES: dict[str, str] = {
    "run_failed": "The run failed",
    "run_interrupted": "The run was interrupted",
    "run_stopped": "The run was stopped",
    "recorded_error": "An error was recorded",
    "recorded_warning": "A warning was recorded",
    "no_steps": "No step yet",
    "not_finite": "A figure is not finite",
    "gold_in_prompt": "The prompt holds the answer",
    "rewards_swapped": "Rewards went to the wrong answers",
    "rewards_differ": "Equal answers are paid differently",
    "answer_not_checked": "The reward does not look at the answer",
    "truncated_paid": "Cut-off answers are paid in full",
    "advantage_sign": "Advantages have the wrong sign",
    "end_token_masked": "The end token is left out of the loss",
    "denominator_wrong": "The loss is divided by the wrong number",
    "padding_counted": "Padding is counted as tokens",
    "ratio_to_reference": "The ratio is taken to the reference",
    "kl_inverted": "The KL estimate is turned round",
    "sampler_shifted": "Log-probabilities are one token off",
    "sampler_temperature": "The sampler's temperature is another",
    "sampler_ahead": "The sampler holds the adapter twice",
    "sampler_stale": "The sampler has old weights",
    "sampler_lags": "The sampler lags, as it was asked to",
    "sampler_mismatch": "Sampler and trainer disagree",
    "update_too_large": "Weights move further than the learning rate allows",
    "accuracy_fell": "Held-out accuracy fell",
    "accuracy_improved": "Held-out accuracy rose",
    "knob_changed": "A knob was moved",
    "rewards_all_equal": "All rewards are equal",
    "not_scored": "Completions without a reward",
    "reward_hacked": "The reward is hacked",
    "reward_over_optimised": "The reward is over-optimised",
    "reward_dropped": "The reward dropped",
    "reward_falling": "The reward falls",
    "reward_rising": "The reward rises",
    "reward_without_accuracy": "The reward rises without accuracy",
    "reward_flat": "The reward stays flat",
    "reward_plateau": "The reward has reached a plateau",
    "reward_saturated": "The reward is at its top",
    "component_dominates": "One reward function outweighs the others",
    "component_never_pays": "A reward function never pays",
    "component_flat": "A reward function stays flat",
    "component_rare": "A reward function pays rarely",
    "dead_groups": "Dead groups",
    "dead_groups_too_easy": "Dead groups: too easy",
    "dead_groups_paid_most": "Dead groups: paid the most, yet not right",
    "dead_groups_too_hard": "Dead groups: too hard",
    "dead_groups_stuck": "Dead groups: stuck half-way",
    "dead_groups_mixed": "Dead groups: some too easy, some too hard",
    "nothing_ends": "No completion ends",
    "truncated": "Completions are cut off",
    "length_up": "Completions grow longer",
    "length_down": "Completions grow shorter",
    "entropy_collapse": "Entropy collapses",
    "entropy_explosion": "Entropy explodes",
    "no_gradient": "No gradient",
    "loss_near_zero": "The loss is near 0",
    "epsilon_idle": "Epsilon does nothing",
    "clipped_too_often": "Too many tokens are clipped",
    "kl_high": "The KL is high",
    "critic_idle": "The critic explains nothing",
    "dpo_chosen_falls": "Chosen answers become rarer",
    "teacher_not_followed": "The teacher is not followed",
    "learning_rate_zero": "The learning rate is 0",
    "learning_rate_moved": "The learning rate was moved",
    "gradient_spikes": "The gradient spikes",
    "gradient_clipped": "The gradient is nearly always clipped",
    "step_time": "One phase takes most of a step",
    "imported": "The run was imported",
    "no_evaluation": "Nothing was evaluated",
    "evaluation_wide": "The evaluation says little",
}
"""Key of a finding -> its title, in the order of the rules. `tests/doctor/test_pages.py` finds a
key that is missing here."""


def page_name(key: str) -> str:
    """The site's page of a finding, below its root."""
    return f"doctor/{key}.html"


def page_address(key: str) -> str:
    """Where a finding is explained; '' where no site is published, or the key is none of ours."""
    return f"{SITE.rstrip('/')}/{page_name(key)}" if SITE and key in TITLES else ""
