"""A data set as TRL wants it, a row for each prompt, as a task; and reward functions that get from
it what TRL would give them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.rewards import GoldError
from workbench.rewards.answers.equal import check_gold
from workbench.rewards.batch import RewardFunction, is_async
from workbench.rewards.functions import completion_text
from workbench.tasks.reading.columns import find_keys
from workbench.tasks.reading.conversation import messages_in, taken_apart
from workbench.tasks.reading.rows import problem_of_row
from workbench.tasks.types import (
    AS_TEXT,
    RESERVED_COLUMNS,
    Problem,
    Task,
    TaskError,
    TaskWarning,
)

NO_GOLD = AS_TEXT + "the data has no gold answer"
"""Stands in place of a gold answer, which TRL's data need not have. Nothing is measured with it:
such a row is never held out."""

OWN_COLUMNS = frozenset({"question", "answer", "kind"})
"""Names of ours that a data set of TRL's may use: its reward functions get its own columns."""


@dataclass(frozen=True)
class PromptProblem(Problem):
    """A row of the data set; `columns` are all its other columns, as they are."""

    def __post_init__(self) -> None:
        taken = sorted((RESERVED_COLUMNS - OWN_COLUMNS) & set(self.columns))
        if taken:
            raise TaskError(
                f"column name(s) {', '.join(map(repr, taken))} are what reward functions get from "
                "the trainer. Rename them: dataset.rename_column(...)."
            )

    @property
    def has_gold(self) -> bool:
        """Whether an answer can be compared with it."""
        return self.answer != NO_GOLD


@dataclass(frozen=True)
class PromptTask(Task):
    """Prompts to train on. Unlike another task it may hold nothing out, and a prompt may come
    twice."""

    as_text: bool = False
    """True where the prompts are plain text: reward functions then get text, as in TRL."""

    def __post_init__(self) -> None:
        if not self.train:
            raise TaskError("train_dataset has no rows. Give it at least one prompt.")
        shared = {p.asked for p in self.train} & {p.asked for p in self.held_out}
        if shared:
            warnings.warn(
                f"{len(shared)} prompt(s) of eval_dataset are trained on too, so that its accuracy "
                "measures memory.",
                TaskWarning,
                stacklevel=4,
            )


def prompt_task(train: Any, evaluation: Any = None) -> PromptTask:
    """The task of a train_dataset and an eval_dataset: a `datasets.Dataset`, a list of dicts, or
    what else is a sequence of rows with a column `prompt`. Raises `TaskError`.

    Where a row of the eval_dataset has a gold answer (answer, solution, ground_truth, ...) it is
    held out; the others are left out with a warning, since accuracy cannot be told without one.
    """
    rows = _rows("train_dataset", train)
    problems = [_problem("train_dataset", number, row) for number, row in enumerate(rows)]
    texts = {isinstance(row["prompt"], str) for row in rows}
    if len(texts) > 1:
        raise TaskError(
            "train_dataset: some prompts are text and some are message lists. Make them one kind."
        )
    held_out = []
    if evaluation is not None:
        asked = _rows("eval_dataset", evaluation)
        tests = [_problem("eval_dataset", number, row) for number, row in enumerate(asked)]
        held_out = [problem for problem in tests if problem.has_gold]
        if len(held_out) < len(tests):
            warnings.warn(
                f"{len(tests) - len(held_out)} of {len(tests)} rows of eval_dataset have no gold "
                "answer that can be read, and are not evaluated. Held-out accuracy needs a column "
                "such as `answer`.",
                TaskWarning,
                stacklevel=3,
            )
    return PromptTask("train_dataset", problems, held_out, None, as_text=True in texts)


def _rows(name: str, data: Any) -> list[Mapping[str, Any]]:
    if data is None:
        raise TaskError(f"{name} is missing: give rows with a column `prompt`.")
    if isinstance(data, Mapping):
        raise TaskError(
            f"{name} is a dict of splits, {', '.join(map(repr, data))}. Name one: data['train']."
        )
    if not hasattr(data, "__len__"):
        raise TaskError(
            f"{name} is a {type(data).__name__}, whose rows cannot be counted. Take what you need "
            "of it: list(data.take(1000))."
        )
    # A Dataset gives rows by number, a frame or a dict of columns would give something else.
    rows = [data[number] for number in range(len(data))] if len(data) else []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or "prompt" not in row:
            found = f"the keys {sorted(row)!r:.120}" if isinstance(row, Mapping) else f"{row!r:.80}"
            raise TaskError(
                f"{name}, row {number}: expected a column `prompt`, found {found}. "
                "dataset.rename_column('question', 'prompt') gives it that name."
            )
    return rows


def _problem(name: str, number: int, row: Mapping[str, Any]) -> PromptProblem:
    place = f"{name}, row {number}"
    prompt = row["prompt"]
    if "images" in row or "image" in row:
        raise TaskError(f"{place}: pictures in a prompt cannot be read here. Remove the column.")
    if isinstance(prompt, str):
        question = prompt
        before: tuple[dict[str, str], ...] = ()
    else:
        question, before = _conversation(place, prompt)
    if not question.strip():
        raise TaskError(f"{place}: the prompt is empty.")
    # What TRL keeps for itself; the rest goes to the reward functions by name.
    columns = {key: value for key, value in row.items() if key not in ("prompt", "completion")}
    gold = _gold(row)
    return PromptProblem(question, gold, columns={"answer": None} | columns, before=before)


def _conversation(place: str, prompt: Any) -> tuple[str, tuple[dict[str, str], ...]]:
    messages = messages_in(prompt)
    if messages is None:
        raise TaskError(f"{place}: prompt={prompt!r:.80} is neither text nor a message list.")
    try:
        talk = taken_apart(messages)
    except TaskError as error:
        raise TaskError(f"{place}: {error}") from error
    if talk.reply is not None:
        raise TaskError(
            f"{place}: the prompt ends in an assistant's turn, which a completion would have to go "
            "on with. Let it end in a turn of the user."
        )
    system = () if talk.system is None else ({"role": "system", "content": talk.system},)
    return talk.question, (*system, *talk.before)


def _gold(row: Mapping[str, Any]) -> str:
    """The gold answer of a row as `load_task` would read it; `NO_GOLD` where there is none."""
    try:
        gold = problem_of_row(row, find_keys(row, question_key="prompt")).problem.answer
        check_gold(gold)
    except (TaskError, GoldError):
        # No gold is no fault here: TRL's rewards may need none.
        return NO_GOLD
    return gold


# ----------------------------------------------------------------------------------- rewards


def reward_on_text(function: RewardFunction) -> RewardFunction:
    """`function`, given prompts and completions as plain text, by the same name and signature."""

    def named(wrapper: Callable[..., Any]) -> RewardFunction:
        made = functools.wraps(function)(wrapper)
        made.__name__ = getattr(function, "__name__", type(function).__name__)
        return made

    if is_async(function):

        async def asynchronous(**arguments: Any) -> Any:
            return await function(**_as_text(arguments))

        return named(asynchronous)

    def synchronous(**arguments: Any) -> Any:
        return function(**_as_text(arguments))

    return named(synchronous)


def _as_text(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a reward function with the last turn of each prompt, and with completions as
    text."""
    text: dict[str, Any] = {}
    if "prompts" in arguments:
        text["prompts"] = [messages[-1]["content"] for messages in arguments["prompts"]]
    if "completions" in arguments:
        text["completions"] = [completion_text(each) for each in arguments["completions"]]
    return arguments | text
