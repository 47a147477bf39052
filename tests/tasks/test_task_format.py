"""The think/answer format: strict parsing, hostile text."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.tasks.format import SYSTEM_PROMPT, Parsed, boxed_answer, parse, tagged_answer


def test_the_parts_of_a_well_formed_completion():
    assert parse("<think>2+3 is 5.</think><answer>25</answer>") == Parsed("2+3 is 5.", "25")
    assert parse(" <think>\na\nb\n</think>\n<answer> 25 </answer>\n") == Parsed("a\nb", "25")
    assert parse("<think></think><answer>25</answer>") == Parsed("", "25")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "25",
        "<answer>25</answer>",
        "<think>a</think>25",
        "<think>a<answer>25</answer>",
        "<think>a</think><answer>25",
        "<think>a</think><answer></answer>",
        "<think>a</think><answer> \n</answer>",
        "<answer>25</answer><think>a</think>",
        "So: <think>a</think><answer>25</answer>",
        "<think>a</think><answer>25</answer> done",
        "<think>a</think> is <answer>25</answer>",
        "<think>a</think><answer>25</answer><answer>26</answer>",
        "<think>a</think><think>b</think><answer>25</answer>",
        "<think><think>a</think></think><answer>25</answer>",
        "<think>a<answer>b</think>25</answer>",
        "<THINK>a</THINK><ANSWER>25</ANSWER>",
        "<think>a</think><answer><answer>25</answer></answer>",
        SYSTEM_PROMPT,
    ],
)
def test_anything_else_is_not_in_the_format(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("noise <answer> 8 </answer> noise", "8"),
        ("<answer>7</answer><answer>8</answer>", None),
        ("<answer></answer>", None),
        ("</answer>8<answer>", None),
        ("<answer>8", None),
        ("8", None),
    ],
)
def test_the_one_tagged_answer(text, answer):
    assert tagged_answer(text) == answer


HOSTILE = [
    "<think>" * 15000,
    "<answer>" * 12000,
    "<think>" + "</think><answer>" * 7000 + "</answer>",
    "<" * 100_000,
    "<answer" * 15000,
    "\\boxed{" * 14000,
    "\\boxed{" + "{" * 100_000,
    "\\boxed{" + "{}" * 50_000,
    "1" * 100_000,
    "1," * 50_000,
    "111,222" * 15000,
    "1/" * 50_000 + "x",
    "-" * 100_000,
    "#" * 100_000,
    " " * 100_000 + "x",
    "<think>" + "\n" * 100_000 + "</think>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_of_100_kb_costs_next_to_nothing(text):
    start = time.thread_time()
    assert parse(text) is None
    tagged_answer(text)
    boxed_answer(text)
    assert time.thread_time() - start < 0.5


@settings(deadline=None)
@given(st.text(), st.text())
def test_what_is_put_in_the_format_comes_out_again(think, answer):
    tagged = any(tag in think + answer for tag in ("<think>", "</think>", "<answer>", "</answer>"))
    text = f"<think>{think}</think><answer>{answer}</answer>"
    expected = None if tagged or not answer.strip() else Parsed(think.strip(), answer.strip())
    assert parse(text) == expected
