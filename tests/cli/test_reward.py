"""`workbench reward`: what there is, and what one of them pays; and rewards with parameters in a
run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from workbench.rewards import REWARDS, WITH_PARAMETERS
from workbench.runs import Run

Command = Callable[..., CompletedProcess[str]]

MINE = """
def anywhere(completions, answer, **columns):
    texts = [completion[0]["content"] for completion in completions]
    return [float(gold in text) for text, gold in zip(texts, answer)]


def careless(completions, answer, **columns):
    texts = [completion[0]["content"] for completion in completions]
    return [float(float(text) == float(gold)) for text, gold in zip(texts, answer)]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my.py").write_text(MINE)
    return tmp_path


def test_a_reward_is_checked_with_a_table_and_examples(workbench: Command, folder: Path) -> None:
    shown = workbench("reward", "check", "my.py:anywhere", "--problems", 2, cwd=folder).stdout
    words = " ".join(shown.split())
    assert "reward 'anywhere' on 2 problems of 'arithmetic'" in words
    assert "false positive: shotgun, listed (gold '" in words
    assert "texts are paid that should not be: a policy will find such ones." in words
    row = next(line for line in shown.splitlines() if line.startswith("negation")).split()
    texts, paid, false_positives, *others = map(int, row[1:])
    assert texts == paid == false_positives > 0
    assert others == [0, 0, 0]


def test_as_many_examples_as_asked_for(workbench: Command, folder: Path) -> None:
    check = ("reward", "check", "my.py:anywhere", "--problems", 1)
    for count in (0, 2, 6):
        shown = workbench(*check, "--show", count, cwd=folder).stdout
        found = [line for line in shown.splitlines() if line.startswith("false positive:")]
        assert len(found) == count
        # A second one of a kind comes after the first of each.
        assert len({line.split(",")[0] for line in found}) == count


def test_one_object_of_json(workbench: Command, folder: Path) -> None:
    done = workbench("reward", "check", "answer", "--problems", 1, "--json", cwd=folder)
    assert done.stdout.count("\n") == 1
    values = json.loads(done.stdout)
    assert values["reward"] == "answer_reward"
    assert values["false_positives"] == values["false_negatives"] == values["failed"] == 0
    assert values["rows"][0]["verdict"] == "as expected"


def test_what_makes_it_fail_is_shown_and_is_no_error(workbench: Command, folder: Path) -> None:
    form = ("--form", "{answer}", "--problems", 1)
    shown = workbench("reward", "check", "my.py:careless", *form, cwd=folder).stdout
    words = " ".join(shown.split())
    assert "failed: equal spellings" in words
    assert "ValueError: could not convert string to float" in words
    assert "in a training the first such completion ends the run" in words


def test_hostile_text_reaches_no_terminal(workbench: Command, folder: Path) -> None:
    """The corpus holds overrides and NULs, a gold may hold escapes and markup."""
    rows = [
        {"question": f"{i} [red]?\x1b[2J", "answer": f"text:a[/x]\x1b]0;{i}\x07"} for i in range(3)
    ]
    (folder / "odd.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = workbench("reward", "check", "format", "--task", "odd.jsonl", "--show", 99, cwd=folder)
    assert "[/x]" in done.stdout
    assert not [c for c in done.stdout if ord(c) < 32 and c != "\n"]
    assert not set("\x1b\u202e\u200b\u2060") & set(done.stdout)


def test_a_task_of_ones_own(workbench: Command, folder: Path) -> None:
    rows = [{"q": f"Who is {name}?", "a": name} for name in ("Ada", "Bob", "Cleo", "Dan")]
    (folder / "who.jsonl").write_text("\n".join(map(json.dumps, rows)))
    keys = ("--column", "question=q", "--column", "answer=a")
    task = ("--task", "who.jsonl", *keys, "--json")
    values = json.loads(workbench("reward", "check", "answer", *task, cwd=folder).stdout)
    assert values["task"] == "who"
    assert len(values["problems"]) == 3
    assert values["false_positives"] == 0


def test_all_rewards_are_listed_with_their_parameters(workbench: Command, folder: Path) -> None:
    shown = workbench("reward", "list", cwd=folder).stdout
    lines = shown.splitlines()
    for name in [*REWARDS, *WITH_PARAMETERS]:
        assert [line for line in lines if line.split(":")[0] == name]
    assert "soft_overlong:max_completion_len=…,soft_punish_cache=…" in lines
    assert "repetition:ngram_size=3,max_penalty=-1.0" in lines
    assert shown.count("Hackable") == len([*REWARDS, *WITH_PARAMETERS])
    listed = json.loads(workbench("reward", "list", "--json", cwd=folder).stdout)
    assert set(listed) >= set(REWARDS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "nobody"), "reward 'nobody' is unknown"),
        (("check", "answer", "--form", "x"), "form='x' has no {answer} in it"),
        (("check", "answer", "--task", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(
    workbench: Command, folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = workbench("reward", *arguments, cwd=folder, code=2)
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


# ------------------------------------------------------------------------------ in a run

SETTINGS = (
    "prompts_per_step=4",
    "num_generations=4",
    "updates_per_rollout=1",
    "max_completion_length=8",
    "num_eval_problems=8",
    "save_steps=1",
)
OVERLONG = "soft_overlong:max_completion_len=8,soft_punish_cache=4"
NOISY = "noisy:p=0.5,seed=3,reward=lenient_answer"


def test_a_run_goes_on_with_its_parameters_and_not_with_others(
    workbench: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    set_ = [word for setting in SETTINGS for word in ("--set", setting)]
    rewards = ("--reward", OVERLONG, "--reward", NOISY)
    train = ("train", "--policy", tiny_folder, *rewards, *set_)
    workbench(*train, "--steps", 2, "--out", "whole", cwd=tmp_path)
    workbench(*train, "--steps", 1, "--out", "cut", cwd=tmp_path)
    # The record alone says which rewards, with which parameters.
    resume = ("train", "--resume", "--out", "cut", "--steps", 2)
    workbench(*resume, cwd=tmp_path)
    whole = Run.open(tmp_path / "whole")
    cut = Run.open(tmp_path / "cut")
    assert cut.meta.reward_names == [OVERLONG, NOISY]
    for name in (OVERLONG, NOISY):
        column = f"rewards/{name}"
        assert cut.samples(2)[column].tolist() == whole.samples(2)[column].tolist()
    # Half of what an untrained policy is paid is a flip.
    assert 0 < cut.samples(2)[f"rewards/{NOISY}"].mean() < 1
    other = ("--reward", OVERLONG, "--reward", NOISY.replace("seed=3", "seed=4"))
    refused = workbench(*resume, *other, cwd=tmp_path, code=2)
    assert "It cannot be resumed with" in refused.stderr
