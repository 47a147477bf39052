"""Estimators against the truth: worlds of softmaxes, whose gradients are known by heart, and
batches that can be listed."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from made_oracle import expected_reward_of, four, softmax_world

from workbench.objective import group_advantages
from workbench.widgets.base.background import Background
from workbench.widgets.oracle import (
    ClipTurns,
    EstimatorPage,
    Setting,
    expected,
    load_worlds,
    quality,
    save_worlds,
)
from workbench.widgets.oracle.batches import draw, gradients
from workbench.widgets.oracle.clip_turns import figures_of
from workbench.widgets.oracle.estimates import judged
from workbench.widgets.oracle.estimator_words import quality_table, quality_words
from workbench.widgets.oracle.settings import LOSS_TYPES, RECIPES, config_of
from workbench.widgets.oracle.turning import ADAM, CLIPS, Row, stale_rows
from workbench.widgets.oracle.world import NO_EDGE, World

UNBIASED = Setting("dr_grpo", scale_rewards="none", advantage_baseline="leave_one_out")


def test_the_truth_is_the_slope_of_the_expected_reward() -> None:
    world = softmax_world()
    logit_E = world.logp_SE[0]  # logits of their own softmax
    slope = [
        (
            expected_reward_of(world, logit_E + 1e-6 * unit)
            - expected_reward_of(world, logit_E - 1e-6 * unit)
        )
        / 2e-6
        for unit in np.eye(len(logit_E))
    ]
    np.testing.assert_allclose(world.true_gradient(), slope, atol=1e-7)
    whole = sum(world.true_gradient(n) for n in range(3)) / 3
    np.testing.assert_allclose(whole, world.true_gradient(), atol=1e-12)
    np.testing.assert_allclose(np.bincount(world.prompt_C, world.probability()), 1)


def listed_mean(world: World, setting: Setting) -> np.ndarray:
    """The expected gradient of one prompt's group of two, by listing all sixteen groups."""
    config = config_of(setting)
    p_C = world.probability()
    total = np.zeros(world.factor_ER.shape[1])
    for group in product(range(4), repeat=2):
        reward_B = torch.tensor(world.reward_C[list(group)])
        advantage_B = group_advantages(reward_B, config).advantage_B.numpy()
        for c, advantage in zip(group, advantage_B, strict=True):
            length = {"grpo": world.length_C[c], "dr_grpo": 1}[setting.loss_type]
            weight = p_C[group[0]] * p_C[group[1]] * advantage / length
            total += weight * world.factor_ER[world.edge_CD[c]].sum(0)
    return total


@pytest.mark.parametrize(
    "setting", [Setting(num_generations=2), replace(UNBIASED, num_generations=2)]
)
def test_the_mean_of_many_batches_is_that_of_all_groups(setting: Setting) -> None:
    world = replace(softmax_world(seed=3, prompts=1), length_C=np.array([3, 30, 30, 3]))
    world = replace(world, reward_C=np.array([2.0, 1, 0, 1]))
    exact = listed_mean(world, setting)
    truth = world.true_gradient()
    cosine = exact @ truth / np.linalg.norm(exact) / np.linalg.norm(truth)
    found = quality(world, setting, batches=1500)
    assert found.cosine_of_mean == pytest.approx(cosine, abs=4 * found.cosine_of_mean_error + 2e-3)
    if setting.loss_type == "dr_grpo":
        assert cosine == pytest.approx(1)
    else:
        assert cosine < 0.995, "a case in which the bias shows"


def test_groups_are_drawn_by_their_probability() -> None:
    world = softmax_world(prompts=2)
    uniform = np.random.default_rng(0).random((5000, 2, 4))
    drawn = draw(world, 1, uniform)
    assert (world.prompt_C[drawn] == np.array([0, 1])[None, :, None]).all()
    share_C = np.bincount(drawn.reshape(-1), minlength=8) / (5000 * 4)
    error_C = np.sqrt(share_C / (5000 * 4))
    assert (np.abs(share_C - world.probability(1)) < 4 * error_C).all()


def test_one_and_the_same_gradient_has_no_noise_and_opposite_ones_no_signal() -> None:
    truth = np.array([1.0, 0.0])
    alike = judged(np.array([[0.6, 0.8]] * 20), truth)
    assert alike.cosine_of_mean == pytest.approx(0.6)
    assert alike.bias_degrees == pytest.approx(53.13, abs=0.01)
    assert alike.cosine_of_batch == pytest.approx(0.6)
    assert alike.signal_to_noise > 1e9
    opposite = judged(np.array([[1.0, 0.0], [-1.0, 0.0]] * 10), truth)
    assert opposite.signal_to_noise == 0
    assert np.isnan(opposite.cosine_of_mean)
    # A batch without a gradient has no direction.
    some = judged(np.array([[1.0, 0.0], [0.0, 0.0]] * 10), truth)
    assert (some.cosine_of_batch, some.cosine_of_mean) == (1, 1)
    assert some.signal_to_noise == pytest.approx(1, rel=0.2)


def test_no_signal_and_no_truth_are_no_angle_of_zero() -> None:
    """Gradients that cancel, and a problem of which all answers are paid alike."""
    gradient_MR = np.array([[1.0, 0.0], [-1.0, 0.0]] * 5)
    for found in (
        judged(gradient_MR, np.array([1.0, 1.0])),
        judged(np.abs(gradient_MR), np.zeros(2)),
    ):
        assert np.isnan(found.bias_degrees)
        assert "no signal" in quality_words(found)
        shown = quality_table([("GRPO", found)])
        assert "no signal" in shown
        assert "nan" not in shown
        assert "0.0°" not in shown


def test_the_noise_of_few_batches_does_not_bend_the_mean() -> None:
    """Without the correction the cosine of a noisy mean would fall with fewer batches."""
    random = np.random.default_rng(0)
    gradient = np.eye(50)[0] + random.normal(0, 1, (400, 50))
    plain = gradient.mean(0)[0] / np.linalg.norm(gradient.mean(0))
    assert plain < 0.95
    assert judged(gradient, np.eye(50)[0]).cosine_of_mean == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("loss", LOSS_TYPES)
def test_every_loss_and_knob_has_figures(loss: str) -> None:
    world = softmax_world()
    fresh = quality(world, Setting(loss), batches=40)
    assert -1 <= fresh.cosine_of_batch <= fresh.cosine_of_mean + 0.2
    assert fresh.clipped == 0, "on fresh samples nothing can be clipped"
    old = quality(world, Setting(loss, stale=2, updates=2, epsilon=0.05, beta=0.1), batches=40)
    assert old.cosine_of_mean != fresh.cosine_of_mean
    assert (old.clipped > 0) is (loss not in ("cispo", "sapo", "reinforce"))


def test_a_larger_group_is_a_better_estimate() -> None:
    world = softmax_world()
    found = [quality(world, replace(UNBIASED, num_generations=g)) for g in (2, 8, 32)]
    assert [q.signal_to_noise for q in found] == sorted(q.signal_to_noise for q in found)
    assert found[0].dead > found[-1].dead
    with pytest.raises(ValueError, match="a sampler 5 steps old; this world knows 3"):
        quality(world, Setting(stale=4, updates=2))


def test_the_groups_own_mean_shortens_the_gradient_by_one_in_g() -> None:
    """Reported of a trainer: centring by the group's mean makes the gradient (G - 1) / G as long as
    leaving oneself out does. Batch by batch, and no angle changes."""
    world = softmax_world()
    for g in (2, 8):
        uniform = np.random.default_rng(1).random((20, 3, g))
        grouped, alone = (
            gradients(
                world,
                config_of(replace(UNBIASED, num_generations=g, advantage_baseline=b)),
                0,
                uniform,
            )
            for b in ("group", "leave_one_out")
        )
        np.testing.assert_allclose(
            grouped.gradient_MR, alone.gradient_MR * (g - 1) / g, rtol=1e-6, atol=1e-12
        )


# ---------------------------------------------------------------- clipping


def one_choice(chance: float, old: float) -> World:
    """One prompt, two completions of one token, of which the first is right."""
    logp_SE = np.log([[chance, 1 - chance], [old, 1 - old]])
    return World(
        name="choice",
        about="",
        questions=("?",),
        mass_N=np.ones(1),
        fidelity_N=np.ones(1),
        prompt_C=np.zeros(2, int),
        reward_C=np.array([1.0, 0.0]),
        length_C=np.array([1, 1]),
        edge_CD=np.array([[0], [1]]),
        logp_SE=logp_SE,
        ref_logp_E=logp_SE[1],
        factor_ER=np.array([[1 - chance, chance - 1], [-chance, chance]], np.float32),
    )


def test_a_clip_silences_a_choice_that_has_moved() -> None:
    """From .5 to .75: ratios 1.5 and .5, both beyond .2 and both the way that their advantages
    want."""
    world = one_choice(0.75, 0.5)
    free = expected(world, Setting("dr_grpo", stale=1, clip=False))
    assert (free.cosine, free.clipped) == (pytest.approx(1), 0)
    assert free.kl == pytest.approx(0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25))
    cut = expected(world, Setting("dr_grpo", stale=1, epsilon=0.2))
    assert np.isnan(cut.cosine)
    assert cut.clipped == 1
    # Moved the wrong way, a token keeps its gradient.
    wrong = expected(one_choice(0.25, 0.5), Setting("dr_grpo", stale=1, epsilon=0.2))
    assert (wrong.cosine, wrong.clipped) == (pytest.approx(1), 0)
    half = expected(world, Setting("dr_grpo", stale=1, epsilon=0.4, epsilon_high=0.6))
    assert (half.cosine, half.clipped) == (pytest.approx(1), pytest.approx(0.5))


def test_rows_count_what_was_turned_and_what_was_silenced() -> None:
    def row(question: str, clip: str, cosine: float | None) -> Row:
        return Row("p", ADAM, 2, 0, question, clip, cosine, 0.05, 0.1)

    rows = [
        row("", "clip .2", 0.5),  # all prompts together: not one of them
        row("one", "no clip", 1.0),
        row("one", "clip .2", -0.5),
        row("two", "no clip", 0.9),
        row("two", "clip .2", None),
        row("three", "no clip", None),  # nothing to learn: nothing to turn
        row("three", "clip .2", None),
    ]
    found = figures_of(rows)
    assert list(found) == ["no clip", "clip .2"]
    assert (found["clip .2"].turned, found["clip .2"].silenced) == (1, 1)
    assert found["clip .2"].cosines == (-0.5,)
    page = ClipTurns(rows)
    assert "clip .2: cosines from −0.50 to −0.50, 1 turned round, 1 silenced" in page.summary
    assert page.output.value.count("<polygon") == 3
    with pytest.raises(ValueError, match="no stored result"):
        ClipTurns([])


def test_rows_of_a_world() -> None:
    rows = stale_rows(softmax_world(), seed=5, steps=(1, 3))
    assert len(rows) == 2 * len(CLIPS) * 4
    assert {row.seed for row in rows} == {5}
    page = ClipTurns(rows)
    assert page.steps_menu.value == 3
    # A ratio corrects its own token, not how often its prefix is met: near 1, not 1.
    assert 0.9 < page.figures["no clip"].cosines[0] < 1
    assert page.figures["clip .2"].clipped > 0
    page.steps_menu.value = 1
    page.seed_menu.value = 5
    assert page.problem == ""


# ---------------------------------------------------------------- the page


def test_the_page_follows_its_controls() -> None:
    page = EstimatorPage(softmax_world())
    first = page.figures
    assert page.summary.startswith("The mean points ")
    assert "no clip can bite" in page.output.value
    assert page.output.value.count("<circle") > 100
    page.of["num_generations"].value = 32
    assert page.figures.signal_to_noise > first.signal_to_noise
    page.set(loss_type="cispo", epsilon_high=0.5, stale=2)
    assert page.setting == Setting("cispo", 32, epsilon_high=1.5, stale=2), (
        "a cap is a ratio, not a distance from 1"
    )
    page.of["stale"].value = 5
    assert "this world knows 3" in page.problem
    page.of["stale"].value = 0
    assert page.problem == ""
    page.keep.click()
    assert len(page.kept) == 1
    assert page.output.value.count("<tr>") == 3
    page.clear.click()
    assert page.kept == []
    with pytest.raises(ValueError, match="'gamma' is no setting of this page"):
        page.set(gamma=1)


def test_the_recipes_are_compared_in_the_background() -> None:
    page = EstimatorPage(softmax_world())
    page.set(num_generations=4)
    page.keep.click()
    page.compare.button.click()
    assert page.compare.wait(60)
    assert [name.split(" (")[0] for name, _ in page.recipes] == list(RECIPES)
    assert all("G=4" in name for name, _ in page.recipes)
    assert len(page.kept) == 1, "what a person kept stays"
    assert all(name in page.output.value for name in ("RLOO", "Dr. GRPO"))
    assert not page.compare.running
    assert page.message.value == ""


def test_work_is_cancelled_and_its_errors_are_shown() -> None:
    page = EstimatorPage(softmax_world())
    seen = []

    def work(on_progress, should_stop):
        for i in range(1000):
            on_progress(i, 1000)
            seen.append(i)
            job.cancel()

    job = Background(page, "Go", "", work, lambda result: seen.append("done"))
    job.button.click()
    assert job.wait(10)
    assert seen == [0]
    assert "Cancelled." in job.words.value
    assert not job.button.disabled

    def broken(on_progress, should_stop):
        raise RuntimeError("<b>no</b>")

    job = Background(page, "Go", "", broken, seen.append)
    job.start()
    assert job.wait(10)
    assert "RuntimeError: &lt;b&gt;no&lt;/b&gt;" in page.message.value


def test_worlds_are_stored_and_give_the_same_figures(tmp_path) -> None:
    world = softmax_world()
    save_worlds(tmp_path / "w.npz", [world])
    (stored,) = load_worlds(tmp_path / "w.npz")
    before, after = quality(world, Setting()), quality(stored, Setting())
    assert after.cosine_of_mean == pytest.approx(before.cosine_of_mean, abs=1e-4)
    assert after.cosine_of_batch == pytest.approx(before.cosine_of_batch, abs=1e-4)
    with pytest.raises(ValueError, match="do not fit each other"):
        replace(world, reward_C=np.zeros(3))


def test_a_world_of_a_real_policy_is_its_gradient() -> None:
    """The tree's exact gradient against that of all completions, and the stale sampler's
    probabilities against the weights that it came from."""
    from workbench import RewardSet, load_policy, load_task
    from workbench.oracle import estimator_quality, gradient_gram, oracle_of, sample_space
    from workbench.widgets.oracle import enumerated, make_world
    from workbench.widgets.oracle.run_trees import along_weights

    policy = load_policy("embedded", device="cpu")
    task = load_task("arithmetic", seed=0)
    own = {name: tensor.clone() for name, tensor in policy.trainable_state().items()}
    random = torch.Generator().manual_seed(0)
    other = {n: t + 2e-3 * torch.randn(t.shape, generator=random) for n, t in own.items()}
    problems = task.held_out[:2]
    world = make_world(policy, task, problems, name="start", about="", older=[other], mass=0.98)
    assert (world.fidelity_N > 0.99).all()
    assert (world.mass_N >= 0.98).all()
    np.testing.assert_allclose(np.bincount(world.prompt_C, world.probability(1)), 1)
    assert (world.edge_CD[:, 0] != NO_EDGE).all()
    # The core has all tokens of all completions, one Gram matrix and its own arithmetic.
    scored = [
        oracle_of(policy, task, p, RewardSet(["format", "answer"]), max_new_tokens=48, mass=0.98)
        for p in problems
    ]
    gram = gradient_gram(policy, scored, sample_space(scored))
    for wanted in (UNBIASED, Setting(), Setting("dapo")):
        setting = replace(wanted, num_generations=4)
        own_figures = quality(world, setting, batches=300)
        core = estimator_quality(gram, config_of(setting, prompts_per_step=2), batches=300)
        error = 4 * (own_figures.cosine_of_mean_error + core.cosine_of_mean_error) + 0.01
        assert own_figures.cosine_of_mean == pytest.approx(core.cosine_of_mean, abs=error)
        error = 4 * (own_figures.cosine_of_batch_error + core.batch_cosine_error)
        assert own_figures.cosine_of_batch == pytest.approx(core.batch_cosine, abs=error)
        assert own_figures.signal_to_noise == pytest.approx(core.signal_to_noise, rel=0.3)
    # The policy has its own weights again, and two moments differ.
    assert all(torch.equal(own[n], t) for n, t in policy.trainable_state().items())
    (tree,) = along_weights(policy, task, problems[:1], {"now": own, "other": other}, mass=0.98)
    now = enumerated(policy, task, problems[0], mass=0.98)
    with policy.own_weights_kept():
        policy.load_trainable_state(other)
        moved = enumerated(policy, task, problems[0], mass=0.98)
    assert tree.reward_S == pytest.approx([now.reward_S[0], moved.reward_S[0]])
    assert now.reward_S[0] != pytest.approx(moved.reward_S[0], abs=1e-6)


def test_four_is_what_its_docstring_says() -> None:
    assert four().probability_SC.sum(1).tolist() == pytest.approx([0.999, 1.0])
