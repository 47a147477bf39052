"""The enumeration against counting by hand, against sampling, and at its bounds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_by_hand import LONGEST, PROMPT, all_completions, plain_logp, tiny_policy

from workbench.oracle import EnumerationError, enumerate_completions
from workbench.rollout import RolloutCancelledError, Sampling, make_engine

TINY = tiny_policy()


@pytest.mark.parametrize(("temperature", "ends"), [(1.0, (1,)), (0.6, (1, 4)), (1.7, ())])
def test_everything_that_can_be_said_is_found_with_its_probability(temperature, ends):
    policy = tiny_policy(eos_token_ids=ends)
    found = enumerate_completions(
        policy, PROMPT, mass=1.0, temperature=temperature, max_new_tokens=LONGEST
    )
    expected = {
        ids: plain_logp(policy, ids, temperature) for ids in all_completions(eos_token_ids=ends)
    }
    assert sorted(map(tuple, found.completion_lists())) == sorted(expected)
    for row, ids in enumerate(map(tuple, found.completion_lists())):
        logps = found.token_logp_CT[row, : len(ids)]
        np.testing.assert_allclose(logps, expected[ids], rtol=0, atol=1e-10)
        assert found.logp_C[row] == pytest.approx(sum(expected[ids]), abs=1e-10)
        assert found.truncated_C[row] == (ids[-1] not in ends)
        assert found.tree.prefix(found.leaf_C[row]) == list(ids)
    assert found.found_mass == pytest.approx(1, abs=1e-12)
    assert found.lost_mass == 0
    assert found.complete
    assert found.forwards == LONGEST
    assert (np.diff(found.logp_C) <= 0).all(), "the likeliest come first"


@settings(max_examples=25, deadline=None)
@given(
    mass=st.floats(0.3, 1.0),
    min_probability=st.one_of(st.none(), st.floats(0, 0.05)),
    temperature=st.floats(0.3, 3.0),
    max_rows=st.integers(1, 60),
    longest=st.integers(1, 5),
)
def test_what_is_found_and_what_is_lost_is_all(
    mass, min_probability, temperature, max_rows, longest
):
    found = enumerate_completions(
        TINY,
        PROMPT,
        mass=mass,
        min_probability=min_probability,
        temperature=temperature,
        max_rows=max_rows,
        max_new_tokens=longest,
    )
    assert found.found_mass + found.lost_mass == pytest.approx(1, abs=1e-12)
    assert 0 <= found.open_mass <= found.lost_mass + 1e-15
    assert found.complete == (found.lost_mass <= 1 - mass + 1e-12)
    # A prefix holds what its children hold and what was lost behind it; a completion's end, itself.
    tree = found.tree
    held_M = tree.lost_M.copy()
    np.add.at(held_M, tree.parent_M[1:], tree.probability_M[1:])
    held_M[found.leaf_C] += found.p_C
    np.testing.assert_allclose(held_M, tree.probability_M, rtol=0, atol=1e-12)
    assert tree.lost_M.sum() == pytest.approx(found.lost_mass, abs=1e-12)
    # Each depth's prefixes in hand are bounded, those that end counted apart.
    going_M = tree.completion_M < 0
    assert np.bincount(tree.depth_M[going_M]).max() <= max_rows


def test_the_mass_that_is_asked_for_is_found_and_no_more_is_followed_than_it_needs(
    embedded, prompt_of
):
    sizes = []
    for mass in (0.9, 0.99, 0.999):
        found = enumerate_completions(embedded, prompt_of(0), mass=mass, max_new_tokens=48)
        assert found.complete
        assert found.open_mass == 0
        sizes.append(len(found.tree.parent_M))
    assert sizes == sorted(set(sizes))


def test_the_policys_samples_come_as_often_as_they_should(embedded, prompt_of):
    """600 samples of the engine: every completion's share within four standard errors, and all
    others together as often as the lost mass says."""
    prompt = prompt_of(1)
    found = enumerate_completions(embedded, prompt, temperature=1.2, max_new_tokens=48)
    engine = make_engine("native", embedded.model, embedded.eos_token_ids, embedded.pad_token_id)
    samples = 600
    rollout = engine.generate(
        [prompt], samples, Sampling(48, 1.2), torch.Generator().manual_seed(0)
    )
    counted = Counter(map(tuple, rollout.completion_lists()))
    drawn_C = np.array([counted[tuple(ids)] for ids in found.completion_lists()])
    share = np.append(drawn_C, samples - drawn_C.sum()) / samples
    expected = np.append(found.p_C, found.lost_mass)
    often = expected * samples >= 5
    error = np.sqrt(expected * (1 - expected) / samples)
    assert often.sum() >= 3
    assert (np.abs(share - expected)[often] < 4 * error[often]).all()
    # What the sampler says of a completion is what the enumeration says of it.
    place = {tuple(ids): row for row, ids in enumerate(found.completion_lists())}
    lists = list(map(tuple, rollout.completion_lists()))
    row = next(row for row, ids in enumerate(lists) if ids in place)
    own = rollout.sampler_logp_BT[row, : len(lists[row])].double().numpy()
    np.testing.assert_allclose(
        own, found.token_logp_CT[place[lists[row]], : len(own)], rtol=0, atol=2e-5
    )


def test_rows_of_a_rollout_are_those_completions(embedded, prompt_of):
    from workbench.policy.logprobs import completion_logps

    found = enumerate_completions(embedded, prompt_of(2), mass=0.99, max_new_tokens=48)
    rollout = found.rollout()
    assert rollout.completion_lists() == found.completion_lists()
    rows = torch.arange(len(found.logp_C))
    logp_RT, _ = completion_logps(embedded.model, rollout, rows, 1.0)
    np.testing.assert_allclose(logp_RT.detach().numpy(), found.token_logp_CT, rtol=0, atol=5e-5)


def test_too_few_rows_are_told():
    found = enumerate_completions(TINY, PROMPT, mass=1.0, max_rows=2, max_new_tokens=LONGEST)
    assert not found.complete
    assert found.open_mass == pytest.approx(found.lost_mass, abs=1e-15)
    assert found.open_mass > 0


def test_it_can_be_stopped_between_two_tokens():
    asked = []

    def stop_at_the_third():
        asked.append(None)
        return len(asked) == 3

    with pytest.raises(RolloutCancelledError):
        enumerate_completions(TINY, PROMPT, max_new_tokens=LONGEST, should_stop=stop_at_the_third)
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"mass": 1.5}, "mass=1.5"),
        ({"mass": 0.0}, "mass=0.0"),
        ({"min_probability": -1e-9}, "min_probability=-1e-09"),
        ({"temperature": 0.0}, "temperature=0.0: must be above 0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"max_rows": 0}, "max_rows=0"),
    ],
)
def test_settings_without_a_meaning_are_refused(wrong, words):
    with pytest.raises(EnumerationError, match=words):
        enumerate_completions(TINY, PROMPT, **{"max_new_tokens": 2} | wrong)


def test_a_policy_that_cannot_be_enumerated_is_refused():
    import transformers as hf

    from workbench.policy import Policy

    mamba = hf.MambaForCausalLM(
        hf.MambaConfig(vocab_size=7, hidden_size=8, num_hidden_layers=1, state_size=2)
    )
    with pytest.raises(EnumerationError, match="'odd' cannot be enumerated"):
        enumerate_completions(Policy(mamba, None, "odd", (1,), 0), PROMPT, max_new_tokens=2)
    damaged = tiny_policy()
    torch.nn.init.constant_(damaged.model.transformer.ln_f.weight, float("nan"))
    with pytest.raises(EnumerationError, match="NaN or infinite after 0 tokens"):
        enumerate_completions(damaged, PROMPT, max_new_tokens=2)
    with pytest.raises(ValueError, match="holds token id 9"):
        enumerate_completions(TINY, [9], max_new_tokens=2)


def test_a_word_that_can_never_be_said_is_not_followed():
    policy = tiny_policy()
    hidden = policy.model.lm_head.forward

    def without_word_two(states):
        logits = hidden(states)
        logits[..., 2] = float("-inf")
        return logits

    policy.model.lm_head.forward = without_word_two
    found = enumerate_completions(policy, PROMPT, mass=1.0, max_new_tokens=LONGEST)
    assert not (found.ids_CT[found.mask_CT] == 2).any()
    assert found.found_mass == pytest.approx(1, abs=1e-12)
