"""Estimators in the Gram matrix: against gradients of full length, and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracle_by_hand import scored_by_hand, tiny_policy

from workbench.config import GRPOConfig
from workbench.oracle import (
    GradientGram,
    OracleError,
    drawn_coefficients,
    estimator_quality,
    gradient_gram,
    gradient_of,
    policy_gradient,
    sample_space,
    token_logps,
)

GRPO = GRPOConfig(num_generations=4, beta=0.0, loss_type="grpo")
DR_GRPO = GRPOConfig(num_generations=4, beta=0.0, loss_type="dr_grpo", scale_rewards="none")


@pytest.fixture(scope="module")
def tiny():
    return tiny_policy()


@pytest.fixture(scope="module")
def scored(tiny):
    settings = dict(mass=0.4, min_probability=0.012, max_new_tokens=3)
    return [scored_by_hand(tiny, temperature=t, **settings) for t in (2.5, 1.5)]


@pytest.fixture(scope="module")
def gram(tiny, scored):
    return gradient_gram(tiny, scored, sample_space(scored))


@pytest.fixture(scope="module")
def token_gram(tiny, scored):
    refs = [token_logps(tiny_policy(seed=1), one.enumeration) for one in scored]
    return gradient_gram(tiny, scored, sample_space(scored, ref_logps=refs), per_token=True)


def test_the_truth_and_its_length_are_those_of_the_full_gradient(tiny, scored, gram, token_gram):
    full_D = sum(policy_gradient(tiny, one) for one in scored) / len(scored)
    for table in (gram, token_gram):
        truth_N = table.truth()
        assert table.inner(truth_N, truth_N) == pytest.approx(float(full_D @ full_D), rel=1e-9)


def test_a_batch_is_as_far_from_the_truth_as_its_full_gradient_is(tiny, scored, token_gram):
    config = replace(GRPO, beta=0.3)
    full_D = sum(policy_gradient(tiny, one) for one in scored) / len(scored)
    space = token_gram.space
    for rows_B, coefficient_BT in drawn_coefficients(space, config, batches=2, seed=0):
        batch_D = torch.zeros_like(full_D)
        for problem, one in enumerate(scored):
            first = int(np.argmax(space.problem_C == problem))
            width = one.enumeration.mask_CT.shape[1]
            weight_CT = np.zeros(one.enumeration.mask_CT.shape)
            own_B = space.problem_C[rows_B] == problem
            np.add.at(weight_CT, rows_B[own_B] - first, coefficient_BT[own_B, :width])
            batch_D += gradient_of(tiny, one.enumeration, weight_CT)
        estimate_N = token_gram.coordinates(rows_B, coefficient_BT)
        cosine = torch.nn.functional.cosine_similarity(batch_D, full_D, dim=0)
        found = token_gram.cosine(estimate_N, token_gram.truth())
        assert found == pytest.approx(float(cosine), abs=1e-9)


def test_dr_grpo_has_no_bias_and_grpo_has(gram):
    fair = estimator_quality(gram, DR_GRPO, batches=200)
    assert fair.exact_mean
    assert fair.cosine_of_mean == pytest.approx(1, abs=1e-9)
    assert fair.bias == pytest.approx(0, abs=1e-4)
    assert fair.length == pytest.approx(0.75 / DR_GRPO.max_completion_length, rel=1e-9)
    biased = estimator_quality(gram, GRPO, batches=200)
    assert biased.cosine_of_mean < 1 - 1e-6
    assert biased.degrees > 0
    assert biased.bias == pytest.approx(np.tan(np.radians(biased.degrees)), rel=1e-9)


def test_larger_groups_have_more_signal_and_fewer_dead_batches(gram):
    small, large = (
        estimator_quality(gram, replace(DR_GRPO, num_generations=size), batches=1500)
        for size in (2, 8)
    )
    # Of independent completions: the noise of a mean goes with the number of them. A group of two
    # shares one comparison, so that it has less than a quarter of eight's.
    assert 4 < large.signal_to_noise / small.signal_to_noise < 16
    assert large.batch_cosine > small.batch_cosine + 3 * small.batch_cosine_error
    assert large.dead_share < small.dead_share
    # Both completions of both groups are paid alike: by counting.
    space = gram.space
    alike = 1.0
    for problem in range(space.problems):
        own = space.of_problem(problem)
        shares = np.bincount(own.rewards_CK[:, 0].astype(int), own.weight_C)
        alike *= (shares**2).sum()
    assert small.dead_share == pytest.approx(alike, abs=4 * np.sqrt(alike / 1500))


def test_a_mean_of_batches_comes_to_the_exact_one(gram, token_gram):
    """Where groups can't be counted the mean is that of the batches, freed of their noise."""
    for config in (GRPO, DR_GRPO):
        exact = estimator_quality(gram, config, batches=50)
        # The same objective, told as a mean over the batch's tokens, which is not separable.
        drawn = estimator_quality(
            gram, replace(config, loss_type="dapo", scale_rewards="batch"), batches=1500
        )
        assert exact.exact_mean
        assert not drawn.exact_mean
        assert 0 < drawn.cosine_of_mean_error < 0.05
        assert drawn.cosine_of_mean <= 1 + 4 * drawn.cosine_of_mean_error
    per_token = estimator_quality(token_gram, GRPO, batches=50)
    per_completion = estimator_quality(gram, GRPO, batches=50)
    assert per_token.batch_cosine == pytest.approx(per_completion.batch_cosine, abs=1e-9)
    assert per_token.cosine_of_mean == pytest.approx(per_completion.cosine_of_mean, abs=1e-9)


def test_what_needs_single_tokens_says_so(gram, scored):
    refs = [token_logps(tiny_policy(seed=1), one.enumeration) for one in scored]
    with_ref = GradientGram(
        sample_space(scored, ref_logps=refs), gram.gram_NN, gram.row_CT, gram.per_token
    )
    with pytest.raises(OracleError, match="per_token=True"):
        estimator_quality(with_ref, replace(GRPO, beta=0.3), batches=2)


def test_it_is_kept_in_a_file_and_read_again(tmp_path, token_gram, gram):
    for table in (token_gram, gram):
        table.save(tmp_path / "gram.npz")
        again = GradientGram.load(tmp_path / "gram.npz")
        assert again.per_token == table.per_token
        assert (again.space.ref_logp_CT is None) == (table.space.ref_logp_CT is None)
        np.testing.assert_allclose(again.gram_NN, table.gram_NN, rtol=1e-6, atol=1e-6)
        before, after = (estimator_quality(t, GRPO, batches=30) for t in (table, again))
        assert after.batch_cosine == pytest.approx(before.batch_cosine, abs=1e-5)
        assert after.cosine_of_mean == pytest.approx(before.cosine_of_mean, abs=1e-5)
    np.savez(tmp_path / "other.npz", gram_NN=gram.gram_NN)
    with pytest.raises(OracleError, match="holds no 'logp_CT'"):
        GradientGram.load(tmp_path / "other.npz")


def test_a_problem_that_pays_all_answers_alike_has_no_truth_to_be_near_to(tiny):
    """As one that the policy always gets right: the gradient of its expected reward is 0, and no
    rounding of the mean is taken for a direction."""
    one = scored_by_hand(tiny, mass=0.4, min_probability=0.012, max_new_tokens=3, temperature=2.5)
    paid = replace(one, rewards_CK=np.full_like(one.rewards_CK, 0.1))
    table = gradient_gram(tiny, [paid], sample_space([paid]))
    assert not table.truth().any()
    for config in (GRPO, replace(GRPO, scale_rewards="batch")):
        found = estimator_quality(table, config, batches=30)
        assert found.dead_share == 1
        assert np.isnan([found.length, found.batch_cosine, found.cosine_of_mean, found.bias]).all()
        assert np.isnan(found.degrees)


def test_few_batches_say_no_more_than_they_know(gram):
    drawn = replace(GRPO, scale_rewards="batch")
    for config in (GRPO, drawn):
        with pytest.raises(OracleError, match="batches=1"):
            estimator_quality(gram, config, batches=1)
    assert np.isnan(estimator_quality(gram, drawn, batches=2).cosine_of_mean_error)


def test_another_file_or_other_problems_are_refused(tmp_path, tiny, scored, gram):
    gram.save(tmp_path / "gram")
    assert GradientGram.load(tmp_path / "gram").row_CT.shape == gram.row_CT.shape
    (tmp_path / "text.npz").write_text("a text")
    np.save(tmp_path / "array.npy", np.zeros(3))
    half = (tmp_path / "gram").read_bytes()
    (tmp_path / "half.npz").write_bytes(half[: len(half) // 2])
    for name in ("text.npz", "array.npy", "half.npz", "nothing.npz"):
        with pytest.raises(OracleError, match=name):
            GradientGram.load(tmp_path / name)
    with pytest.raises(OracleError, match="make it of the same problems"):
        gradient_gram(tiny, scored[:1], sample_space(scored))


def test_more_gradients_than_memory_allows_are_refused(tiny, scored):
    with pytest.raises(OracleError, match=r"allowed are 0\.0 GB"):
        gradient_gram(tiny, scored, sample_space(scored), max_bytes=1000)
