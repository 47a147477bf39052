"""Is what a run is resumed with what it was made with? Task, rewards, problems, template."""

from __future__ import annotations

import warnings
from pathlib import Path

from workbench.config import ConfigError
from workbench.policy.policy import Policy
from workbench.rewards import Rewards
from workbench.runs import Run
from workbench.runs.store.files import read
from workbench.runs.store.queries import recorded_problems
from workbench.tasks.digest import problems_digest
from workbench.tasks.for_config import READING_FIELDS
from workbench.tasks.types import Task
from workbench.training.truth import template_digest

TRAIN = "train/"
"""Before the index in a recorded problem's id."""


def check_same(run: Run, policy: Policy, task: Task, rewards: Rewards) -> None:
    """Raises `ConfigError` when the run was made with another task or other rewards; another policy
    is warned of."""
    for what, own, given in (
        ("task", run.meta.task, task.name),
        ("rewards", ", ".join(run.meta.reward_names), ", ".join(rewards.names)),
    ):
        if own != given:
            raise ConfigError(
                f"the run's {what}: {own}. It cannot be resumed with: {given}. Give its own, or "
                "start a new run in another folder."
            )
    check_same_problems(run, task)
    _check_same_template(run, policy)
    # A record of an earlier version may name its policy by a relative path.
    if policy.source not in (run.meta.policy, str(Path(run.meta.policy).absolute())):
        warnings.warn(
            f"the run was started with policy {run.meta.policy!r}, it goes on with "
            f"{policy.source!r}.",
            stacklevel=4,
        )


def check_same_problems(run: Run, task: Task) -> None:
    """Raises `ConfigError` where the task of the record's name asks other problems than the run was
    made with: a file may be called the same, and may be read differently by now.

    A record of an earlier version has no digest of them all; there those that it asked are
    compared."""
    digest = run.meta.environment.get("problems_digest")
    if digest == problems_digest(task):
        return
    other = _first_other(run, task)
    if digest is None and other == "":
        _warn_of_what_is_not_known(task)
        return
    raise ConfigError(
        f"the run's task {task.name!r} had other problems{_counts(run, task)}.{other}"
        f"{_read_otherwise(run, task)}{_other_system_prompt(run, task)}{_earlier(digest)} Where "
        "the run's problems came from a file: name it, as it was then, with its keys and seed "
        "(--task PATH on the command line), or start a new run in another folder."
    )


def _warn_of_what_is_not_known(task: Task) -> None:
    """The problems that an earlier record asked are the same: it says no more of its file."""
    if task.reading is not None:
        warnings.warn(
            f"an earlier version wrote this record: the problems that it asked are those of "
            f"{task.name!r}, but this version may read the rest of the file differently (system "
            "messages, earlier turns, held-out problems). workbench task FILE shows how it is read "
            "now.",
            stacklevel=2,
        )


def _first_other(run: Run, task: Task) -> str:
    """Which recorded problem the task does not have in its place, in words; empty where none."""
    own = {f"{TRAIN}{index}": problem for index, problem in enumerate(task.train)}
    for problem_id, prompt, gold in read(run.path, recorded_problems):
        problem = own.get(problem_id)
        # An earlier version recorded the question without the turns before it.
        if problem is None or prompt not in (problem.prompt_text, problem.question):
            return f" It asked {prompt[:60]!r}, which the task does not have there."
        if problem.answer != gold:
            return (
                f" To {prompt[:60]!r} its gold answer was {gold!r:.60}, now it is "
                f"{problem.answer!r:.60}."
            )
    return ""


def _counts(run: Run, task: Task) -> str:
    given = f"{len(task.train)} and {len(task.held_out)}"
    own = run.meta.environment.get("problems")
    if own is None:
        return f" than the one that is given ({given})"
    return " ({} to train on and {} held out) than the one that is given ({})".format(*own, given)


def _read_otherwise(run: Run, task: Task) -> str:
    """The settings of the reading that differ, in words."""
    now = {} if task.reading is None else task.reading.asked
    # A record of an earlier version lacks the keys that came later.
    then = {name: run.config.get(name) for name in READING_FIELDS}
    differing = [
        f" It was read with {name}={then[name]!r:.80}, now with {now.get(name)!r:.80}."
        for name in READING_FIELDS
        if then[name] != now.get(name)
    ]
    return "".join(differing)


def _other_system_prompt(run: Run, task: Task) -> str:
    """That the system prompt differs, in words; empty where it does not or is not known."""
    before = run.meta.environment.get("system_prompt", task.system_prompt)
    if before == task.system_prompt:
        return ""
    return f" Its system prompt was {before!r:.80}, now it is {task.system_prompt!r:.80}."


def _earlier(digest: str | None) -> str:
    if digest is not None:
        return ""
    return " An earlier version wrote this record; this one may read the same file differently."


def _check_same_template(run: Run, policy: Policy) -> None:
    """Warns where prompts would be rendered by another chat template than in the steps before."""
    now = template_digest(policy)
    if run.meta.environment.get("chat_template", now) != now:
        warnings.warn(
            f"the chat template of policy {policy.source!r} is another one than the run was "
            "started with: its prompts read differently from here on.",
            stacklevel=5,
        )
