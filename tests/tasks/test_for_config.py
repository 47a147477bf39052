"""A task read as a config says, and a config that says how its task was read."""

import inspect

import pytest

from workbench.commands.options import keys_of
from workbench.config import KEY_FIELDS, ConfigError, GRPOConfig
from workbench.tasks import load_task
from workbench.tasks.for_config import as_read, load_task_for

ROWS = [{"q": f"{i}+1?", "a": str(i + 1)} for i in range(4)]
NAMED = GRPOConfig(question_key="q", answer_key="a", system_prompt="Think.")


def test_the_keys_of_a_config_read_the_task_and_come_back_from_it():
    task = load_task_for(NAMED, ROWS)
    assert task.system_prompt == "Think."
    assert as_read(NAMED, task) == NAMED
    assert as_read(GRPOConfig(), task) == NAMED


def test_no_system_prompt_at_all_is_kept_apart_from_none_named():
    task = load_task_for(NAMED.replace(system_prompt=""), ROWS)
    assert task.system_prompt is None
    assert as_read(GRPOConfig(), task).system_prompt == ""
    arithmetic = load_task_for(GRPOConfig(system_prompt=""), "arithmetic")
    assert arithmetic.system_prompt is None
    assert as_read(GRPOConfig(), arithmetic).system_prompt == ""


def test_a_config_that_says_otherwise_than_the_task_was_read_is_refused():
    task = load_task(ROWS, question_key="q", answer_key="a")
    with pytest.raises(ConfigError, match="answer_key='b', and the task 'rows' was loaded with"):
        as_read(GRPOConfig(answer_key="b"), task)
    with pytest.raises(ConfigError, match="question_key='q', and the task 'arithmetic'"):
        as_read(GRPOConfig(question_key="q"), load_task("arithmetic"))


def test_a_key_and_a_prompt_survive_a_file_and_a_command_line(tmp_path):
    from workbench.commands.options import parse_settings

    config = GRPOConfig(question_key="1", answer_key="true", system_prompt="")
    config.save(tmp_path / "c.yaml")
    assert GRPOConfig.load(tmp_path / "c.yaml") == config
    assert parse_settings(["question_key=1", "system_prompt="]) == {
        "question_key": "1",
        "system_prompt": "",
    }
    assert parse_settings(["question_key=none"]) == {"question_key": None}


def test_a_column_and_its_flag_are_one_setting():
    assert keys_of(["question = in.q", "level=hard"], answer_key="out") == {
        "question_key": "in.q",
        "answer_key": "out",
        "system_key": None,
        "solution_key": None,
        "subject_key": None,
        "level_key": "hard",
    }
    assert keys_of(["answer=a"], answer_key="a")["answer_key"] == "a"
    with pytest.raises(ConfigError, match="answer is named twice: 'b' and 'a'"):
        keys_of(["answer=a"], answer_key="b")
    for wrong in ("answer", "answer=", "gold=a", "=a"):
        with pytest.raises(ConfigError, match="expected NAME=KEY.*question, answer, system, sol"):
            keys_of([wrong])


def test_every_key_of_the_config_is_one_of_load_task():
    known = inspect.signature(load_task).parameters
    assert not [name for name in KEY_FIELDS if name not in known]
    assert len(KEY_FIELDS) == 6
