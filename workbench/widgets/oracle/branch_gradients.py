"""From a policy to a `World`: the gradients of its enumerated completions, where they part.

One backward pass for each token at which completions part, through one row each; their inner
products in float64. A tree of 30 completions has about 60 such tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workbench.oracle import ScoredCompletions, oracle_of, policy_gradient, token_logps
from workbench.policy.logprobs import completion_logps
from workbench.rewards import DEFAULT_REWARDS
from workbench.rollout.request import evaluation_mode
from workbench.widgets.oracle.branches import Tree, normalised, side_by_side, tree_of
from workbench.widgets.oracle.enumerating import as_reward_set
from workbench.widgets.oracle.world import NO_EDGE, World, cosine

if TYPE_CHECKING:
    from workbench.policy.policy import Policy
    from workbench.rewards import RewardSet
    from workbench.tasks import Problem, Task

KEPT = 1 - 1e-6
"""Share of the gradients' squared length that the factor keeps."""


def edge_logps(policy: Policy, tree: Tree) -> np.ndarray:
    """Log-probability of each edge under the weights of now, restricted to the tree, (E,)."""
    logp_CT = token_logps(policy, tree.found)
    logp_E = logp_CT[tree.row_E, tree.place_E]
    return normalised(logp_E, tree.branch_E)


def edge_gradients(policy: Policy, tree: Tree, logp_E: np.ndarray) -> Tensor:
    """The gradient of each edge's restricted log-probability, (E, parameters), float32: that of the
    policy's own less the mean of its siblings'."""
    found = tree.found
    parameters = policy.trainable_parameters()
    rollout = found.rollout(policy.device)
    gradients = torch.empty(tree.edges, sum(p.numel() for p in parameters))
    for row in np.unique(tree.row_E):
        one = torch.tensor([row], device=policy.device)
        with evaluation_mode(policy.model):
            logp_1T, _ = completion_logps(policy.model, rollout, one, found.temperature)
        for edge in np.flatnonzero(tree.row_E == row):
            value = logp_1T[0, tree.place_E[edge]]
            parts = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
            flat = [
                torch.zeros(p.numel()) if part is None else part.reshape(-1).cpu()
                for part, p in zip(parts, parameters, strict=True)
            ]
            gradients[edge] = torch.cat(flat)
    for branch in np.unique(tree.branch_E):
        own = torch.from_numpy(np.flatnonzero(tree.branch_E == branch))
        chance = torch.from_numpy(np.exp(logp_E[own])).float()
        gradients[own] -= chance @ gradients[own]
    return gradients


def factor_of(gradients: Tensor) -> np.ndarray:
    """Rows with the same inner products, in as few columns as they need, float32."""
    gram_EE = (gradients @ gradients.T).double().numpy()
    values, vectors = np.linalg.eigh(gram_EE)
    order = np.argsort(-values)
    values = np.clip(values[order], 0, None)
    kept = np.cumsum(values) <= KEPT * values.sum()
    count = min(int(kept.sum()) + 1, len(values))
    columns: np.ndarray = vectors[:, order[:count]] * np.sqrt(values[:count])
    # The size means nothing, and float16 has no room for large numbers.
    scaled: np.ndarray = (columns / max(np.abs(columns).max(), 1e-30)).astype(np.float32)
    return scaled


def make_world(
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    *,
    name: str,
    about: str,
    older: Sequence[Mapping[str, Tensor]] = (),
    reference: Mapping[str, Tensor] | None = None,
    rewards: RewardSet | Sequence[str] = DEFAULT_REWARDS,
    mass: float = 0.999,
    max_new_tokens: int = 48,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
    should_stop: Callable[[], bool] | None = None,
) -> World:
    """The world of `problems` under the policy's weights of now.

    older      the weights one step ago, two steps ago, and so on: the stale samplers
    reference  the reference's weights; None = those of now
    """
    reward_set = as_reward_set(rewards)
    trees: list[Tree] = []
    now: list[np.ndarray] = []
    gradients: list[Tensor] = []
    reward: list[np.ndarray] = []
    fidelity: list[float] = []
    for done, problem in enumerate(problems):
        on_progress(done, len(problems))
        scored = oracle_of(
            policy,
            task,
            problem,
            reward_set,
            max_new_tokens=max_new_tokens,
            mass=mass,
            should_stop=should_stop,
        )
        tree = tree_of(scored.enumeration)
        logp_E = edge_logps(policy, tree)
        reward_C = scored.reward_C
        own = edge_gradients(policy, tree, logp_E)
        trees.append(tree)
        now.append(logp_E)
        gradients.append(own)
        reward.append(reward_C)
        fidelity.append(_fidelity(policy, scored, tree, logp_E, own))
    rows = [np.concatenate(now)]
    with policy.own_weights_kept():
        for state in older:
            policy.load_trainable_state(dict(state))
            rows.append(np.concatenate([edge_logps(policy, tree) for tree in trees]))
        if reference is not None:
            policy.load_trainable_state(dict(reference))
        reference_E = np.concatenate([edge_logps(policy, tree) for tree in trees])
    on_progress(len(problems), len(problems))
    return World(
        name=name,
        about=about,
        questions=tuple(problem.question for problem in problems),
        mass_N=np.array([tree.found.found_mass for tree in trees]),
        fidelity_N=np.array(fidelity),
        prompt_C=np.repeat(np.arange(len(trees)), [len(t.edge_CD) for t in trees]),
        reward_C=np.concatenate(reward),
        length_C=np.concatenate([tree.found.length_C for tree in trees]),
        edge_CD=side_by_side(trees),
        logp_SE=np.array(rows),
        ref_logp_E=reference_E,
        factor_ER=factor_of(torch.cat(gradients)),
    )


def _fidelity(
    policy: Policy, scored: ScoredCompletions, tree: Tree, logp_E: np.ndarray, gradients: Tensor
) -> float:
    """Cosine between the exact gradient of the restricted policy and that of all that was found."""
    reward_C = scored.reward_C
    there_CD = tree.edge_CD != NO_EDGE
    weight_E = np.zeros(tree.edges)
    if tree.edges:
        p_C = np.exp(np.where(there_CD, logp_E[tree.edge_CD], 0.0).sum(1))
        weight_C = p_C * (reward_C - p_C @ reward_C)
        weight_CD = np.broadcast_to(weight_C[:, None], there_CD.shape)
        np.add.at(weight_E, tree.edge_CD[there_CD], weight_CD[there_CD])
    restricted = torch.from_numpy(weight_E).float() @ gradients
    whole = policy_gradient(policy, scored).cpu()
    return cosine(restricted.double().numpy(), whole.double().numpy())
