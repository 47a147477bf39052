"""Arithmetic worked out step by step, as the embedded policy was taught to write it: digit by digit
from the right for sums and differences, result by result for everything else."""

from __future__ import annotations

Working = tuple[str, int]
"""The written steps and the result that they lead to."""


def add(a: int, b: int, carry_kept: bool = True) -> Working:
    """Digit by digit from the right: 47 + 38 is '7+8=15 4+3+1=8'. Without the carry '7+8=15
    4+3=7', which people really write."""
    steps = []
    result = 0
    carry = 0
    places = max(len(str(a)), len(str(b)))
    for place in range(places):
        x = _digit(a, place)
        y = _digit(b, place)
        total = x + y + carry
        steps.append(f"{x}+{y}" + (f"+{carry}" if carry else "") + f"={total}")
        # The last column is written in full, the others leave their tens to the next.
        written = total if place == places - 1 else total % 10
        result += written * 10**place
        carry = total // 10 if carry_kept else 0
    return " ".join(steps), result


def subtract(a: int, b: int, borrow: bool = True) -> Working:
    """Digit by digit from the right, for a >= b: 83 - 47 is '13-7=6 7-4=3'. Without the borrow the
    smaller digit is taken from the larger: '7-3=4 8-4=4'."""
    steps = []
    result = 0
    borrowed = 0
    for place in range(max(len(str(a)), len(str(b)))):
        x = _digit(a, place) - borrowed
        y = _digit(b, place)
        borrowed = 0
        if x < y and borrow:
            x += 10
            borrowed = 1
        high = max(x, y)
        low = min(x, y)
        steps.append(f"{high}-{low}={high - low}")
        result += (high - low) * 10**place
    return " ".join(steps), result


def sum_then_times(a: int, b: int, c: int) -> Working:
    """(a + b) * c."""
    return f"{a}+{b}={a + b} {a + b}*{c}={(a + b) * c}", (a + b) * c


def product_then_plus(a: int, b: int, c: int) -> Working:
    """a + b * c."""
    return f"{b}*{c}={b * c} {a}+{b * c}={a + b * c}", a + b * c


def add_then_subtract(a: int, b: int, c: int) -> Working:
    """(a + b) - c, both steps written out."""
    first, total = add(a, b)
    second, result = subtract(total, c)
    return f"{first} {total}-{c} {second}", result


def add_subtract_add(a: int, b: int, c: int, d: int) -> Working:
    """(a + b) - c + d, all steps written out."""
    first, rest = add_then_subtract(a, b, c)
    second, result = add(rest, d)
    return f"{first} {rest}+{d} {second}", result


def sum_times_then_minus(a: int, b: int, c: int, d: int) -> Working:
    """(a + b) * c - d."""
    first, product = sum_then_times(a, b, c)
    return f"{first} {product}-{d}={product - d}", product - d


def _digit(number: int, place: int) -> int:
    unit: int = 10**place
    return number // unit % 10
