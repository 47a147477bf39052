"""Knobs: settings that may change while a run goes on, taken over between two steps and never
inside one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from workbench.config import ConfigError, GRPOConfig
from workbench.runs.records import KnobChange


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
        live = GRPOConfig.live_fields()
        with self._lock:
            for name in values:
                if name not in live:
                    GRPOConfig.describe(name)
                    raise ConfigError(
                        f"{name} is fixed for the run: batches, seeds and schedules are laid out from it. Start a new run with "
                        f"{name}={values[name]!r}. Live are: {', '.join(live)}."
                    )
            wanted = {n: v for n, (v, _) in self._pending.items()} | values
            config = self._config.replace(**wanted)
            if self._reward_names is not None:
                check_weights(config, self._reward_names)
            self._pending |= {name: (getattr(config, name), who) for name in values}

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
            f"reward_weights={config.reward_weights!r} has {len(config.reward_weights)} entries for the reward functions "
            f"{', '.join(reward_names)}. Give one weight for each."
        )
