"""Lenient extraction: the whole expression, no denied answer, no hedge, whatever the text holds."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.rewards import extract_answer, lenient_correct
from workbench.tasks.format import parse, tagged_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>7</answer> no: <answer>8</answer>", None),
        ("<answer>8</answer>, so <answer>8.0</answer>", "8.0"),
        ("<think>a</think><answer>8", "8"),
        ("<answer><answer>8</answer></answer>", "8"),
        ("<answer> </answer> #### 9", "9"),
        ("so\n#### 1,234\nthank you 5", "1,234"),
        ("#### Step 2\nWe get 7 apples.", "7 apples"),
        ("hence \\boxed{\\frac{1}{2}} of 3", "\\frac{1}{2}"),
        ("hence \\boxed{1 of 3", "3"),
        ("hence \\boxed 7", "7"),
        ("hence \\boxed{3} or \\boxed{5}", "3, 5"),
        ("he has 3 apples and 1,234.50 dollars.", "1,234.50 dollars"),
        ("5-3 is 2, or -2.", "2, or -2"),
        ("it is 5-3", "5-3"),
        ("it is 5-3=2", "2"),
        ("it costs $5", "$5"),
        ("a share of 3/4", "3/4"),
        ("he pays $5 and then $7", "$7"),
        ("Answer: $\\frac{3}{4}$", "\\frac{3}{4}"),
        ("Answer: −5", "−5"),
        ("It is 3 1/2", "3 1/2"),
        ("The answer is definitely not 42.", None),
        ("It is 41, not 42.", "41"),
        ("Could it be 42?", None),
        ("The answer is 42 because 6*7 is 42, see step 3.", "42"),
        ("I do not know", None),
        ("", None),
    ],
)
def test_the_likeliest_answer(text, answer):
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is (B).", "B"),
        ("I pick (A), or rather (C)", None),
        ("It is (A) or (C)", None),
        ("The answer is a lot", None),
        ("b", "b"),
    ],
)
def test_a_letter_is_looked_for_where_the_gold_is_one(text, letter):
    assert extract_answer(text, "letter") == letter


@pytest.mark.parametrize(
    ("text", "gold", "paid"),
    [
        ("The answer is New York.", "New York", True),
        ("The answer is not New York.", "New York", False),
        ("5 feet", "5 meters", False),
        ("5 meters", "5 meters", True),
        ("$5$ feet", "5 meters", False),
        ("\\boxed{5} feet", "5 meters", False),
        ("The flight leaves at 12:00.", "12:00", True),
        ("The flight leaves at 10:12.", "12", False),
        # What a thought says counts only where nothing comes after it.
        ("<think>It is 41.</think>It is 42.", "42", True),
        ("<think>It is 42.</think>It is 41.", "42", False),
        ("<think>It is 42.</think>", "42", True),
    ],
)
def test_what_is_paid_leniently(text, gold, paid):
    assert lenient_correct(text, gold) is paid


# What people reported of other checkers, tried on ours.
REPORTED = [
    ("huggingface/Math-Verify#81", "<answer>11 5/6</answer>", "71/6", True),
    ("huggingface/Math-Verify#81", "<answer>2 2/3</answer>", "2", False),
    ("huggingface/Math-Verify#81", "<answer>4 10/3</answer>", "10", False),
    ("stanford-crfm/helm#4337", "The answer is 72, in total, so she earns that.", "72", True),
    ("stanford-crfm/helm#4317", "the meeting is at 7:30", "7:30", True),
    ("stanford-crfm/helm#4317", "the meeting is at 7:30", "30", False),
    ("stanford-crfm/helm#4289", "answer is 3 5", "5", False),
    (
        "pytorch/torchtitan#4442",
        "The digits of \\(2003^{2^{201}}\\):\n\\[Answer: 009\\]",
        "9",
        True,
    ),
    ("huggingface/open-r1#566", "\\boxed{\\frac{64}{400}}", "\\frac{63}{400}", False),
    ("mbzuai-nlp/finchain#3", "The final value is 13.20%", "13.20", True),
    ("greynewell/matchspec#306", "#### 1/2", "0.5", True),
    ("ai-dynamo/aiperf#849", "The answer is 3.14", "3.14", True),
    ("verl-project/verl#7274", "2+40=42\n#### 42\n" + "So it is, as shown. " * 30, "42", True),
    (
        "EleutherAI/lm-evaluation-harness#3477",
        "Mark your solution with \\boxed . Thus \\[ \\boxed{42} \\]",
        "42",
        True,
    ),
    (
        "EleutherAI/lm-evaluation-harness#3643",
        "The domain is \\boxed{[2,5)}",
        "[2,5)",
        True,
    ),
    ("hayj/SystemTools#5", "The total is 727,242.", "727.242", False),
]


@pytest.mark.parametrize(("report", "text", "gold", "paid"), REPORTED)
def test_what_was_reported_elsewhere(report, text, gold, paid):
    assert lenient_correct(text, gold) is paid


HOSTILE = [
    "<answer>" * 12000,
    "\\boxed{" * 14000,
    "\\boxed{" + "{" * 100_000,
    "\\boxed{" + "{}" * 50_000,
    "\\boxed{1}" * 11000,
    "\\boxed 7 and " * 8000,
    "1" * 100_000,
    "1," * 50_000,
    "111,222" * 15000,
    "1/" * 50_000 + "x",
    "1 " * 50_000,
    "1 and " * 17_000,
    "= " * 50_000,
    "-" * 100_000,
    "- " * 50_000,
    "#" * 100_000,
    "#### " * 20_000,
    "$" * 100_000,
    "$ " * 50_000,
    "$1" * 50_000,
    "**" * 50_000,
    "**a" * 33_000,
    "\\(" * 50_000,
    "\\[1" * 33_000,
    "answer " * 14_000,
    "the answer is " * 7_000,
    "answer is just just " * 5_000,
    "answer: " * 12_000,
    "(B) or " * 14_000,
    "not " * 25_000 + "42",
    ". " * 50_000,
    "?" * 100_000,
    " " * 100_000 + "x",
    "½" * 100_000,
    "²" * 100_000,
    "ﷺ" * 100_000,
    "\n" * 100_000,
    "a " * 50_000,
]


@pytest.mark.parametrize("wanted", ["value", "letter", "words"])
def test_hostile_text_of_100_kb_costs_next_to_nothing(wanted):
    slow = []
    for text in HOSTILE:
        start = time.thread_time()
        extract_answer(text, wanted)
        seconds = time.thread_time() - start
        if seconds > 0.3:
            slow.append((text[:20], seconds))
    assert not slow


@settings(deadline=None)
@given(st.text(alphabet="<>/thinkaswer 1,.{}\\boxed#", max_size=300))
def test_a_strict_answer_is_also_the_lenient_one(text):
    parsed = parse(text)
    assert parsed is None or parsed.answer == tagged_answer(text) == extract_answer(text)


@settings(deadline=None)
@given(st.text(alphabet="answer is not42.,$*\\boxed{}()=+-/ B#\n?½²", max_size=200))
def test_no_text_breaks_the_extraction(text):
    for wanted in ("value", "letter", "words"):
        found = extract_answer(text, wanted)
        assert found is None or found.strip()


@pytest.mark.parametrize(
    ("text", "gold", "right"),
    [
        # Found by the reward check: a whole text is read as it is, and what denies a number denies
        # it with its name and its unit.
        ("+42", "42", True),
        ("４２", "42", True),
        ("minus 5", "-5", True),
        ("+7/2", "3.5", True),
        ("\\infty", "\\infty", True),
        ("5 maybe", "5", False),
        ("10/2", "5", False),
        ("5 apples is wrong", "5", False),
        ("5 apples is wrong", "5 apples", False),
        ("#### 5 apples is wrong", "5 apples", False),
        ("The result is 5 apples.", "5 apples", True),
        ("not x = 4", "4", False),
        ("It is 3/4.\nIt is not x = 4.", "4", False),
        ("**not x = 4**", "4", False),
        ("**x = 4**", "4", True),
    ],
)
def test_a_whole_text_and_a_denied_one(text: str, gold: str, right: bool) -> None:
    assert lenient_correct(text, gold) is right
