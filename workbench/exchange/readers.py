"""A row of another trainer's file as a `Completion`, by the trainer's own names for its columns.

`verl` is what `trainer.rollout_data_dir` writes (a JSONL file for each step), `trl` what
`log_completions` writes (a parquet file for each logged step), `jsonl` anything that says prompt,
completion and reward by one of their usual names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.exchange.rewards import RewardColumns, Rewards
from workbench.exchange.tokens import Tokens, tokens_in
from workbench.exchange.values import ImportFileError, number_of, text_of, whole_of
from workbench.tasks.reading.columns import GOLD_COLUMNS

LARGEST_STEP = 1_000_000
"""A later step is a mistake: an update of a real model takes a second or more."""

NEUTRAL_NAMES: dict[str, tuple[str, ...]] = {
    "step": ("step", "global_step"),
    "prompt": ("prompt", "input", "question"),
    "completion": ("completion", "output", "response"),
    "gold": ("gold_answer", "gts", "ground_truth", *GOLD_COLUMNS),
    "advantage": ("advantage",),
    "length": ("length", "response_length", "completion_length"),
    "truncated": ("truncated",),
    "group": ("group", "group_id", "uid"),
    "split": ("split", "mode", "phase"),
}
"""What is read of a row of `jsonl` -> the names that it may have, the first one there."""

EVALUATION_SPLITS = ("eval", "evaluation", "val", "valid", "validation", "test")
"""What a row of an evaluation calls its split."""


@dataclass(frozen=True)
class Completion:
    """One completion; None where its file does not say it."""

    prompt: str
    text: str
    rewards: Rewards

    step: int | None = None
    group: str | None = None
    gold: str | None = None
    advantage: float | None = None

    length: int | None = None
    """Sampled tokens."""

    truncated: bool | None = None
    tokens: Tokens | None = None

    evaluated: bool = False
    """Whether the row says that it is of an evaluation."""

    unread: Sequence[str] = field(default_factory=tuple)
    """Columns of the row that have no place in a record."""


Reader = Callable[[str, Mapping[str, Any], RewardColumns], Completion]


def read_jsonl(place: str, row: Mapping[str, Any], columns: RewardColumns) -> Completion:
    """A row by the usual names; `rewards` may hold each function's reward by its name."""
    names = _neutral_names(row, columns)
    for what in ("prompt", "completion"):
        if what not in names:
            known = ", ".join(NEUTRAL_NAMES[what])
            raise ImportFileError(f"{place}: has no {what}. It may be called {known}.")
    return _completion(place, names, columns.of_row(place, row), row)


def read_verl(place: str, row: Mapping[str, Any], columns: RewardColumns) -> Completion:
    """A row of verl's `rollout_data_dir`: input, output, gts, score, step, and what the reward
    function returned beside its score."""
    _require(place, row, ("input", "output", "score"), "verl's rollout_data_dir")
    return read_jsonl(place, row, columns)


TRL_COLUMNS = ("step", "prompt", "completion", "advantage")


def read_trl(place: str, row: Mapping[str, Any], columns: RewardColumns) -> Completion:
    """A row of TRL's `log_completions`: step, prompt, completion, a column for each reward
    function, advantage. Columns of `log_extra` are read where they have a usual name."""
    _require(place, row, TRL_COLUMNS, "TRL's log_completions")
    # TRL's rewards are floats, whatever their names; columns of `log_extra` stand among them and
    # may be anything.
    names = {
        what: name
        for what, name in _neutral_names(row, columns).items()
        if name in TRL_COLUMNS or not isinstance(row[name], float)
    }
    floats = [
        name
        for name, value in row.items()
        if name not in names.values() and (value is None or isinstance(value, float))
    ]
    return _completion(place, names, columns.of_row(place, row, floats), row)


READERS: dict[str, Reader] = {"trl": read_trl, "verl": read_verl, "jsonl": read_jsonl}
"""--from -> what reads a row of such a file."""


def _neutral_names(row: Mapping[str, Any], columns: RewardColumns) -> dict[str, str]:
    """What of `NEUTRAL_NAMES` is in a row -> its name there. What was named as a reward is none."""
    found = {
        what: next((n for n in known if n in row and n not in columns.named), None)
        for what, known in NEUTRAL_NAMES.items()
    }
    return {what: name for what, name in found.items() if name is not None}


def _completion(
    place: str, names: Mapping[str, str], rewards: Rewards, row: Mapping[str, Any]
) -> Completion:
    found = {what: row[name] for what, name in names.items()}
    gold = found.get("gold")
    group = found.get("group")
    truncated = found.get("truncated")
    if truncated is not None and not isinstance(truncated, bool):
        raise ImportFileError(f"{place}: truncated={truncated!r:.60} is neither true nor false.")
    advantage = found.get("advantage")
    tokens, read = tokens_in(place, row)
    is_evaluation = str(found.get("split", "")).lower() in EVALUATION_SPLITS
    return Completion(
        prompt=text_of(place, "the prompt", found["prompt"]),
        text=text_of(place, "the completion", found["completion"]),
        rewards=rewards,
        step=whole_of(place, "step", found.get("step"), 0, LARGEST_STEP),
        group=None if group is None else str(group),
        gold=None if gold is None else str(gold),
        advantage=None if advantage is None else number_of(place, "advantage", advantage),
        length=_length(place, names.get("length"), found.get("length"), tokens),
        truncated=truncated,
        tokens=tokens,
        evaluated=is_evaluation,
        unread=tuple(sorted(set(row) - {*names.values(), *rewards.read, *read})),
    )


def _length(place: str, name: str | None, given: Any, tokens: Tokens | None) -> int | None:
    """The number of tokens, which must be that of the tokens that are there."""
    length = whole_of(place, "length", given, 0, 2**31 - 1)
    if tokens is None:
        return length
    if length is not None and length != len(tokens):
        raise ImportFileError(
            f"{place}: {name!r} is {length}, and {len(tokens)} tokens are there. Give all sampled "
            "tokens and no others, or leave one of the two out."
        )
    return len(tokens)


def _require(place: str, row: Mapping[str, Any], names: Sequence[str], whose: str) -> None:
    lacking = [name for name in names if name not in row]
    if lacking:
        raise ImportFileError(
            f"{place}: has no {lacking[0]!r}, which {whose} writes; it has "
            f"{', '.join(map(repr, list(row)[:8])):.200}. --from jsonl reads other names."
        )
