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
            f"{max_prompt_length}. Raise max_prompt_length or leave such problems out; prompts are "
            "never cut."
        )
    return ids


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
    positions = getattr(
        policy.model.config.get_text_config(decoder=True), "max_position_embeddings", None
    )
    if positions is not None and positions <= max_completion_length:
        raise PolicyError(
            f"max_completion_length={max_completion_length} leaves no room for a prompt in the "
            f"{positions} positions of policy "
            f"{policy.source!r}. Lower it."
        )
    room = None if positions is None else positions - max_completion_length
    limit = min((n for n in (room, max_prompt_length) if n is not None), default=None)
    if limit is None or not problems:
        return
    templates: dict[tuple[str, ...], int] = {}
    suspects = [p for p in problems if _most_tokens(policy, task, p, templates) > limit]
    lengths = {p.asked: len(policy.encode_prompt(task.messages(p))) for p in suspects}
    too_long = [question for question, length in lengths.items() if length > limit]
    if too_long:
        worst = max(too_long, key=lengths.__getitem__)
        why = (
            f"max_prompt_length is {limit}"
            if limit == max_prompt_length
            else (
                f"the model's {positions} positions less "
                f"max_completion_length={max_completion_length} leave {limit}"
            )
        )
        raise PolicyError(
            f"{len(too_long)} of {len(problems)} prompts are too long: {worst[:60]!r} has "
            f"{lengths[worst]} tokens, {why}. Change "
            "that or leave such problems out; prompts are never cut."
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
