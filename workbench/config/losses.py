"""What is known about each loss type: one row of data for each, without torch.

To add a loss: (1) its row in `LOSSES` below; a field that is left out fails at import, and so does
a word that no table knows. (2) Its term for one token in `workbench/objective/terms.py` (`TERMS`).
(3) Its values by hand in `tests/objective`. All else (the choices of `loss_type`, the rules between
settings, the clip range, what is divided by, the widgets' words) reads the row;
tests/objective/test_loss_table.py holds the tables against each other. A new way to make one number
of the terms is a row of `LOSS_REDUCTIONS` and a function in `workbench/objective/reductions.py`
(`REDUCTIONS`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BOUNDS = {
    "clip": "a ratio beyond the clip range has no gradient where the advantage would move it on",
    "log_clip": "as the clip, with epsilon as a distance between logarithms",
    "divergence": (
        "a token whose probability has moved further than divergence_threshold from the sampler's "
        "has no gradient where the advantage would move it on"
    ),
    "cap": "the ratio is cut at epsilon_high and detached, so that no token loses its gradient",
    "smooth": "the weight of a token fades with its ratio, and nothing is clipped",
    "penalty": "no ratio is bounded, and the tokens that lower the entropy most pay a KL",
    "none": "there is no ratio: a token is weighed as if the policy had just sampled it",
}
"""What a loss does about a ratio that is far from 1."""

LOSS_REDUCTIONS = {
    "sequence_mean": (
        "mean over sequences of the mean over tokens: a token of a long completion weighs less"
    ),
    "update_token_mean": "mean over the tokens of the update: all its tokens weigh the same",
    "constant_length": (
        "sum over (sequences × max_completion_length): a constant, whatever the lengths are"
    ),
    "token_mean": (
        "mean over the tokens of the whole batch: as update_token_mean, but all updates divide by "
        "the same number"
    ),
    "prompt_mean": (
        "mean over prompts of the mean over the tokens of the prompt's group: a token of a group "
        "of long completions weighs less"
    ),
    "sequence_sum": (
        "mean over sequences of the sum over tokens: a token weighs the same, a long completion "
        "more"
    ),
}
"""What the terms of the tokens become one number by, and what a token weighs by that: the choices
of `loss_reduction`."""

LEVELS = ("token", "sequence", "sequence_token")
"""Over what an importance ratio is taken: the choices of `importance_sampling_level`."""

SEQUENCE_LEVELS = ("sequence", "sequence_token")
"""Those with one ratio for a whole completion."""


@dataclass(frozen=True, kw_only=True)
class LossFacts:
    """The facts of one loss type. No field has a default: what is forgotten fails at import."""

    words: str
    """What it is, in a few words."""

    source: str
    """The paper."""

    bound: str
    """A key of `BOUNDS`."""

    reduction: str
    """A key of `LOSS_REDUCTIONS`: what its paper or TRL has, and `loss_reduction=None` means."""

    levels: tuple[str, ...]
    """The values of importance_sampling_level that it can be computed with."""

    meant_for: str | None
    """The level that its paper has; None where either makes sense."""

    own_sequence_weight: bool
    """True where the term holds a weight of the whole sequence, which takes in the sampler
    correction."""

    selects: bool
    """True where it treats some tokens in another way, chosen over the whole update by their
    covariance."""

    in_trl: bool
    """True where TRL 1.16's GRPOTrainer knows it by the same name."""

    def __post_init__(self) -> None:
        levels = (*self.levels, self.meant_for or "token")
        unknown = [level for level in levels if level not in LEVELS]
        if self.bound not in BOUNDS or self.reduction not in LOSS_REDUCTIONS or unknown:
            raise ValueError(f"a word of this row is in no table: {self}.")

    @property
    def clips(self) -> bool:
        """True where a token that has moved far enough loses its gradient."""
        return self.bound in ("clip", "log_clip", "divergence")

    @property
    def has_delta(self) -> bool:
        """True for the clipped surrogate, whose unclipped branch delta caps."""
        return self.bound == "clip"

    @property
    def uses_epsilon(self) -> bool:
        """True where epsilon or epsilon_high decides which ratios are clipped or capped."""
        return self.bound in ("clip", "log_clip", "cap")

    @property
    def caps(self) -> bool:
        """True where epsilon_high is an absolute cap of the ratio, and needed."""
        return self.bound == "cap"


LOSSES = {
    "grpo": LossFacts(
        words="the clipped surrogate, averaged within each completion first",
        source="DeepSeekMath, arXiv 2402.03300, eq. 3",
        bound="clip",
        reduction="sequence_mean",
        levels=LEVELS,
        meant_for=None,
        own_sequence_weight=False,
        selects=False,
        in_trl=True,
    ),
    "bnpo": LossFacts(
        words="the clipped surrogate, averaged over the tokens of the update",
        source="TRL 1.16",
        bound="clip",
        reduction="update_token_mean",
        levels=LEVELS,
        meant_for=None,
        own_sequence_weight=False,
        selects=False,
        in_trl=True,
    ),
    "dr_grpo": LossFacts(
        words="the clipped surrogate over a constant length",
        source="Dr. GRPO, arXiv 2503.20783",
        bound="clip",
        reduction="constant_length",
        levels=LEVELS,
        meant_for=None,
        own_sequence_weight=False,
        selects=False,
        in_trl=True,
    ),
    "dapo": LossFacts(
        words="the clipped surrogate, averaged over the tokens of the whole batch",
        source="DAPO, arXiv 2503.14476",
        bound="clip",
        reduction="token_mean",
        levels=LEVELS,
        meant_for=None,
        own_sequence_weight=False,
        selects=False,
        in_trl=True,
    ),
    "luspo": LossFacts(
        words="the clipped surrogate, summed within each completion",
        source="LUSPO, arXiv 2602.05261",
        bound="clip",
        reduction="sequence_sum",
        levels=LEVELS,
        meant_for="sequence",
        own_sequence_weight=False,
        selects=False,
        in_trl=True,
    ),
    "cispo": LossFacts(
        words="log-probabilities weighted with a capped, detached ratio",
        source="CISPO (MiniMax-M1), arXiv 2506.13585, eq. 4",
        bound="cap",
        reduction="token_mean",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=False,
        selects=False,
        in_trl=True,
    ),
    "sapo": LossFacts(
        words="a soft gate around ratio 1 in place of the clip",
        source="SAPO, arXiv 2511.20347",
        bound="smooth",
        reduction="sequence_mean",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=False,
        selects=False,
        in_trl=True,
    ),
    "vespo": LossFacts(
        words="log-probabilities weighted with a gamma-shaped weight of the sequence",
        source="VESPO, arXiv 2602.10693",
        bound="smooth",
        reduction="token_mean",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=True,
        selects=False,
        in_trl=True,
    ),
    "gmpo": LossFacts(
        words="the geometric mean of a completion's ratios, each clipped by itself",
        source="GMPO, arXiv 2507.20673",
        bound="log_clip",
        reduction="sequence_mean",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=False,
        selects=False,
        in_trl=False,
    ),
    "dppo_tv": LossFacts(
        words="the unclipped surrogate, masked by how far a token's probability has moved",
        source="DPPO, arXiv 2602.04879",
        bound="divergence",
        reduction="token_mean",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=False,
        selects=False,
        in_trl=False,
    ),
    "dppo_kl": LossFacts(
        words="the unclipped surrogate, masked by the KL of the token against all others",
        source="DPPO, arXiv 2602.04879",
        bound="divergence",
        reduction="token_mean",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=False,
        selects=False,
        in_trl=False,
    ),
    "clip_cov": LossFacts(
        words="the clipped surrogate, without some of the tokens that lower the entropy most",
        source="Clip-Cov, arXiv 2505.22617, section 4.2",
        bound="clip",
        reduction="token_mean",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=False,
        selects=True,
        in_trl=False,
    ),
    "kl_cov": LossFacts(
        words="the unclipped surrogate, with a KL on the tokens that lower the entropy most",
        source="KL-Cov, arXiv 2505.22617, section 4.2",
        bound="penalty",
        reduction="token_mean",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=False,
        selects=True,
        in_trl=False,
    ),
    "reinforce": LossFacts(
        words="log-probabilities weighted with the advantage alone",
        source="REINFORCE, Williams 1992; with advantage 1 the cross-entropy of SFT",
        bound="none",
        reduction="token_mean",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=False,
        selects=False,
        in_trl=False,
    ),
}
"""loss_type -> what is known about it."""

LOSS_TYPES = tuple(LOSSES)
"""The choices of `loss_type`."""


def reduction_of(config: Any) -> str:
    """The key of `LOSS_REDUCTIONS` that holds under a config: its own, or that of its loss type."""
    own: str | None = config.loss_reduction
    return LOSSES[config.loss_type].reduction if own is None else own


def looks_at_update(config: Any) -> bool:
    """True where the loss of a token depends on all tokens of its update: with several
    micro-batches those must be known before the first of them."""
    return LOSSES[config.loss_type].selects or config.top_entropy_quantile < 1


def divides_by_batch_tokens(config: Any) -> bool:
    """True where the tokens of the whole rollout batch divide, not the update's own."""
    return reduction_of(config) == "token_mean"
