"""Process supervision: a reward at the end of each reasoning step, and what it says of each token.

Source: DeepSeekMath (arXiv 2402.03300), section 4.1.3. All step rewards of a group are normalised
together, by their mean and std; a token's advantage is the sum of the normalised rewards of the
steps that end at or after it:

    A_it = sum over steps j of completion i with index(j) >= t of (r_ij - mean(R)) / std(R)

Deviations from the paper: 1e-4 is added to the std, as in TRL's outcome supervision; a group whose
step rewards are all equal is found by max - min == 0 and gets exactly 0, however its mean rounds;
the paper prints "std" and does not say which, so that `advantage_std` chooses.

What to know of it: the mean is over steps, so that a completion of many steps weighs more in it;
and advantages add up over the steps to come, so that steps which are paid above the mean are worth
making in number. A reward per step can be farmed by padding with steps that are trivially right.

Suffixes: B completions, N groups (prompts), G completions of a group, S steps of the completion
that has the most, T tokens; B = N x G, row i is in group i // G.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.objective.advantage_rule import CORRECTIONS
from workbench.objective.advantages import EPS
from workbench.objective.masked import masked_mean, masked_std, no_spread

SCALES = ("group", "batch", "none")
"""What the step rewards are divided by, as `scale_rewards` has it."""
NO_STEP = -1
"""In `step_end_BS`: the completion has no such step."""


@dataclass(frozen=True)
class ProcessAdvantages:
    """What the step rewards of a batch became."""

    advantage_BT: Tensor
    """What the loss weighs each token with: 0 behind the last step, and where the mask is False."""

    normalised_BS: Tensor
    """Each step's reward less the group's mean over the std; NaN where there is no step, or none
    that was scored."""

    mean_N: Tensor
    """Mean of the group's step rewards; NaN where no step was scored."""

    std_N: Tensor
    """Their std, as `advantage_std` says; 0 where fewer than two were scored."""

    dead_N: Tensor
    """bool, True where the step rewards of the group have no spread: its advantages are exactly
    0."""

    scored_N: Tensor
    """How many steps of the group were scored."""


def process_advantages(
    step_reward_BS: Tensor,
    step_end_BS: Tensor,
    mask_BT: Tensor,
    num_generations: int,
    *,
    advantage_std: str = "sample",
    scale_rewards: str = "group",
) -> ProcessAdvantages:
    """The advantage of each token from the rewards of the steps, in the rewards' own dtype.

    `step_reward_BS`: a step's reward, NaN = not scored, or no such step. `step_end_BS`: the token
    that the step ends with, -1 = no such step; where a completion has fewer than S steps, its row
    is padded with these two. `mask_BT`: True on the tokens that count.

    `advantage_std`: "sample" divides the squares by their number less one, "population" by it.
    `scale_rewards`: the std of the "group", of the whole "batch", or "none" (only centred). Raises
    ValueError for shapes, names and ends that do not fit, and for infinite rewards.
    """
    _check_choices(advantage_std, scale_rewards)
    _check_steps(step_reward_BS, step_end_BS, mask_BT, num_generations)
    reward_BS = step_reward_BS.detach()
    if not reward_BS.is_floating_point():
        reward_BS = reward_BS.to(torch.get_default_dtype())
    correction = CORRECTIONS[advantage_std]
    groups = len(reward_BS) // num_generations
    # One row a group: its steps are normalised together, whichever completion they are in.
    reward_NS = reward_BS.reshape(groups, -1)
    scored_NS = ~reward_NS.isnan()
    dead_N1 = no_spread(reward_NS, scored_NS)
    std_N1 = masked_std(reward_NS, scored_NS, 1, correction)
    centred_NS = reward_NS - masked_mean(reward_NS, scored_NS, 1)
    if scale_rewards == "group":
        divisor = std_N1 + EPS
    elif scale_rewards == "batch":
        divisor = masked_std(reward_NS, scored_NS, (0, 1), correction) + EPS
    else:
        divisor = torch.ones_like(std_N1)
    compared_NS = torch.where(dead_N1, 0.0, centred_NS / divisor)
    normalised_BS = torch.where(scored_NS, compared_NS, torch.nan).view_as(reward_BS)
    return ProcessAdvantages(
        advantage_BT=_summed_from(normalised_BS, step_end_BS, mask_BT),
        normalised_BS=normalised_BS,
        mean_N=masked_mean(reward_NS, scored_NS, 1)[:, 0],
        std_N=std_N1[:, 0],
        dead_N=dead_N1[:, 0],
        scored_N=scored_NS.sum(1),
    )


def _summed_from(normalised_BS: Tensor, step_end_BS: Tensor, mask_BT: Tensor) -> Tensor:
    """For each token the sum over the steps that end at or after it."""
    rows, width = mask_BT.shape
    has_step_BS = ~normalised_BS.isnan()
    # One column more than there are tokens takes what is no step.
    place_BS = torch.where(has_step_BS, step_end_BS.to(torch.int64), width)
    at_end_BT = normalised_BS.new_zeros(rows, width + 1)
    # Added, not put: two steps may end with the same token, where a token spans their border.
    at_end_BT.scatter_add_(1, place_BS, normalised_BS.nan_to_num(nan=0.0))
    at_end_BT = at_end_BT[:, :width]
    from_here_BT = at_end_BT.flip(1).cumsum(1).flip(1)
    return torch.where(mask_BT.bool(), from_here_BT, 0.0)


def _check_choices(advantage_std: str, scale_rewards: str) -> None:
    if advantage_std not in CORRECTIONS:
        raise ValueError(
            f"advantage_std={advantage_std!r} is unknown. Choose one of {', '.join(CORRECTIONS)}."
        )
    if scale_rewards not in SCALES:
        raise ValueError(
            f"scale_rewards={scale_rewards!r} is unknown. Choose one of {', '.join(SCALES)}."
        )


def _check_steps(
    step_reward_BS: Tensor, step_end_BS: Tensor, mask_BT: Tensor, num_generations: int
) -> None:
    """Raises ValueError."""
    shapes = [tuple(tensor.shape) for tensor in (step_reward_BS, step_end_BS, mask_BT)]
    rewards_fit = step_reward_BS.dim() == 2 and shapes[0] == shapes[1]
    if not rewards_fit or mask_BT.dim() != 2 or shapes[2][0] != shapes[0][0]:
        raise ValueError(
            "step rewards and step ends must be (B, S) and the mask (B, T), got "
            f"{shapes[0]}, {shapes[1]} and {shapes[2]}."
        )
    rows, width = mask_BT.shape
    if num_generations < 1 or rows == 0 or rows % num_generations:
        raise ValueError(
            f"{rows} completions cannot be split into groups of num_generations={num_generations}: "
            "their number must be a multiple of it, the completions of one prompt side by side."
        )
    outside_BS = (step_end_BS < NO_STEP) | (step_end_BS >= width)
    without_end_BS = ~step_reward_BS.isnan() & (step_end_BS == NO_STEP)
    for wrong_BS, what in (
        (outside_BS, f"which is none of the {width} tokens. Use 0 to {width - 1}, -1 for no step."),
        (without_end_BS, "and a reward: say which token the step ends with, or give it no reward."),
    ):
        if wrong_BS.any():
            row, step = wrong_BS.nonzero()[0].tolist()
            raise ValueError(
                f"step {step} of completion {row} has the end {step_end_BS[row, step]}, {what}"
            )
    if step_reward_BS.isinf().any():
        row, step = step_reward_BS.isinf().nonzero()[0].tolist()
        raise ValueError(
            f"the reward of step {step} of completion {row} is {step_reward_BS[row, step].item()}: "
            "step rewards must be finite, or NaN for 'not scored'. Bound that reward function."
        )
