"""What a task is: problems with gold answers in two disjoint splits, and the order in which they
are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.errors import WorkbenchError
from workbench.tasks.description import description_of
from workbench.tasks.format import answer_in, form_asked_for, written_in
from workbench.tasks.reading.report import Reading

Message = dict[str, str]
"""One turn of a conversation, as a chat template takes it: role and content."""


class TaskError(WorkbenchError, ValueError):
    """A task or a file of problems that cannot be used: says where, what was wrong and what to
    do."""


class TaskWarning(UserWarning):
    """Rows that were left out or changed while a task was read; `Task.describe()` lists them."""


AS_TEXT = "text:"
"""What a gold answer begins with that is to be compared as text, in one spelling, and not read."""

RESERVED_COLUMNS = frozenset(
    {
        "question",
        "answer",
        "kind",
        "prompt",
        "prompts",
        "completion",
        "completions",
        "completion_ids",
    }
    | {"trainer_state", "log_extra", "log_metric"}
)
"""Names that a reward function already gets from elsewhere; no further column may take one."""

_DRAW_STREAM = 1
"""Keeps these permutations apart from others made from the same seed."""


@dataclass(frozen=True)
class Problem:
    """One question with its gold answer. Raises `TaskError` for a column whose name is taken."""

    question: str

    answer: str
    """The gold answer as short text ("72")."""

    kind: str = ""
    """A label to group results by."""

    columns: Mapping[str, Any] = field(default_factory=dict)
    """What else the reward functions get by name, such as the worked solution."""

    before: tuple[Message, ...] = ()
    """Turns that come before the question where its row has them; a system message among them
    stands first, and in place of the task's."""

    subject: str | None = None
    """What it is about ("Algebra"), to group results by; None where the data does not say."""

    level: float | str | None = None
    """How hard its data calls it, to group results by: 5 for "Level 5", a word where the data has
    words ("easy"), None where it does not say."""

    solution: str | None = None
    """A worked solution, the reasoning alone: without the mark of the final answer, tags and a
    calculator's annotations. None where the data has none."""

    place: str = field(default="", compare=False)
    """The file or table and the line or row that it was read from; empty where it was not."""

    def __post_init__(self) -> None:
        taken = sorted(RESERVED_COLUMNS & set(self.columns))
        if taken:
            raise TaskError(
                f"column name(s) {', '.join(map(repr, taken))} are reserved. Rename them."
            )

    @property
    def asked(self) -> str:
        """The question with the turns before it, the system message apart: two problems are the
        same where this is."""
        turns = [turn["content"] for turn in self.before if turn["role"] != "system"]
        return "\n\n".join([*turns, self.question])

    @property
    def prompt_text(self) -> str:
        """What the problem's own row puts to the policy, as a record shows it: the question alone,
        or where turns or a system message come before it all of them with who speaks. The task's
        system prompt, the same for all, is not in it."""
        if not self.before:
            return self.question
        turns = [*self.before, {"role": "user", "content": self.question}]
        return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)


@dataclass(frozen=True)
class Task:
    """Problems to train on and problems held out, disjoint by question. Raises `TaskError` at
    construction."""

    name: str
    train: Sequence[Problem]
    held_out: Sequence[Problem]

    system_prompt: str | None = None
    """Sent before each question that has no system message of its own; None sends the question
    alone."""

    reading: Reading | None = field(default=None, compare=False, repr=False)
    """How it was read, where it comes from data."""

    evaluation_only: bool = False
    """Whether its data has nothing to train on, such as a benchmark that is a test split alone:
    `train` is empty then."""

    def __post_init__(self) -> None:
        if self.evaluation_only and self.train:
            raise TaskError(
                f"task {self.name!r}: evaluation_only, and {len(self.train)} problem(s) to train "
                "on. Leave one of the two out."
            )
        for split, problems in (("train", self.train), ("held_out", self.held_out)):
            if split == "held_out" or not self.evaluation_only:
                _check_split(self.name, split, problems)
        shared = {p.asked for p in self.train} & {p.asked for p in self.held_out}
        if shared:
            raise TaskError(
                f"task {self.name!r}: {len(shared)} question(s) are in both splits, so held-out "
                "accuracy would measure "
                f"memory, for example {min(shared)[:80]!r}. Remove them from one split."
            )

    def messages(self, problem: Problem) -> list[Message]:
        """The conversation that asks `problem`, as a chat template takes it."""
        messages = [*problem.before, {"role": "user", "content": problem.question}]
        if self.system_prompt is None or messages[0]["role"] == "system":
            return messages
        return [{"role": "system", "content": self.system_prompt}, *messages]

    def demonstration(self, problem: Problem) -> str:
        """The assistant's whole message that answers `problem` as it is asked to: its worked
        solution and its gold in the form that the conversation names (`\\boxed{}`, `####`), or
        else `<think>…</think><answer>…</answer>`, which `format` and `answer` pay in full.

        What supervised fine-tuning imitates. Raises `TaskError` where there is no worked solution.
        """
        if problem.solution is None:
            where = problem.place or f"of the task {self.name!r:.80}"
            raise TaskError(
                f"the problem {problem.question!r:.80} ({where}) has no worked solution to "
                "imitate. Name the key that holds one with solution_key= (on the command line "
                "--column solution=KEY), leave the problem out, or train by a method that needs "
                "none, such as grpo."
            )
        gold = problem.answer.removeprefix(AS_TEXT).strip()
        form = form_asked_for(turn["content"] for turn in self.messages(problem))
        message = written_in(form, problem.solution, gold)
        if answer_in(form, message) != gold:
            raise TaskError(
                f"the gold {gold!r:.80} of {problem.question!r:.80} cannot be written in the "
                f"form that is asked for: {message[-160:]!r}. Leave the problem out."
            )
        return message

    def describe(self) -> str:
        """The task in words: its splits, how each gold was found, examples, what was dropped and
        why. Text of the data stands in quotes, control characters spelled out."""
        return "\n".join(description_of(self))

    def check_trainable(self) -> None:
        """Raises `TaskError` for a task that has nothing to train on."""
        if self.evaluation_only:
            raise TaskError(
                f"the task {self.name!r:.120} has {len(self.held_out)} problem(s) to be asked, and "
                "none to train on: its data is a test split alone. Evaluate on it (workbench "
                "eval), or train on another task or split (hf:owner/name@train)."
            )

    def draw(self, cursor: int, n: int, seed: int) -> list[int]:
        """Indices into `train` of draws number `cursor` to `cursor + n - 1`.

        A pure function of its arguments, so a resumed run draws what the uninterrupted one would
        have drawn. Each epoch is a fresh permutation of the whole split; nothing repeats within an
        epoch. Raises `ValueError`, and `TaskError` for a task that has nothing to train on.
        """
        self.check_trainable()
        if cursor < 0 or n < 0:
            raise ValueError(f"draw(cursor={cursor}, n={n}): both must be 0 or more.")
        size = len(self.train)
        drawn: list[int] = []
        while len(drawn) < n:
            epoch, start = divmod(cursor + len(drawn), size)
            drawn += epoch_order(size, seed, epoch)[start : start + n - len(drawn)].tolist()
        return drawn


def epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    """The permutation of `range(size)` for one epoch; depends on nothing but the arguments."""
    return np.random.default_rng((_DRAW_STREAM, seed, epoch)).permutation(size)


def columns_of(problems: Sequence[Problem]) -> dict[str, list[Any]]:
    """What reward functions get by name, a list entry per problem: question, answer, kind and all
    further columns.

    A problem that lacks a column which others have gets None there. For a batch give each problem
    once per completion.
    """
    names = dict.fromkeys(name for p in problems for name in p.columns)
    own = {name: [getattr(p, name) for p in problems] for name in ("question", "answer", "kind")}
    return own | {name: [p.columns.get(name) for p in problems] for name in names}


def _check_split(task: str, split: str, problems: Sequence[Problem]) -> None:
    if len(problems) == 0:
        raise TaskError(
            f"task {task!r}: the split {split!r} is empty. Give it at least one problem."
        )
    for i, problem in enumerate(problems):
        for part in ("question", "answer"):
            if not getattr(problem, part).strip():
                raise TaskError(
                    f"task {task!r}: problem {i} of {split!r} has an empty {part}: {problem!r:.200}"
                )
