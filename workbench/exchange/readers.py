"""A row of another trainer's file as a `Completion`, by the trainer's own names for its columns.

`verl` is what `trainer.rollout_data_dir` writes (a JSONL file for each step), `trl` what
`log_completions` writes (a parquet file for each logged step), `jsonl` anything that says prompt,
completion and reward by one of their usual names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import WorkbenchError

LARGEST_STEP = 1_000_000
"""A later step is a mistake: an update of a real model takes a second or more."""

NEUTRAL_NAMES: dict[str, tuple[str, ...]] = {
    "step": ("step", "global_step"),
    "prompt": ("prompt", "input", "question"),
    "completion": ("completion", "output", "response"),
    "gold": ("gold_answer", "gts", "ground_truth", "answer"),
    "reward": ("reward", "score"),
    "advantage": ("advantage",),
    "length": ("length", "response_length", "completion_length"),
    "truncated": ("truncated",),
    "group": ("group", "group_id", "uid"),
}
"""What is read of a row of `jsonl` -> the names that it may have, the first one there."""


class ImportFileError(WorkbenchError, ValueError):
    """A file of another trainer that cannot be read as what it was said to be."""


@dataclass(frozen=True)
class Completion:
    """One completion; None where its file does not say it."""

    prompt: str
    text: str

    rewards: Mapping[str, float]
    """By function; NaN: not scored."""

    step: int | None = None
    group: str | None = None
    gold: str | None = None
    advantage: float | None = None

    length: int | None = None
    """Sampled tokens."""

    truncated: bool | None = None
    unread: Sequence[str] = field(default_factory=tuple)
    """Columns of the row that have no place in a record."""


Reader = Callable[[str, Mapping[str, Any]], Completion]


def read_jsonl(place: str, row: Mapping[str, Any]) -> Completion:
    """A row by the usual names; `rewards` may hold each function's reward by its name."""
    names = {
        what: next((name for name in known if name in row), None)
        for what, known in NEUTRAL_NAMES.items()
    }
    found = {what: row[name] for what, name in names.items() if name is not None}
    for what in ("prompt", "completion"):
        if what not in found:
            known = ", ".join(NEUTRAL_NAMES[what])
            raise ImportFileError(f"{place}: has no {what}. It may be called {known}.")
    read = {*filter(None, names.values()), "rewards"}
    return _completion(place, found, _rewards(place, row, found), read, row)


def read_verl(place: str, row: Mapping[str, Any]) -> Completion:
    """A row of verl's `rollout_data_dir`: input, output, gts, score, step, and what the reward
    function returned beside its score."""
    _require(place, row, ("input", "output", "score"), "verl's rollout_data_dir")
    return read_jsonl(place, row)


def read_trl(place: str, row: Mapping[str, Any]) -> Completion:
    """A row of TRL's `log_completions`: step, prompt, completion, a column for each reward
    function, advantage."""
    _require(place, row, ("step", "prompt", "completion", "advantage"), "TRL's log_completions")
    own = ("step", "prompt", "completion", "advantage")
    # TRL's rewards are floats; columns of `log_extra` stand among them and may be anything.
    rewards = {
        name: _number(place, name, value)
        for name, value in row.items()
        if name not in own and (value is None or isinstance(value, float))
    }
    if not rewards:
        raise ImportFileError(f"{place}: has no column of a reward function.")
    return _completion(place, {name: row[name] for name in own}, rewards, {*own, *rewards}, row)


READERS: dict[str, Reader] = {"trl": read_trl, "verl": read_verl, "jsonl": read_jsonl}
"""--from -> what reads a row of such a file."""


def _completion(
    place: str,
    found: Mapping[str, Any],
    rewards: Mapping[str, float],
    read: set[str],
    row: Mapping[str, Any],
) -> Completion:
    gold = found.get("gold")
    group = found.get("group")
    truncated = found.get("truncated")
    if truncated is not None and not isinstance(truncated, bool):
        raise ImportFileError(f"{place}: truncated={truncated!r:.60} is neither true nor false.")
    advantage = found.get("advantage")
    return Completion(
        prompt=text_of(place, "the prompt", found["prompt"]),
        text=text_of(place, "the completion", found["completion"]),
        rewards=rewards,
        step=_whole(place, "step", found.get("step"), 1, LARGEST_STEP),
        group=None if group is None else str(group),
        gold=None if gold is None else str(gold),
        advantage=None if advantage is None else _number(place, "advantage", advantage),
        length=_whole(place, "length", found.get("length"), 0, 2**31 - 1),
        truncated=truncated,
        unread=tuple(sorted(set(row) - read)),
    )


def _rewards(place: str, row: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, float]:
    given = row.get("rewards")
    if isinstance(given, Mapping) and given:
        return {str(name): _number(place, f"rewards.{name}", v) for name, v in given.items()}
    if "reward" not in found:
        known = ", ".join(NEUTRAL_NAMES["reward"])
        raise ImportFileError(
            f"{place}: has no reward. It may be called {known}, or be an object `rewards` with a "
            "number for each function."
        )
    return {"reward": _number(place, "the reward", found["reward"])}


def text_of(place: str, what: str, value: Any) -> str:
    """A text, or the turns of a conversation as one. Raises `ImportFileError`."""
    if isinstance(value, str):
        return value
    turns: list[Any] = value if isinstance(value, list) and value else [None]
    if not all(isinstance(t, Mapping) and isinstance(t.get("content"), str) for t in turns):
        raise ImportFileError(
            f"{place}: {what} is {value!r:.60}, expected a text or a list of messages."
        )
    if len(turns) == 1:
        return str(turns[0]["content"])
    return "\n\n".join(f"{turn.get('role', 'turn')}: {turn['content']}" for turn in turns)


def step_in_name(name: str) -> int | None:
    """The last number of a file's name, as in 12.jsonl and completions_00012.parquet."""
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers and len(numbers[-1]) < 8 else None


def _require(place: str, row: Mapping[str, Any], names: Sequence[str], whose: str) -> None:
    lacking = [name for name in names if name not in row]
    if lacking:
        raise ImportFileError(
            f"{place}: has no {lacking[0]!r}, which {whose} writes; it has "
            f"{', '.join(map(repr, list(row)[:8])):.200}. --from jsonl reads other names."
        )


def _number(place: str, what: str, value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isinf(value):
        raise ImportFileError(f"{place}: {what} is {value!r:.60}, expected a finite number.")
    return float(value)


def _whole(place: str, what: str, value: Any, low: int, high: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ImportFileError(
            f"{place}: {what} is {value!r:.60}, expected a whole number from {low} to {high}."
        )
    return value
