"""The equations of a text: which ones there are, which are right, and what a hostile text costs."""

from __future__ import annotations

import time
from fractions import Fraction

from helpers import in_one_test
from hypothesis import given
from hypothesis import strategies as st

from workbench.rewards.steps import equations


def told(text: str) -> list[tuple[str, bool]]:
    return [(text[e.start : e.end], e.is_right) for e in equations(text)]


@in_one_test(
    [
        {"text": text, "expected": expected}
        for text, expected in [
            ("7+8=15 4+3+1=8", [("7+8=15", True), ("4+3+1=8", True)]),
            # A sum that is only named, as the embedded policy does between two steps.
            ("85-20 5-0=5 8-2=7", [("5-0=5", True), ("8-2=7", False)]),
            ("(3 + 4) * 2 = 14, so 14.", [("(3 + 4) * 2 = 14", True)]),
            ("2+3*4=20", [("2+3*4=20", False)]),
            ("10-4-3=9", [("10-4-3=9", False)]),
            ("3 x 4 = 12 and 3×4=13", [("3 x 4 = 12", True), ("3×4=13", False)]),
            ("12 \\div 5 = 2.4", [("12 \\div 5 = 2.4", True)]),
            ("1/3 + 1/6 = 1/2", [("1/3 + 1/6 = 1/2", True)]),
            ("17/3=5.67", [("17/3=5.67", False)]),
            ("4/0=5", [("4/0=5", False)]),
            ("$4+$3=$7", [("4+$3=$7", True)]),
            ("1,000+1=1,001", [("1,000+1=1,001", True)]),
            ("He sold 48/2 = <<48/2=24>>24 clips", [("48/2=24", True)]),
            ("1+1=2=3-1", [("1+1=2", True), ("2=3-1", True)]),
            ("- 3+4=7\n- 2+2=5", [("3+4=7", True), ("2+2=5", False)]),
            ("1. 3+4=7", [("3+4=7", True)]),
            ("7+8=15 -4+3=-1", [("7+8=15", True), ("-4+3=-1", True)]),
            ("3−5=−2", [("3−5=−2", True)]),
        ]
    ]
)
def test_each_equation_is_found_and_judged(text: str, expected: list[tuple[str, bool]]) -> None:
    assert told(text) == expected


@in_one_test(
    [
        {"text": text}
        for text in (
            *("4=4", "x=5", "y+4=7", "2x=6", "2^3=8", "2^3+1=9", "1+2**3=9", "50%+50%=1", "3!=6"),
            *("17/3≈5.67", "1+1==2", "3+4 != 8", "3+4<=8", "3 apples + 4 apples = 7 apples", ""),
            *("3 + (4 = 7", "1+=2", "=", "__import__('os')+1=2", "9" * 41 + "+1=2"),
        )
    ]
)
def test_what_states_no_sum_of_numbers_is_none(text: str) -> None:
    assert told(text) == []


NUMBER = st.integers(0, 999)
SUM = st.lists(st.tuples(st.sampled_from("+-*/"), NUMBER), min_size=1, max_size=6)


@given(NUMBER, SUM, st.integers(-2, 2))
def test_it_reckons_as_python_does(first: int, rest: list[tuple[str, int]], off: int) -> None:
    """Precedence and order of the four operators, against Python's own on fractions."""
    written = str(first) + "".join(f"{sign}{number}" for sign, number in rest)
    exact = f"Fraction({first})" + "".join(f"{sign}Fraction({number})" for sign, number in rest)
    try:
        value = eval(exact, {"Fraction": Fraction})
    except ZeroDivisionError:
        assert told(f"{written}=0") == [(f"{written}=0", False)]
        return
    claimed = value + off
    # A fraction is written as a quotient in brackets.
    text = f"{written}=({claimed.numerator}/{claimed.denominator})"
    assert told(text) == [(text, off == 0)]


@given(st.text(alphabet="0123456789+-*/()=x .,^%!$\\<>\n", max_size=80))
def test_any_text_is_read_without_an_error(text: str) -> None:
    found = equations(text)
    assert all(0 <= e.start < e.end <= len(text) for e in found)
    assert [e.end for e in found] == sorted({e.end for e in found})


def test_hostile_texts_cost_time_linear_in_their_length() -> None:
    for piece in ("(", "1+", "-", "9*", "1=1=", "1+(", "^2", "1,000", "2**"):
        began = time.process_time()
        equations(piece * (20_000 // len(piece)))
        # Below two seconds on a quiet machine; others may share it.
        assert time.process_time() - began < 20, piece
