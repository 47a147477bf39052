"""Student's t against printed tables and closed forms."""

from __future__ import annotations

import math

import pytest

from workbench.runs.student_t import t_coverage, t_quantile

TABLE = {
    (0.95, 1): 12.7062,
    (0.95, 2): 4.3027,
    (0.95, 7): 2.3646,
    (0.95, 30): 2.0423,
    (0.99, 7): 3.4995,
    (0.99, 1): 63.6567,
    (0.80, 10): 1.3722,
    (0.95, 100_000): 1.9600,
}
"""Student's t as textbooks print it, two-sided."""


def test_students_t_is_the_printed_one() -> None:
    for (level, df), printed in TABLE.items():
        assert t_quantile(level, df) == pytest.approx(printed, abs=2.5e-3 if df > 1e4 else 6e-5)
    # One degree of freedom is Cauchy's, two have a closed form.
    assert t_coverage(3.0, 1) == pytest.approx(2 / math.pi * math.atan(3.0), rel=1e-14)
    assert t_coverage(3.0, 2) == pytest.approx(3.0 / math.sqrt(2 + 9.0), rel=1e-14)
