"""The reward functions that the lab begins with, and what stands for them in its box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.rewards import DEFAULT_REWARDS, REWARDS
from workbench.rewards.batch import RewardFunction
from workbench.rewards.parameters import RewardSpecError
from workbench.runs import plain_name
from workbench.widgets.base.source import RunSource


class GivenRewards:
    """`names` are what the box begins with: names of `REWARDS`, specs, and names of functions that
    were given as such."""

    def __init__(self, rewards: Any, trainer: Any, source: RunSource | None) -> None:
        self._of_run = [] if source is None else source.reward_names
        self._given: dict[str, RewardFunction] = {}
        self.names = [self._name_of(spec) for spec in self._specs(rewards, trainer)]

    def _specs(self, rewards: Any, trainer: Any) -> Sequence[RewardFunction | str]:
        if rewards is not None:
            is_one = callable(rewards) or isinstance(rewards, str)
            return [rewards] if is_one else list(rewards)
        if trainer is not None:
            functions: Sequence[RewardFunction] = trainer.rewards.functions
            return functions
        # A control's rewards are those of its functions, dealt to other completions.
        return [plain_name(name)[0] for name in self._of_run] or DEFAULT_REWARDS

    def _name_of(self, spec: RewardFunction | str) -> str:
        if isinstance(spec, str):
            return spec
        for name, function in REWARDS.items():
            if function is spec:
                return name
        name = getattr(spec, "__name__", type(spec).__name__)
        while name in self._given:
            name = f"{name}_2"
        self._given[name] = spec
        return name

    def functions(self, box: str) -> list[RewardFunction | str]:
        """What `RewardSet` takes for the names in the box, which have commas between them. Raises
        `RewardSpecError` for none, and for a function of the run that nobody has given here."""
        names = [part.strip() for part in box.split(",") if part.strip()]
        if not names:
            raise RewardSpecError(
                f"no reward function is named. Write one or more, with commas: "
                f"{', '.join(REWARDS)}, or my.py:f."
            )
        by_function = {function.__name__: name for name, function in REWARDS.items()}
        known = {*by_function, *REWARDS, *self._given}
        for name in names:
            if name in self._of_run and name not in known:
                raise RewardSpecError(
                    f"the run's reward {name!r} is a function of its own, which a record does not "
                    f"hold. Give it, RewardLab(run, rewards=[{name}, …]), or write its file into "
                    f"the box: my.py:{name}."
                )
        return [self._given.get(name, by_function.get(name, name)) for name in names]
