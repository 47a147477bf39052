"""Exact gradients against finite differences and enumeration; coefficients against groups written
out by hand and against the loop's own loss."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracle_by_hand import reward_by_hand, scored_by_hand, tiny_policy

from workbench.config import ConfigWarning, GRPOConfig
from workbench.objective import group_advantages, policy_loss
from workbench.oracle import (
    OracleError,
    completion_gradients,
    drawn_coefficients,
    enumerate_completions,
    expected_coefficients,
    gradient_of,
    gram_matrix,
    policy_gradient,
    sample_space,
    token_gradients,
    token_logps,
)
from workbench.oracle.coefficients import coefficients_of, has_expectation
from workbench.rollout import Sampling, make_engine


def unwarned(**settings) -> GRPOConfig:
    """A config that one is rightly warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        return GRPOConfig(**settings)


@pytest.fixture(scope="module")
def tiny():
    return tiny_policy()


@pytest.fixture(scope="module")
def scored(tiny):
    return scored_by_hand(tiny)


@pytest.fixture(scope="module")
def few(tiny):
    """The likeliest completions alone: few enough for every group of three to be written out."""
    return scored_by_hand(tiny, mass=0.35, min_probability=0.02, temperature=2.5, max_new_tokens=3)


def weights(policy) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in policy.trainable_parameters()])


@torch.no_grad()
def moved(policy, direction_D, by: float):
    """The same policy a little further in a direction."""
    other = tiny_policy()
    torch.nn.utils.vector_to_parameters(
        weights(policy) + by * direction_D, other.trainable_parameters()
    )
    return other


def test_the_policy_gradient_is_the_slope_of_the_expected_reward(tiny, scored):
    gradient_D = policy_gradient(tiny, scored)
    assert gradient_D.norm() > 0.01
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        direction_D = torch.randn(gradient_D.shape, generator=generator, dtype=torch.float64)
        ahead = scored_by_hand(moved(tiny, direction_D, 1e-5)).expected_reward
        behind = scored_by_hand(moved(tiny, direction_D, -1e-5)).expected_reward
        slope = float(gradient_D @ direction_D)
        assert (ahead - behind) / 2e-5 == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("prompt", [[3], [2, 4], [4, 4, 0], [0, 3, 2, 2], [1, 2]])
def test_the_mean_of_sampled_gradients_comes_to_the_exact_one(prompt, tiny):
    """20,000 samples of the engine: the error of their mean, as a whole and along the exact
    gradient, against what their spread says. (benchmarks/oracle.py does it on the embedded
    policy.)"""
    enumeration = enumerate_completions(tiny, prompt, mass=1.0, max_new_tokens=3)
    reward_C = np.array([reward_by_hand(ids) for ids in enumeration.completion_lists()])
    exact_C = enumeration.p_C * (reward_C - enumeration.p_C @ reward_C)
    exact_D = gradient_of(tiny, enumeration, exact_C[:, None] * enumeration.mask_CT)

    samples = 20_000
    engine = make_engine("native", tiny.model, tiny.eos_token_ids, tiny.pad_token_id)
    rollout = engine.generate([prompt], samples, Sampling(3), torch.Generator().manual_seed(0))
    counted = Counter(map(tuple, rollout.completion_lists()))
    drawn_C = np.array([counted[tuple(ids)] for ids in enumeration.completion_lists()]) / samples
    assert drawn_C.sum() == pytest.approx(1)
    # Each completion's gradient once; one that was drawn n times counts n times.
    pushed_CD = completion_gradients(tiny, enumeration)
    pushed_CD = pushed_CD * torch.from_numpy(reward_C - enumeration.p_C @ reward_C)[:, None]
    share_C = torch.from_numpy(drawn_C)
    mean_D = share_C @ pushed_CD
    variance = share_C @ pushed_CD.pow(2).sum(1) - mean_D @ mean_D
    assert (mean_D - exact_D).norm() < 3 * (variance / samples).sqrt()
    along_C = pushed_CD @ (exact_D / exact_D.norm())
    along = share_C @ along_C
    error = ((share_C @ along_C**2 - along**2) / samples).sqrt()
    assert abs(along - exact_D.norm()) < 3 * error


def test_gradients_of_completions_and_of_tokens_add_up(tiny, scored, few):
    of_completion_CD = completion_gradients(tiny, few.enumeration)
    of_token_ND, row_CT = token_gradients(tiny, few.enumeration)
    assert (row_CT >= 0).tolist() == few.enumeration.mask_CT.tolist()
    assert len(of_token_ND) == row_CT.max() + 1
    assert len(of_token_ND) < few.enumeration.mask_CT.sum(), "what is shared is held once"
    for row, row_T in enumerate(row_CT):
        sum_D = of_token_ND[row_T[row_T >= 0]].sum(0)
        torch.testing.assert_close(sum_D, of_completion_CD[row], rtol=0, atol=1e-10)
    # Any weighted sum of them is one backward pass.
    generator = np.random.default_rng(0)
    coefficient_CT = generator.normal(size=row_CT.shape) * few.enumeration.mask_CT
    expected_D = torch.zeros_like(of_token_ND[0])
    for row, token in zip(*np.nonzero(few.enumeration.mask_CT), strict=True):
        expected_D += coefficient_CT[row, token] * of_token_ND[row_CT[row, token]]
    found_D = gradient_of(tiny, few.enumeration, coefficient_CT)
    torch.testing.assert_close(found_D, expected_D, rtol=0, atol=1e-10)
    gram_NN = gram_matrix(of_token_ND)
    np.testing.assert_allclose(gram_NN, (of_token_ND @ of_token_ND.T).numpy(), atol=1e-12)
    # Over all completions p grad log pi is 0; over those that were found it is not, so that J must
    # be subtracted.
    everything = scored.enumeration
    weighted_CT = everything.p_C[:, None] * everything.mask_CT
    assert gradient_of(tiny, everything, weighted_CT).norm() < 1e-10
    assert (of_completion_CD.T @ torch.from_numpy(few.enumeration.p_C)).norm() > 1e-3


RULES = {
    "grpo": GRPOConfig(num_generations=3, beta=0.0, loss_type="grpo"),
    "dr_grpo": GRPOConfig(num_generations=3, beta=0.0, loss_type="dr_grpo", scale_rewards="none"),
    "dapo": GRPOConfig(num_generations=3, beta=0.0, loss_type="dapo"),
    "batch std": GRPOConfig(num_generations=3, beta=0.0, loss_type="dapo", scale_rewards="batch"),
    "leave one out": GRPOConfig(
        num_generations=3, beta=0.0, loss_type="grpo", advantage_baseline="leave_one_out"
    ),
    "no baseline": unwarned(
        num_generations=3,
        beta=0.0,
        loss_type="luspo",
        importance_sampling_level="sequence",
        epsilon=3e-4,
        epsilon_high=4e-4,
        advantage_baseline="none",
        scale_rewards="none",
    ),
    "cispo, stale": GRPOConfig(num_generations=3, beta=0.0, loss_type="cispo", epsilon_high=1.1),
    "clipped, stale": GRPOConfig(num_generations=3, beta=0.0, loss_type="grpo", epsilon=0.05),
    "kl": GRPOConfig(num_generations=3, beta=0.2, loss_type="bnpo"),
    "cut ones left out": GRPOConfig(
        num_generations=3, beta=0.0, loss_type="dapo", mask_truncated_completions=True
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_expected_coefficients_are_the_mean_over_every_group(name, few):
    """Every ordered group of three, each with its probability, through the loop's own functions."""
    config = RULES[name]
    logps = None
    if name.endswith("stale"):
        logps = [token_logps(tiny_policy(seed=2), few.enumeration)]
        # Between the two policies, so that ratios lie on both sides of the bounds.
        logps = [0.8 * few.enumeration.token_logp_CT + 0.2 * logps[0]]
    refs = [token_logps(tiny_policy(seed=1), few.enumeration)]
    space = sample_space([few], logps=logps, old_logps=None, ref_logps=refs)
    count = len(space.weight_C)
    assert 4 <= count <= 9
    expected_CT = np.zeros(space.mask_CT.shape)
    mask_CT = space.mask_CT & ~(space.truncated_C[:, None] & config.mask_truncated_completions)
    clipped = 0
    for group in itertools.product(range(count), repeat=3):
        rows = list(group)
        logp_GT = torch.from_numpy(space.logp_CT[rows]).requires_grad_()
        rewards_G = torch.from_numpy(space.rewards_CK[rows])
        found = policy_loss(
            logp_GT,
            group_advantages(rewards_G, config).advantage_B,
            torch.from_numpy(mask_CT[rows]),
            config,
            old_logp=torch.from_numpy(space.old_logp_CT[rows]),
            ref_logp=torch.from_numpy(space.ref_logp_CT[rows]),
        )
        clipped += int((found.per_token.clipped_low | found.per_token.clipped_high).sum())
        (gradient_GT,) = torch.autograd.grad(found.loss, logp_GT)
        probability = space.weight_C[rows].prod()
        np.add.at(expected_CT, rows, -probability * gradient_GT.numpy())
    assert (clipped > 0) == name.endswith("stale")
    np.testing.assert_allclose(
        expected_coefficients(space, config), expected_CT, rtol=0, atol=1e-12
    )


def test_without_std_and_length_the_expected_gradient_is_the_true_one(few):
    """Dr. GRPO: (1 - 1/G) / max_completion_length of the truth, whatever the group's size."""
    for size in (2, 5):
        config = replace(RULES["dr_grpo"], num_generations=size)
        space = sample_space([few])
        found_CT = expected_coefficients(space, config)
        true_CT = space.true_coefficient_C()[:, None] * space.mask_CT
        factor = (1 - 1 / size) / config.max_completion_length
        np.testing.assert_allclose(found_CT, factor * true_CT, rtol=0, atol=1e-14)


def test_drawn_batches_are_what_the_loop_would_compute(few, tiny):
    """Each batch's coefficients are those of its own loss, statistics of the batch included; their
    mean is the expected one."""
    other = scored_by_hand(tiny, mass=0.3, temperature=1.3)
    space = sample_space([few, other, few])
    for config in (RULES["dapo"], RULES["batch std"], RULES["grpo"], RULES["dr_grpo"]):
        batches = drawn_coefficients(space, config, batches=4, seed=1, prompts_per_step=2)
        for rows_B, coefficient_BT in batches:
            assert len(rows_B) == 6
            groups = space.problem_C[rows_B].reshape(2, 3)
            assert (groups == groups[:, :1]).all()
            assert groups[0, 0] != groups[1, 0]
            logp_BT = torch.from_numpy(space.logp_CT[rows_B]).requires_grad_()
            advantages = group_advantages(torch.from_numpy(space.rewards_CK[rows_B]), config)
            found = policy_loss(
                logp_BT,
                advantages.advantage_B,
                torch.from_numpy(space.mask_CT[rows_B]),
                config,
            )
            (gradient_BT,) = torch.autograd.grad(found.loss, logp_BT)
            np.testing.assert_allclose(coefficient_BT, -gradient_BT.numpy(), atol=1e-13)

    space = sample_space([few])
    drawn = list(drawn_coefficients(space, RULES["grpo"], batches=4000, seed=0))
    each_SC = np.zeros((len(drawn), len(space.weight_C)))
    for row, (rows_B, coefficient_BT) in enumerate(drawn):
        np.add.at(each_SC[row], rows_B, coefficient_BT[:, 0])
    error_C = each_SC.std(0) / np.sqrt(len(drawn))
    exact_C = expected_coefficients(space, RULES["grpo"])[:, 0]
    assert (np.abs(each_SC.mean(0) - exact_C) < 4 * error_C + 1e-12).all()


def test_a_loss_that_chooses_tokens_chooses_them_in_each_batch(few, tiny):
    """Batches that are computed together must not share the tokens of the highest covariance."""
    logps = [token_logps(tiny_policy(seed=2), few.enumeration)]
    space = sample_space([few, few], logps=logps * 2)
    for loss_type, ratio in (("kl_cov", 0.2), ("clip_cov", 0.5)):
        config = unwarned(
            num_generations=3,
            beta=0.0,
            loss_type=loss_type,
            kl_cov_ratio=ratio,
            clip_cov_ratio=ratio,
            clip_cov_min=0.05,
        )
        assert not has_expectation(space, config)
        assert not has_expectation(space.of_problem(0), config)
        rows_SNG = np.random.default_rng(0).integers(0, len(few.texts), (5, 2, 3))
        rows_SNG[:, 1] += len(few.texts)
        together = coefficients_of(space, config, rows_SNG)
        alone = [coefficients_of(space, config, rows_NG[None])[0] for rows_NG in rows_SNG]
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-14)


def test_the_truth_follows_the_weights_of_now(few, scored):
    """Where the samples are stale the truth is that of the policy that is trained."""
    logp_CT = token_logps(tiny_policy(seed=2), scored.enumeration)
    space = sample_space([scored], logps=[logp_CT])
    here = scored_by_hand(tiny_policy(seed=2))
    expected = {
        tuple(ids): p * (reward_by_hand(ids) - here.expected_reward)
        for ids, p in zip(here.enumeration.completion_lists(), here.enumeration.p_C, strict=True)
    }
    lists = scored.enumeration.completion_lists()
    np.testing.assert_allclose(
        space.true_coefficient_C(), [expected[tuple(ids)] for ids in lists], rtol=0, atol=1e-9
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"top_entropy_quantile": 0.5}, "top_entropy_quantile=0.5"),
        ({"beta": 0.1}, "beta=0.1 needs the reference"),
        ({"num_generations": 400}, "399 other completions"),
        # The choice is among the tokens of the whole update, so that no kinds can be counted.
        ({"loss_type": "kl_cov"}, "loss_type='kl_cov' chooses tokens"),
        ({"loss_type": "clip_cov"}, "loss_type='clip_cov' chooses tokens"),
    ],
)
def test_what_cannot_be_known_exactly_is_refused(wrong, words, few):
    space = sample_space([few])
    with pytest.raises(OracleError, match=words):
        expected_coefficients(space, replace(RULES["grpo"], **wrong))


def test_other_wrong_uses_are_refused(few):
    space = sample_space([few, few])
    with pytest.raises(OracleError, match="got 2 problems"):
        expected_coefficients(space, RULES["grpo"])
    with pytest.raises(OracleError, match="prompts_per_step=3 of 2"):
        next(drawn_coefficients(space, RULES["grpo"], batches=1, prompts_per_step=3))
    with pytest.raises(OracleError, match="no problem"):
        sample_space([])
    with pytest.raises(OracleError, match="different reward functions"):
        sample_space([few, replace(few, weights=(2.0,))])


def test_a_group_that_is_dead_moves_nothing(few):
    space = sample_space([few])
    same = np.zeros((2, 1, 3), dtype=np.int64)
    assert not coefficients_of(space, RULES["grpo"], same).any()
