"""`workbench oracle`: all that a small policy can say to one problem, and what it is worth."""

from __future__ import annotations

from typing import Any

from workbench.commands.printing import say, say_json, say_lines
from workbench.errors import WorkbenchError


class NoSuchProblemError(WorkbenchError, ValueError):
    """The task has no held-out problem of that number."""


def oracle_command(
    *,
    policy: str,
    task: str,
    problem: int,
    mass: float,
    temperature: float,
    rewards: list[str] | None,
    max_completion_length: int | None,
    top: int,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """See `workbench oracle --help`."""
    from workbench.commands.train import make_config, set_threads
    from workbench.oracle import oracle_of
    from workbench.policy import load_policy
    from workbench.rewards import DEFAULT_REWARDS, RewardSet
    from workbench.tasks import load_task

    loaded = load_task(task, seed)
    if problem >= len(loaded.held_out):
        raise NoSuchProblemError(
            f"--problem {problem}: task {loaded.name!r} has {len(loaded.held_out)} held-out "
            "problems, counted from 0."
        )
    set_threads(threads, policy)
    given = {}
    if max_completion_length is not None:
        given["max_completion_length"] = max_completion_length
    # The length that `workbench train` would set for this policy.
    config = make_config(policy, None, given, None)
    scored = oracle_of(
        load_policy(policy, trainable=False),
        loaded,
        loaded.held_out[problem],
        RewardSet(list(rewards or DEFAULT_REWARDS)),
        max_new_tokens=config.max_completion_length,
        mass=mass,
        temperature=temperature,
    )
    if as_json:
        say_json(_values(scored))
        return
    say(f"{scored.problem.question}   (answer {scored.problem.answer})", copied=True)
    say_lines(_table(scored, top))
    say_lines(_summary(scored))


def _table(scored: Any, top: int) -> str:
    """The likeliest completions, a line each; texts are a model's, and shown as Python writes
    them."""
    enumeration = scored.enumeration
    lines = ["probability   reward  advantage  right  tokens  completion"]
    advantage_C = scored.advantage_C()
    for row, text in enumerate(scored.texts[:top]):
        right = "yes" if scored.right_C[row] else "no"
        lines.append(
            f"{enumeration.p_C[row]:11.6f}  {scored.reward_C[row]:7.3f}  {advantage_C[row]:9.3f}  "
            f"{right:>5}  {enumeration.length_C[row]:6d}  {text!a}"
        )
    more = len(scored.texts) - top
    if more > 0:
        rest = enumeration.p_C[top:].sum()
        lines.append(f"{rest:11.6f}  in {more} more (--top {len(scored.texts)} shows all)")
    lines.append(f"{enumeration.lost_mass:11.6f}  in what was not followed (--mass)")
    return "\n".join(lines)


def _summary(scored: Any) -> str:
    enumeration = scored.enumeration
    return "\n".join(
        [
            f"expected reward {scored.expected_reward:.4f} (off by "
            f"{scored.expected_reward_error:.4f} at most if nothing that was not followed is paid "
            f"otherwise), std {scored.reward_std:.4f}",
            f"accuracy {scored.accuracy:.4f}, pass@4 {scored.pass_at(4):.4f}, pass@8 "
            f"{scored.pass_at(8):.4f}, entropy {scored.entropy:.3f} nats",
            f"{len(scored.texts)} completions, {enumeration.forwards} forward passes, "
            f"{enumeration.seconds:.2f} s",
        ]
    )


def _values(scored: Any) -> dict[str, Any]:
    enumeration = scored.enumeration
    advantage_C = scored.advantage_C()
    return {
        "question": scored.problem.question,
        "answer": scored.problem.answer,
        "found_mass": enumeration.found_mass,
        "lost_mass": enumeration.lost_mass,
        "open_mass": enumeration.open_mass,
        "complete": enumeration.complete,
        "expected_reward": scored.expected_reward,
        "reward_std": scored.reward_std,
        "accuracy": scored.accuracy,
        "entropy": scored.entropy,
        "forwards": enumeration.forwards,
        "seconds": enumeration.seconds,
        "completions": [
            {
                "text": text,
                "probability": float(enumeration.p_C[row]),
                "rewards": dict(zip(scored.names, scored.rewards_CK[row].tolist(), strict=True)),
                "reward": float(scored.reward_C[row]),
                "advantage": float(advantage_C[row]),
                "right": bool(scored.right_C[row]),
                "tokens": int(enumeration.length_C[row]),
            }
            for row, text in enumerate(scored.texts)
        ],
    }
