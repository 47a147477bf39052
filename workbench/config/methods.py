"""What is known about each training method: one row of data for each, without torch.

In the unified view of DeepSeekMath (arXiv 2402.03300, section 5.2, eq. 5) a method is three things:
which data it learns from, what scores it, and the coefficient of grad log pi that each token gets.
The loop is the same for all of them. A row says where the completions come from, what that
coefficient is, and which settings make the method what it is.

To add a method: (1) its row in `METHODS` below; (2) its class in a file of `workbench/methods/`,
named in `workbench/methods/__init__.py`, unless the settings alone make it; (3) its case in
`tests/methods/test_coefficients.py`, which finds what was forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SAMPLED_FROM = {
    "policy": "the policy as it is now, so that what is learnt is its own",
    "initial": "the policy as it was when the run began (or at the last refresh of the reference)",
    "demonstrations": "the task's own worked solutions: nothing is sampled",
}
"""Who writes the completions."""

MODELS = {
    "reference": "the policy as it was when the run began",
    "critic": "a second model of the policy's size that says what reward is to be expected",
    "teacher": "another policy that says how likely it would have found each token",
}
"""What a method needs beside the policy."""


@dataclass(frozen=True, kw_only=True)
class MethodFacts:
    """The facts of one method. What makes it no different from GRPO may be left out."""

    words: str
    """What it is, in a few words."""

    source: str
    """The paper."""

    sampled_from: str
    """A key of `SAMPLED_FROM`."""

    coefficient: str
    """What each token's grad log pi is multiplied with, before the reduction divides it."""

    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of the config that make the method what it is; they stand still while it runs."""

    suggested: dict[str, Any] = field(default_factory=dict)
    """Fields that suit it, and may have other values."""

    reads: tuple[str, ...] = ()
    """Fields of the config that belong to this method, and to those whose rows name them too."""

    models: tuple[str, ...] = ()
    """Keys of `MODELS`."""

    of_pairs: bool = False
    """True where the loss is of pairs of answers, so that no token has a term of its own in it."""

    asks_old: bool = False
    """True where the coefficient needs the log-probabilities before the first update."""

    def __post_init__(self) -> None:
        if self.sampled_from not in SAMPLED_FROM or set(self.models) - set(MODELS):
            raise ValueError(f"a word of this row is in no table: {self}.")

    @property
    def sets(self) -> dict[str, Any]:
        """All fields that choosing the method sets."""
        return self.settings | self.suggested

    @property
    def asks_reference(self) -> bool:
        """True where the method cannot do without the reference, whatever beta is."""
        return "reference" in self.models


_LIKELIHOOD: dict[str, Any] = dict(loss_type="reinforce", beta=0.0)
_UNSCALED: dict[str, Any] = dict(scale_rewards="none")
_ACCEPTED: dict[str, Any] = _LIKELIHOOD | _UNSCALED | dict(advantage_baseline="none")

METHODS: dict[str, MethodFacts] = {
    "grpo": MethodFacts(
        words="each answer is compared with the others to the same prompt",
        source="DeepSeekMath, arXiv 2402.03300, eq. 3 and 21",
        sampled_from="policy",
        coefficient="A + beta (pi_ref / pi - 1), A = (R - mean of the group) / std of the group",
    ),
    "sft": MethodFacts(
        words="worked solutions are imitated",
        source="DeepSeekMath, arXiv 2402.03300, eq. 7",
        sampled_from="demonstrations",
        coefficient="1",
        settings=_ACCEPTED | dict(num_generations=1),
        # As many rows as groups of eight have.
        suggested=dict(prompts_per_step=128),
    ),
    "rft": MethodFacts(
        words="right answers that the first policy sampled are imitated",
        source="DeepSeekMath, arXiv 2402.03300, eq. 10",
        sampled_from="initial",
        coefficient="1 where the answer is accepted, else 0",
        settings=_ACCEPTED,
        models=("reference",),
        reads=("accept_reward",),
    ),
    "online_rft": MethodFacts(
        words="right answers of the policy of now are imitated",
        source="DeepSeekMath, arXiv 2402.03300, eq. 12",
        sampled_from="policy",
        coefficient="1 where the answer is accepted, else 0",
        settings=_ACCEPTED,
        reads=("accept_reward",),
    ),
    "dpo": MethodFacts(
        words="the better of two answers is made likelier than the worse one",
        source="DPO, arXiv 2305.18290, eq. 7; DeepSeekMath, arXiv 2402.03300, eq. 14",
        sampled_from="policy",
        coefficient="+-dpo_beta sigmoid(-margin): plus for the chosen answer, minus for the other",
        settings=_UNSCALED | dict(beta=0.0),
        models=("reference",),
        of_pairs=True,
        reads=("dpo_beta",),
    ),
    "rloo": MethodFacts(
        words="each answer is compared with the mean of the others",
        source="RLOO, arXiv 2402.14740, eq. 7",
        sampled_from="policy",
        coefficient="R - mean of the others in the group",
        settings=_UNSCALED | dict(advantage_baseline="leave_one_out"),
    ),
    "reinforce_pp": MethodFacts(
        words="each token is compared with the whole batch, the KL is paid in the reward",
        source="REINFORCE++, arXiv 2501.03262, eq. 5 to 7",
        sampled_from="policy",
        coefficient="R - kl_coef x the KL still to come, whitened over the batch's tokens",
        settings=_UNSCALED | dict(advantage_baseline="none", beta=0.0),
        models=("reference",),
        asks_old=True,
        reads=("kl_coef",),
    ),
    "reinforce_pp_baseline": MethodFacts(
        words="each answer is compared with its group, in units of the batch's spread",
        source="REINFORCE++-baseline, arXiv 2501.03262, eq. 9 and 10",
        sampled_from="policy",
        coefficient="(R - mean of the group), over the batch's std",
        settings=dict(advantage_baseline="group", scale_rewards="batch", kl_estimator="k2"),
    ),
    "ppo": MethodFacts(
        words="each token is compared with what a critic expected of it",
        source="PPO, arXiv 1707.06347; GAE, arXiv 1506.02438; DeepSeekMath eq. 16 to 18",
        sampled_from="policy",
        coefficient="GAE of the reward less kl_coef x KL, whitened over the batch's tokens",
        settings=_UNSCALED | dict(advantage_baseline="none", beta=0.0),
        models=("reference", "critic"),
        asks_old=True,
        reads=("kl_coef", "lam", "cliprange_value", "critic_learning_rate"),
    ),
    "process_grpo": MethodFacts(
        words="each step of an answer is compared with the steps of its group",
        source="DeepSeekMath, arXiv 2402.03300, section 4.1.3",
        sampled_from="policy",
        coefficient="sum of the normalised rewards of the steps that end at or after the token",
        suggested=dict(step_rewards="arithmetic_steps"),
        reads=("step_rewards",),
    ),
    "iterative_grpo": MethodFacts(
        words="GRPO whose reference is refreshed and whose reward model learns on",
        source="DeepSeekMath, arXiv 2402.03300, algorithm 1 and section 4.1.4",
        sampled_from="policy",
        coefficient="as grpo, with the reward model and the reference of the iteration",
        settings=dict(sync_ref_model=True, ref_model_mixup_alpha=1.0),
        suggested=dict(ref_model_sync_steps=20),
        reads=("replay_share", "reward_model_learning_rate"),
    ),
    "distill": MethodFacts(
        words="the policy's own answers are graded token by token by a teacher",
        source="GKD, arXiv 2306.13649; on-policy distillation as policy gradient",
        sampled_from="policy",
        coefficient="log pi_teacher - log pi_old of the token: the reverse KL, one sample of it",
        settings=_UNSCALED | dict(advantage_baseline="none", beta=0.0),
        models=("teacher",),
        asks_old=True,
        reads=("teacher",),
    ),
}
"""method -> what is known about it."""


def foreign_fields(method: str) -> set[str]:
    """The fields that other methods read and this one does not."""
    every = {name for facts in METHODS.values() for name in facts.reads}
    return every - set(METHODS[method].reads)
