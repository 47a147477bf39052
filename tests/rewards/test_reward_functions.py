"""The reward functions that come with the workbench, on text and on conversations."""

import subprocess
import sys
from pathlib import Path

import pytest

from workbench.rewards import (
    GoldError,
    RewardSet,
    answer_reward,
    completion_text,
    format_reward,
    lenient_answer_reward,
    lenient_correct,
    strict_correct,
)
from workbench.tasks import columns_of, load_task

GSM8K = Path(__file__).parents[2].parent / "shared" / "data" / "gsm8k" / "train.jsonl"
TEXTS = [
    "<think>3+5 is 8.</think><answer>8</answer>",  # right, in the format
    "<think>3+5 is 9.</think><answer>9</answer>",  # wrong, in the format
    "It is <answer>8</answer>",  # right, tagged, not in the format
    "It is 8",  # right, untagged
    "<answer>7</answer><answer>8</answer>",  # a hedge
    "",
]


def said(text):
    return [{"role": "assistant", "content": text}]


@pytest.mark.parametrize(
    "completions", [TEXTS, [said(t) for t in TEXTS]], ids=["text", "conversation"]
)
def test_what_each_function_rewards(completions):
    prompts, answer = ["3+5?"] * 6, ["8"] * 6
    assert format_reward(prompts=prompts, completions=completions, answer=answer) == [
        1,
        1,
        0,
        0,
        0,
        0,
    ]
    assert answer_reward(prompts=prompts, completions=completions, answer=answer) == [
        1,
        0,
        1,
        0,
        0,
        0,
    ]
    assert lenient_answer_reward(prompts=prompts, completions=completions, answer=answer) == [
        1,
        0,
        1,
        1,
        0,
        0,
    ]


def test_accuracy_is_format_and_answer():
    assert [strict_correct(t, "8") for t in TEXTS] == [True, False, False, False, False, False]
    assert [lenient_correct(t, "8") for t in TEXTS] == [True, False, True, True, False, False]


@pytest.mark.parametrize("text", ["", "8", "<think>a</think><answer>}}{{</answer>"])
def test_a_gold_answer_that_cannot_be_read_is_never_scored(text):
    for scored in (strict_correct, lenient_correct):
        with pytest.raises(GoldError):
            scored(text, "}}{{")


def test_the_text_of_a_completion():
    assert completion_text("8") == completion_text(said("8")) == "8"
    tool = {"role": "tool", "content": "4"}
    assert completion_text([*said("2+2"), tool, *said("is 4")]) == "2+2\nis 4"


@pytest.mark.parametrize(
    "completion",
    [
        None,
        8,
        [],
        ["8"],
        [{"role": "user", "content": "8"}],
        [{"role": "assistant"}],
        [*said("8"), *said(8)],
    ],
)
def test_what_is_no_completion_is_refused(completion):
    with pytest.raises(TypeError, match="a completion must be text"):
        completion_text(completion)


@pytest.mark.skipif(
    not GSM8K.is_file(),
    reason="needs the GSM8K files in ../shared/data/gsm8k beside the repository",
)
def test_gsm8ks_gold_answers_score_full_marks_and_wrong_ones_nothing():
    task = load_task(GSM8K)
    problems = [*task.train, *task.held_out]
    right = [
        said(f"<think>{p.columns['solution']}</think><answer>{p.answer}</answer>") for p in problems
    ]
    worked = [said(p.columns["solution"]) for p in problems]
    wrong = [said(f"<think></think><answer>{p.answer}1</answer>") for p in problems]
    prompts = [task.messages(p) for p in problems]
    rewards = RewardSet(["format", "answer", "lenient_answer"])
    columns = columns_of(problems)
    totals = [
        rewards.score(prompts, completions, columns=columns, step=0).rewards_BK.sum(0).tolist()
        for completions in (right, worked, wrong)
    ]
    assert len(problems) == 8792
    assert totals == [[8792, 8792, 8792], [0, 0, 8792], [8792, 0, 0]]


def test_importing_tasks_and_rewards_loads_nothing_heavy():
    code = (
        "import sys, workbench.tasks, workbench.rewards; print([m for m in ('torch', "
        "'transformers', 'datasets', 'sympy', 'math_verify') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
