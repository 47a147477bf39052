"""How far down and up each knob goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any

from workbench.config import ConfigError, GRPOConfig
from workbench.config.methods import foreign_fields
from workbench.training.knobs import Knobs

FIELDS: dict[str, Field[Any]] = {entry.name: entry for entry in fields(GRPOConfig)}


@dataclass(frozen=True)
class Reach:
    """How far a knob goes."""

    factor: float = 2.0
    """Down it is divided by this, up multiplied with it."""

    from_zero: float | None = None
    """Where a knob goes that stands at 0, which no factor moves."""


REACHES: dict[str, Reach] = {
    "learning_rate": Reach(2.0),
    # Two is within what a person would not notice: the KL term is a small part of the gradient.
    "beta": Reach(4.0, from_zero=0.02),
    "epsilon": Reach(2.0),
    "epsilon_high": Reach(2.0),
    # Twice as hot, most answers are noise.
    "temperature": Reach(1.25),
    "entropy_coef": Reach(4.0, from_zero=0.005),
    "dpo_beta": Reach(4.0),
    "kl_coef": Reach(4.0, from_zero=0.05),
    "cliprange_value": Reach(2.0),
    "critic_learning_rate": Reach(2.0),
    "reward_model_learning_rate": Reach(2.0),
    "weight_decay": Reach(4.0, from_zero=0.01),
}
"""Knobs whose way is not the usual one, a factor of two."""

USUAL = (
    "learning_rate",
    "beta",
    "epsilon",
    "epsilon_high",
    "temperature",
    "entropy_coef",
    "dpo_beta",
    "kl_coef",
    "cliprange_value",
    "critic_learning_rate",
    "reward_model_learning_rate",
)
"""The knobs that are moved where none are named, less those that the method does not read."""

Knobbed = Sequence[str] | Mapping[str, Sequence[Any]] | None
"""Names; or names with the values to go to, (down, up) or one alone; None = the usual ones."""


@dataclass(frozen=True)
class Side:
    """One knob, moved one way."""

    knob: str
    direction: str
    before: Any
    value: Any


def sides_of(asked: Knobbed, knobs: Knobs) -> tuple[list[Side], dict[str, str]]:
    """The moves, and the usual knobs that cannot be moved, with the reason. Raises `ConfigError`
    for a knob that was named and cannot be moved."""
    # As the next step will have it: what was asked for and is not in force yet counts.
    config = knobs.config.replace(**knobs.pending)
    sides: list[Side] = []
    left_out: dict[str, str] = {}
    for name, values in _values_of(asked, config).items():
        try:
            _check_is_live(name, config, knobs)
            found = _sides(name, values, config, knobs)
        except ConfigError as error:
            if asked is not None:
                raise
            left_out[name] = str(error)
        else:
            sides += found
    if not sides:
        reasons = " ".join(left_out.values())
        raise ConfigError(f"no knob can be moved. {reasons or 'Name at least one.'}")
    return sides, left_out


def _values_of(asked: Knobbed, config: GRPOConfig) -> dict[str, Sequence[Any] | None]:
    if asked is None:
        foreign = foreign_fields(config.method)
        return {name: None for name in USUAL if name not in foreign}
    if isinstance(asked, Mapping):
        return dict(asked)
    if isinstance(asked, str):
        return {asked: None}
    return dict.fromkeys(asked)


def _check_is_live(name: str, config: GRPOConfig, knobs: Knobs) -> None:
    """Raises `ConfigError` for a name that is no field, or one that is fixed for the run."""
    if name not in FIELDS:
        GRPOConfig.describe(name)  # raises, and names the nearest one
    knobs.check(**{**knobs.pending, name: getattr(config, name)})


def _sides(name: str, values: Sequence[Any] | None, config: GRPOConfig, knobs: Knobs) -> list[Side]:
    before = getattr(config, name)
    goals = _usual_goals(name, config) if values is None else _given_goals(name, values)
    sides = []
    for direction, value in goals.items():
        # Rules compare a field with others, so the others are as the branch will have them.
        knobs.check(**{**knobs.pending, name: value})
        value = getattr(config.replace(**{name: value}), name)
        if value != before:
            sides.append(Side(name, direction, before, value))
    if not sides:
        raise ConfigError(
            f"{name}={before!r} would stay where it is: {list(goals.values())!r}. Give other "
            f"values: knobs={{{name!r}: (LOW, HIGH)}}."
        )
    return sides


def _given_goals(name: str, values: Sequence[Any]) -> dict[str, Any]:
    if isinstance(values, str) or not 1 <= len(values) <= 2:
        raise ConfigError(
            f"knobs={{{name!r}: {values!r}}}: give two values, (down, up), or one in a list."
        )
    if len(values) == 1:
        return {"up": values[0]}
    return dict(zip(("down", "up"), values, strict=True))


def _usual_goals(name: str, config: GRPOConfig) -> dict[str, Any]:
    now = getattr(config, name)
    if name == "epsilon_high" and now is None:
        now = config.epsilon
    if isinstance(now, bool) or not isinstance(now, (int, float)):
        raise ConfigError(
            f"{name}={now!r} is no number, so that it has no down and up. Give values: "
            f"knobs={{{name!r}: (ONE, OTHER)}}."
        )
    reach = REACHES.get(name, Reach())
    if now == 0:
        if reach.from_zero is None:
            raise ConfigError(
                f"{name} is 0, and no factor moves it. Give a value: knobs={{{name!r}: [UP]}}."
            )
        return {"up": reach.from_zero}
    goals = {"down": now / reach.factor, "up": now * reach.factor}
    return {side: _within(name, value) for side, value in goals.items()}


def _within(name: str, value: float) -> float | int:
    """The nearest value that the field takes. Never at an open bound: nothing is divided so far."""
    facts = FIELDS[name].metadata
    low = facts["low"]
    high = facts["high"]
    if low is not None:
        value = max(value, low)
    if high is not None:
        value = min(value, high)
    return round(value) if str(FIELDS[name].type).startswith("int") else float(value)
