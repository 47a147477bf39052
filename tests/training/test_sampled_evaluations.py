"""Evaluations with samples while training: when they come, what they hold, and that the training
does not notice them."""

from __future__ import annotations

import pytest

from workbench.evaluation import EvaluationError, answers_at, gain, gain_of_run
from workbench.evaluation.answered import verdicts
from workbench.runs import Run, RunWriter

ASKED = dict(max_steps=3, eval_samples=2, eval_samples_problems=5, eval_samples_steps=2)


def figures_by_step(run: Run) -> dict[int, list[str]]:
    frame = run.sampled_evaluations()
    strict = frame[(frame["judge"] == "strict") & (frame["grouping"] == "all")]
    return {int(step): part["figure"].tolist() for step, part in strict.groupby("step")}


@pytest.mark.slow
def test_they_come_before_after_and_between_and_change_no_number(make_trainer) -> None:
    plain = make_trainer("plain", max_steps=3)
    plain.train()
    trainer = make_trainer("sampled", **ASKED)
    trainer.train()
    run = Run.open(trainer.out)
    names = ["greedy", "mean@2", "maj@1", "pass@1", "maj@2", "pass@2"]
    assert figures_by_step(run) == {0: names, 2: names, 3: names}
    frame = run.sampled_evaluations()
    assert set(frame["split"]) == {"held_out"}
    assert set(frame["judge"]) == {"strict", "lenient"}
    assert set(frame[frame["grouping"] == "all"]["n"]) == {5}
    assert frame["asked"][0]["samples"] == 2
    # The weights moved, and the record says that these are the answers of others.
    weights = {asked["weights"] for asked in frame["asked"]}
    assert len(weights) == 3

    answers = run.sampled_answers()
    assert answers["problem"].tolist() == [0, 1, 2, 3, 4] * 3
    assert answers["question"].tolist()[:5] == [p.question for p in trainer.task.held_out[:5]]
    assert {len(samples) for samples in answers["samples"]} == {2}

    # Bit for bit the run without: neither the generator nor the weights have been touched.
    columns = ["reward", "loss", "grad_norm", "completion_length", "entropy"]
    assert (
        run.steps(columns=columns)[columns].to_numpy().tolist()
        == Run.open(plain.out).steps(columns=columns)[columns].to_numpy().tolist()
    )
    assert Run.open(plain.out).sampled_evaluations().empty


def test_a_resumed_run_has_each_of_them_once(make_trainer) -> None:
    asked = ASKED | dict(max_steps=4, save_steps=3)
    first = make_trainer(**asked)
    for _ in range(3):
        first.step()
    # As at a kill: step 4 is recorded, and its checkpoint is not written.
    first._step()
    first.run.close()
    before = Run.open(first.out).sampled_evaluations()
    assert set(before["step"]) == {0, 2, 4}
    again = make_trainer(resume=True, **asked)
    assert again.steps_done == 3
    assert set(Run.open(again.out).sampled_evaluations()["step"]) == {0, 2}
    again.train()
    after = Run.open(again.out).sampled_evaluations()
    assert after.drop(columns="time").equals(before.drop(columns="time"))


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        (dict(eval_samples=0), []),
        (dict(eval_samples=4), [0, 6]),
        (dict(eval_samples=4, eval_samples_steps=4), [0, 4, 6]),
    ],
)
def test_the_config_says_when(settings: dict[str, int], steps: list[int]) -> None:
    from workbench.config import GRPOConfig

    config = GRPOConfig(max_steps=6, **settings)
    assert [step for step in range(7) if config.evaluates_samples_at(step)] == steps


@pytest.mark.slow
def test_the_gain_of_a_run_is_that_between_its_first_and_its_last(make_trainer) -> None:
    trainer = make_trainer(**ASKED)
    trainer.train()
    run = Run.open(trainer.out)
    assert [one.problem for one in answers_at(run, 2)] == [0, 1, 2, 3, 4]
    for judge in ("strict", "lenient"):
        before = verdicts(answers_at(run, 0), judge)
        after = verdicts(answers_at(run, 3), judge)
        assert gain_of_run(run, judge) == gain(before, after)
    with pytest.raises(EvaluationError, match=r"at step 1, but at \[0, 2, 3\]"):
        answers_at(run, 1)
    RunWriter.resume(run.path, 1).close()
    with pytest.raises(EvaluationError, match="has one evaluation with samples, at step 0"):
        gain_of_run(run)
    without = make_trainer("without", max_steps=1)
    without.train()
    with pytest.raises(EvaluationError, match="has no evaluation with samples"):
        gain_of_run(Run.open(without.out))
