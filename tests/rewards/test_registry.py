"""The table of named rewards: nothing that belongs to a row can be forgotten."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from types import SimpleNamespace
from typing import Any

import pytest

from workbench import rewards
from workbench.commands.options import REWARD_HELP
from workbench.rewards import REWARDS
from workbench.rewards.check import word_ids
from workbench.rewards.judge import JudgeServer
from workbench.rewards.parameters import WithParameters
from workbench.rewards.resolve import WITH_PARAMETERS

GOLD = "<think>3 and 5</think><answer>8</answer>"
PAID_IN_FULL_AND_NOT = {
    "format": (GOLD, "The answer is 8"),
    "answer": (GOLD, "<think>3 and 5</think><answer>9</answer>"),
    "lenient_answer": ("The answer is 8", "The answer is 9"),
    "tag_count": (GOLD, "The answer is 8"),
}
"""For each named reward a completion that it pays 1 and one that it pays 0, where 8 is right."""


WRONG = "<think>3 and 5</think><answer>9</answer>"
WORDY = "<think>3 and 5 and 3 and 5 and 3 and 5</think><answer>8</answer>"
PAID_MORE_AND_LESS = {
    "soft_overlong": ("max_completion_len=60,soft_punish_cache=40", GOLD, WORDY),
    "length": ("", GOLD, WORDY),
    "repetition": ("", GOLD, WORDY),
    "cosine_scaled": ("max_len=40", GOLD, WORDY),
    "noisy": ("p=0", GOLD, WRONG),
    "judge": ("url=http://localhost:1/v1,model=none", GOLD, WRONG),
}
"""For each reward with parameters what they are, and two completions of which it pays the first
one more."""


def members() -> list[tuple[str, Any]]:
    """All that stands in the files of the room."""
    modules = pkgutil.walk_packages(rewards.__path__, "workbench.rewards.")
    return [
        member for info in modules for member in vars(importlib.import_module(info.name)).items()
    ]


def test_every_reward_that_is_written_has_a_row() -> None:
    written = {
        function
        for name, function in members()
        if inspect.isfunction(function) and name.endswith("_reward") and not name.startswith("_")
    } - {rewards.resolve_reward, rewards.check_reward}
    assert len(written) >= 3, "the search itself found nothing"
    assert written == set(REWARDS.values())


def test_every_reward_with_parameters_that_is_written_has_a_row() -> None:
    written = {
        kind
        for _, kind in members()
        if isinstance(kind, type) and issubclass(kind, WithParameters) and hasattr(kind, "kind")
    }
    assert len(written) >= 6, "the search itself found nothing"
    assert written == set(WITH_PARAMETERS.values())
    assert all(name == kind.kind for name, kind in WITH_PARAMETERS.items())


def test_every_row_is_named_after_its_function() -> None:
    """The record and `--resume` name a function by its `__name__`."""
    assert not [name for name, function in REWARDS.items() if function.__name__ != f"{name}_reward"]


def test_every_row_has_its_examples() -> None:
    assert PAID_IN_FULL_AND_NOT.keys() == REWARDS.keys()
    assert PAID_MORE_AND_LESS.keys() == WITH_PARAMETERS.keys()


@pytest.mark.parametrize("name", PAID_IN_FULL_AND_NOT)
def test_a_right_completion_is_paid_in_full_and_a_wrong_one_not(name: str) -> None:
    right, wrong = PAID_IN_FULL_AND_NOT[name]
    function = REWARDS[name]
    paid = function(prompts=["3 + 5"] * 2, completions=[right, wrong], answer=["8"] * 2)
    assert paid == [1.0, 0.0]


@pytest.mark.parametrize("name", PAID_MORE_AND_LESS)
def test_a_reward_with_parameters_tells_the_better_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def graded(_: object, prompts: list[str]) -> list[str]:
        return [f"Grade: {10 * ('<answer>8<' in prompt)}" for prompt in prompts]

    monkeypatch.setattr(JudgeServer, "__call__", graded)
    parameters, *texts = PAID_MORE_AND_LESS[name]
    function = rewards.resolve_reward(f"{name}:{parameters}")
    better, worse = function(
        prompts=["3 + 5"] * 2,
        completions=texts,
        completion_ids=[word_ids(text) for text in texts],
        question=["3 + 5"] * 2,
        answer=["8"] * 2,
        trainer_state=SimpleNamespace(global_step=1),
    )
    assert better > worse


def test_the_help_names_every_reward() -> None:
    assert not [name for name in [*REWARDS, *WITH_PARAMETERS] if f"'{name}" not in REWARD_HELP]


def test_every_reward_names_its_hackable_side() -> None:
    described = [*WITH_PARAMETERS.values(), *REWARDS.values()]
    assert not [d for d in described if "Hackable" not in str(d.__doc__)]


def test_the_help_names_rewards_that_there_are() -> None:
    written = re.findall("'([a-z_]+:[^']+)'", REWARD_HELP)
    assert len(written) >= 3
    for spec in set(written) - {"model:FOLDER"}:
        assert rewards.resolve_reward(spec.replace("NAME", "m")).__name__.startswith(spec[:4])
