"""Reward functions with parameters, and how they are written: `soft_overlong:max_completion_len=48,
soft_punish_cache=16` in one word.

Such a function's name in a run's record is what it is written as, so that a resumed run takes the
same parameters, and one with others is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, get_type_hints

from workbench.errors import WorkbenchError

REWARD = "reward"
"""The parameter that is itself a reward: it stands last, and takes all that follows."""


class RewardSpecError(WorkbenchError, ValueError):
    """A reward function that cannot be found or a set of them that cannot be used."""


class WithParameters:
    """What a reward with parameters descends from: a frozen dataclass whose fields are the
    parameters (int, float, str or bool), whose `__post_init__` refuses wrong ones, and whose
    `__call__` is a reward in TRL's signature."""

    kind: ClassVar[str]
    """Its name in the table."""

    @property
    def __name__(self) -> str:
        return written(self)


def written(reward: WithParameters) -> str:
    """`reward` as `--reward` takes it, parameters that have their default left out."""
    pairs = []
    for field in _fields(type(reward)):
        value = getattr(reward, field.name)
        text = _name_of(value) if field.name == REWARD else _text(value)
        if field.default is dataclasses.MISSING or text != _text(field.default):
            pairs.append(f"{field.name}={text}")
    return ":".join([reward.kind, ",".join(pairs)]) if pairs else reward.kind


def made(kind: type[WithParameters], text: str) -> Any:
    """The reward of this kind whose parameters `text` gives. Raises `RewardSpecError`."""
    fields = {field.name: field for field in _fields(kind)}
    types = get_type_hints(kind)
    given: dict[str, Any] = {}
    for name, value in _pairs(kind, text).items():
        if name not in fields:
            raise RewardSpecError(f"reward {kind.kind!r} has no parameter {name!r}. {_usage(kind)}")
        given[name] = _value(kind, name, value, types[name])
    missing = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and name not in given
    ]
    if missing:
        raise RewardSpecError(f"reward {kind.kind!r} needs {' and '.join(missing)}. {_usage(kind)}")
    return kind(**given)


def parameters_of(kind: type[WithParameters]) -> str:
    """The parameters with their defaults, as they are written."""
    return ",".join(
        f"{field.name}=…"
        if field.default is dataclasses.MISSING
        else f"{field.name}={_text(field.default)}"
        for field in _fields(kind)
    )


def check(holds: bool, reward: WithParameters, name: str, expected: str) -> None:
    """Raises `RewardSpecError` for a parameter's value that is not what is `expected`."""
    if not holds:
        raise RewardSpecError(
            f"reward {reward.kind!r}: {name}={getattr(reward, name)!r:.80}; expected {expected}."
        )


def _usage(kind: type[WithParameters]) -> str:
    return (
        f"Write it as {f'{kind.kind}:{parameters_of(kind)}'!r}; what has a value may be left out."
    )


def _fields(kind: type[WithParameters]) -> list[dataclasses.Field[Any]]:
    """The parameters, the inner reward last."""
    fields = [field for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]
    return sorted(fields, key=lambda field: field.name == REWARD)


def _pairs(kind: type[WithParameters], text: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    while text:
        name, equals, rest = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise RewardSpecError(
                f"reward {kind.kind!r}: {text!r:.80} is no NAME=VALUE. {_usage(kind)}"
            )
        if name in found:
            raise RewardSpecError(f"reward {kind.kind!r}: {name} is given twice. Give it once.")
        value, _, text = (rest, "", "") if name == REWARD else rest.partition(",")
        found[name] = value.strip()
    return found


TRUTH = {"true": True, "false": False}


def _value(kind: type[WithParameters], name: str, text: str, wanted: Any) -> Any:
    if name == REWARD or wanted is str:
        return text
    words = {int: "a whole number", float: "a number", bool: "true or false"}[wanted]
    try:
        return TRUTH[text.lower()] if wanted is bool else wanted(text)
    except (ValueError, KeyError) as error:
        raise RewardSpecError(
            f"reward {kind.kind!r}: {name}={text!r:.80}; expected {words}."
        ) from error


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _name_of(inner: Any) -> str:
    # The table of rewards holds those with parameters.
    from workbench.rewards.resolve import spec_of

    return spec_of(inner)
