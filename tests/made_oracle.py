"""Small results of the oracle, made by hand: a prompt with four completions, and worlds whose
gradients are those of softmaxes."""

from __future__ import annotations

import numpy as np

from workbench.widgets.oracle import Snapshots, World

FOUR = {
    # completion: (reward, probability before, after)
    ("a", "b", "end"): (2.0, 0.3, 0.8),
    ("a", "c", "end"): (0.0, 0.3, 0.1),
    ("d", "end"): (1.0, 0.399, 0.1),
    ("d", "b", "end"): (0.0, 0.0, 0.0),
}
IDS = {"a": 10, "b": 11, "c": 12, "d": 13, "end": 1}


def four(question: str = "What?", texts: dict[str, str] | None = None) -> Snapshots:
    """Four completions before and after; `texts` says how tokens read."""
    named = texts or {}
    return Snapshots(
        question=question,
        answer="4",
        moments=("before", "after"),
        pieces=tuple(tuple(named.get(token, token) for token in tokens) for tokens in FOUR),
        ids=tuple(tuple(IDS[token] for token in tokens) for tokens in FOUR),
        reward_C=np.array([reward for reward, *_ in FOUR.values()]),
        probability_SC=np.array([[before, after] for _, before, after in FOUR.values()]).T,
    )


def softmax_world(seed: int = 0, prompts: int = 3, steps_back: int = 3) -> World:
    """Prompts whose completions are two tokens long: the first of two, then one of two. Each branch
    is a softmax over two logits of its own, which are all the parameters: the gradient of log p of
    a token is known by heart."""
    random = np.random.default_rng(seed)
    branches = 3 * prompts
    logit_SE = random.normal(0, 0.7, (steps_back + 1, 2 * branches))
    # Older samplers lie near the policy of now.
    logit_SE[1:] = logit_SE[0] + 0.4 * logit_SE[1:].cumsum(0)
    logp_SE = np.array([_log_softmax(row) for row in logit_SE])
    gradient_EP = np.zeros((2 * branches, 2 * branches))
    for edge in range(2 * branches):
        sibling = edge ^ 1
        chance = np.exp(logp_SE[0])
        gradient_EP[edge, edge] = 1 - chance[edge]
        gradient_EP[edge, sibling] = -chance[sibling]
    paths = [
        [6 * n + first, 6 * n + 2 + 2 * first + second]
        for n in range(prompts)
        for first in (0, 1)
        for second in (0, 1)
    ]
    return World(
        name="softmax",
        about="Softmaxes.",
        questions=tuple(f"prompt {n}" for n in range(prompts)),
        mass_N=np.full(prompts, 0.999),
        fidelity_N=np.ones(prompts),
        prompt_C=np.repeat(np.arange(prompts), 4),
        reward_C=random.choice([0.0, 1.0, 2.0], 4 * prompts),
        length_C=random.integers(5, 30, 4 * prompts),
        edge_CD=np.array(paths),
        logp_SE=logp_SE,
        ref_logp_E=_log_softmax(random.normal(0, 0.7, 2 * branches)),
        factor_ER=gradient_EP.astype(np.float32),
    )


def _log_softmax(logit_E: np.ndarray) -> np.ndarray:
    pairs = logit_E.reshape(-1, 2)
    return (pairs - np.log(np.exp(pairs).sum(1, keepdims=True))).reshape(-1)


def expected_reward_of(world: World, logit_E: np.ndarray) -> float:
    """J averaged over the prompts, from the logits alone."""
    logp_C = _log_softmax(logit_E)[world.edge_CD].sum(1)
    return float(np.exp(logp_C) @ world.reward_C) / len(world.questions)
