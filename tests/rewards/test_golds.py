"""Gold answers that cannot be read: all of them told at once, left out, or compared as text."""

import json
import warnings

import pytest

from workbench import GRPOConfig, load_policy, load_task, start_run
from workbench.rewards import (
    GoldError,
    answers_equal,
    check_gold,
    lenient_correct,
    unreadable_golds,
    with_readable_golds,
)
from workbench.tasks import Problem, Task, TaskError

BAD = ("}}{{", "\\frac{", "?", "\\sqrt[")


@pytest.fixture
def file(tmp_path):
    """Twelve problems with a good gold, four with one that cannot be read, in lines 13 to 16."""
    golds = [*map(str, range(12)), *BAD]
    rows = [{"question": f"What is number {i}?", "answer": gold} for i, gold in enumerate(golds)]
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.parametrize(
    "gold",
    [
        "12:00", "1 + \\frac{1}{\\mathrm{e}}", "3:4", "March 5, 2024", "Room 12B", "100,200",
        "x = 3, x = 5", "\\{1, 2\\}", "[0, \\infty)", "\\emptyset", "3 hours 20 minutes", "5 km/h",
        "\\operatorname{e}^2", "½", "−5", "(B)",
    ],
)  # fmt: skip
def test_fair_golds_are_read(gold):
    check_gold(gold)
    assert answers_equal(gold, gold) is True


def test_all_are_counted_and_the_first_are_shown_with_file_line_and_question(file):
    task = load_task(file)
    assert {item.problem.answer for item in unreadable_golds(task)} == set(BAD)
    with pytest.raises(GoldError) as caught:
        with_readable_golds(task)
    message = str(caught.value)
    assert "4 gold answers cannot be read" in message
    assert "and 1 more" in message
    assert "--skip-unreadable" in message
    first = unreadable_golds(task)[0].problem
    number = int(first.question.split()[-1].strip("?"))
    assert f"mixed.jsonl, line {number + 1}: gold {first.answer!r} of {first.question!r}" in message


def test_they_can_be_left_out(file):
    with pytest.warns(UserWarning, match="4 gold answers left out"):
        task = with_readable_golds(load_task(file), "skip")
    assert len(task.train) + len(task.held_out) == 12
    assert with_readable_golds(task) is task


def test_they_can_be_compared_as_text(file):
    task = with_readable_golds(load_task(file), "text")
    assert unreadable_golds(task) == []
    assert {p.answer for p in (*task.train, *task.held_out)} >= {f"text:{gold}" for gold in BAD}
    assert answers_equal("}}{{", "text:}}{{") is True
    assert answers_equal("**\\Frac{**", "text:\\frac{") is True
    assert answers_equal("}}{", "text:}}{{") is False
    assert lenient_correct("<answer>?</answer>", "text:?") is True


def test_a_split_that_is_left_empty_is_an_error():
    task = Task("t", [Problem("a", "1")], [Problem("b", "}}{{")])
    with (
        pytest.warns(UserWarning, match="1 gold answer left"),
        pytest.raises(TaskError, match="held_out"),
    ):
        with_readable_golds(task, "skip")


def test_a_run_refuses_them_or_does_as_it_is_told(file, tmp_path):
    policy = load_policy("embedded")
    task = load_task(file)
    config = GRPOConfig(
        max_steps=1,
        prompts_per_step=2,
        updates_per_rollout=1,
        num_generations=4,
        num_eval_problems=1,
    )
    with pytest.raises(GoldError, match="4 gold answers"):
        start_run(tmp_path / "a", policy=policy, task=task, config=config)
    assert not (tmp_path / "a").exists()
    with pytest.warns(UserWarning, match="left out"):
        trainer = start_run(
            tmp_path / "b",
            policy=policy,
            task=task,
            config=config.replace(unreadable_golds="skip"),
        )
    assert unreadable_golds(trainer.task) == []
    trainer.run.close()


def test_a_task_of_good_golds_is_left_as_it_is():
    task = load_task("arithmetic")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert with_readable_golds(task) is task
