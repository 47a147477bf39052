"""The process in which math-verify runs: it answers one question at a time and dies when one takes
too long.

Run as a script by `math_process`. A process is needed because no shorter way stops SymPy:
`9^{9^{9^9}}` is 11 characters long and never ends, math-verify's own limit is a signal, which only
the main thread can set, and SymPy spends the time inside one call in C, where neither a signal
handler nor another thread gets a turn. Here
`faulthandler`'s watchdog, which needs no turn, ends the whole process.

Protocol, a JSON value a line: first what is wrong with the installation, or null. Then for each
request [given, gold, seconds]: whether the two can be read and are equal.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
from typing import Any

MEMORY_LIMIT = 4 << 30
"""Bytes of address space, on Linux: an expression may blow up in memory before it runs out of
time."""


def main() -> None:
    # Ctrl-C goes to the whole group; the owner decides, by closing stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import math_verify  # noqa: F401
    except ImportError as error:
        _reply(str(error))
        return
    _limit_memory()
    _reply(None)
    for line in sys.stdin:
        given, gold, seconds = json.loads(line)
        faulthandler.dump_traceback_later(seconds, exit=True)
        _reply(_equal(given, gold))
        faulthandler.cancel_dump_traceback_later()


def _equal(given: str, gold: str) -> bool:
    import math_verify

    expected = _parse(gold)
    answer = _parse(given)
    return bool(expected and answer) and math_verify.verify(expected, answer, timeout_seconds=None)


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
