"""Knobs: settings that may change while a run goes on, taken over between two steps and never
inside one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from workbench.config import ConfigError, GRPOConfig
from workbench.runs.step_record import KnobChange


class Knobs:
    """Holds the config in force and the changes asked for. Any thread may call `set`; the trainer
    calls `take`.

    `reward_names` are those of the run's reward functions, which `reward_weights` must fit.
    """

    def __init__(self, config: GRPOConfig, reward_names: Sequence[str] | None = None) -> None:
        self._lock = threading.Lock()
        self._reward_names = reward_names
        self._config = config
        self._pending: dict[str, tuple[Any, str]] = {}

    @property
    def config(self) -> GRPOConfig:
        """The config in force, that of the step being made or made last."""
        return self._config

    @property
    def pending(self) -> dict[str, Any]:
        """What the next step will change."""
        with self._lock:
            return {name: value for name, (value, _) in self._pending.items()}

    def set(self, who: str = "user", **values: Any) -> None:
        """Ask for new values from the next step on. Raises `ConfigError` and changes nothing when
        one of them cannot be."""
        with self._lock:
            pending = {name: value for name, (value, _) in self._pending.items()}
            config = self._config_with(pending, values)
            # As the config keeps them: 1 becomes 1.0 where a float is meant.
            self._pending |= {name: (getattr(config, name), who) for name in values}

    def check(self, **values: Any) -> None:
        """Raises `ConfigError` where `set` would, with nothing pending; changes nothing."""
        with self._lock:
            self._config_with({}, values)

    def _config_with(self, pending: dict[str, Any], values: dict[str, Any]) -> GRPOConfig:
        live = GRPOConfig.live_fields()
        for name in values:
            if name not in live:
                GRPOConfig.describe(name)  # raises for a name that is no field at all
                raise ConfigError(
                    f"{name} is fixed for the run: batches, seeds and schedules are laid out from "
                    f"it. Start a new run with {name}={values[name]!r}. Live are: "
                    f"{', '.join(live)}."
                )
        config = self._config.replace(**(pending | values))
        if self._reward_names is not None:
            check_weights(config, self._reward_names)
        return config

    def take(self) -> list[KnobChange]:
        """Put the pending values in force; returns those that differ from before."""
        with self._lock:
            changes = [
                KnobChange(name, getattr(self._config, name), value, who)
                for name, (value, who) in self._pending.items()
                if value != getattr(self._config, name)
            ]
            if changes:
                self._config = self._config.replace(**{c.name: c.new for c in changes})
            self._pending.clear()
            return changes

    def forget(self) -> None:
        """Drop what was asked for and is not in force yet."""
        with self._lock:
            self._pending.clear()

    def ask_again(self, config: GRPOConfig, who: str) -> None:
        """Ask for the live values of `config` where those in force differ: a return to a checkpoint
        loses no setting."""
        with self._lock:
            asked = {
                n: (getattr(config, n), who)
                for n in GRPOConfig.live_fields()
                if getattr(config, n) != getattr(self._config, n)
            }
            self._pending = asked | self._pending

    def put_in_force(self, **values: Any) -> None:
        """New values at once, without a record of a change: for fixed fields that a resumed or
        extended run may set anew. Raises `ConfigError` and changes nothing for a bad one."""
        with self._lock:
            self._config = self._config.replace(**values)

    def snapshot(self) -> tuple[GRPOConfig, dict[str, tuple[Any, str]]]:
        """The config in force and what is pending, with who asked."""
        with self._lock:
            return self._config, dict(self._pending)

    def restore(self, snapshot: tuple[GRPOConfig, dict[str, tuple[Any, str]]]) -> None:
        """Put a snapshot back; what was asked for since then stays asked for."""
        with self._lock:
            self._config, pending = snapshot
            self._pending = pending | self._pending


def check_weights(config: GRPOConfig, reward_names: Sequence[str]) -> None:
    """Raises `ConfigError` unless there are as many weights as reward functions."""
    if config.reward_weights is not None and len(config.reward_weights) != len(reward_names):
        raise ConfigError(
            f"reward_weights={config.reward_weights!r} has {len(config.reward_weights)} entries "
            "for "
            f"the reward functions {', '.join(reward_names)}. Give one weight for each."
        )
