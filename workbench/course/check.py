"""The box under an exercise: it says "solved", or what is still wrong, and never shows a traceback.

The conditions stand in the notebook, in the learner's sight, as plain asserts with a message each.
An unsolved exercise must not stop "Run All", so what goes wrong inside the block is said in the box
and kept in `results`, nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workbench.widgets.base.style import standing_alone
from workbench.widgets.base.text import safe_text

results: dict[str, str] = {}
"""Exercise -> "" when solved, else what the box said last."""


@contextmanager
def check(exercise: str, *answers: Any) -> Iterator[None]:
    """Run the asserts of the block and show the verdict. `answers` that are still `...` are asked
    for by name.

    Catches every Exception of the block, an interrupt passes; `results[exercise]` keeps the
    verdict.
    """
    said = ""
    try:
        yield
    except AssertionError as e:
        said = str(e) or "An assert of the check failed. Read its condition in the cell above."
    except Exception as e:
        said = f"Your code raised {type(e).__name__}: {e}"
    if any(answer is ... for answer in answers):
        said = (
            "Replace the ... in the cell above by your answer, run that cell, then run this "
            "one again."
        )
    results[exercise] = said
    _show(exercise, said)


def _show(exercise: str, said: str) -> None:
    from IPython.display import display

    words = f"✓ {exercise}: solved." if not said else f"○ {exercise}: not yet. {said}"
    inner = (
        f"<div class='{'wb-error' if said else 'wb-note'} wb-text' "
        f"role='status'>{safe_text(words)}</div>"
    )
    display({"text/plain": words, "text/html": standing_alone(inner)}, raw=True)  # type: ignore[no-untyped-call, unused-ignore]
