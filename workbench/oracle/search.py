"""All that a policy can say to one prompt, up to a little probability: level by level.

Every prefix that is likely enough gets one more token at the same time: one cached forward pass a
token for all of them, through the native engine's decoder. Each level drops the least likely
continuations, as many as its share of the probability that may be lost allows, so that a pass ends
with the mass that was asked for. Log-probabilities are summed in float64, and what is dropped is
counted where it is dropped: found + lost = 1 is a check of the sum, not its definition.

Completions are token ids, not texts: two tokenizations of one text are two completions, as for the
sampler. One that reaches the full length without an end token counts as finished, as in a rollout.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from workbench.libraries.devices import need_float64
from workbench.libraries.hf_peft import plain_model
from workbench.libraries.hf_transformers import unsupported_reason
from workbench.oracle.enumeration import Enumeration, EnumerationError
from workbench.oracle.level import Continuations, continuations, likeliest
from workbench.oracle.tree import GrowingTree, PrefixTree
from workbench.policy.policy import Policy
from workbench.rollout.decoding import Decoder
from workbench.rollout.request import (
    check_request,
    evaluation_mode,
    is_end,
    left_pad,
    raise_if_stopped,
)
from workbench.rollout.types import Sampling


def enumerate_completions(
    policy: Policy,
    prompt_ids: Sequence[int],
    *,
    max_new_tokens: int,
    mass: float = 0.999,
    min_probability: float | None = None,
    temperature: float = 1.0,
    max_rows: int = 4096,
    should_stop: Callable[[], bool] | None = None,
) -> Enumeration:
    """The completions of a prompt that hold `mass` of the policy's probability, and their tree.

    mass              1 drops nothing but what `min_probability` says
    min_probability   prefixes below it are dropped in any case, so that it can cost the mass that
                      was asked for (see `Enumeration.complete`); None: a thousandth of what may be
                      lost, 0 for mass 1
    temperature       as the sampler's; above 0, since a greedy policy has one completion
    max_rows          prefixes followed at a time, which bounds the memory; beyond it the least
                      likely are dropped, and counted in `open_mass`
    should_stop       asked before each forward pass; where it answers True,
                      `RolloutCancelledError` is raised

    Raises `EnumerationError` for settings that make no sense and for a model that has no cache of
    the native engine's kind, ValueError for a prompt that the model cannot take.
    """
    if min_probability is None:
        min_probability = (1 - mass) / 1000
    _check(policy, mass, min_probability, temperature, max_new_tokens, max_rows)
    sampling = Sampling(max_new_tokens, temperature)
    check_request(policy.model, [list(prompt_ids)], 1, sampling)
    search = _Search(policy, tuple(prompt_ids), sampling, mass, min_probability, max_rows)
    with torch.no_grad(), evaluation_mode(policy.model):
        return search.run(should_stop)


def _check(
    policy: Policy,
    mass: float,
    min_probability: float,
    temperature: float,
    max_new_tokens: int,
    max_rows: int,
) -> None:
    rules = [
        ("mass", mass, 0 < mass <= 1, "above 0 and at most 1"),
        ("min_probability", min_probability, 0 <= min_probability < 1, "0 or more and below 1"),
        ("temperature", temperature, 0 < temperature < math.inf, "above 0 and finite"),
        ("max_new_tokens", max_new_tokens, max_new_tokens >= 1, "at least 1"),
        ("max_rows", max_rows, max_rows >= 1, "at least 1"),
    ]
    for name, value, good, meaning in rules:
        if not good:
            raise EnumerationError(f"{name}={value!r}: must be {meaning}.")
    need_float64(policy.device, "the oracle")
    reason = unsupported_reason(policy.model)
    if reason is not None:
        raise EnumerationError(
            f"the completions of policy {policy.source!r} cannot be enumerated: {reason}. Use a "
            "policy with full attention and a standard key-value cache, such as the embedded one."
        )


class _Search:
    """One pass over the levels."""

    def __init__(
        self,
        policy: Policy,
        prompt_ids: tuple[int, ...],
        sampling: Sampling,
        mass: float,
        min_probability: float,
        max_rows: int,
    ) -> None:
        self.policy = policy
        self.prompt_ids = prompt_ids
        self.sampling = sampling
        self.mass = mass
        self.min_probability = min_probability
        self.max_rows = max_rows
        self.eos_E = torch.tensor(policy.eos_token_ids, dtype=torch.long, device=policy.device)
        self.tree = GrowingTree()
        self.leaves: list[np.ndarray] = []
        self.leaf_logps: list[np.ndarray] = []
        self.lost = 0.0
        self.open = 0.0
        self.forwards = 0

    def run(self, should_stop: Callable[[], bool] | None) -> Enumeration:
        began = time.perf_counter()
        device = self.policy.device
        raise_if_stopped(should_stop)
        # A single prompt has no padding, so that the decoder needs no mask, however often its rows
        # are multiplied.
        ids_NP, mask_NP = left_pad([self.prompt_ids], self.policy.pad_token_id, device)
        steps = self.sampling.max_completion_length - 1
        decoder = Decoder(plain_model(self.policy.model), ids_NP, mask_NP, max_steps=steps)
        logits_RV = decoder.prefill()
        self.forwards = 1
        node_R = np.zeros(1, dtype=np.int64)
        reach_R = torch.zeros(1, dtype=torch.float64, device=device)
        for depth in range(1, self.sampling.max_completion_length + 1):
            self._check_finite(logits_RV, depth)
            found = continuations(
                logits_RV, reach_R, self.sampling.temperature, self.min_probability
            )
            kept, node_R = self._grow(found, node_R, depth)
            if len(node_R) == 0:
                break
            raise_if_stopped(should_stop)
            decoder.expand_rows(kept.row_K)
            logits_RV = decoder.step(kept.token_K)
            self.forwards += 1
            reach_R = kept.reach_K
        return self._result(time.perf_counter() - began)

    def _grow(
        self, found: Continuations, node_R: np.ndarray, depth: int
    ) -> tuple[Continuations, np.ndarray]:
        """Takes a level into the tree; returns the prefixes that go on, and their nodes."""
        ends_K = is_end(found.token_K, self.eos_E)
        if depth == self.sampling.max_completion_length:
            ends_K = torch.ones_like(ends_K)
        chosen_K = self._chosen(found, ends_K, depth)
        chosen = found.where(chosen_K)
        self.lost += float(chosen.lost_R.sum())
        self.tree.add_lost(node_R, chosen.lost_R.cpu().numpy())

        reach_K = chosen.reach_K.cpu().numpy()
        new_K = self.tree.add_level(
            node_R[chosen.row_K.cpu().numpy()],
            chosen.token_K.cpu().numpy(),
            chosen.logp_K.cpu().numpy(),
            reach_K,
        )
        ended_K = ends_K[chosen_K]
        ended = ended_K.cpu().numpy()
        self.leaves.append(new_K[ended])
        self.leaf_logps.append(reach_K[ended])
        # (Its `lost_R` counts those that ended too, which nothing asks of it any more.)
        return chosen.where(~ended_K), new_K[~ended]

    def _chosen(self, found: Continuations, ends_K: Tensor, depth: int) -> Tensor:
        """Which continuations are kept, bool (K,). Those that end cost nothing more; of the others
        the least likely are dropped."""
        going = (~ends_K).nonzero().squeeze(1)
        # What is below `min_probability` has been dropped already.
        may_lose = self._may_lose(depth) - self.lost - float(found.lost_R.sum())
        keeps, cost = likeliest(found.reach_K[going], may_lose, self.max_rows)
        self.open += cost
        chosen_K = ends_K.clone()
        chosen_K[going] = keeps
        return chosen_K

    def _may_lose(self, depth: int) -> float:
        """Probability that may be lost up to this level."""
        return (1 - self.mass) * depth / self.sampling.max_completion_length

    def _check_finite(self, logits_RV: Tensor, depth: int) -> None:
        # -inf is a token that cannot be said; NaN would silently be one too.
        if bool(logits_RV.isnan().any()) or bool((logits_RV == math.inf).any()):
            raise EnumerationError(
                f"policy {self.policy.source!r} gave logits that are NaN or infinite after "
                f"{depth - 1} tokens of a completion. Its weights are damaged: load them anew, or "
                "go back to a checkpoint."
            )

    def _result(self, seconds: float) -> Enumeration:
        leaf_C = np.concatenate(self.leaves)
        logp_C = np.concatenate(self.leaf_logps)
        order = np.argsort(-logp_C, kind="stable")
        leaf_C = leaf_C[order]
        logp_C = logp_C[order]
        tree = self.tree.grown(leaf_C)
        ids_CT, mask_CT, token_logp_CT = _tokens(tree, leaf_C, self.policy.pad_token_id)
        return Enumeration(
            prompt_ids=self.prompt_ids,
            ids_CT=ids_CT,
            mask_CT=mask_CT,
            token_logp_CT=token_logp_CT,
            logp_C=logp_C,
            truncated_C=~np.isin(tree.token_M[leaf_C], self.policy.eos_token_ids),
            leaf_C=leaf_C,
            tree=tree,
            found_mass=math.fsum(np.exp(logp_C)),
            lost_mass=self.lost,
            open_mass=self.open,
            mass=self.mass,
            temperature=self.sampling.temperature,
            pad_token_id=self.policy.pad_token_id,
            forwards=self.forwards,
            seconds=seconds,
        )


def _tokens(
    tree: PrefixTree, leaf_C: np.ndarray, pad_token_id: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, mask and log-probabilities of the completions that end at these nodes, (C, T) each."""
    shape = (len(leaf_C), int(tree.depth_M[leaf_C].max(initial=0)))
    ids_CT = np.full(shape, pad_token_id, dtype=np.int64)
    mask_CT = np.zeros(shape, dtype=bool)
    token_logp_CT = np.zeros(shape)
    for row, leaf in enumerate(leaf_C):
        path = tree.path(int(leaf))
        ids_CT[row, : len(path)] = tree.token_M[path]
        mask_CT[row, : len(path)] = True
        token_logp_CT[row, : len(path)] = tree.logp_M[path]
    return ids_CT, mask_CT, token_logp_CT
