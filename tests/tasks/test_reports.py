"""Data that people reported in public trackers of this field, as they had it."""

import json

import pytest

from workbench.tasks import TaskError, load_task


def user(text):
    return {"role": "user", "content": text}


def test_parquet_shards_of_gsm8k_by_their_own_names(tmp_path):
    """verl #758: question and answer in train-00000-of-00001.parquet, and no reward_model."""
    import pandas as pd

    rows = [{"question": f"{i}+1?", "answer": f"so\n#### {i + 1}"} for i in range(6)]
    for split, some in (("train", rows[:4]), ("test", rows[4:])):
        pd.DataFrame(some).to_parquet(tmp_path / f"{split}-00000-of-00001.parquet")
    task = load_task(tmp_path / "train-00000-of-00001.parquet")
    assert (len(task.train), len(task.held_out)) == (4, 2)


def test_a_geometry_set_with_pictures():
    """verl #1827: problem, answer and images, trained on as text after a rename."""
    rows = [{"images": [{"bytes": "…"}], "prompt": "<image>Find x.", "answer": "3"}]
    with pytest.raises(TaskError, match=r"row 0: .*key 'images'.*reads text alone"):
        load_task(rows * 2)


def test_a_chat_with_a_picture_beside_it():
    """Qwen-VL-Series-Finetune #152: ShareGPT turns, the picture's name in a key, no mark."""
    talk = [{"from": "human", "value": "Look at it."}, {"from": "gpt", "value": "Class x"}]
    with pytest.raises(TaskError, match="key 'image'"):
        load_task([{"conversations": talk, "image": "1.jpg"}] * 2)


def test_arrays_that_pandas_makes_of_lists(tmp_path):
    """slime #68: a message list out of parquet is an array of objects, which no template takes."""
    import pandas as pd

    rows = [{"prompt": [user(f"{i}?")], "label": str(i)} for i in range(3)]
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    frame = pd.read_parquet(tmp_path / "a.parquet")
    task = load_task(frame, answer_key="label", system_prompt=None)
    assert type(task.messages(task.train[0])) is list
    assert json.dumps(task.messages(task.train[0]))


def test_a_set_that_was_duplicated_a_hundred_times():
    """DAPO #36: 1.79 million rows of 17 thousand prompts; a copy must not be held out."""
    rows = [{"prompt": [user(f"{i}?")], "reward_model": {"ground_truth": str(i)}}
            for i in range(30)]  # fmt: skip
    with pytest.warns(UserWarning, match="2970 repeated"):
        task = load_task(rows * 100)
    assert (len(task.train), len(task.held_out)) == (27, 3)


def test_an_instruction_set_with_a_system_column():
    """ms-swift #5431: whether the column is used at all could not be seen."""
    row = {"system": "Be a chemist.", "instruction": "2+2?", "input": "", "output": "4"}
    with pytest.warns(UserWarning, match="keep the system message of their row"):
        task = load_task([row, row | {"instruction": "2+3?"}], held_out=1)
    assert task.messages(task.train[0])[0] == {"role": "system", "content": "Be a chemist."}
    assert "system: 'Be a chemist.'" in task.describe()


def test_a_system_prompt_that_is_changed_is_the_one_that_is_sent():
    """TRL #3238: the changed prompt had no effect, and nothing said so."""
    rows = [{"problem": f"{i}+1?", "solution": f"\\boxed{{{i + 1}}}"} for i in range(2)]
    task = load_task(rows, held_out=1, system_prompt="Only output 100.")
    assert "system: 'Only output 100.'" in task.describe()


def test_questions_that_differ_in_white_space_and_answer():
    """BotBuilder-PersonalityChat #46: doubled with a space behind, one with two answers."""
    rows = [("Do you sweat?", "No"), ("Do you sweat? ", "No"), ("Hello", "Hi"), ("Bye", "Bye")]
    rows += [("I'm offended", "Sorry"), ("I'm offended", "Why")]
    with pytest.warns(UserWarning, match="left out"):
        task = load_task([{"question": q, "answer": a} for q, a in rows], held_out=1)
    asked = {p.question for p in (*task.train, *task.held_out)}
    assert asked == {"Do you sweat?", "Hello", "Bye"}


def test_a_worked_solution_with_its_messages_beside_it():
    """open-r1 #126: NuminaMath-TIR has problem, solution and messages, and no prompt."""
    rows = [{"problem": f"{i}+1?", "solution": f"```python\n```\n#### Sum\n\\boxed{{{i + 1}}}.",
             "messages": [user(f"{i}+1?"), {"role": "assistant", "content": "…"}]}
            for i in range(2)]  # fmt: skip
    task = load_task(rows, held_out=1)
    assert {p.answer for p in (*task.train, *task.held_out)} == {"1", "2"}


def test_a_folder_in_place_of_a_file(tmp_path):
    """verl #890: a folder of parquet files had been read whole, and then no longer."""
    (tmp_path / "part-0.parquet").touch()
    with pytest.raises(TaskError, match="Name a file in it, such as part-0.parquet"):
        load_task(tmp_path)
