"""`workbench compare --exact`: do two records hold the same numbers, to the last bit?"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import typer

from workbench.commands.printing import say, say_json
from workbench.runs.integrity.exact import Exact, compare_exactly


def exact_command(a: Path, b: Path, as_json: bool) -> None:
    """See `workbench compare --help`. Ends with status 1 where they differ."""
    found = compare_exactly(a, b)
    if as_json:
        # Each as text where it is no JSON: NaN and infinity are spelled out.
        values = [] if found.first is None else list(found.first.values)
        plain = [str(v) if isinstance(v, float) and not math.isfinite(v) else v for v in values]
        first = None if found.first is None else asdict(found.first) | {"values": plain}
        say_json(asdict(found) | {"first": first, "equal": first is None})
    else:
        for line in words_of(found, a, b):
            say(line)
    if found.first is not None:
        raise typer.Exit(1)


def words_of(found: Exact, a: Path, b: Path) -> list[str]:
    """What was found, in sentences."""
    amount = f"{found.numbers:,} numbers and {found.texts:,} texts"
    if found.first is None:
        said = [f"equal to the last bit: {found.steps} steps, {amount}."]
    else:
        said = [
            f"they part at {found.first} (in {a} and in {b}).",
            f"Before it {amount} are the same.",
        ]
    if found.settings:
        said.append(f"Their settings differ in: {', '.join(found.settings)}.")
    return [*said, "Not compared: times, seconds, versions, events."]
