"""The helper that makes one test of many cases lets none of them off."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from helpers import in_one_test


def test_every_case_is_tried_and_every_offender_named() -> None:
    tried = []

    @in_one_test([dict(number=number) for number in range(5)])
    def check(number: int) -> None:
        tried.append(number)
        assert number % 2 == 0

    with pytest.raises(AssertionError, match=r"2 of 5 do not hold(.|\n)*'number': 1(.|\n)*: 3"):
        check()
    assert tried == list(range(5))


def test_an_error_that_is_no_assertion_counts_as_well() -> None:
    @in_one_test([dict(number=0)])
    def check(number: int) -> None:
        print(1 / number)

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        check()


def test_parameters_that_the_cases_do_not_give_stay_fixtures() -> None:
    @in_one_test([dict(number=0)])
    def check(number: int, tmp_path: Path) -> None: ...

    assert list(inspect.signature(check).parameters) == ["tmp_path"]


def test_no_case_at_all_is_an_error() -> None:
    with pytest.raises(AssertionError, match="no case"):
        in_one_test([])
