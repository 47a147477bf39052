"""The teaching widgets: moved as a browser moves them, compared with numbers worked out by hand."""

from __future__ import annotations

import html
import math
import re
import subprocess
import sys

import numpy as np
import pytest

from workbench.widgets.controls.number_box import NumberBox
from workbench.widgets.teach import AdvantageLab, ClipLab, DrawFirst, KLLab, LengthLab
from workbench.widgets.teach.advantage_lab import WAYS
from workbench.widgets.teach.clip_lab import clip_curve
from workbench.widgets.teach.kl_lab import INVERTED

LABS = [AdvantageLab, ClipLab, KLLab, LengthLab]


def plain(markup: str) -> str:
    return re.sub(
        r"\s+",
        " ",
        html.unescape(
            re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", markup, flags=re.S))
        ),
    ).strip()


def cells(lab) -> list[list[str]]:
    """The rows of the tables as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", lab.output.value, flags=re.S)
    return [
        [plain(c) for c in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.S)]
        for row in rows
    ]


@pytest.mark.parametrize("lab_class", LABS)
def test_a_lab_shows_itself_with_words_for_a_saved_notebook(lab_class) -> None:
    lab = lab_class()
    bundle, _ = lab._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == lab.widget.model_id
    assert bundle["text/plain"] == f"{lab.heading}. {lab.summary}"
    assert len(lab.summary) > 40
    assert lab.problem == lab.message.value == ""
    assert html.escape(lab.summary) in lab.output.value
    assert ("image/svg+xml" in bundle) is (lab_class is ClipLab)


@pytest.mark.parametrize("lab_class", LABS)
def test_every_number_has_a_labelled_box(lab_class) -> None:
    lab = lab_class()
    boxes = [
        b
        for v in vars(lab).values()
        for b in (v if isinstance(v, list) else [v])
        if isinstance(b, NumberBox)
    ]
    assert all(b.box.description == b.slider.description != "" for b in boxes)
    for b in boxes:
        b.slider.value = b.slider.max
        assert b.value == b.slider.max
        assert not lab.message.value or lab.problem


# ------------------------------------------------------------ advantages


def test_the_seed_example_sample_and_population() -> None:
    lab = AdvantageLab([1, 1, 0, 0])
    sample, population = (
        lab.figures.advantages[f"scale_rewards=group, advantage_std={s}"]
        for s in ("sample", "population")
    )
    assert sample == pytest.approx(
        [0.5 / (math.sqrt(1 / 3) + 1e-4)] * 2 + [-0.5 / (math.sqrt(1 / 3) + 1e-4)] * 2
    )
    assert population == pytest.approx([0.5 / 0.5001] * 2 + [-0.5 / 0.5001] * 2)
    assert "+0.866, +0.866, -0.866, -0.866 (sample" in lab.summary
    assert "+1.000, +1.000, -1.000, -1.000 (population" in lab.summary
    assert "Mean 0.5000, std 0.5774 (sample, divides by G−1) or 0.5000" in lab.summary


def test_moved_rewards_are_shown_under_every_scaling() -> None:
    lab = AdvantageLab([0, 0, 0], other_groups=[1, 1, 1])
    for box, value in zip(lab.rewards, (-1.0, 2.0, -2.0), strict=True):
        box.slider.value = value
    f = lab.figures
    assert (f.mean, f.sample_std, f.population_std) == pytest.approx((-1 / 3, 2.0816660, 1.6996732))
    batch_std = np.std([-1, 2, -2, 1, 1, 1], ddof=1)
    expected = {
        "scale_rewards=group, advantage_std=sample": [-0.3203, 1.1209, -0.8006],
        "scale_rewards=group, advantage_std=population": [-0.3922, 1.3728, -0.9806],
        "scale_rewards=batch": [(r + 1 / 3) / (batch_std + 1e-4) for r in (-1, 2, -2)],
        "scale_rewards=none": [-2 / 3, 7 / 3, -5 / 3],
        "advantage_baseline=leave_one_out, scale_rewards=none": [-1 - 0, 2 + 1.5, -2 - 0.5],
        # The best of two is -1, 2 or 2: mean 1, std sqrt(2); with the 2 in it always 2.
        "advantage_estimator=pass_at_k, advantage_k=2": [-0.35355, 0.70711, -0.35355],
    }
    assert [*expected, "advantage_estimator=maxrl"] == [
        *(name for name in WAYS if "maxrl" not in name),
        "advantage_estimator=maxrl",
    ]
    assert f.advantages.keys() == expected.keys()
    for name, values in expected.items():
        assert f.advantages[name] == pytest.approx(values, abs=1e-4), name
    table = cells(lab)
    for i, reward in enumerate((-1.0, 2.0, -2.0)):
        assert table[i + 1] == [
            str(i + 1),
            f"{reward:g}",
            *(
                f"{f.advantages[name][i]:+.3f}"
                if name in expected
                else "needs rewards of 0 or more"
                for name in WAYS
            ),
        ]


def test_a_rare_success_weighs_most_under_maxrl() -> None:
    f = AdvantageLab([1, 0, 0, 0]).figures
    assert f.advantages["advantage_estimator=maxrl"] == [3, -1, -1, -1]
    assert AdvantageLab([1, 0]).figures.advantages.keys() == {
        name for name in WAYS if "pass_at_k" not in name
    }


def test_the_box_takes_what_the_slider_cannot() -> None:
    lab = AdvantageLab()
    lab.rewards[0].box.value = 17.25
    assert (lab.rewards[0].value, lab.rewards[0].slider.value) == (17.25, 2.0)
    assert lab.figures.mean == pytest.approx((17.25 + 1) / 4)


def test_a_dead_group_is_named() -> None:
    lab = AdvantageLab([1, 0])
    lab.rewards[1].box.value = 1.0
    assert lab.figures.dead
    assert "dead group" in lab.summary
    assert lab.figures.advantages["scale_rewards=group, advantage_std=sample"] == [0.0, 0.0]


def test_wrong_other_groups_are_refused_and_the_picture_stays() -> None:
    lab = AdvantageLab()
    before = lab.output.value
    lab.others.value = "1 0 1"
    assert "the other groups hold 3 rewards" in lab.problem
    assert "role='alert'" in lab.message.value
    lab.others.value = "1, zero"
    assert "'1, zero' must be numbers" in lab.problem
    assert lab.output.value == before
    lab.others.value = "0 0 0 4"
    assert (lab.problem, lab.message.value) == ("", "")
    assert lab.figures.advantages["scale_rewards=batch"][0] == pytest.approx(
        0.5 / (np.std([1, 1, 0, 0, 0, 0, 0, 4], ddof=1) + 1e-4)
    )
    lab.rewards[0].box.value = float("nan")
    assert "must be a finite number" in lab.problem


# ------------------------------------------------------------------ clip


@pytest.mark.parametrize(
    ("ratio", "positive", "negative"),
    [
        (1.0, (1.0, 1.0, 0), (-1.0, -1.0, 0)),
        (1.5, (1.3, 0.0, 1), (-1.5, -1.5, 0)),
        (0.5, (0.5, 0.5, 0), (-0.8, 0.0, -1)),
        (2.5, (1.3, 0.0, 1), (-2.0, 0.0, 0)),
    ],
)
def test_the_clip_at_one_ratio(ratio, positive, negative) -> None:
    """epsilon 0.2, epsilon_high 0.3, delta 2: min( min(r, delta) A, clip(r) A )."""
    lab = ClipLab(epsilon=0.2, epsilon_high=0.3, delta=2.0)
    lab.ratio.slider.value = ratio
    for name, (objective, gradient, clipped) in zip(
        ("A = +1", "A = −1"), (positive, negative), strict=True
    ):
        curve = lab.at_ratio[name]
        assert (curve.objective[0], curve.gradient[0], curve.clipped[0]) == (
            pytest.approx(objective),
            pytest.approx(gradient),
            clipped,
        )
        row = next(r for r in cells(lab) if r[0] == name)
        assert row[1:3] == [f"{objective:+.4f}", f"{gradient + 0.0:+.4f}"]
    assert ("capped by delta" in plain(lab.output.value)) is (ratio > 2)


def test_regions_without_gradient_are_marked_and_follow_the_sliders() -> None:
    lab = ClipLab()
    assert lab.summary == "No gradient with A = +1: above 1.20; with A = −1: below 0.80."
    lab.rows["epsilon"].slider.value = 0.5
    lab.rows["epsilon_high"].off.value = False  # begins at 0.28
    lab.rows["delta"].box.value = 1.8
    assert (
        lab.summary
        == "No gradient with A = +1: above 1.28; with A = −1: below 0.50 and above 1.80."
    )
    for figure, sign in zip(lab.charts, (1, -1), strict=True):
        moving, still = figure["data"][:2]
        x = moving["x"].astype(float)
        flat = x > 1.28 if sign > 0 else (x < 0.5) | (x > 1.8)
        clear = np.abs(x - 1.28) > 1e-3
        np.testing.assert_array_equal(np.isnan(moving["y"])[clear], flat[clear])
        np.testing.assert_array_equal(np.isnan(still["y"])[clear], ~flat[clear])
        assert still["line"]["dash"] == "dot"


def test_the_gradient_is_the_slope_of_the_curve() -> None:
    """d objective / d log-prob = r x slope over r, away from the corners."""
    ratios = np.linspace(0.3, 2.9, 2000)
    for advantage in (1.0, -1.0):
        curve = clip_curve(ratios, advantage, epsilon=0.2, epsilon_high=0.3, delta=2.0)
        slope = np.gradient(curve.objective, ratios) * ratios
        corner = np.minimum.reduce([abs(ratios - edge) for edge in (0.8, 1.3, 2.0)]) < 0.01
        np.testing.assert_allclose(slope[~corner], curve.gradient[~corner], atol=2e-3)


def test_a_delta_inside_the_clip_is_refused_with_the_configs_words() -> None:
    lab = ClipLab()
    before = lab.output.value
    lab.rows["delta"].box.value = 1.1
    assert lab.problem.startswith("delta=1.1 must be above 1 + epsilon_high = 1.2")
    assert lab.output.value == before
    lab.rows["delta"].off.value = True
    assert lab.problem == ""
    lab.ratio.box.value = 0.0
    assert "above 0" in lab.problem
    with pytest.raises(ValueError, match="'beta' is no knob"):
        ClipLab(beta=1)


# -------------------------------------------------------------------- KL


def test_the_known_example_of_the_inverted_k3() -> None:
    f = KLLab((0.7, 0.2, 0.1), (0.4, 0.4, 0.2)).figures
    assert f.exact == pytest.approx(
        0.7 * math.log(7 / 4) + 0.2 * math.log(1 / 2) + 0.1 * math.log(1 / 2)
    )
    assert [
        round(x, 4)
        for x in (f.exact, f.expectation["k3"], f.expectation["k1"], f.expectation[INVERTED])
    ] == [0.1838, 0.1838, 0.1838, 0.1912]
    assert f.reverse == pytest.approx(0.4 * math.log(4 / 7) + 0.6 * math.log(2))


def test_moved_weights_are_normalised_and_every_estimate_is_shown() -> None:
    lab = KLLab((1, 1), (1, 1))
    assert lab.summary.startswith("The two are equal")
    lab.policy[0].slider.value = 0.25
    lab.policy[1].slider.value = 0.75
    lab.reference[0].box.value = 0.5
    lab.reference[1].box.value = 0.5
    f = lab.figures
    d = [math.log(0.5 / 0.25), math.log(0.5 / 0.75)]
    expected = {
        "k1": [-x for x in d],
        "k2": [x * x / 2 for x in d],
        "k3": [math.exp(x) - x - 1 for x in d],
        INVERTED: [math.exp(-x) + x - 1 for x in d],
    }
    assert f.policy == pytest.approx([0.25, 0.75])
    for name, values in expected.items():
        assert f.per_token[name] == pytest.approx(values)
        assert f.expectation[name] == pytest.approx(0.25 * values[0] + 0.75 * values[1])
    table = cells(lab)
    assert table[0][-1] == "k3 inverted (a known bug)"
    assert table[1] == [
        "sampled a",
        "0.2500",
        "0.5000",
        *(f"{v[0]:.4f}" for v in expected.values()),
    ]
    assert table[3][3:] == [f"{f.expectation[n]:.4f}" for n in expected]
    assert table[4][3:] == [
        "+0.0000",
        f"{f.expectation['k2'] - f.exact:+.4f}",
        "+0.0000",
        f"{f.expectation[INVERTED] - f.exact:+.4f}",
    ]
    assert "well-known bug" in lab.summary


def test_a_probability_of_zero_is_refused() -> None:
    lab = KLLab()
    lab.reference[2].box.value = 0.0
    assert "must be above 0" in lab.problem
    with pytest.raises(ValueError, match="give both the same 2 to 4 tokens"):
        KLLab((1, 1, 1), (1, 1))


# --------------------------------------------------------------- lengths


def test_what_a_token_weighs() -> None:
    lab = LengthLab((2, 4, 4, 10), (1, -1, 0.5, 2))
    lab.longest.box.value = 16
    expected = {
        "grpo": [1 / 8, 1 / 16, 1 / 16, 1 / 40],
        "bnpo": [1 / 20] * 4,
        "dr_grpo": [1 / 64] * 4,
        "dapo": [1 / 20] * 4,
        # Two prompts, the first with 2 + 4 tokens, the second with 4 + 10.
        "prompt_mean": [1 / 12, 1 / 12, 1 / 28, 1 / 28],
        "luspo": [1 / 4] * 4,
    }
    assert list(lab.figures.weight) == list(expected)
    for name, weights in expected.items():
        assert lab.figures.weight[name] == pytest.approx(weights), name
        pushes = [
            w * n * a for w, n, a in zip(weights, (2, 4, 4, 10), (1, -1, 0.5, 2), strict=True)
        ]
        assert lab.figures.push[name] == pytest.approx(pushes), name
        rows = [r for r in cells(lab) if r[0] == name]
        assert rows[0][1:] == [f"{x:.4f}" for x in lab.figures.weight[name]]
        assert rows[1][1:] == [f"{x:+.4f}" for x in lab.figures.push[name]]
    assert "grpo 5, bnpo 1, dr_grpo 1, dapo 1, prompt_mean 2.33, luspo 1 times" in lab.summary


def test_two_updates_part_bnpo_from_dapo() -> None:
    lab = LengthLab((2, 4, 4, 10), (1, 1, 1, 1))
    lab.updates.value = 2
    assert lab.figures.weight["bnpo"] == pytest.approx([1 / 6, 1 / 6, 1 / 14, 1 / 14])
    assert lab.figures.weight["dapo"] == pytest.approx([1 / 10] * 4)
    assert lab.figures.weight["grpo"] == pytest.approx([1 / 4, 1 / 8, 1 / 8, 1 / 20])


def test_moved_lengths_and_advantages() -> None:
    lab = LengthLab()
    for box, value in zip(lab.lengths, (5, 5, 5, 5), strict=True):
        box.slider.value = value
    assert lab.summary.startswith("All completions are equally long")
    lab.advantages[0].slider.value = -1.5
    assert lab.figures.push["luspo"][0] == pytest.approx(-1.5 * 5 / 4)
    before = lab.output.value
    lab.longest.box.value = 4
    assert "length 5: must lie between 1 and max_completion_length=4" in lab.problem
    assert lab.output.value == before
    with pytest.raises(ValueError, match="an even number from 4 on"):
        LengthLab((1, 2, 3), (1, 1, 1))


# --------------------------------------------------------- what can fail


def test_without_torch_a_lab_says_so() -> None:
    code = """
import sys
sys.modules["torch"] = None
from workbench.widgets.teach import AdvantageLab, ClipLab, DrawFirst, KLLab, LengthLab
for lab in (AdvantageLab(), ClipLab(), KLLab(), LengthLab()):
    assert "needs torch" in lab.problem, (lab.problem, lab.message.value)
    assert "needs torch" in lab._repr_mimebundle_()[0]["text/plain"]
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_unforeseen_error_is_shown(monkeypatch) -> None:
    lab = KLLab()
    monkeypatch.setattr(lab, "refresh", lambda: 1 / 0)
    lab.policy[0].box.value = 0.5
    assert "ZeroDivisionError" in plain(lab.message.value)


def drag(lab, **values: float) -> None:
    """As the page does it: the handles' new places, by id."""
    lab.hand.set_state({"values": lab.hand.values | values, "moved": list(values)})


def test_rewards_are_dragged_and_the_algebra_follows() -> None:
    lab = AdvantageLab([1, 0, 0, 0])
    drag(lab, **{"2": 0.5})
    assert lab.rewards[2].value == 0.5
    rewards = [1, 0, 0.5, 0]
    mean, std = np.mean(rewards), np.std(rewards, ddof=1)
    text = plain(lab.output.value)
    for i, reward in enumerate(rewards):
        advantage = (reward - mean) / (std + 1e-4)
        fraction = f"({reward:.3f} − {mean:.3f}) / ({std:.3f} + 0.0001)"
        line = f"A {i + 1} = {fraction} = {advantage:+.3f}".replace("-", "−")
        assert line in text
    assert [h["kind"] for h in lab.hand.picture["handles"]] == [
        "positive",
        "negative",
        "positive",
        "negative",
    ]
    drag(lab, **{"0": 0.0, "2": 0.0})
    assert "dead group" in lab.summary
    assert "A 1 =" not in plain(lab.output.value)


def test_a_bar_of_a_distribution_is_dragged_and_the_rest_shares_what_is_left() -> None:
    lab = KLLab([0.7, 0.2, 0.1], [0.4, 0.4, 0.2])
    drag(lab, **{"policy 0": 0.4})
    assert lab.figures.policy == pytest.approx([0.4, 0.4, 0.2], abs=1e-4)
    assert lab.figures.exact == pytest.approx(0, abs=1e-8)
    drag(lab, **{"reference 2": 0.97})
    p, q = lab.figures.policy, lab.figures.reference
    assert q == pytest.approx([0.015, 0.015, 0.97], abs=1e-4)
    assert [box.value for box in lab.reference] == pytest.approx(q, abs=1e-4)
    exact = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert f"= {exact:.4f} nats" in plain(lab.output.value)
    assert "0.400·log(0.400/0.015)" in plain(lab.output.value)
    drag(lab, **{"policy 0": 5.0, "policy 1": float("nan")})
    assert lab.figures.policy[0] == pytest.approx(0.97, abs=1e-4)


def test_the_corner_of_the_clip_is_dragged() -> None:
    lab = ClipLab()
    drag(lab, high=1.5)
    assert lab.values["epsilon_high"] == 0.5
    assert lab.rows["epsilon_high"].box.value == 0.5
    drag(lab, low=0.9, ratio=1.6)
    assert (lab.values["epsilon"], lab.ratio.value) == (0.1, 1.6)
    objectives = [curve.objective[0] for curve in lab.at_ratio.values()]
    assert objectives == pytest.approx([1.5, -1.6])
    text = plain(lab.output.value)
    assert "A = +1: min( 1.6·(+1), clip(1.6, 0.9, 1.5)·(+1) ) = min( +1.6, +1.5 ) = +1.5" in text
    assert "A = −1: min( 1.6·(−1), clip(1.6, 0.9, 1.5)·(−1) ) = min( −1.6, −1.5 ) = −1.6" in text


def test_a_sketch_is_drawn_first_and_held_against_the_run(tmp_path) -> None:
    from made_runs import make_run

    lab = DrawFirst("reward", steps=16)
    assert "nothing has run yet" in lab.summary
    assert len(lab.hand.picture["curves"]) == 1
    drag(lab, **{str(i): 0.1 * i for i in range(17)})
    assert lab.sketch[10] == (10.0, 1.0)
    run = make_run(tmp_path / "run", steps=16)
    assert lab.reveal(run) is lab
    reward = run.steps()["reward"].to_numpy()
    gap = np.abs(0.1 * np.arange(1, 17) - reward)
    assert f"off by {gap.mean():.3f} on average" in lab.summary
    assert f"farthest at step {gap.argmax() + 1}," in lab.summary
    assert [curve["name"] for curve in lab.hand.picture["curves"]] == [
        "your sketch",
        "what happened",
    ]
    drag(lab, **{"0": 1.5})
    assert lab.sketch[0] == (0.0, 1.5), "it may still be moved"
    lab.reveal(make_run(tmp_path / "none", steps=2, metrics={"reward": None}).path)
    assert "has no mean reward to compare with" in lab.problem


@pytest.mark.parametrize("wrong", [{"steps": 1}, {"low": 1.0, "high": 1.0}])
def test_a_sketch_needs_an_axis_and_steps(wrong) -> None:
    with pytest.raises(ValueError, match=r"DrawFirst\("):
        DrawFirst(**wrong)
