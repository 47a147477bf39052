"""`workbench.evaluate`: a policy and a task in, an `EvaluationResult` out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.config import ConfigError, GRPOConfig
from workbench.errors import WorkbenchError
from workbench.evaluation.prompts import check_prompts
from workbench.evaluation.recorded import asked_as
from workbench.evaluation.result import EvaluationResult
from workbench.evaluation.sampled import HowToAnswer, answer_all
from workbench.policy import Policy, load_policy
from workbench.rewards import with_readable_golds
from workbench.rollout import check_engine, make_engine
from workbench.tasks import load_task
from workbench.tasks.types import Problem, Task

LONGEST = 256
"""Tokens of a completion, at most, where nobody says how many and the model has more positions."""
EMBEDDED_LENGTH = 48
"""The same of the embedded policy: more than the longest solution of its task."""


class NothingAskedError(WorkbenchError, ValueError):
    """An evaluation of no problem."""


def evaluate(
    policy: Policy | str | Path = "embedded",
    task: Task | str | Path = "arithmetic",
    *,
    samples: int = 0,
    problems: int | Sequence[Problem] = 200,
    max_completion_length: int | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    batch_size: int = 128,
    rollout: str = "native",
    keep: str | Path | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> EvaluationResult:
    """Ask a policy held-out problems, each greedily and `samples` times at random.

    policy       a loaded one (such as `session.trainer.policy`, which it leaves as it is), or what
                 `load_policy` takes
    task         a loaded one, or what `load_task` takes; by name with seed 0
    problems     how many of the held-out ones, or the problems themselves
    max_completion_length   tokens; None: 48 for the embedded policy, else 256 or half its positions
    temperature, top_p, seed, batch_size   of the samples; see `evaluation.sampled.HowToAnswer`
    rollout      the engine: native, transformers or vllm
    keep         a file of the completions; an evaluation that was broken off goes on from it
    on_progress  hears how many problems are answered

    Raises `PolicyError`, `TaskError`, `EvaluationError`, `ConfigError` for numbers that make no
    sense, and `NothingAskedError`.
    """
    check_engine(GRPOConfig(rollout_engine=rollout))
    _check_counts(samples, batch_size, temperature)
    whole = task if isinstance(task, Task) else with_readable_golds(load_task(task), "refuse")
    # Not a negative number: a slice would take that for "all but the last".
    asked = list(whole.held_out[: max(problems, 0)] if isinstance(problems, int) else problems)
    if not asked:
        raise NothingAskedError(
            f"problems={problems!r:.60}: no problem to ask. Give a number above 0, or problems."
        )
    loaded = policy if isinstance(policy, Policy) else load_policy(policy, trainable=False)
    length = max_completion_length or usual_length(loaded)
    how = HowToAnswer(samples, length, temperature, top_p, seed, batch_size)
    file = None if keep is None else Path(keep)
    return answered_by(loaded, whole, asked, how, rollout, file, on_progress)


def _check_counts(samples: int, batch_size: int, temperature: float) -> None:
    for name, value, good, meaning in (
        ("samples", samples, samples >= 0, "at least 0"),
        ("batch_size", batch_size, batch_size >= 1, "at least 1"),
        ("temperature", temperature, 0 <= temperature < math.inf, "0 or more, and finite"),
    ):
        if not good:
            raise ConfigError(f"evaluate({name}={value!r:.40}): must be {meaning}.")


def answered_by(
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    how: HowToAnswer,
    rollout: str = "native",
    keep: Path | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
    *,
    name: str | None = None,
    task_name: str | None = None,
) -> EvaluationResult:
    """The same, when all is known; `name` and `task_name` are what the result calls policy and
    task. The engine's memory is given back at the end."""
    check_prompts(policy, task, problems, how.max_completion_length)
    engine = make_engine(rollout, policy.model, policy.eos_token_ids, policy.pad_token_id)
    try:
        answers = answer_all(
            engine, policy, task, problems, how, keep=keep, on_progress=on_progress
        )
    finally:
        engine.free()
    facts = {
        "dtype": str(policy.weight_dtype).removeprefix("torch."),
        "quantization": policy.quantization,
    }
    asked = asked_as(policy, task, problems, how) | facts
    return EvaluationResult(
        name or policy.source,
        policy.quantization,
        task_name or task.name,
        how,
        answers,
        asked,
    )


def usual_length(policy: Policy) -> int:
    """Tokens of a completion where nobody says how many."""
    if policy.source == "embedded":
        return EMBEDDED_LENGTH
    decoder = policy.model.config.get_text_config(decoder=True)
    positions = getattr(decoder, "max_position_embeddings", None) or 2 * LONGEST
    return int(min(LONGEST, positions // 2))
