"""Seconds of a step by trial: the workbench's own code, timed on this machine with a few layers.

    with_trial(plan(config, shape_of("Qwen2.5-0.5B"), this_device()))

Apart from `plan`, which knows nothing of training: a trial runs the update that training makes.
"""

from __future__ import annotations

from dataclasses import replace

from workbench.plan.planner import longest_prompt, read_teacher, skeleton_of
from workbench.plan.report import Plan
from workbench.plan.speed import from_trial
from workbench.trial.layers import run_trial, why_not

__all__ = ["with_trial"]


def with_trial(made: Plan) -> Plan:
    """The same plan with the seconds of a trial in place of the estimate, or with a note why there
    is none. It takes some seconds, and random weights of a few layers."""
    if made.fits is False:
        reason: str | None = "it does not fit"
    else:
        reason = why_not(made.shape, made.config, made.device)
    if reason is not None:
        return replace(made, notes=[*made.notes, f"Nothing was timed: {reason}."])
    bare = skeleton_of(made.shape, made.config, made.device)
    prompt_tokens = longest_prompt(made.shape, made.config)
    teacher = read_teacher(made.config, made.shape, made.device)
    found = run_trial(made.shape, bare, made.config, prompt_tokens, made.device, teacher)
    # A trial needs no rates, so there need not be a limit from them.
    limit = None if made.seconds is None else made.seconds.limit
    return replace(made, seconds=from_trial(found.seconds, limit, found.words, made.device.kind))
