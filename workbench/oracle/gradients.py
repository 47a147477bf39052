"""Gradients of enumerated completions, exactly: of any weighted sum of their log-probabilities, of
each completion alone, of each token alone; and the inner products of the latter.

Everything about an estimator of the policy gradient is in the inner products of the gradients of
single completions (the Gram matrix): an estimate is a weighted sum of them. So C numbers stand for
a gradient of as many numbers as the policy has weights.

Suffixes: C completions, T tokens, N gradients in a table, D weights that are trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from workbench.oracle.enumeration import Enumeration
from workbench.oracle.logps import ROWS_AT_ONCE
from workbench.oracle.scored import OracleError, ScoredCompletions
from workbench.policy.logprobs import completion_logps
from workbench.policy.policy import Policy
from workbench.rollout.request import evaluation_mode

COLUMNS_AT_ONCE = 2**15
"""Weights whose products are summed in the gradients' own dtype before float64 takes the sum: a sum
of a million float32 products would lose digits."""


def weights_trained(policy: Policy) -> int:
    """D, the length of a gradient."""
    return sum(parameter.numel() for parameter in policy.trainable_parameters())


def gradient_of(policy: Policy, enumeration: Enumeration, coefficient_CT: np.ndarray) -> Tensor:
    """(D,) sum over completions and tokens of coefficient x grad log pi(token), at the weights of
    now."""
    total_D = torch.zeros(weights_trained(policy), dtype=policy.weight_dtype, device=policy.device)
    coefficients = torch.from_numpy(np.ascontiguousarray(coefficient_CT)).to(policy.device)
    rollout = enumeration.rollout(policy.device)
    # A completion that is weighed with nothing costs no pass.
    counted_R = coefficients.any(1).nonzero().squeeze(1)
    with evaluation_mode(policy.model):
        for part in counted_R.split(ROWS_AT_ONCE):
            logp_RT, _ = completion_logps(policy.model, rollout, part, enumeration.temperature)
            weighted = (coefficients[part].to(logp_RT.dtype) * logp_RT).sum()
            total_D += _flat(policy, weighted)
    return total_D


def policy_gradient(policy: Policy, scored: ScoredCompletions) -> Tensor:
    """(D,) the gradient of the expected reward, sum of p (R - J) grad log pi.

    J is subtracted although it adds nothing over all completions: over those that were found it
    does, since their p grad log pi do not sum to 0 (on a trained policy 1.9 % of the gradient at
    prefixes above 1e-5, 4.9 % above 1e-4).
    """
    coefficient_C = scored.weight_C * (scored.reward_C - scored.expected_reward)
    enumeration = scored.enumeration
    return gradient_of(policy, enumeration, coefficient_C[:, None] * enumeration.mask_CT)


def completion_gradients(policy: Policy, enumeration: Enumeration) -> Tensor:
    """(C, D) grad log pi of each completion at the weights of now, its tokens added up."""
    gradient_CD = gradient_table(policy, len(enumeration.logp_C))
    rollout = enumeration.rollout(policy.device)
    with evaluation_mode(policy.model):
        for row in range(len(gradient_CD)):
            part = torch.tensor([row], device=policy.device)
            logp_1T, _ = completion_logps(policy.model, rollout, part, enumeration.temperature)
            gradient_CD[row] = _flat(policy, logp_1T.sum())
    return gradient_CD


def token_gradients(policy: Policy, enumeration: Enumeration) -> tuple[Tensor, np.ndarray]:
    """grad log pi of each single token, (N, D), and which of these each token of each completion
    has, int64 (C, T), -1 on padding. Completions share the tokens that they begin with alike."""
    tree = enumeration.tree
    row_CT = np.full(enumeration.mask_CT.shape, -1)
    for row, leaf in enumerate(enumeration.leaf_C):
        path = tree.path(int(leaf))
        row_CT[row, : len(path)] = path
    # Numbered anew: not every prefix that was followed leads to a completion that was found.
    nodes = np.unique(row_CT[row_CT >= 0])
    row_CT = np.where(row_CT >= 0, np.searchsorted(nodes, row_CT), -1)
    gradient_ND = gradient_table(policy, len(nodes))
    done_N = np.zeros(len(nodes), dtype=bool)
    rollout = enumeration.rollout(policy.device)
    with evaluation_mode(policy.model):
        for row, row_T in enumerate(row_CT):
            part = torch.tensor([row], device=policy.device)
            new_T = [t for t, n in enumerate(row_T) if n >= 0 and not done_N[n]]
            logp_1T, _ = completion_logps(policy.model, rollout, part, enumeration.temperature)
            for t in new_T:
                gradient_ND[row_T[t]] = _flat(policy, logp_1T[0, t], keep=t != new_T[-1])
                done_N[row_T[t]] = True
    return gradient_ND, row_CT


def gram_matrix(gradient_ND: Tensor) -> np.ndarray:
    """(N, N) float64, the inner product of every two gradients."""
    size = len(gradient_ND)
    gram_NN = torch.zeros(size, size, dtype=torch.float64, device=gradient_ND.device)
    for part_Nd in gradient_ND.split(COLUMNS_AT_ONCE, dim=1):
        gram_NN += (part_Nd @ part_Nd.T).double()
    return gram_NN.cpu().numpy()


def check_room(policy: Policy, rows: Sequence[int], max_bytes: float) -> None:
    """Raises `OracleError` where so many gradients would take more memory than allowed."""
    needed = sum(rows) * weights_trained(policy) * policy.weight_dtype.itemsize
    if needed > max_bytes:
        raise OracleError(
            f"{sum(rows)} gradients of {weights_trained(policy):,} weights need "
            f"{needed / 1e9:.1f} GB, allowed are {max_bytes / 1e9:.1f} GB. Enumerate less mass, "
            "take fewer problems, or raise max_bytes."
        )


def gradient_table(policy: Policy, rows: int) -> Tensor:
    """(rows, D) room for so many gradients."""
    return torch.empty(
        rows, weights_trained(policy), dtype=policy.weight_dtype, device=policy.device
    )


def _flat(policy: Policy, value: Tensor, *, keep: bool = False) -> Tensor:
    """(D,) the gradient of a number; `keep` leaves the graph for the next one."""
    parameters = policy.trainable_parameters()
    gradients = torch.autograd.grad(
        value, parameters, retain_graph=keep, allow_unused=True, materialize_grads=True
    )
    return torch.cat([gradient.flatten() for gradient in gradients])
