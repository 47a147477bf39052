"""The process in which math-verify runs: it answers one question at a time and dies when one takes
too much computing.

Run as a script by `math_process`. A process is needed because no shorter way stops SymPy:
`9^{9^{9^9}}` is 11 characters long and never ends, math-verify's own limit is a signal, which only
the main thread can set, and SymPy spends the time inside one call in C, where neither a signal
handler nor another thread gets a turn. Here
the kernel's timer of the process's own computing time, which needs no turn, ends the whole process.
Time on the clock would count what else the machine does: a right answer would be lost on a busy
one.

Protocol, a JSON value a line: first what is wrong with the installation, or null. Then for each
request [given, gold, seconds of computing]: whether the two can be read and are equal; null where
memory ran out.
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import signal
import sys
from typing import Any

MEMORY_LIMIT = 4 << 30
"""Bytes of address space, on Linux: an expression may blow up in memory before it runs out of
time."""

WALL = 20
"""Seconds on the clock for each second of computing, after which a worker that waits for something
is ended too. On Windows, which has no timer of computing time, this is the only limit."""

DIGITS = 60
"""Significant digits to which two constants are worked out, where exact rules do not decide."""

EQUAL_TO = 40
"""Leading digits in which equal constants must agree, whatever their size."""


def main() -> None:
    # Ctrl-C goes to the whole group; the owner decides, by closing stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import math_verify  # noqa: F401
    except ImportError as error:
        _reply(str(error))
        return
    _limit_memory()
    # The grammar is built at the first use, which takes longer than any question may.
    _equal(r"\frac{1}{2}x", r"\frac{x}{2}")
    _reply(None)
    for line in sys.stdin:
        given, gold, seconds = json.loads(line)
        _start_clock(seconds)
        try:
            answer = _equal(given, gold)
        except MemoryError:
            answer = None
        # SymPy fails in many ways on what means nothing. The gold was compared with itself before,
        # so it is the given answer, which would escape its 0 by that.
        except Exception:
            answer = False
        _stop_clock()
        _reply(answer)


def _start_clock(seconds: float) -> None:
    # SIGPROF is left as it is, which is to end the process.
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)
    faulthandler.dump_traceback_later(WALL * seconds, exit=True)


def _stop_clock() -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, 0)
    faulthandler.cancel_dump_traceback_later()


def _equal(given: str, gold: str) -> bool:
    import math_verify

    expected = _parse(gold)
    answer = _parse(given)
    if not expected or not answer:
        return False
    exactly = _same_value(expected[0], answer[0])
    if exactly is not None:
        return exactly
    return bool(math_verify.verify(expected, answer, timeout_seconds=None))


def _same_value(expected: Any, answer: Any) -> bool | None:
    """Whether two expressions have one value, whatever its size; None where only math-verify can
    say.

    math-verify rounds to six decimals, which makes 1/2004! and 1/2006! one. Constants are decided
    here; expressions with variables are refused here when they differ where they are worked out.
    """
    import sympy

    if isinstance(expected, sympy.MatrixBase) and isinstance(answer, sympy.MatrixBase):
        if expected.shape != answer.shape:
            return False
        pairs = zip(expected, answer, strict=True)
        return False if any(_same_value(e, a) is False for e, a in pairs) else None
    if not (isinstance(expected, sympy.Expr) and isinstance(answer, sympy.Expr)):
        return None
    symbols = sorted(expected.free_symbols | answer.free_symbols, key=str)
    if not symbols:
        return _close(_exact(expected), _exact(answer))
    # Two of the places have negative values, where roots and absolute values show themselves.
    for place in (5, -3, -11):
        values = {
            symbol: sympy.Rational(place * (7 + i), 13 + 2 * i)
            for i, symbol in zip(itertools.count(), symbols)
        }
        if _close(_exact(expected).subs(values), _exact(answer).subs(values)) is False:
            return False
    return None


def _exact(expression: Any) -> Any:
    """`expression` with decimals as the fractions that they are."""
    import sympy

    decimals = expression.atoms(sympy.Float)
    return expression.xreplace({number: sympy.Rational(str(number)) for number in decimals})


def _close(expected: Any, answer: Any) -> bool | None:
    """Whether two constants are one, relative to their size; None where one is no number."""
    import sympy

    if expected.is_Rational and answer.is_Rational:
        return bool(expected == answer)
    values = [sympy.N(constant, DIGITS) for constant in (expected, answer)]
    if not all(value.is_number and value.is_finite for value in values):
        return None
    try:
        largest = max(abs(value) for value in values)
        return bool(abs(values[0] - values[1]) <= largest * sympy.Rational(1, 10**EQUAL_TO))
    # An integral that nothing works out is called a number, and is not larger or smaller than one.
    except TypeError:
        return None


def _parse(text: str) -> list[Any]:
    """What math-verify makes of `text` as one LaTeX formula; empty when it can make nothing of it.

    Only its LaTeX grammar is asked: the reader for plain expressions uses SymPy's `parse_expr`,
    which evaluates.
    """
    import math_verify

    config = [math_verify.LatexExtractionConfig()]
    parsed: list[Any] = math_verify.parse(
        f"${text}$", config, fallback_mode="no_fallback", parsing_timeout=None
    )
    return parsed


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


def _reply(value: Any) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
