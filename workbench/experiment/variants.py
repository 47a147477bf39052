"""What an experiment compares: variants, each a name with settings, method, rewards and policy, and
the controls beside them, which must not learn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from workbench.config import GRPOConfig
from workbench.errors import WorkbenchError
from workbench.rewards import CONTROLS, DEFAULT_REWARDS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,39}")
"""What a variant may be called: its runs' folders have that name on every system."""
OWN_KEYS = ("policy", "rewards", "method", "preset")
"""Keys of a variant that are no fields of the config."""
EACH = "each"
"""`control_of`: every variant has controls of its own."""


class ExperimentError(WorkbenchError, ValueError):
    """An experiment that cannot be made, or a folder that holds none: says what is wrong and what
    to do."""


@dataclass(frozen=True)
class FunctionOfBefore:
    """Stands where a stored experiment had a Python function, which no file holds."""

    name: str


@dataclass(frozen=True)
class Variant:
    """One of the things that are compared. Each seed makes a run of it."""

    name: str

    config: GRPOConfig
    """Its settings; their seed is replaced by each of the experiment's."""

    policy: str = "embedded"

    task: str = "arithmetic"

    rewards: tuple[str | Callable[..., Any] | FunctionOfBefore, ...] = DEFAULT_REWARDS
    """As `RewardSet` takes them."""

    control: str | None = None
    """A key of `workbench.rewards.CONTROLS`; None = the rewards as they are."""

    control_of: str = ""
    """The variant whose control it is."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ExperimentError(
                f"variant {self.name!r:.60}: a name has at most 40 letters, digits and ._+=- and "
                "begins with a letter or digit; it names the folders of its runs."
            )

    @property
    def functions(self) -> list[str]:
        """The names of those rewards that are Python functions: other processes cannot have
        them."""
        return [function_name(reward) for reward in self.rewards if not isinstance(reward, str)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the experiment's file."""
        rewards = [
            reward if isinstance(reward, str) else {"function": function_name(reward)}
            for reward in self.rewards
        ]
        return {
            "name": self.name,
            "policy": self.policy,
            "task": self.task,
            "rewards": rewards,
            "control": self.control,
            "control_of": self.control_of,
            "config": self.config.to_dict(),
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Variant:
        """What `to_dict` gave."""
        rewards = tuple(
            reward if isinstance(reward, str) else FunctionOfBefore(str(reward["function"]))
            for reward in kept["rewards"]
        )
        config = GRPOConfig.from_dict(kept["config"])
        return cls(**{**kept, "rewards": rewards, "config": config})


def function_name(function: Any) -> str:
    """How a reward function is called in the experiment's file."""
    if isinstance(function, FunctionOfBefore):
        return function.name
    return str(getattr(function, "__name__", type(function).__name__))


def variant_of(name: str, given: Any, base: Variant) -> Variant:
    """A variant from what a person wrote beside its name: a mapping of settings (fields of
    `GRPOConfig`, and `policy`, `rewards`, `method`, `preset`), a whole `GRPOConfig`, the name of a
    method, a `Variant`, or None for `base` as it is. Raises `ExperimentError`, `ConfigError`."""
    if isinstance(given, Variant):
        return replace(given, name=name)
    if isinstance(given, GRPOConfig):
        return replace(base, name=name, config=given)
    if isinstance(given, str):
        return replace(base, name=name, config=base.config.with_method(given))
    if given is not None and not isinstance(given, Mapping):
        raise ExperimentError(
            f"variant {name!r}: {given!r:.60} is none of: a dict of settings, a GRPOConfig, the "
            "name of a method, None."
        )
    own = {key: value for key, value in (given or {}).items() if key in OWN_KEYS}
    fields = {key: value for key, value in (given or {}).items() if key not in OWN_KEYS}
    for key, instead in (("seed", "seeds"), ("task", "task")):
        if key in fields:
            raise ExperimentError(
                f"variant {name!r} sets {key}={fields[key]!r:.40}: it is the same for all, or "
                f"their differences would not be paired. Give it as Experiment({instead}=...)."
            )
    config = base.config
    if "preset" in own:
        # What was said for all holds for it, too, as --set and --steps do on the command line.
        config = GRPOConfig.preset(own["preset"], **said_in(config))
    if "method" in own:
        config = config.with_method(own["method"], **fields)
    else:
        config = config.replace(**fields)
    return replace(
        base,
        name=name,
        config=config,
        policy=own.get("policy", base.policy),
        rewards=as_rewards(own.get("rewards", base.rewards)),
    )


def said_in(config: GRPOConfig) -> dict[str, Any]:
    """The settings of a config that somebody chose: those other than the defaults."""
    return {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if getattr(config, field.name) != field.default
    }


def as_rewards(given: Any) -> tuple[Any, ...]:
    """One reward or several as a tuple."""
    return (given,) if isinstance(given, str) or callable(given) else tuple(given)


def controls_of(
    variants: Sequence[Variant], kinds: Sequence[str], control_of: str | None
) -> list[Variant]:
    """The controls of the first variant, of the one that `control_of` names, or of "each". Raises
    `ExperimentError` for a variant that would learn under one."""
    unknown = [kind for kind in kinds if kind not in CONTROLS]
    if unknown:
        raise ExperimentError(
            f"control {unknown[0]!r:.40} is unknown. Choose some of {', '.join(CONTROLS)}."
        )
    names = [variant.name for variant in variants]
    if control_of not in (None, EACH, *names):
        raise ExperimentError(
            f"control_of={control_of!r:.40} is none of the variants {', '.join(names)}, nor "
            f"{EACH!r}."
        )
    asked = [v for v in variants if control_of in (EACH, v.name)] or list(variants[:1])
    found = []
    for variant in asked if kinds else ():
        _check_controllable(variant)
        for kind in kinds:
            name = kind if len(asked) == 1 else f"{variant.name}-{kind}"
            found.append(
                replace(variant, name=name, control=kind, control_of=variant.name),
            )
    return found


def _check_controllable(variant: Variant) -> None:
    """Raises `ExperimentError` where the method does not learn from the rewards alone, so that it
    would learn under a control, too."""
    facts = variant.config.method_facts
    other = None
    if facts.sampled_from == "demonstrations":
        other = "worked solutions"
    elif "teacher" in facts.models:
        other = "a teacher"
    elif "step_rewards" in facts.reads and variant.config.step_rewards is not None:
        other = "step_rewards"
    if other is not None:
        raise ExperimentError(
            f"variant {variant.name!r}: method {variant.config.method!r} learns from {other}, not "
            "from the rewards alone, so that taking those away is no control. Name another variant "
            "as control_of (--control-of), or leave controls away."
        )


def all_variants(
    variants: Mapping[str, Any],
    base: Variant,
    controls: Sequence[str],
    control_of: str | None,
) -> list[Variant]:
    """The variants, and the controls behind them. Raises `ExperimentError` for none at all and for
    one name of two."""
    own = [variant_of(name, given, base) for name, given in variants.items()]
    if not own:
        raise ExperimentError(
            "no variant is named. Name at least one: Experiment({'default': {}}), or "
            "--variant default."
        )
    made = [*own, *controls_of(own, controls, control_of)]
    # Folders of "A" and "a" are one on some systems.
    names = [variant.name.casefold() for variant in made]
    twice = [variant.name for variant in made if names.count(variant.name.casefold()) > 1]
    if twice:
        raise ExperimentError(
            f"two variants are called {twice[0]!r}. Give each a name of its own; the controls are "
            f"called {', '.join(CONTROLS)}."
        )
    return made


def run_folder(out: Path, variant: Variant, seed: int) -> Path:
    """Where a run of the experiment in `out` lies."""
    return out / f"{variant.name}-seed{seed}"
