"""Do the prompts of a task fit into the policy? Asked before a run starts, so that no long prompt
ends it days later."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.policy.policy import Policy, PolicyError
from workbench.tasks.types import Problem, Task


def encode_prompt(
    policy: Policy, task: Task, problem: Problem, max_prompt_length: int | None
) -> list[int]:
    """Token ids of one problem's prompt. Raises `PolicyError` when there are more than allowed."""
    ids = policy.encode_prompt(task.messages(problem))
    if max_prompt_length is not None and len(ids) > max_prompt_length:
        raise PolicyError(
            f"the prompt {problem.question[:60]!r} has {len(ids)} tokens, max_prompt_length is "
            f"{max_prompt_length}. Raise it (--set max_prompt_length=) or leave such problems out "
            "of the data; prompts are never cut."
        )
    return ids


def prompt_limit(
    policy: Policy, max_completion_length: int, max_prompt_length: int | None
) -> tuple[int | None, str]:
    """The most tokens that a prompt may have, and a clause that says where it comes from: the
    config, or what the model's positions leave beside a completion (0 where that is nothing)."""
    positions = _positions(policy)
    room = None if positions is None else max(0, positions - max_completion_length)
    limit = min((n for n in (room, max_prompt_length) if n is not None), default=None)
    if limit is None:
        return None, "no limit is set"
    if limit == max_prompt_length:
        return limit, f"max_prompt_length is {limit}"
    return limit, (
        f"the model's {positions} positions less max_completion_length={max_completion_length} "
        f"leave {limit}"
    )


def _positions(policy: Policy) -> int | None:
    decoder = policy.model.config.get_text_config(decoder=True)
    return getattr(decoder, "max_position_embeddings", None)


def check_prompts(
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    max_completion_length: int,
    max_prompt_length: int | None = None,
) -> None:
    """Raises `PolicyError` when a prompt is over `max_prompt_length` tokens or leaves the model no
    room for a completion.

    A prompt has no more tokens than bytes, the template's apart, so only those that might be too
    long are encoded.
    """
    positions = _positions(policy)
    if positions is not None and positions <= max_completion_length:
        raise PolicyError(
            f"max_completion_length={max_completion_length} leaves no room for a prompt in the "
            f"{positions} positions of policy {policy.source!r}. Lower it (--set "
            "max_completion_length=)."
        )
    limit, why = prompt_limit(policy, max_completion_length, max_prompt_length)
    if limit is None or not problems:
        return
    templates: dict[tuple[str, ...], int] = {}
    suspects = [p for p in problems if _most_tokens(policy, task, p, templates) > limit]
    lengths = {p.asked: len(policy.encode_prompt(task.messages(p))) for p in suspects}
    too_long = [question for question, length in lengths.items() if length > limit]
    if too_long:
        worst = max(too_long, key=lengths.__getitem__)
        raise PolicyError(
            f"{len(too_long)} of {len(problems)} prompts are too long: {worst[:60]!r} has "
            f"{lengths[worst]} tokens, {why}. Set "
            "another limit (--set max_prompt_length=, --set max_completion_length=) or leave such "
            "problems out of the data; prompts are never cut."
        )


def _most_tokens(
    policy: Policy, task: Task, problem: Problem, templates: dict[tuple[str, ...], int]
) -> int:
    """No fewer tokens than the prompt has: its bytes, and the template's tokens, which are counted
    once for each order of speakers (with what the first such conversation says)."""
    messages = task.messages(problem)
    speakers = tuple(message["role"] for message in messages)
    if speakers not in templates:
        templates[speakers] = len(policy.encode_prompt(messages))
    own = [problem.question, *(turn["content"] for turn in problem.before)]
    return templates[speakers] + sum(len(text.encode()) for text in own)
