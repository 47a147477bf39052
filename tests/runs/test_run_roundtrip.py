"""What is written is read back: every table, odd numbers and hostile texts."""

from __future__ import annotations

import dataclasses
import math
import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from runs.run_examples import (
    CONFIG,
    HOSTILE,
    REWARDS,
    assert_whole,
    example_samples,
    example_step,
    example_tokens,
    new_run,
    pieces,
    stored_run,
)

from workbench.runs import (
    Evaluation,
    Event,
    KnobChange,
    Run,
    RunRecordError,
    RunWriter,
    Samples,
    StepRecord,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return stored_run(tmp_path_factory.mktemp("run"), steps=12)


def test_every_step_comes_back(run):
    assert_whole(run, 12)


def test_meta(run):
    meta = run.meta
    assert (meta.name, meta.policy, meta.task, meta.status, meta.seed) == (
        "example",
        "embedded",
        "arithmetic",
        "finished",
        7,
    )
    assert meta.reward_names == REWARDS
    assert run.config == CONFIG
    assert meta.started <= meta.finished
    assert meta.environment["packages"]["numpy"] == np.__version__
    assert (meta.parent_id, meta.branch_step, meta.journal_mode) == (None, None, "wal")
    assert run.last_step() == 12
    assert repr(run) == "Run('example', finished, 12 steps, policy='embedded', task='arithmetic')"


def test_steps(run):
    steps = run.steps()
    assert steps.columns.tolist() == [
        "step",
        "time",
        "reward",
        "kl",
        "grad_norm",
        "seconds/rollout",
    ]
    assert steps["reward"].tolist() == [s / 10 for s in range(1, 13)]
    assert steps["kl"].isna().all()
    assert np.isinf(steps["grad_norm"]).all()
    assert steps.loc[2, ["step", "time"]].tolist() == [3, 1003.0]
    assert set(steps.dtypes.drop("step").astype(str)) == {"float64"}


def test_ordinary_tools_can_read_the_record(run):
    with closing(sqlite3.connect(run.path)) as db:
        reward, kl = db.execute(
            "SELECT metrics ->> '$.reward', metrics ->> '$.kl' FROM steps WHERE step = 2"
        ).fetchone()
        assert (reward, kl) == (0.2, None)
        assert db.execute(
            "SELECT metrics ->> '$.grad_norm' FROM steps WHERE step = 2"
        ).fetchone() == (math.inf,)
        assert db.execute("SELECT rewards FROM samples WHERE step = 4 AND row = 1").fetchone() == (
            "[null, 4.25]",
        )
        assert db.execute("SELECT piece FROM vocab WHERE id = 7").fetchone() == ("t7",)
        assert db.execute("SELECT DISTINCT dtype FROM arrays ORDER BY dtype").fetchall() == [
            ("<f4",),
            ("<i4",),
        ]


def test_odd_numbers_and_names_of_metrics_come_back(tmp_path):
    metrics = {
        "a": -math.inf,
        "b": 1e-300,
        "c": 1e22,
        "d": -0.0,
        'quote " \\ é': 2.0,
        "e": 0.1 + 0.2,
        "f": True,
    }
    with new_run(tmp_path) as writer:
        writer.write_step(StepRecord(step=1, metrics=metrics))
    assert Run.open(tmp_path).steps().drop(columns=["step", "time"]).to_dict("records") == [metrics]


def test_polling_reads_only_the_new_steps(run):
    assert run.steps(since=10)["step"].tolist() == [11, 12]
    assert run.steps(since=12).empty
    assert run.steps(columns=["reward", "absent"]).columns.tolist() == [
        "step",
        "time",
        "reward",
        "absent",
    ]
    assert run.steps(columns=["absent"])["absent"].isna().all()


def test_knobs_and_the_config_that_they_make(run):
    knobs = run.knobs()
    assert knobs.loc[1].to_dict() == {
        "step": 3,
        "name": "beta",
        "old": 0.005,
        "new": 0.03,
        "who": "slider",
        "time": 5.0,
    }
    assert [run.config_at(s)["beta"] for s in (0, 1, 2, 3)] == [0.005, 0.01, 0.01, 0.03]


def test_knob_values_of_any_kind(tmp_path):
    changes = [
        ("loss_type", "dapo", "grpo"),
        ("delta", None, 4.0),
        ("reward_weights", [1, 2], None),
    ]
    with new_run(tmp_path) as writer:
        writer.write_step(StepRecord(step=1, metrics={}, knobs=[KnobChange(*c) for c in changes]))
    knobs = Run.open(tmp_path).knobs()
    assert list(zip(knobs["name"], knobs["old"], knobs["new"], strict=True)) == changes


def test_evaluations(run):
    first = run.evaluations().loc[0].to_dict()
    assert first == {
        "step": 5,
        "split": "heldout",
        "n": 200,
        "correct": 5,
        "accuracy": 0.025,
        "low": 0.1,
        "high": 0.9,
        "extra": {"pass@8": 0.5},
        "time": 6.0,
    }


def test_an_evaluation_before_the_first_step_and_one_without_interval(tmp_path):
    with new_run(tmp_path) as writer:
        writer.write_evaluation(0, Evaluation("heldout", 10, 3))
        writer.write_evaluation(0, Evaluation("heldout", 10, 4))
    found = Run.open(tmp_path).evaluations()
    assert found["correct"].tolist() == [4]
    assert math.isnan(found.loc[0, "low"])
    with pytest.raises(ValueError, match="correct=11"):
        Evaluation("heldout", 10, 11)


def test_samples(run):
    samples, expected = run.samples(4), example_samples(4)
    assert samples["completion"].tolist() == expected.completions
    assert samples["prompt"].tolist() == ["What is 0 + 4?"] * 3 + ["What is 1 + 4?"] * 3
    assert samples["gold_answer"].tolist() == ["4"] * 3 + [None] * 3
    assert samples["group"].tolist() == [0, 0, 0, 1, 1, 1]
    assert samples["dead"].tolist() == [False] * 3 + [True] * 3
    assert samples["truncated"].tolist() == [True, False, False] * 2
    assert samples["advantage"].tolist() == expected.advantage_B.tolist()
    assert samples["baseline"].isna().tolist() == [False] * 3 + [True] * 3
    np.testing.assert_array_equal(
        samples[[f"rewards/{r}" for r in REWARDS]].to_numpy(), expected.rewards_BK
    )
    assert run.problem("problem-4-1")["row"].tolist() == [3, 4, 5]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_survives_everywhere(tmp_path, text):
    samples = dataclasses.replace(
        example_samples(1), prompts=[text, text], problem_ids=[text, "b"], completions=[text] * 6
    )
    with new_run(tmp_path, name=text, pieces=lambda ids: [text for _ in ids]) as writer:
        writer.write_step(StepRecord(step=1, metrics={}, samples=samples, tokens=example_tokens(1)))
        writer.write_event(Event("notice", text, {"text": text}))
    run = Run.open(tmp_path)
    assert run.meta.name in (text, run.meta.id)
    frame = run.samples(1)
    assert set(frame["prompt"]) == set(frame["completion"]) == {text}
    assert run.problem(text)["row"].tolist() == [0, 1, 2]
    assert set(run.tokens(1)["piece"]) == {text}
    assert run.events().iloc[-1][["text", "data"]].tolist() == [text, {"text": text}]
    assert run.groups(1)["prompt"].tolist() == [text, text]


def test_groups(run):
    groups = run.groups(2)
    rewards = example_samples(2).reward_B
    assert groups["mean"].tolist() == pytest.approx([rewards[:3].mean(), rewards[3:].mean()])
    assert groups["std"].tolist() == pytest.approx(
        [rewards[:3].std(ddof=1), rewards[3:].std(ddof=1)]
    )
    assert groups["dead"].tolist() == [False, True]
    assert groups["n"].tolist() == [3, 3]
    assert groups["max"].tolist() == [rewards[:3].max(), rewards[3:].max()]


def test_groups_use_the_std_of_the_run(tmp_path):
    run = stored_run(tmp_path, config=CONFIG | {"advantage_std": "population"})
    assert run.groups(2).loc[0, "std"] == pytest.approx(example_samples(2).reward_B[:3].std(ddof=0))


def test_tokens(run):
    tokens, expected = run.tokens(3), example_tokens(3)
    assert tokens["id"].tolist() == expected.ids.tolist()
    assert tokens["piece"].tolist() == pieces(expected.ids.tolist())
    np.testing.assert_array_equal(tokens["old_logp"].to_numpy(), expected.floats["old_logp"])
    assert tokens.columns.tolist() == ["row", "position", "id", "piece", "old_logp", "logp"]
    for row in range(6):
        pd.testing.assert_frame_equal(
            run.tokens(3, row), tokens[tokens["row"] == row].reset_index(drop=True)
        )
    with pytest.raises(RunRecordError, match=r"row 6.*rows 0 to 5"):
        run.tokens(3, 6)


def test_batch(run):
    batch, samples = run.batch(7), example_samples(7)
    assert batch["num_generations"] == 3
    assert batch["mask_BT"].sum(1).tolist() == samples.length_B.tolist()
    np.testing.assert_array_equal(batch["rewards_BK"], samples.rewards_BK)
    np.testing.assert_array_equal(batch["advantages_B"], samples.advantage_B)
    assert batch["old_logp_BT"].dtype == np.float32
    assert (batch["old_logp_BT"][~batch["mask_BT"]] == 0).all()
    assert batch["config"]["beta"] == 0.07
    assert batch["reward_names"] == REWARDS


def test_what_was_not_kept_is_empty_or_an_error(tmp_path):
    with new_run(tmp_path) as writer:
        writer.write_step(StepRecord(step=1, metrics={"loss": 1}))
        writer.write_step(StepRecord(step=2, metrics={}, samples=example_samples(2)))
    run = Run.open(tmp_path)
    assert run.samples(1).empty
    assert run.tokens(1).empty
    assert run.groups(1).empty
    assert len(run.samples(2)) == 6
    with pytest.raises(RunRecordError, match=r"step 2.*tokens were not kept"):
        run.batch(2)
    assert math.isnan(run.steps().loc[1, "loss"])


def test_a_run_without_reward_functions(tmp_path):
    samples = dataclasses.replace(example_samples(1), rewards_BK=np.zeros((6, 0)))
    with new_run(tmp_path, reward_names=[]) as writer:
        writer.write_step(StepRecord(step=1, metrics={}, samples=samples, tokens=example_tokens(1)))
    assert Run.open(tmp_path).batch(1)["rewards_BK"].shape == (6, 0)


def test_an_empty_run_has_empty_frames(tmp_path):
    new_run(tmp_path).close()
    run = Run.open(tmp_path)
    for frame in (run.steps(), run.knobs(), run.evaluations(), run.events()):
        assert frame.empty
    assert run.last_step() == 0
    with pytest.raises(RunRecordError, match=r"step 1 .*no step yet"):
        run.samples(1)


def test_tensors_are_taken_as_they_are(tmp_path):
    torch = pytest.importorskip("torch")
    samples = dataclasses.replace(
        example_samples(1), reward_B=torch.ones(6), length_B=torch.tensor(lengths := [1] * 6)
    )
    record = StepRecord(step=1, metrics={"loss": torch.tensor(0.5)}, samples=samples)
    with new_run(tmp_path) as writer:
        writer.write_step(record)
    run = Run.open(tmp_path)
    assert run.samples(1)["length"].tolist() == lengths
    assert run.steps().loc[0, "loss"] == 0.5


@pytest.mark.parametrize("step", [0, -1, True, 1.0])
def test_a_step_is_a_whole_number_from_1(step):
    with pytest.raises(ValueError, match="from 1"):
        StepRecord(step=step, metrics={})


@pytest.mark.parametrize("value", ["high", "1.5", [1.0]])
def test_a_metric_is_a_number(value):
    with pytest.raises(TypeError, match=r"metric 'kl' must be a number"):
        StepRecord(step=1, metrics={"kl": value})


@pytest.mark.parametrize(
    "change", [{"completions": ["a"]}, {"prompts": ["p"]}, {"reward_B": [1.0]}, {"dead_N": [True]}]
)
def test_columns_that_do_not_fit_are_refused(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} has 1 entries, expected [26]"):
        dataclasses.replace(example_samples(1), **change)


def test_lengths_of_samples_and_tokens_must_agree():
    with pytest.raises(ValueError, match=r"length_B and tokens.lengths differ"):
        StepRecord(step=1, metrics={}, samples=example_samples(1), tokens=example_tokens(2))


def test_a_refused_record_leaves_nothing_behind(tmp_path):
    with new_run(tmp_path, steps=1) as writer:
        two = example_step(2)
        chat = dataclasses.replace(two.samples, completions=[["a message"]] * 6)
        with pytest.raises(TypeError, match="a completion must be text, not list"):
            writer.write_step(dataclasses.replace(two, samples=chat))
        with pytest.raises(TypeError, match=r"event.data must be plain JSON"):
            writer.write_step(
                dataclasses.replace(two, events=[Event("notice", "x", {"array": np.zeros(2)})])
            )
        one_reward = dataclasses.replace(two.samples, rewards_BK=np.zeros((6, 1)))
        with pytest.raises(RunRecordError, match=r"1 columns.*format_reward"):
            writer.write_step(dataclasses.replace(two, samples=one_reward))
        assert_whole(Run.open(tmp_path), 1)
        writer.write_step(two)
    assert_whole(Run.open(tmp_path), 2)


def test_reward_names_must_differ(tmp_path):
    with pytest.raises(ValueError, match="two are the same"):
        RunWriter.create(tmp_path, config={}, reward_names=["f", "f"])


def test_rewards_are_by_function_and_completion():
    fields = {f.name: getattr(example_samples(1), f.name) for f in dataclasses.fields(Samples)}
    with pytest.raises(ValueError, match=r"shape \(6,\)"):
        Samples(**(fields | {"rewards_BK": np.zeros(6)}))
