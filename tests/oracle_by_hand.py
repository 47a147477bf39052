"""A policy small enough to write out everything that it can say, and its completions by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
import transformers as hf

from workbench.oracle import ScoredCompletions, enumerate_completions
from workbench.policy import Policy
from workbench.tasks import Problem

WORDS = 5
END = (1,)
PROMPT = [3, 2, 4]
LONGEST = 4


def tiny_policy(seed: int = 0, eos_token_ids: tuple[int, ...] = END, **changes: Any) -> Policy:
    """A random GPT-2 in float64 with five words, of which one ends a completion. (The norm of a
    Llama would go through float32.)"""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = dict(
        vocab_size=WORDS,
        n_embd=8,
        n_layer=2,
        n_head=2,
        n_positions=32,
        initializer_range=0.5,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    model = hf.GPT2LMHeadModel(hf.GPT2Config(**sizes | changes)).double().eval()
    return Policy(model, None, "tiny", eos_token_ids, 0)


def all_completions(eos_token_ids: tuple[int, ...] = END) -> list[tuple[int, ...]]:
    """Every completion of at most `LONGEST` tokens, by counting."""
    found = []
    for length in range(1, LONGEST + 1):
        for ids in itertools.product(range(WORDS), repeat=length):
            ends_early = any(i in eos_token_ids for i in ids[:-1])
            if not ends_early and (ids[-1] in eos_token_ids or length == LONGEST):
                found.append(ids)
    return found


@torch.no_grad()
def plain_logp(policy: Policy, ids: tuple[int, ...], temperature: float = 1.0) -> list[float]:
    """Log-probability of each token of one completion of `PROMPT`: one forward, no cache, no
    batch."""
    whole = torch.tensor([PROMPT + list(ids)])
    logits_TV = policy.model(whole, use_cache=False).logits[0, len(PROMPT) - 1 : -1]
    logp_TV = (logits_TV / temperature).log_softmax(-1)
    return logp_TV.gather(1, torch.tensor(ids)[:, None]).squeeze(1).tolist()


def reward_by_hand(ids) -> float:
    """Something that depends on the whole completion."""
    return float(sum(ids) % 3)


def scored_by_hand(policy, **options) -> ScoredCompletions:
    enumeration = enumerate_completions(
        policy, PROMPT, **{"mass": 1.0, "max_new_tokens": LONGEST} | options
    )
    rewards_C1 = np.array([[reward_by_hand(ids)] for ids in enumeration.completion_lists()])
    return ScoredCompletions(
        enumeration=enumeration,
        problem=Problem("?", "2"),
        texts=("",) * len(rewards_C1),
        rewards_CK=rewards_C1,
        names=("by_hand",),
        weights=(1.0,),
        right_C=rewards_C1[:, 0] == 2,
    )
