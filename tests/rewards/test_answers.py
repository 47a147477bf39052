"""Answer checking: exact numbers, words, expressions, hostile answers, gold answers that cannot be
read."""

import threading
import time
from fractions import Fraction

import pytest
from helpers import in_one_test
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.rewards import GoldError, answers_equal, check_gold
from workbench.rewards.answers import math_process
from workbench.rewards.answers.numerals import read_numeral

SAME_NUMBER = [
    ("72", "72"), ("072", "72"), (" 72 ", "72"), ("72.", "72"), ("72.0", "72"), ("72", "72.00"),
    ("+72", "72"), ("$72", "72"), ("72$", "72"), ("$72.00", "72"), ("€72", "72"), ("\\$72", "72"),
    ("$72$", "72"), ("72%", "72"), ("72 \\%", "72"), ("72 clips", "72"), ("72 square feet", "72"),
    ("72 km/h", "72"), ("72cm", "72"), ("72\\text{ cm}^2", "72"), ("72^\\circ", "72"),
    ("72°", "72"), ("1,080", "1080"), ("1080", "1,080"), ("1,234,567.5", "1234567.5"),
    ("10,\\!000", "10000"), ("10\\,000", "10000"), ("10{,}000", "10000"), ("-5", "-5"),
    ("−5", "-5"), ("-$5", "-5"), ("$-5", "-5"), ("- 5", "-5"), ("-0", "0"), (".5", "0.5"),
    ("1/2", "0.5"), ("0.5", "1/2"), ("2/4", "1/2"), ("\\frac{1}{2}", "0.5"), ("\\dfrac12", "1/2"),
    ("-\\frac{1}{2}", "-0.5"), ("1 1/2", "1.5"), ("1\\frac{1}{2}", "1.5"), ("\\boxed{72}", "72"),
    ("1e3", "1000"), ("1.5 \\times 10^{3}", "1500"), ("1.5\\cdot10^3", "1500"), ("10", "10/1"),
    ("\\(72\\)", "72"), ("x = 72", "72"),
]  # fmt: skip


ANOTHER_OR_NONE = [
    ("73", "72"), ("", "72"), ("-72", "72"), ("72 73", "72"), ("72 or 73", "72"),
    ("72 or seventy", "72"), ("72, 73", "72"), ("1,2", "12"), ("7 2", "72"), ("5$300", "5300"),
    ("0.333", "1/3"), ("0.1", "0.10000001"), ("3+5", "8"), ("2*4", "8"), ("2^3", "8"),
    ("\\sqrt{64}", "8"), ("16/2", "8"), ("7 2/2", "8"), ("8x", "8"), ("8 million", "8"),
    ("8 and a half", "8"), ("8 dozen", "8"), ("2\\pi", "2"), ("2 pi", "2"), ("50%", "0.5"),
    ("x > 8", "8"), ("eight", "8"), ("8/0", "8"), ("0/0", "0"), ("nan", "8"), ("inf", "8"),
    ("٨", "8"), ("8_0", "80"), ("8" * 300, "8"), ("1e999999999", "8"), ("9" * 5000, "8"),
    ("__import__('os')", "8"),
]  # fmt: skip


@in_one_test([dict(answer=answer, gold=gold) for answer, gold in SAME_NUMBER])
def test_the_same_number_however_it_is_written(answer, gold):
    assert answers_equal(answer, gold) is True


@in_one_test([dict(answer=answer, gold=gold) for answer, gold in ANOTHER_OR_NONE])
def test_another_number_or_none_at_all(answer, gold):
    assert answers_equal(answer, gold) is False


@settings(deadline=None)
@given(st.fractions(max_denominator=10**6))
def test_every_fraction_is_read_exactly(value):
    numeral = read_numeral(str(value))
    assert numeral is not None
    assert numeral.value == value
    assert answers_equal(str(value), str(value))


@settings(deadline=None)
@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12
    )
)
def test_every_decimal_is_read_exactly(value):
    numeral = read_numeral(f"{value:,}")
    assert numeral is not None
    assert numeral.value == Fraction(value)


@settings(deadline=None)
@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_integers_are_equal_when_they_are(a, b):
    assert answers_equal(f"{a:,}", str(b)) is (a == b)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text):
    numeral = read_numeral(text)
    assert numeral is None or isinstance(numeral.value, Fraction)


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("paris", "Paris", True), ("siraP", "Paris", False), ("New  York", "new york", True),
        ("York", "New York", False), ("b", "(B)", True), ("8", "Paris", False),
        ("\\text{(B)}", "B", True), ("(C)", "B", False),
    ],
)  # fmt: skip
def test_words(answer, gold, equal):
    assert answers_equal(answer, gold) is equal


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt{2}}{2}", True),
        ("$(x+1)^2$", "x^2+2x+1", True),
        ("(x-1)^2", "x^2+2x+1", False),
        ("(1, 2)", "(1,2)", True),
        ("(2, 1)", "(1,2)", False),
        ("", "x^2", False),
        ("}}{{", "x^2", False),
    ],
)
def test_expressions(answer, gold, equal):
    assert answers_equal(answer, gold) is equal


@pytest.mark.parametrize("gold", ["", "  ", "}}{{", "\\frac{", "?", "x" * 300])
def test_a_gold_answer_that_cannot_be_read_is_an_error_even_for_the_same_text(gold):
    with pytest.raises(GoldError, match="gold answer"):
        answers_equal(gold, gold)
    with pytest.raises(GoldError):
        check_gold(gold)


def test_a_gold_answer_that_is_no_text_is_an_error():
    with pytest.raises(GoldError, match="is 72, a int"):
        answers_equal("72", 72)


@pytest.mark.parametrize("answer", ["9^{9^{9^9}}", "(10^{9})!", "\\binom{10^9}{5\\cdot10^8}"])
def test_an_answer_that_never_ends_is_stopped_in_any_thread(monkeypatch, answer):
    assert answers_equal("2y", "y+y")  # starts the process outside the time taken
    monkeypatch.setattr(math_process, "TIME_LIMIT", 0.7)
    results = []
    start = time.perf_counter()
    thread = threading.Thread(target=lambda: results.append(answers_equal(answer, "y+y")))
    thread.start()
    thread.join(timeout=20)
    assert results == [False]
    assert time.perf_counter() - start < 10
    monkeypatch.undo()
    assert answers_equal(
        "3y-y", "y+y"
    )  # and the next question is answered as if nothing had happened


def test_an_interrupt_between_question_and_answer_does_not_mix_them_up(monkeypatch):
    process = math_process.MathProcess()
    assert process.equal("x+x", "2x", 10)
    reply = process._reply
    monkeypatch.setattr(process, "_reply", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        process.equal("x+x", "2x", 10)
    monkeypatch.setattr(process, "_reply", reply)
    assert process.equal("x+x", "3x", 10) is False
    assert process.equal("x+x", "2x", 10) is True
    process.close()


def test_math_verify_that_does_not_start_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setattr(math_process.sys, "executable", "true")
    with pytest.raises(math_process.MathProcessError, match="pip install"):
        math_process.MathProcess().equal("x", "x", 1)
