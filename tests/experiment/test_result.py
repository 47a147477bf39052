"""What an experiment says, on records whose numbers are chosen: differences, bands, sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from made_runs import growing_run, make_run

from workbench.config import GRPOConfig
from workbench.experiment import Experiment, ExperimentError
from workbench.experiment.store import read_experiment, write_experiment
from workbench.experiment.variants import all_variants

Values = Mapping[str, Mapping[int, float]]
CONFIG = GRPOConfig(prompts_per_step=4, num_generations=4, max_steps=2, num_eval_problems=200)


def made(out: Path, values: Values, **how: object) -> Experiment:
    """An experiment whose runs end at these accuracies (percent) by variant and seed; all begin at
    35 %."""
    variants = {name: {} for name in values if name not in ("shuffled", "random")}
    seeds = sorted({seed for runs in values.values() for seed in runs})
    controls = [name for name in ("shuffled", "random") if name in values]
    experiment = Experiment(variants, seeds, controls, out=out, config=CONFIG, **how)
    write_experiment(experiment.out, experiment.plan)
    for name, runs in values.items():
        for seed, percent in runs.items():
            make_run(
                out / f"{name}-seed{seed}",
                steps=2,
                evaluations={0: (70, 200), 2: (round(2 * percent), 200)},
                keep_tokens=False,
                metrics={"kl": percent / 100},
            )
    return experiment


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Two variants that differ clearly, and two controls."""
    return made(
        tmp_path_factory.mktemp("told"),
        {
            "A": dict(enumerate([91.0, 92.0, 90.0, 93.0])),
            "B": dict(enumerate([85.0, 85.5, 84.0, 88.0])),
            "shuffled": dict(enumerate([35.0, 37.0, 33.0, 36.0])),
            "random": dict(enumerate([34.0, 38.0, 32.0, 35.0])),
        },
    )


def test_differences_are_paired_and_said_in_words(told: Experiment) -> None:
    result = told.result()
    (found,) = result.differences
    # Differences 6, 6.5, 6, 5: mean 5.875, standard deviation 0.6292, t of 3 degrees 3.1824.
    half = 3.18244630 * 0.6291529 / 2
    assert found.by_seed == pytest.approx({0: 0.06, 1: 0.065, 2: 0.06, 3: 0.05})
    assert 100 * found.interval.low == pytest.approx(5.875 - half, abs=1e-4)
    said = result.sentences()
    assert said[0] == "A is better than B by 5.9 points (4.9 to 6.9, 4 seeds)."
    assert said[1].startswith("A learned: it ends above the control shuffled by 56.2 points (")
    assert "4 comparisons with controls" in str(result)
    # Bonferroni over four: each at 98.75 %.
    assert {round(d.level, 6) for d in result.against_controls} == {0.9875}
    assert found.level == 0.95
    assert "The control shuffled moved by +0.3 points on average" in str(result)
    assert "4 of 4 runs of A end above the band of the controls (" in str(result)
    assert result.above_controls("B") == (4, 4)
    # The wider of the two bands: random's 34.75, standard deviation 2.5, one more run.
    assert result.control_band[1] == pytest.approx(0.3475 + 3.1824463 * 0.025 * 1.25**0.5, abs=1e-6)
    assert json.loads(json.dumps(result.to_dict()))["differences"][0]["verdict"] == "better"
    lone = result.difference("B", "shuffled")
    assert lone.level == 0.95
    assert lone.interval.high < result.against_controls[2].interval.high


def test_a_result_is_stored_with_its_folder_and_order_does_not_matter(told: Experiment) -> None:
    again = Experiment.open(told.out)
    assert str(again.result()) == str(told.result())
    assert again.status == "finished"
    assert again.run().is_whole
    assert (again.progress().done, again.progress().share) == (16, 1.0)


def test_what_cannot_be_told_is_not(tmp_path: Path) -> None:
    near = made(tmp_path / "near", {"A": {0: 90, 1: 80, 2: 85}, "B": {0: 86, 1: 84, 2: 83.5}})
    said = near.result().sentences()[0]
    # Differences 4, -4, 1.5: mean 0.5, standard deviation 4.0927.
    assert said.startswith("These runs cannot tell A from B: +0.5 points (−9.7 to 10.7, 3 seeds).")
    assert "528 seeds would show it four times in five; for 5 points, 8 would do." in said
    alone = made(tmp_path / "alone", {"A": {0: 90}, "B": {0: 50}})
    assert alone.result().sentences()[0].startswith("One seed cannot tell A from B: +40.0 points")
    # Equal values are not certain: three seeds, each rounded to half a point.
    same = made(tmp_path / "same", {"A": {0: 50, 1: 50, 2: 50}, "B": {0: 49.5, 1: 49.5, 2: 49.5}})
    assert "These runs cannot tell A from B: +0.5 points (0.0 to 1.0, 3 seeds)" in str(
        same.result()
    )


def test_pairs_of_which_one_is_missing_are_left_out_and_counted(tmp_path: Path) -> None:
    values = {"A": {0: 90.0, 1: 91.0, 2: 92.0}, "B": {0: 80.0, 2: 81.0}}
    result = made(tmp_path, values).result()
    (found,) = result.differences
    assert set(found.by_seed) == {0, 2}
    assert "1 of 6 runs are not finished." in str(result)
    assert not result.is_whole


def test_a_run_that_was_steered_is_named(tmp_path: Path) -> None:
    experiment = made(tmp_path, {"A": {0: 90.0}, "B": {0: 80.0}})
    make_run(
        tmp_path / "C-seed0",
        steps=2,
        prompts=2,
        knobs={2: {"epsilon": 0.3}},
        evaluations={2: (9, 10)},
    )
    with_c = Experiment({"A": {}, "B": {}, "C": {}}, 1, (), out=tmp_path, config=CONFIG)
    said = str(with_c.result())
    assert "C, seed 0: epsilon was changed to 0.3 at step 2 by hand" in said
    # Its batches are of two prompts, the others' of four.
    assert "C drew other prompts in the first step than A (" in said
    assert "by hand" not in str(experiment.result())
    assert "other prompts" not in str(experiment.result())


def test_a_control_that_drifts_is_named_and_widens_the_band(tmp_path: Path) -> None:
    values = {"A": {0: 50.0, 1: 52.0, 2: 51.0}, "shuffled": {0: 55.0, 1: 46.0, 2: 58.0}}
    result = made(tmp_path, values).result()
    assert result.above_controls("A") == (0, 3)
    assert "These runs cannot tell A from shuffled: −2.0 points (" in str(result)
    steady = {"A": {0: 50.0, 1: 52.0, 2: 51.0}, "shuffled": {0: 44.0, 1: 45.0, 2: 46.0}}
    drifting = made(tmp_path / "d", steady).result()
    assert "It drifts, though there is nothing to learn." in str(drifting)


def test_other_metrics_have_their_own_unit(tmp_path: Path) -> None:
    values = {"A": {0: 30.0, 1: 31.0, 2: 32.0}, "B": {0: 10.0, 1: 12.0, 2: 11.0}}
    said = made(tmp_path, values, metric="kl").result().sentences()[0]
    assert said.startswith("A is higher than B by 0.2 (0.")
    with pytest.raises(ExperimentError, match="'nonsense' is none that the run"):
        made(tmp_path / "n", values, metric="nonsense").result()


def test_a_folder_may_grow_and_a_variant_stays_what_it_is(tmp_path: Path) -> None:
    experiment = made(tmp_path, {"A": {0: 50.0, 1: 60.0}, "B": {0: 40.0, 1: 41.0}})
    more = Experiment(
        {"A": {}, "B": {}, "C": {"epsilon": 0.05}}, 3, (), out=tmp_path, config=CONFIG
    )
    write_experiment(tmp_path, more.plan)
    assert [v.name for v in read_experiment(tmp_path).variants] == ["A", "B", "C"]
    assert len(experiment.with_seeds(5).plan.seeds) == 5
    other = Experiment({"A": {"epsilon": 0.1}}, 2, (), out=tmp_path, config=CONFIG)
    with pytest.raises(ExperimentError, match="'A' with epsilon=0.2, not 0.1"):
        write_experiment(tmp_path, other.plan)
    (tmp_path / "experiment.json").write_text('{"format": 1, "variants": [{}]}')
    with pytest.raises(ExperimentError, match="cannot be read as an experiment: KeyError"):
        Experiment.open(tmp_path)
    with pytest.raises(ExperimentError, match="single run"):
        Experiment.open(tmp_path / "A-seed0")
    with pytest.raises(ExperimentError, match="holds no experiment"):
        Experiment.open(tmp_path / "nowhere")


@pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")
def test_variants_are_what_was_written_and_controls_stand_behind_them(tmp_path: Path) -> None:
    def names(variants: dict[str, object], **how: object) -> list[str]:
        return [v.name for v in Experiment(variants, 1, out=tmp_path, **how).plan.variants]

    both = {"A": "rloo", "B": {"method": "grpo", "beta": 0.1, "rewards": "answer"}}
    plan = Experiment(both, [3, 5], out=tmp_path, config=CONFIG).plan
    a, b, shuffled, coin = plan.variants
    assert (a.config.method, a.config.max_steps, a.rewards) == ("rloo", 2, ("format", "answer"))
    assert (b.config.beta, b.rewards) == (0.1, ("answer",))
    assert (shuffled.control, coin.control, coin.control_of) == ("shuffled", "random", "A")
    assert coin.config == a.config
    assert names(both, control_of="each")[2:] == [
        "A-shuffled",
        "A-random",
        "B-shuffled",
        "B-random",
    ]
    assert names(both, control_of="B", controls=["random"]) == ["A", "B", "random"]
    assert all_variants.__doc__
    wrong = {
        "learns from worked solutions": ({"A": "sft"}, {}),
        "learns from a teacher": ({"A": {"method": "distill", "teacher": "embedded"}}, {}),
        "learns from step_rewards": ({"A": "process_grpo"}, {}),
        "'x/y': a name has": ({"x/y": {}}, {}),
        "two variants are called": ({"Shuffled": {}}, {}),
        "sets seed=3": ({"A": {"seed": 3}}, {}),
        "none of: a dict": ({"A": 3}, {}),
        "no variant": ({}, {}),
        "control 'coin'": ({"A": {}}, {"controls": ["coin"]}),
        "control_of='C'": ({"A": {}}, {"control_of": "C"}),
        "interval='z'": ({"A": {}}, {"interval": "z"}),
        "level=2": ({"A": {}}, {"level": 2}),
    }
    for words, (variants, how) in wrong.items():
        with pytest.raises(ExperimentError, match=words):
            names(variants, **how)
    with pytest.raises(ExperimentError, match=r"seeds=\[1, 1\]"):
        Experiment({"A": {}}, [1, 1], out=tmp_path)
    assert names({"A": "sft"}, controls=()) == ["A"]


def test_a_variant_of_another_policy_is_not_held_against_the_firsts_controls(
    tmp_path: Path,
) -> None:
    """A better policy lies above the control of a worse one without having learnt anything."""
    weak = made(tmp_path, {"A": {0: 60.0, 1: 61.0}, "shuffled": {0: 35.0, 1: 36.0}})
    for seed in (0, 1):
        make_run(
            tmp_path / f"B-seed{seed}",
            steps=2,
            evaluations={0: (180, 200), 2: (180 + seed, 200)},
            keep_tokens=False,
        )
    both = Experiment(
        {"A": {}, "B": {"policy": "elsewhere"}}, 2, ["shuffled"], out=tmp_path, config=CONFIG
    ).result()
    assert both.above_controls("A") == (2, 2)
    assert both.band_for("A") == weak.result().control_band
    assert both.above_controls("B") == (0, 2)
    assert "runs of B end above" not in str(both)
    assert [d.of for d in both.against_controls] == ["A"]


def test_a_bootstrap_of_equal_values_is_not_certain_either(tmp_path: Path) -> None:
    values = {"A": {0: 50, 1: 50, 2: 50}, "B": {0: 49.5, 1: 49.5, 2: 49.5}}
    (found,) = made(tmp_path, values, interval="bootstrap").result().differences
    assert found.verdict == "cannot tell"


def test_a_stored_result_is_looked_at_by_another_metric(tmp_path: Path) -> None:
    experiment = made(tmp_path, {"A": {0: 30.0, 1: 31.0}, "B": {0: 10.0, 1: 11.5}})
    by_kl = Experiment.open(tmp_path, metric="kl", interval="bootstrap")
    assert "A is higher than B by 0.1975" in str(by_kl.result())
    assert "bootstrap" in str(by_kl.result())
    assert str(Experiment.open(tmp_path).result()) == str(experiment.result())
    with pytest.raises(ExperimentError, match="interval='normal' is unknown"):
        Experiment.open(tmp_path, interval="normal")


def test_a_figure_that_is_missing_at_the_end_is_left_out_and_said(tmp_path: Path) -> None:
    experiment = made(tmp_path, {"A": {0: 30.0, 1: 31.0}, "B": {0: 10.0, 1: 12.0}}, metric="kl")
    nothing = {"kl": float("nan")}
    make_run(tmp_path / "C-seed0", steps=2, keep_tokens=False, metrics=nothing)
    make_run(tmp_path / "C-seed1", steps=2, keep_tokens=False, metrics={"kl": 0.2})
    with_c = Experiment(
        {"A": {}, "B": {}, "C": {}}, 2, (), out=experiment.out, config=CONFIG, metric="kl"
    ).result()
    assert with_c["C"].values == {1: pytest.approx(0.2)}
    assert "1 finished runs of C have no kl at their end" in str(with_c)
    assert "nan" not in str(with_c)
    json.dumps(with_c.to_dict(), allow_nan=False)


def test_a_preset_is_as_long_as_all_others_or_it_is_said(tmp_path: Path) -> None:
    named = Experiment({"A": {}, "B": {"preset": "dapo"}}, 1, (), out=tmp_path, config=CONFIG)
    own = named.plan.variants[1].config
    assert (own.max_steps, own.num_eval_problems, own.loss_type) == (2, 200, "dapo")
    assert "that is compared, too" not in str(named.result())
    left_open = Experiment({"A": {}, "B": {"preset": "dapo"}}, 1, (), out=tmp_path)
    assert "B has 500 steps and 100 held-out problems; A has" in str(left_open.result())


def test_runs_of_another_experiment_are_not_taken_for_this_ones(tmp_path: Path) -> None:
    """The file of the experiment was deleted, its runs were not."""
    experiment = Experiment({"A": {}}, 1, (), out=tmp_path, config=CONFIG)
    growing = growing_run(
        tmp_path / "A-seed0", steps=2, evaluations={0: (70, 200), 2: (100, 200)}, keep_tokens=False
    )
    growing.writer.add_to_environment(variant=experiment.plan.variants[0].to_dict())
    growing.add(2)
    growing.end()
    assert experiment.run().is_whole
    (tmp_path / "experiment.json").unlink()
    other = Experiment({"A": {"epsilon": 0.1}}, 1, (), out=tmp_path, config=CONFIG)
    assert "A, seed 0: it was made with epsilon=0.2, so this run is not what" in str(other.result())
    with pytest.raises(ExperimentError, match="holds a run of another variant 'A': it was made"):
        other.run()
    (tmp_path / "experiment.json").write_text("{broken")
    with pytest.raises(ExperimentError, match="delete this file and make the experiment again"):
        Experiment.open(tmp_path)
