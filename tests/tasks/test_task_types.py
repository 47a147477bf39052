"""Tasks: validation, the conversation that asks a problem, and the order of drawing."""

import pytest

from workbench.tasks import Problem, Task, TaskError, columns_of

TRAIN = [Problem(f"question {i}", str(i)) for i in range(7)]
HELD = [Problem("held", "1")]


def test_messages_have_a_system_prompt_only_when_there_is_one():
    user = {"role": "user", "content": "question 3"}
    assert Task("t", TRAIN, HELD, "Think.").messages(TRAIN[3]) == [
        {"role": "system", "content": "Think."},
        user,
    ]
    assert Task("t", TRAIN, HELD).messages(TRAIN[3]) == [user]


@pytest.mark.parametrize(
    ("train", "held_out", "message"),
    [
        ([], HELD, "'train' is empty"),
        (TRAIN, [], "'held_out' is empty"),
        (TRAIN, [TRAIN[2]], "1 question.*'question 2'"),
        ([Problem("q", " ")], HELD, "problem 0 of 'train' has an empty answer"),
        ([*TRAIN, Problem("", "1")], HELD, "problem 7 of 'train' has an empty question"),
    ],
)
def test_unusable_splits_are_refused(train, held_out, message):
    with pytest.raises(TaskError, match=message):
        Task("t", train, held_out)


def test_each_epoch_is_a_fresh_permutation():
    task = Task("t", TRAIN, HELD)
    epochs = [task.draw(7 * e, 7, seed=0) for e in range(5)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5
    assert task.draw(0, 7, seed=1) != epochs[0]


@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_a_resumed_run_draws_what_the_uninterrupted_one_draws(size):
    task = Task("t", TRAIN, HELD)
    whole = task.draw(0, 60, seed=5)
    parts = [i for cursor in range(0, 60, size) for i in task.draw(cursor, size, seed=5)]
    assert parts[:60] == whole


def test_drawing_does_not_touch_the_global_generator():
    import numpy as np

    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    Task("t", TRAIN, HELD).draw(0, 20, seed=0)
    assert np.random.random() == expected


@pytest.mark.parametrize(("cursor", "n"), [(-1, 2), (0, -1)])
def test_a_negative_draw_is_refused(cursor, n):
    with pytest.raises(ValueError, match="0 or more"):
        Task("t", TRAIN, HELD).draw(cursor, n, seed=0)


def test_columns_for_reward_functions():
    problems = [Problem("q1", "1", "sum", {"solution": "one"}), Problem("q2", "2")]
    assert columns_of(problems) == {
        "question": ["q1", "q2"],
        "answer": ["1", "2"],
        "kind": ["sum", ""],
        "solution": ["one", None],
    }


def test_a_prompt_as_a_record_shows_it():
    assert Problem("2 + 2?", "4").prompt_text == "2 + 2?"
    before = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"})
    assert Problem("2 + 2?", "4", before=before).prompt_text == (
        "system: Be brief.\n\nuser: Hi\n\nuser: 2 + 2?"
    )


def test_a_task_for_evaluation_alone_has_nothing_to_train_on():
    task = Task("t", [], HELD, evaluation_only=True)
    with pytest.raises(TaskError, match="none to train on"):
        task.draw(0, 1, seed=0)
    with pytest.raises(TaskError, match="7 problem.* to train on. Leave one"):
        Task("t", TRAIN, HELD, evaluation_only=True)


@pytest.mark.parametrize("name", ["answer", "completions", "trainer_state"])
def test_a_column_may_not_take_a_reserved_name(name):
    with pytest.raises(TaskError, match=f"'{name}' are reserved"):
        Problem("q", "1", columns={name: "x"})
