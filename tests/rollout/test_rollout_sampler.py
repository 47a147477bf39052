"""The sampler against exact probabilities: what it draws, what it leaves out, what it records."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from workbench.rollout import sampler
from workbench.rollout.sampler import kept_tokens, next_tokens, pick_tokens
from workbench.rollout.types import Sampling

LARGEST_UNIFORM = 1 - 2.0**-53


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _logits(vocab: int, rows: int = 1, spread: float = 1.5, seed: int = 0) -> Tensor:
    return torch.randn(rows, vocab, generator=_generator(seed)) * spread


def _exact_probs(logits_V: Tensor, sampling: Sampling) -> Tensor:
    """The distribution by the textbook: sort, cut, renormalise, in float64."""
    probs_V = (logits_V.double() / sampling.temperature).softmax(0)
    order = probs_V.argsort(descending=True, stable=True)
    kept = order[: sampling.top_k or len(order)]
    ranked = probs_V[kept] / probs_V[kept].sum()
    size = next(
        (n for n in range(1, len(kept) + 1) if ranked[:n].sum() >= sampling.top_p), len(kept)
    )
    exact_V = torch.zeros_like(probs_V)
    exact_V[kept[:size]] = ranked[:size] / ranked[:size].sum()
    return exact_V


def _chi_square_p_value(counts_V: Tensor, exact_V: Tensor) -> float:
    """Upper tail of Pearson's chi-square; tokens expected fewer than 5 times are counted
    together."""
    expected_V = exact_V * counts_V.sum()
    rare_V = expected_V < 5
    observed = torch.cat([counts_V[~rare_V], counts_V[rare_V].sum()[None]]).double()
    expected = torch.cat([expected_V[~rare_V], expected_V[rare_V].sum()[None]])
    observed, expected = observed[expected > 0], expected[expected > 0]
    statistic = ((observed - expected) ** 2 / expected).sum()
    return float(
        torch.special.gammaincc(
            torch.tensor((len(expected) - 1) / 2.0, dtype=torch.float64), statistic / 2
        )
    )


SETTINGS = [
    Sampling(1),
    Sampling(1, temperature=0.5),
    Sampling(1, temperature=2.5),
    Sampling(1, top_k=7),
    Sampling(1, top_p=0.8),
    Sampling(1, temperature=1.7, top_k=40, top_p=0.6),
    Sampling(1, temperature=0.7, top_p=0.95),
    Sampling(1, top_k=10_000),
]


@pytest.mark.parametrize("vocab", [13, 256, 700])
@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
def test_draws_follow_the_exact_distribution(vocab: int, sampling: Sampling) -> None:
    """13 is less than one block, 256 exactly one, 700 two and a part."""
    logits_BV = _logits(vocab)
    exact_V = _exact_probs(logits_BV[0], sampling)
    generator = _generator(1)
    ids = torch.cat(
        [next_tokens(logits_BV.expand(500, -1), sampling, generator)[0] for _ in range(40)]
    )
    counts_V = ids.bincount(minlength=vocab)
    assert counts_V[exact_V == 0].sum() == 0
    assert _chi_square_p_value(counts_V, exact_V) > 1e-3


def test_the_chi_square_test_would_see_a_wrong_temperature() -> None:
    ids, _ = next_tokens(
        _logits(256).expand(20_000, -1), Sampling(1, temperature=1.05), _generator(1)
    )
    assert (
        _chi_square_p_value(ids.bincount(minlength=256), _exact_probs(_logits(256)[0], Sampling(1)))
        < 1e-3
    )


@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
def test_logp_is_the_full_softmax_at_the_temperature_in_float32(sampling: Sampling) -> None:
    logits_BV = _logits(700, rows=64)
    ids_B, logp_B = next_tokens(logits_BV, sampling, _generator())
    exact_B = (
        (logits_BV.double() / sampling.temperature)
        .log_softmax(-1)
        .gather(1, ids_B[:, None])
        .squeeze(1)
    )
    assert logp_B.dtype == torch.float32
    torch.testing.assert_close(logp_B.double(), exact_B, atol=1e-6, rtol=0)


def test_greedy_takes_the_largest_logit_and_records_it_at_temperature_1() -> None:
    logits_BV = _logits(700, rows=8)
    generator = _generator()
    before = generator.get_state()
    ids_B, logp_B = pick_tokens(
        logits_BV, Sampling(1, temperature=0.0), torch.rand(8, dtype=torch.float64)
    )
    torch.testing.assert_close(ids_B, logits_BV.argmax(-1))
    torch.testing.assert_close(logp_B, logits_BV.log_softmax(-1).max(-1).values, atol=1e-6, rtol=0)
    next_tokens(logits_BV, Sampling(1), generator)
    assert not torch.equal(before, generator.get_state())


@pytest.mark.parametrize("uniform", [0.0, 2.0**-53, 0.5, LARGEST_UNIFORM])
@pytest.mark.parametrize("allowed", [[0], [599], [255, 256], [3, 300, 511], [512]])
def test_a_token_of_probability_zero_is_never_drawn(uniform: float, allowed: list[int]) -> None:
    logits_BV = torch.full((1, 600), -torch.inf)
    logits_BV[0, allowed] = torch.linspace(-1, 1, len(allowed))
    ids_B, logp_B = pick_tokens(
        logits_BV, Sampling(1), torch.tensor([uniform], dtype=torch.float64)
    )
    assert ids_B.item() in allowed
    assert logp_B.isfinite().all()


def test_the_extreme_uniforms_give_the_first_and_last_possible_tokens() -> None:
    logits_BV = _logits(700, rows=50)
    logits_BV[:, [0, 1, 698, 699]] = -torch.inf
    for uniform, expected in ((0.0, 2), (LARGEST_UNIFORM, 697)):
        ids_B, _ = pick_tokens(
            logits_BV, Sampling(1), torch.full((50,), uniform, dtype=torch.float64)
        )
        assert ids_B.unique().tolist() == [expected]


def test_draws_come_from_the_generator_alone() -> None:
    logits_BV = _logits(300, rows=64)
    torch.manual_seed(1)
    first = next_tokens(logits_BV, Sampling(1), _generator(5))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = next_tokens(logits_BV, Sampling(1), _generator(5))
    assert torch.equal(first[0], second[0])
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first[0], next_tokens(logits_BV, Sampling(1), _generator(6))[0])


def test_a_row_does_not_depend_on_its_neighbours_nor_on_the_chunk_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits_BV, uniform_B = (
        _logits(700, rows=9),
        torch.rand(9, dtype=torch.float64, generator=_generator()),
    )
    for sampling in SETTINGS:
        whole = pick_tokens(logits_BV, sampling, uniform_B)
        monkeypatch.setattr(sampler, "_CHUNK", 1500)
        chunked = pick_tokens(logits_BV, sampling, uniform_B)
        monkeypatch.undo()
        alone = [
            pick_tokens(logits_BV[i : i + 1], sampling, uniform_B[i : i + 1])[0].item()
            for i in range(9)
        ]
        assert whole[0].tolist() == chunked[0].tolist() == alone
        torch.testing.assert_close(whole[1], chunked[1])


def test_bfloat16_logits_are_worked_on_in_float32() -> None:
    logits_BV = _logits(700, rows=16).bfloat16()
    ids_B, logp_B = next_tokens(logits_BV, Sampling(1, temperature=0.7), _generator())
    exact_B = (logits_BV.double() / 0.7).log_softmax(-1).gather(1, ids_B[:, None]).squeeze(1)
    torch.testing.assert_close(logp_B.double(), exact_B, atol=1e-5, rtol=0)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
@pytest.mark.parametrize("sampling", [*SETTINGS, Sampling(1, temperature=0.0)], ids=str)
def test_non_finite_logits_show_in_the_log_probability(broken: float, sampling: Sampling) -> None:
    logits_BV = _logits(300, rows=3)
    logits_BV[1, 7] = broken
    ids_B, logp_B = next_tokens(logits_BV, sampling, _generator())
    assert logp_B.isfinite().tolist() == [True, False, True]
    assert 0 <= ids_B.min() <= ids_B.max() < 300


weights = st.lists(st.integers(0, 6), min_size=1, max_size=40).filter(any)


@settings(deadline=None, max_examples=300)
@given(weights=weights, top_p=st.floats(0.01, 0.99))
def test_top_p_keeps_the_smallest_sufficient_set(weights: list[int], top_p: float) -> None:
    """Whole numbers, so that ties are common and the sums are exact."""
    weights_V = torch.tensor(weights, dtype=torch.float64)
    kept_V = kept_tokens(weights_V[None], 0, top_p)[0]
    size, needed = int(kept_V.sum()), top_p * weights_V.sum()
    assert size >= 1
    assert weights_V[kept_V].sum() >= needed
    assert weights_V.sort(descending=True).values[: size - 1].sum() < needed, (
        "a smaller set would have been enough"
    )
    assert kept_V.nonzero().flatten().tolist() == sorted(
        weights_V.argsort(descending=True, stable=True)[:size].tolist()
    )


@settings(deadline=None, max_examples=100)
@given(weights=weights, top_k=st.integers(1, 50))
def test_top_k_keeps_k_tokens_and_ties_go_by_token_id(weights: list[int], top_k: int) -> None:
    weights_V = torch.tensor(weights, dtype=torch.float64)
    kept_V = kept_tokens(weights_V[None], top_k, 1.0)[0]
    expected = sorted(weights_V.argsort(descending=True, stable=True)[:top_k].tolist())
    assert kept_V.nonzero().flatten().tolist() == expected


@pytest.mark.parametrize(
    ("top_k", "top_p"), list(itertools.product((0, 5, 300), (0.05, 0.5, 0.999, 1.0)))
)
def test_the_kept_set_is_that_of_transformers(top_k: int, top_p: float) -> None:
    """A wide nucleus too, which needs more than the first look at the largest tokens."""
    logits_BV = _logits(3000, rows=6, spread=0.5)
    scores_BV = TemperatureLogitsWarper(0.9)(None, logits_BV)
    if top_k:
        scores_BV = TopKLogitsWarper(top_k)(None, scores_BV)
    if top_p < 1:
        scores_BV = TopPLogitsWarper(top_p)(None, scores_BV)
    assert torch.equal(
        kept_tokens((logits_BV / 0.9).softmax(-1), top_k, top_p), scores_BV.isfinite()
    )
