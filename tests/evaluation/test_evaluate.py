"""`workbench.evaluate`: one call from a policy to its figures."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

import workbench
from workbench.evaluation import NothingAskedError
from workbench.evaluation.answered import summarize, verdicts
from workbench.evaluation.sampled import HowToAnswer, answer_all
from workbench.policy import load_policy
from workbench.rollout import make_engine
from workbench.tasks.arithmetic import arithmetic_task


def test_one_call_is_the_parts_put_together(tiny_folder: Path, tmp_path: Path) -> None:
    policy = load_policy(tiny_folder)
    task = arithmetic_task(0, 8, 6)
    before = [weight.clone() for weight in policy.model.parameters()]
    asked = dict(samples=3, problems=4, max_completion_length=6, temperature=0.7, seed=5)
    progress: list[int] = []
    kept = tmp_path / "kept.jsonl"
    found = workbench.evaluate(policy, task, **asked, keep=kept, on_progress=progress.append)

    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
    how = HowToAnswer(3, 6, 0.7, seed=5)
    answers = answer_all(engine, policy, task, task.held_out[:4], how)
    assert found.answers == answers
    assert found.how == how
    assert progress[-1] == 4
    assert len(kept.read_text().splitlines()) == 5
    assert found.figures("lenient") == summarize(verdicts(answers, "lenient"))
    assert all(old.equal(new) for old, new in zip(before, policy.model.parameters(), strict=True))
    # By name, the same weights and problems: another policy object, not trainable.
    again = workbench.evaluate(str(tiny_folder), task, **asked)
    assert again.answers == answers
    assert (again.policy, again.task) == (str(tiny_folder), "arithmetic")


def test_the_result_as_table_and_as_json(tiny_folder: Path) -> None:
    task = arithmetic_task(0, 8, 6)
    found = workbench.evaluate(tiny_folder, task, samples=2, max_completion_length=6)
    right = f"<think>t</think><answer>{found.answers[0].answer}</answer>"
    # The first problem solved by all, the second by one of two, and leniently.
    answers = [
        replace(found.answers[0], greedy=right, samples=[right, right]),
        replace(found.answers[1], samples=[f"It is {found.answers[1].answer}.", "no"]),
        *found.answers[2:],
    ]
    found = replace(found, answers=answers)
    table = found.table()
    assert list(table.index) == [
        "greedy", "mean@2", "maj@1", "pass@1", "maj@2", "pass@2",
    ]  # fmt: skip
    assert table.loc["greedy", "strict"] == pytest.approx(1 / 6)
    assert table.loc["pass@2", "lenient"] >= 2 / 6 > table.loc["pass@2", "strict"]
    assert table.loc["mean@2", "strict n"] == 6
    by_kind = found.table("kind")
    assert sum(by_kind["strict"] * by_kind["strict n"]) == pytest.approx(1)

    plain = json.loads(found.to_json())
    assert plain == json.loads(json.dumps(found.to_dict()))
    assert plain["pass@2"]["value"] == table.loc["pass@2", "strict"]
    assert plain["lenient"]["mean@2"]["interval"] == [
        table.loc["mean@2", "lenient low"],
        table.loc["mean@2", "lenient high"],
    ]
    assert found.gain_over(found).total.value == 0
    assert "<table" in found._repr_html_()


def test_what_cannot_be_asked_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(NothingAskedError, match="problems=0: no problem to ask"):
        workbench.evaluate(tiny_folder, arithmetic_task(0, 8, 6), problems=0)
    # A slice would take it for "all but the last three".
    with pytest.raises(NothingAskedError, match="problems=-3: no problem to ask"):
        workbench.evaluate(tiny_folder, "arithmetic", problems=-3)
    for wrong in ({"samples": -1}, {"batch_size": 0}, {"temperature": math.nan}):
        (name,) = wrong
        with pytest.raises(workbench.ConfigError, match=rf"evaluate\({name}="):
            workbench.evaluate(tiny_folder, "arithmetic", **wrong)
    with pytest.raises(workbench.ConfigError, match="rollout_engine='wllm'"):
        workbench.evaluate(tiny_folder, arithmetic_task(0, 8, 6), rollout="wllm")
