"""The groups that the lab can edit: those of a recorded step, or problems of a task with a few
texts that say right, wrong or nothing. No widget, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.runs import Run, RunRecordError
from workbench.tasks import Problem, Task
from workbench.widgets.groups.table import GroupTable

PROBLEMS = 50
"""Problems of a task that can be chosen."""


@dataclass(frozen=True)
class LabGroup:
    """One problem with G completions, as the reward functions get them."""

    problem: Problem
    messages: list[dict[str, str]]
    """The conversation that asks it."""
    texts: tuple[str, ...]
    """G completions."""
    labels: tuple[str, ...]
    """What each is called: its row in the record, or what it is an example of."""


@dataclass(frozen=True)
class LabStep:
    """The groups that were sampled together, and how their advantages were made."""

    where: str
    """In words, for a sentence."""
    groups: Sequence[LabGroup]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `AdvantageRule` by name; empty for its defaults."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of each of the run's reward functions, by its name in the record."""
    recorded: Mapping[str, np.ndarray] = field(default_factory=dict)
    """(N, G) rewards as the record has them, by function."""
    opened: str = ""
    """What the chat template wrote of each answer; the completions begin with it."""


RULE = (
    "scale_rewards",
    "advantage_baseline",
    "advantage_std",
    "multi_objective_aggregation",
)
"""The fields of the config that make an advantage, but for group size and weights."""


def recorded_step(run: Run, step: int, task: Task | None, opened: str = "") -> LabStep:
    """The groups of a step. With the task of the run the reward functions get all its columns; a
    record has but question and gold answer. Raises `RunRecordError` where they were not kept."""
    samples = run.samples(step)
    if not len(samples):
        raise RunRecordError(f"the completions of step {step} were not kept. Choose another step.")
    config = run.config_at(step)
    table = GroupTable.of(samples, config, opened)
    names = list(table.rewards)
    given = config.get("reward_weights") or [1.0] * len(names)
    return LabStep(
        where=f"step {step}",
        groups=[_recorded_group(table, n, task) for n in range(len(table))],
        settings={name: config[name] for name in RULE if name in config},
        weights=dict(zip(names, given, strict=False)),
        recorded=table.rewards,
        opened=opened,
    )


def _recorded_group(table: GroupTable, n: int, task: Task | None) -> LabGroup:
    prompt = str(table.prompt_N[n])
    gold = table.gold_N[n]
    problem = _problem_of(task, str(table.problem_N[n]), prompt)
    if problem is None:
        problem = Problem(prompt, "" if gold is None else str(gold))
    messages = [{"role": "user", "content": prompt}]
    if task is not None:
        messages = task.messages(problem)
    rows = range(n * table.G, (n + 1) * table.G)
    labels = tuple(f"row {row}" for row in rows)
    return LabGroup(problem, messages, tuple(table.completion_NG[n]), labels)


def _problem_of(task: Task | None, problem_id: str, prompt: str) -> Problem | None:
    """The task's problem that the record names; None where the task has another one there."""
    split, _, place = problem_id.partition("/")
    if task is None or split != "train" or not place.isdecimal():
        return None
    index = int(place)
    if index >= len(task.train) or task.train[index].question != prompt:
        return None
    return task.train[index]


def task_step(task: Task) -> LabStep:
    """The first problems of a task, each with a text that is right, and some that are not."""
    problems = list(task.train[:PROBLEMS])
    golds = [problem.answer for problem in problems]
    return LabStep(task.name, [_made_group(task, problem, golds) for problem in problems])


def _made_group(task: Task, problem: Problem, golds: Sequence[str]) -> LabGroup:
    gold = problem.answer
    wrong = next((other for other in golds if other != gold), "another answer")
    made = {
        "right, in the form": f"<think>I work it out.</think><answer>{gold}</answer>",
        "wrong, in the form": f"<think>I work it out.</think><answer>{wrong}</answer>",
        "right, without tags": f"The answer is {gold}.",
        "empty": "",
    }
    return LabGroup(problem, task.messages(problem), tuple(made.values()), tuple(made))
