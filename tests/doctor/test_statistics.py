"""Whether a difference of two windows is told from noise."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.doctor.finding import figure, percent, points, quoted, span
from workbench.doctor.statistics import change, departure


def alarms(make, count: int = 2000, size: int = 10) -> float:
    """Share of pairs of windows without any difference that are called different."""
    rng = np.random.default_rng(0)
    found = [change(make(rng, size), make(rng, size)) for _ in range(count)]
    return sum(c.up or c.down for c in found) / count


def test_white_noise_hardly_ever_counts_as_a_change() -> None:
    assert alarms(lambda rng, n: rng.normal(size=n)) < 0.015
    assert alarms(lambda rng, n: rng.normal(size=n), size=30) < 0.005


def test_noise_that_wanders_raises_few_alarms() -> None:
    def wandering(rng: np.random.Generator, n: int) -> np.ndarray:
        noise = rng.normal(size=n + 50)
        for i in range(1, len(noise)):
            noise[i] += 0.3 * noise[i - 1]
        return noise[-n:]

    assert alarms(wandering) < 0.04
    assert alarms(wandering, size=30) < 0.02


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(1)
    moved = [change(rng.normal(0, 1, 10), rng.normal(3, 1, 10)) for _ in range(200)]
    assert sum(c.up for c in moved) > 170
    assert not any(c.down for c in moved)
    assert change(-np.arange(9.0), np.full(9, -20.0)).down


def test_a_trend_inside_a_window_is_not_noise() -> None:
    ramp = np.linspace(0, 1, 20)
    assert change(ramp[:10], ramp[10:]).up


def test_a_departure_is_from_the_course_before() -> None:
    course = np.linspace(0, 1, 20)
    assert change(course[:10], course[10:]).up
    on_course = departure(course[:10], course[10:])
    assert not on_course.up
    assert on_course.before == pytest.approx(on_course.after)
    assert departure(course[:10], course[10:] + 0.1).up
    assert departure(course[:10], np.full(10, course[9])).down
    assert departure(np.ones(4), np.ones(10)) is None


def test_a_departure_is_rarely_seen_in_noise() -> None:
    rng = np.random.default_rng(3)
    found = [departure(rng.normal(size=10), rng.normal(size=10)) for _ in range(2000)]
    assert sum(d.up or d.down for d in found) < 0.03 * len(found)


def test_constant_windows() -> None:
    same, other = np.full(10, 0.1), np.full(10, 0.2)
    still = change(same, same.copy())
    assert not still.up
    assert not still.down
    assert change(same, other).up
    assert change(other, same).down
    assert not change(np.zeros(10), np.zeros(10)).up


def test_too_few_values_say_nothing() -> None:
    assert change(np.ones(4), np.ones(10)) is None
    assert change(np.ones(5), np.ones(5)) is not None


def test_within_asks_for_certainty() -> None:
    rng = np.random.default_rng(2)
    noisy, quiet = rng.normal(0, 1, 10), rng.normal(0, 0.01, 10)
    assert change(quiet, quiet[::-1]).within(0.1)
    assert not change(noisy, noisy[::-1]).within(0.1), (
        "no difference seen, but none excluded either"
    )


def test_factor() -> None:
    assert change(np.full(5, 2.0), np.full(5, 6.0)).factor == 3
    assert change(np.zeros(5), np.ones(5)).factor == float("inf")
    assert change(np.zeros(5), np.zeros(5)).factor == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.012345, "0.0123"),
        (1234.5, "1,234"),
        (1e-6, "1e-06"),
        (2e7, "2e+07"),
        (float("inf"), "infinite"),
        (float("nan"), "not a number"),
        (0.0, "0"),
        (-3.0, "-3"),
    ],
)
def test_figures(value: float, text: str) -> None:
    assert figure(value) == text


def test_shares_steps_and_quotes() -> None:
    assert [percent(x) for x in (0, 0.00021, 0.034, 0.123, 1)] == [
        "0 %",
        "0.021 %",
        "3.4 %",
        "12 %",
        "100 %",
    ]
    assert points(-0.0312) == "-3.1 points"
    assert [span(x) for x in ([], [4], np.array([4, 5, 9]))] == [
        "no step",
        "step 4",
        "steps 4 to 9",
    ]
    assert [quoted(x) for x in (0.00500001, None, "a", (1, 2))] == ["0.005", "None", "a", "(1, 2)"]
    assert quoted("y" * 1000) == "y" * 200 + "… (1,000 characters)"
