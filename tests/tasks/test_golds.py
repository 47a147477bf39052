"""The gold answer in a data set's answer: where it is found, and where it is not guessed."""

import pytest

from tests.helpers import in_one_test
from workbench.tasks import TaskError, load_task
from workbench.tasks.reading.golds import (
    BOX,
    HASHES,
    LAST_BOX,
    WHOLE,
    boxes_in,
    gold_in,
    may_have_decimal_commas,
)

HEADINGS = "#### Step 1\nAdd 3 and 4.\n#### Step 2 We get 7, so the answer is $\\boxed{7}$."
"""A markdown solution whose last line is a heading with a sentence behind it."""

FOUND = {
    # GSM8K's, and what looks like it
    "3+4=7\n#### 7": ("7", HASHES),
    "3+4=7\n####7  \n\n": ("7", HASHES),
    "sum\n#### 1,080": ("1080", HASHES),
    "sum\n#### Final Answer: 7": ("7", HASHES),
    "sum\n#### 7 is the answer": ("7 is the answer", HASHES),
    "sum\n#### The answer is $\\boxed{7}$": ("7", HASHES),
    # headings of a worked solution, with the answer in its box
    HEADINGS: ("7", BOX),
    "#### Work\n\\boxed{7}\n#### Remarks": ("7", BOX),
    "#### Step 2 We get 7, so\n\\boxed{8} is next.": ("8", BOX),
    "## Solution\n#### Work\n\\boxed{\\frac{1}{2}}\nDone.": ("\\frac{1}{2}", BOX),
    "##### 5\nThus \\boxed{6}": ("6", BOX),
    # boxes
    "So \\boxed{\\frac{\\sqrt{3}}{2}}.": ("\\frac{\\sqrt{3}}{2}", BOX),
    "so $\\boxed 7$.": ("7", BOX),
    "so $\\boxed\\pi$": ("\\pi", BOX),
    "so \\fbox{7}": ("7", BOX),
    "\\boxed{2} is wrong, \\boxed{3}": ("3", LAST_BOX),
    "\\fbox{2}, then \\boxed{\\text{(B)}}": ("\\text{(B)}", LAST_BOX),
    "\\boxed{1,234}": ("1234", BOX),
    # short answers
    "72": ("72", WHOLE),
    "Paris": ("Paris", WHOLE),
    "1,2": ("1,2", WHOLE),
}


def test_each_gold_is_found_where_it_stands():
    found = {text: gold_in(text) for text in FOUND}
    wrong = {t: g for t, g in found.items() if (g.text, g.found) != FOUND[t]}
    assert not wrong


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#### Step 2 We get 7, so\nwe are done.", "only at the start of the last line"),
        ("#### Step 1\nAdd.\n#### Step 2 We get 7", "only at the start of the last line"),
        ("#### Step 1 Add. #### Step 2 We get 7", "only at the start of the last line"),
        ("it is 7 #### 7", "only at the start of the last line"),
        ("work\n#### Final Answer", "blank"),
        ("\\boxed{7}\n#### Remarks", "two final answers"),
        ("\\boxed{7}\n#### 8", "two final answers"),
        ("\\boxed{7", "not closed"),
        ("\\boxed{}", "blank"),
        ("\\boxed", "blank"),
        ("work\n#### Step 2 " + "and so on " * 30, "no more than 200"),
        ("work " * 100, "a long text without a final answer"),
        ("a table\nof 7", "a long text without a final answer"),
    ],
)
def test_what_is_not_certain_is_not_guessed(text, message):
    with pytest.raises(TaskError, match=message):
        gold_in(text)


def test_boxes_are_found_in_time_linear_in_the_text():
    assert list(boxes_in("\\boxed " * 50_000))[-1] == ""
    assert len(list(boxes_in("\\boxed{1}" * 50_000))) == 50_000
    with pytest.raises(TaskError):
        list(boxes_in("\\boxed{" * 50_000))


def test_a_task_says_how_each_gold_was_found_and_what_was_dropped():
    rows = [{"question": f"{i} + 1?", "answer": f"work\n#### {i + 1}"} for i in range(7)]
    rows += [{"question": f"{i} + 2?", "answer": f"so \\boxed{{{i + 2}}}"} for i in range(2)]
    rows += [{"question": "9?", "answer": "9"}, rows[0]]
    rows += [{"question": "two golds?", "answer": "1"}, {"question": "two golds?", "answer": "2"}]
    with pytest.warns(UserWarning, match="left out") as told:
        task = load_task(rows)
    said = task.describe()
    for words in (
        "8 after '####' at the start of the last line",
        "2 in the box",
        "3 the whole answer",
        "1 repeated question(s) left out: row 10.",
        "row 11 (gold '1') and row 12 (gold '2')",
        "dropped of 13 rows",
    ):
        assert words in said
    assert len([line for line in said.splitlines() if ": gold " in line]) == 5
    assert any("different golds" in str(warning.message) for warning in told)


def test_what_may_be_a_list_of_two_keeps_its_comma():
    assert gold_in("100,200").text == "100,200"
    assert gold_in("\\boxed{100,200}").text == "100,200"
    assert gold_in("so it is\n#### 100,200").text == "100200"
    assert gold_in("1,080").text == "1080"


@in_one_test(
    {"golds": golds, "said": said}
    for golds, said in [
        (["3,5", "7", "0,125", "-2,5 %"], ["3,5", "0,125", "-2,5 %"]),
        (["3,5", "2.5"], []),
        (["1,080", "12,000%", "3, 5", "(1,2)", "x,5"], []),
    ]
)
def test_golds_that_may_have_a_decimal_comma_are_pointed_out(golds, said):
    assert may_have_decimal_commas(golds) == said
    rows = [{"question": f"{i}?", "answer": gold} for i, gold in enumerate(golds)]
    notes = "".join(load_task(rows, held_out=1).reading.notes)
    assert ("a comma is no decimal sign" in notes) == bool(said)
