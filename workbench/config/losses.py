"""What is known about each loss type: one row of data for each, without torch.

To add a loss: (1) its row in `LOSSES` below; a field that is left out fails at import, and so does
a word that no table knows. (2) Its term for one token in `workbench/objective/terms.py` (`TERMS`).
(3) How its terms become one number in `workbench/objective/reductions.py` (`REDUCTIONS`). (4) Its
values by hand in `tests/objective`. All else (the choices of `loss_type`, the rules between
settings, the clip range, what is divided by, the widgets' words) reads the row;
tests/objective/test_loss_table.py holds the three tables against each other.
"""

from __future__ import annotations

from dataclasses import dataclass

BOUNDS = {
    "clip": "a ratio beyond the clip range has no gradient where the advantage would move it on",
    "cap": "the ratio is cut at epsilon_high and detached, so that no token loses its gradient",
    "smooth": "the weight of a token fades with its ratio, and nothing is clipped",
    "none": "there is no ratio: a token is weighed as if the policy had just sampled it",
}
"""What a loss does about a ratio that is far from 1."""

DIVISORS = {
    "own_length": (
        "mean over sequences of the mean over tokens: a token of a long completion weighs less"
    ),
    "update_tokens": "mean over the tokens of the update: all its tokens weigh the same",
    "constant": (
        "sum over (sequences × max_completion_length): a constant, whatever the lengths are"
    ),
    "batch_tokens": (
        "mean over the tokens of the whole batch: as bnpo, but all updates divide by the same "
        "number"
    ),
    "sequences": (
        "mean over sequences of the sum over tokens: a token weighs the same, a long completion "
        "more"
    ),
}
"""What the sum of the terms is divided by, and what a token weighs by that."""

LEVELS = ("token", "sequence")
"""Over what an importance ratio is taken."""


@dataclass(frozen=True, kw_only=True)
class LossFacts:
    """The facts of one loss type. No field has a default: what is forgotten fails at import."""

    words: str
    """What it is, in a few words."""

    source: str
    """The paper."""

    bound: str
    """A key of `BOUNDS`."""

    divisor: str
    """A key of `DIVISORS`."""

    levels: tuple[str, ...]
    """The values of importance_sampling_level that it can be computed with."""

    meant_for: str | None
    """The level that its paper has; None where either makes sense."""

    own_sequence_weight: bool
    """True where the term holds a weight of the whole sequence, which takes in the sampler
    correction."""

    in_trl: bool
    """True where TRL 1.16 knows it by the same name."""

    def __post_init__(self) -> None:
        levels = (*self.levels, self.meant_for or "token")
        unknown = [level for level in levels if level not in LEVELS]
        if self.bound not in BOUNDS or self.divisor not in DIVISORS or unknown:
            raise ValueError(f"a word of this row is in no table: {self}.")

    @property
    def clips(self) -> bool:
        """True for the clipped surrogate, with epsilon, epsilon_high and delta."""
        return self.bound == "clip"

    @property
    def caps(self) -> bool:
        """True where epsilon_high is an absolute cap of the ratio, and needed."""
        return self.bound == "cap"

    @property
    def divides_by_batch_tokens(self) -> bool:
        """True where the tokens of the whole rollout batch divide, not the update's own."""
        return self.divisor == "batch_tokens"


LOSSES = {
    "grpo": LossFacts(
        words="the clipped surrogate, averaged within each completion first",
        source="DeepSeekMath, arXiv 2402.03300, eq. 3",
        bound="clip",
        divisor="own_length",
        levels=LEVELS,
        meant_for=None,
        own_sequence_weight=False,
        in_trl=True,
    ),
    "bnpo": LossFacts(
        words="the clipped surrogate, averaged over the tokens of the update",
        source="TRL 1.16",
        bound="clip",
        divisor="update_tokens",
        levels=LEVELS,
        meant_for=None,
        own_sequence_weight=False,
        in_trl=True,
    ),
    "dr_grpo": LossFacts(
        words="the clipped surrogate over a constant length",
        source="Dr. GRPO, arXiv 2503.20783",
        bound="clip",
        divisor="constant",
        levels=LEVELS,
        meant_for=None,
        own_sequence_weight=False,
        in_trl=True,
    ),
    "dapo": LossFacts(
        words="the clipped surrogate, averaged over the tokens of the whole batch",
        source="DAPO, arXiv 2503.14476",
        bound="clip",
        divisor="batch_tokens",
        levels=LEVELS,
        meant_for=None,
        own_sequence_weight=False,
        in_trl=True,
    ),
    "luspo": LossFacts(
        words="the clipped surrogate, summed within each completion",
        source="LUSPO, arXiv 2602.05261",
        bound="clip",
        divisor="sequences",
        levels=LEVELS,
        meant_for="sequence",
        own_sequence_weight=False,
        in_trl=True,
    ),
    "cispo": LossFacts(
        words="log-probabilities weighted with a capped, detached ratio",
        source="CISPO (MiniMax-M1), arXiv 2506.13585, eq. 4",
        bound="cap",
        divisor="batch_tokens",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=False,
        in_trl=True,
    ),
    "sapo": LossFacts(
        words="a soft gate around ratio 1 in place of the clip",
        source="SAPO, arXiv 2511.20347",
        bound="smooth",
        divisor="own_length",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=False,
        in_trl=True,
    ),
    "vespo": LossFacts(
        words="log-probabilities weighted with a gamma-shaped weight of the sequence",
        source="VESPO, arXiv 2602.10693",
        bound="smooth",
        divisor="batch_tokens",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=True,
        in_trl=True,
    ),
    "reinforce": LossFacts(
        words="log-probabilities weighted with the advantage alone",
        source="REINFORCE, Williams 1992; with advantage 1 the cross-entropy of SFT",
        bound="none",
        divisor="batch_tokens",
        levels=("token",),
        meant_for="token",
        own_sequence_weight=False,
        in_trl=False,
    ),
}
"""loss_type -> what is known about it."""

LOSS_TYPES = tuple(LOSSES)
"""The choices of `loss_type`."""
