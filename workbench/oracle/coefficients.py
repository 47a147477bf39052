"""What an objective multiplies grad log pi of each token with: exactly on average over all groups
that could be drawn, and for drawn batches. All of it through `group_advantages` and `policy_loss`.

The gradient of every loss here reaches the weights through the log-probabilities of the tokens
alone, so that minus its derivative there is the whole gradient, in as many numbers as there are
tokens. The loss is that of one update that takes the whole batch (`updates_per_rollout` = 1); a
later iteration of `num_iterations` is one whose `logp` has moved and whose `old_logp` has not.

Suffixes: C completions, T tokens, G completions of a group, B rows of all groups, S batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.config.losses import LOSSES, reduction_of
from workbench.objective import AdvantageRule, LossBatch, group_advantages
from workbench.oracle.compositions import (
    MAX_COMPOSITIONS,
    TOKEN_REDUCTIONS,
    compositions,
    kinds_of,
    most_compositions,
)
from workbench.oracle.samples import SampleSpace
from workbench.oracle.scored import OracleError


def expected_coefficients(
    space: SampleSpace, config: GRPOConfig, *, most: int = MAX_COMPOSITIONS
) -> np.ndarray:
    """(C, T) what the expected gradient of a step with one prompt weighs grad log pi of each token
    with, upwards in reward: the exact mean over all groups of `num_generations` completions.

    A completion's coefficient depends on the other ones of its group through their rewards alone
    (and their lengths, where tokens divide). So the others are counted by kind: for each completion
    every composition of its company, with its multinomial probability. Where a step has several
    prompts this is the mean for every loss that does not divide by the tokens of the batch and
    takes no statistics of it.

    Raises `OracleError` where the space has several problems, the loss asks for entropies or
    chooses tokens of the whole update, or there are more than `most` compositions
    (`drawn_coefficients` estimates it for the latter two).
    """
    _check(space, config)
    if LOSSES[config.loss_type].selects:
        raise OracleError(
            f"loss_type={config.loss_type!r} chooses tokens among all those of an update, so that "
            "a completion's coefficient hangs on every other one as a whole. Draw batches "
            "(drawn_coefficients)."
        )
    if space.problems > 1:
        raise OracleError(
            f"expected_coefficients got {space.problems} problems: it is about the groups of one. "
            "Take space.of_problem(i) for each, or drawn_coefficients for batches of all."
        )
    kind_C, shares = kinds_of(space, config)
    others = list(compositions(shares, config.num_generations - 1, most))
    group_BG = np.empty((len(others), config.num_generations), dtype=np.int64)
    first_of_kind = np.array([int(np.argmax(kind_C == kind)) for kind in range(len(shares))])
    for row, (kinds, _) in enumerate(others):
        group_BG[row, 1:] = first_of_kind[list(kinds)]
    probability = np.array([p for _, p in others])
    coefficient_CT = np.zeros(space.mask_CT.shape)
    for completion, weight in enumerate(space.weight_C):
        group_BG[:, 0] = completion
        found = coefficients_of(space, config, group_BG[:, None, :])
        # Any of the G places may hold this completion, and by symmetry each adds as much.
        of_first = found[:, 0, 0] * config.num_generations
        coefficient_CT[completion] = weight * (probability[:, None] * of_first).sum(0)
    return coefficient_CT


def drawn_coefficients(
    space: SampleSpace,
    config: GRPOConfig,
    *,
    batches: int,
    seed: int = 0,
    prompts_per_step: int | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches drawn as a step would: `(rows_B, coefficient_BT)` for each of them, rows being
    completions of the space. `prompts_per_step` of the problems are drawn for a batch, each once;
    None: all of them are in every batch."""
    _check(space, config)
    count = space.problems if prompts_per_step is None else prompts_per_step
    if not 1 <= count <= space.problems:
        raise OracleError(
            f"prompts_per_step={count} of {space.problems} problems: each can be drawn once."
        )
    generator = np.random.default_rng(seed)
    rows_SNG = _draw(space, config.num_generations, batches, count, generator)
    # As many batches at once as make about a million tokens.
    at_once = max(1, 2**20 // (rows_SNG[0].size * space.mask_CT.shape[1]))
    for start in range(0, batches, at_once):
        part_SNG = rows_SNG[start : start + at_once]
        found = coefficients_of(space, config, part_SNG)
        for rows_NG, coefficient_NGT in zip(part_SNG, found, strict=True):
            yield rows_NG.reshape(-1), coefficient_NGT.reshape(rows_NG.size, -1)


def coefficients_of(space: SampleSpace, config: GRPOConfig, rows_SNG: np.ndarray) -> np.ndarray:
    """(S, N, G, T) of S batches of N groups: minus the derivative of each batch's loss at the
    log-probability of each token."""
    batches, groups, size = rows_SNG.shape
    rows_B = torch.from_numpy(rows_SNG.reshape(-1).astype(np.int64))
    mask_CT = space.mask_CT
    if config.mask_truncated_completions:
        mask_CT = mask_CT & ~space.truncated_C[:, None]
    mask_BT = torch.from_numpy(mask_CT)[rows_B]
    logp_BT = torch.from_numpy(space.logp_CT)[rows_B].requires_grad_()
    ref_logp_BT = None if space.ref_logp_CT is None else torch.from_numpy(space.ref_logp_CT)[rows_B]
    # Losses of all batches are one sum; each batch's own comes back by the factor.
    factor = float(batches)
    group_tokens_B = None
    if reduction_of(config) in TOKEN_REDUCTIONS:
        # As a mean over batches, each divided by its own tokens: what "prompt_mean" does for
        # groups. It divides by all groups afterwards.
        config = replace(config, loss_reduction="prompt_mean")
        tokens_S = mask_BT.sum(1).view(batches, -1).sum(1)
        group_tokens_B = tokens_S.repeat_interleave(groups * size)
        factor = float(batches * groups)
    batch = LossBatch(
        logp=logp_BT,
        advantages=_advantages(space, config, rows_SNG),
        mask=mask_BT,
        old_logp=torch.from_numpy(space.old_logp_CT)[rows_B],
        ref_logp=ref_logp_BT,
        sampler_logp=torch.from_numpy(space.sampler_logp_CT)[rows_B],
        group_tokens=group_tokens_B,
    )
    if LOSSES[config.loss_type].selects:
        batch = replace(batch, selected=_selected(batch, config, batches))
    (gradient_BT,) = torch.autograd.grad(batch.loss(config).loss, logp_BT)
    return (-factor * gradient_BT).numpy().reshape(*rows_SNG.shape, -1)


def _selected(batch: LossBatch, config: GRPOConfig, batches: int) -> Tensor:
    """The tokens that the loss chooses, each batch by itself: a batch is one update here."""
    parts = torch.arange(len(batch.mask)).chunk(batches)
    return torch.cat([batch.rows(rows_R).select(config) for rows_R in parts])


def _advantages(space: SampleSpace, config: GRPOConfig, rows_SNG: np.ndarray) -> Tensor:
    """(B,) by the config's rule, each batch by itself."""
    names = [f.name for f in fields(AdvantageRule)]
    rule = AdvantageRule(**{name: getattr(config, name) for name in names})
    rule = replace(rule, reward_weights=space.reward_weights.tolist())
    rewards_CK = torch.from_numpy(space.rewards_CK)
    # What a group's own statistics make of it does not depend on how many are asked for at once.
    parts = rows_SNG if compares_whole_batches(config) else rows_SNG[None]
    found = [
        group_advantages(rewards_CK[torch.from_numpy(part.reshape(-1))], rule).advantage_B
        for part in parts
    ]
    return torch.cat(found)


def _check(space: SampleSpace, config: GRPOConfig) -> None:
    if config.top_entropy_quantile < 1 or config.has_entropy_bonus:
        raise OracleError(
            f"top_entropy_quantile={config.top_entropy_quantile}, "
            f"entropy_coef={config.entropy_coef}: the loss asks for the entropy at each token, "
            "which a sample space does not hold. Set 1.0 and 0."
        )
    if config.beta > 0 and space.ref_logp_CT is None:
        raise OracleError(
            f"beta={config.beta} needs the reference's log-probabilities. Give `ref_logps` to "
            "sample_space, or set beta=0."
        )


def has_expectation(space: SampleSpace, config: GRPOConfig) -> bool:
    """Whether the mean over all batches is known exactly: problem by problem."""
    if LOSSES[config.loss_type].selects:
        return False
    if space.problems > 1 and (
        reduction_of(config) in TOKEN_REDUCTIONS or compares_whole_batches(config)
    ):
        return False
    return most_compositions(space, config) <= MAX_COMPOSITIONS


def compares_whole_batches(config: GRPOConfig) -> bool:
    """Whether an advantage depends on other groups than its own."""
    return (
        config.scale_rewards == "batch"
        or config.advantage_baseline == "batch"
        or config.multi_objective_aggregation == "normalize_then_sum"
    )


def _draw(
    space: SampleSpace,
    group_size: int,
    batches: int,
    prompts: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """(S, N, G) completions."""
    first = np.searchsorted(space.problem_C, np.arange(space.problems))
    rows_SNG = np.empty((batches, space.problems, group_size), dtype=np.int64)
    for problem in range(space.problems):
        weight_C = space.weight_C[space.problem_C == problem]
        drawn = generator.choice(len(weight_C), (batches, group_size), p=weight_C / weight_C.sum())
        rows_SNG[:, problem] = first[problem] + drawn
    if prompts == space.problems:
        return rows_SNG
    chosen_SN = generator.random((batches, space.problems)).argsort(1)[:, :prompts]
    return np.take_along_axis(rows_SNG, chosen_SN[:, :, None], axis=1)
