"""System messages that the data brings along: kept, or replaced, and said."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from workbench.tasks.reading.report import Reading
from workbench.tasks.types import Problem


class SystemPrompt(Enum):
    """What stands for a system prompt that is not named."""

    AS_IN_DATA = "as in the data"
    """The row's own system message where it has one, else the workbench's."""


AS_IN_DATA = SystemPrompt.AS_IN_DATA


def kept_or_replaced(
    train: list[Problem],
    tests: list[Problem],
    system_prompt: str | SystemPrompt | None,
    reading: Reading,
) -> tuple[list[Problem], list[Problem]]:
    """The problems with their own system messages kept or taken out, and a note that says so."""
    own = [p for p in (*train, *tests) if _has_system(p)]
    if not own:
        return train, tests
    count = f"{len(own)} of {len(train) + len(tests)} problems"
    example = f"for example {own[0].before[0]['content']!r:.80}"
    if isinstance(system_prompt, SystemPrompt):
        reading.notes.append(
            f"{count} keep the system message of their row ({example}); the workbench's own, which "
            "asks for <think> and <answer>, is not sent to them. Replace it with system_prompt= "
            "(on the command line --system-prompt)."
        )
        return train, tests
    reading.as_told.append(
        f"the system message of the row is replaced in {count} ({example}), as system_prompt says."
    )
    return _without_system(train), _without_system(tests)


def _has_system(problem: Problem) -> bool:
    return bool(problem.before) and problem.before[0]["role"] == "system"


def _without_system(problems: list[Problem]) -> list[Problem]:
    return [replace(p, before=p.before[1:]) if _has_system(p) else p for p in problems]
