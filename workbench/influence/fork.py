"""`fork_here`: from a token of a recorded completion, what the policy of now would write.

The tokens before it stay, the token itself and all behind it are drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from workbench.config import GRPOConfig
from workbench.evaluation.prompts import encode_prompt
from workbench.influence.begin import check_healthy, policy_and_task, record_of
from workbench.influence.fork_result import Continuation, Continuations
from workbench.influence.fork_rewards import Scores, recorded_scores, score
from workbench.influence.kept_step import config_at, problem_of
from workbench.influence.result import InfluenceError
from workbench.policy.likeliest import likeliest_tokens
from workbench.policy.policy import Policy
from workbench.rollout import make_engine
from workbench.rollout.continuations import continuations
from workbench.rollout.request import evaluation_mode
from workbench.rollout.types import Rollout, Sampling
from workbench.runs import Run
from workbench.tasks.types import Problem, Task
from workbench.training import checkpoints
from workbench.training.random_state import global_state_kept
from workbench.training.session import Session


def fork_here(
    run: Session | Run | str | Path,
    step: int,
    row: int,
    token: int,
    *,
    count: int = 8,
    seed: int = 0,
    policy: Policy | None = None,
    task: Task | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Continuations:
    """`count` continuations of completion `row` of `step`, from its token `token` on: the tokens
    before it stay, that one and all behind it are sampled by the policy of now.

    A running session pauses for it, at the end of its step, and is otherwise left as it was: its
    next step is, bit for bit, what it would have been. A stored run loads its policy and task by
    the record's names, and the weights of its newest checkpoint; a `policy` that is given is asked
    as it is. Temperature, top-k, top-p and the longest completion are those of now. The reward
    functions of the run score the whole completions. The same `seed` gives the same continuations
    from the same policy.

    Raises `InfluenceError`, `RunRecordError`, and where `should_stop()` answers True
    `RolloutCancelledError` or `ScoringCancelledError`.
    """
    record = record_of(run)
    check_healthy(record)
    if count < 1:
        raise InfluenceError(f"fork_here(count={count}): count must be at least 1.")
    begun = _begun(record, step, row, token)
    with policy_and_task(run, record, policy, task) as (own_policy, own_task), global_state_kept():
        after = None if policy is not None else _take_weights_of_now(run, record, own_policy)
        config = _config_of_now(run, record)
        problem = problem_of(own_task, begun.problem_id)
        rollout = _sampled(own_policy, own_task, problem, begun, config, count, seed, should_stop)
        whole = [[*begun.before, *ids] for ids in rollout.completion_lists()]
        texts = [own_policy.decode(ids, own_task.messages(problem)) for ids in whole]
        # The last row is what the record has, which was scored in its step.
        scores = score(run, record, own_task, problem, texts[:-1], whole[:-1], config, should_stop)
        scores = scores.followed_by(recorded_scores(record, step, row))
        found = _continuations(own_policy, rollout, config.temperature, texts, scores)
    return Continuations(
        step=step,
        row=row,
        token=token,
        temperature=float(config.temperature),
        seed=seed,
        policy_step=after,
        sampled=tuple(found[:-1]),
        recorded=replace(found[-1], truncated=begun.truncated),
        not_scored=scores.why_not,
    )


@dataclass(frozen=True)
class _Begun:
    """A recorded completion, cut at the token."""

    problem_id: str
    before: list[int]
    after: list[int]
    truncated: bool
    place: tuple[int, int, int]


def _begun(record: Run, step: int, row: int, token: int) -> _Begun:
    batch = record.batch(step)
    rows = len(batch["lengths_B"])
    if not 0 <= row < rows:
        raise InfluenceError(f"row {row} is not in step {step}, which has rows 0 to {rows - 1}.")
    ids = batch["ids_BT"][row, : int(batch["lengths_B"][row])].tolist()
    if not 0 <= token < len(ids):
        raise InfluenceError(
            f"token {token} is not in row {row} of step {step}, which has {len(ids)} tokens, "
            "counted from 0."
        )
    return _Begun(
        problem_id=str(record.samples(step)["problem_id"].iloc[row]),
        before=ids[:token],
        after=ids[token:],
        truncated=bool(batch["truncated_B"][row]),
        place=(step, row, token),
    )


def _config_of_now(run: object, record: Run) -> GRPOConfig:
    if isinstance(run, Session) and run.trainer is not None:
        return run.config
    return config_at(record, record.last_step())


def _take_weights_of_now(run: object, record: Run, policy: Policy) -> int:
    """Make the policy hold the newest weights of the run, where it does not; the step that they
    are after. Whoever asked for the policy puts its own back."""
    if isinstance(run, Session) and run.holds_its_weights:
        return run.step_number
    folder = record.path.parent / "checkpoints"
    newest = checkpoints.load_latest(folder)
    if newest is None:
        raise InfluenceError(
            f"{folder} holds no usable checkpoint, so the weights of this run are not known. Ask "
            "in the folder where the run was trained, or give a policy with policy=POLICY."
        )
    policy.load_trainable_state(newest.tensors["weights"])
    return newest.step


def _sampled(
    policy: Policy,
    task: Task,
    problem: Problem,
    begun: _Begun,
    config: GRPOConfig,
    count: int,
    seed: int,
    should_stop: Callable[[], bool],
) -> Rollout:
    """The continuations, and behind them the recorded one."""
    prompt = encode_prompt(policy, task, problem, config.max_prompt_length)
    # The longest completion is a setting that may have become shorter since.
    longest = max(config.max_completion_length, len(begun.before) + len(begun.after))
    sampling = Sampling(longest, config.temperature, config.top_k, config.top_p)
    # An engine of its own: the session's may hold other weights, and its rollouts are counted.
    engine = make_engine(
        "native",
        policy.model,
        policy.eos_token_ids,
        policy.pad_token_id,
        should_stop=should_stop,
    )
    generator = torch.Generator().manual_seed(_seed(config.seed, begun.place, seed))
    rollout = continuations(engine, prompt, begun.before, count, sampling, generator)
    return _with_row(rollout, begun.after, policy.pad_token_id)


def _seed(of_run: int, place: tuple[int, int, int], seed: int) -> int:
    """Other draws at each place of each run, and the same ones whenever it is asked again."""
    return int(np.random.SeedSequence([of_run, *place, seed]).generate_state(1)[0])


def _with_row(rollout: Rollout, ids: list[int], pad_token_id: int) -> Rollout:
    """The same with one more completion behind the others."""
    widest = max(rollout.completion_ids_BT.shape[1], len(ids))
    more = widest - rollout.completion_ids_BT.shape[1]
    own = functional.pad(torch.tensor([ids]), (0, widest - len(ids)), value=pad_token_id)
    device = rollout.completion_ids_BT.device
    ids_BT = functional.pad(rollout.completion_ids_BT, (0, more), value=pad_token_id)
    mask_BT = functional.pad(rollout.mask_BT, (0, more), value=False)
    own_mask = torch.arange(widest, device=device)[None] < len(ids)
    logp_BT = functional.pad(rollout.sampler_logp_BT, (0, more))
    return replace(
        rollout,
        completion_ids_BT=torch.cat([ids_BT, own.to(device)]),
        mask_BT=torch.cat([mask_BT, own_mask]),
        # Nobody sampled it now: its log-probabilities come from the policy's own pass.
        sampler_logp_BT=torch.cat([logp_BT, torch.full_like(logp_BT[:1], torch.nan)]),
        truncated_B=functional.pad(rollout.truncated_B, (0, 1), value=False),
        num_generations=rollout.num_generations + 1,
    )


def _continuations(
    policy: Policy, rollout: Rollout, temperature: float, texts: Sequence[str], scores: Scores
) -> list[Continuation]:
    """One for each row, with the log-probabilities of one pass over them all, as training makes
    it."""
    rows = torch.arange(len(rollout.mask_BT), device=rollout.mask_BT.device)
    with evaluation_mode(policy.model):
        logp_K, _, _ = likeliest_tokens(policy.model, rollout, rows, temperature, 1)
    logps = torch.split(logp_K.cpu().double(), rollout.lengths_B.tolist())
    return [
        Continuation(
            ids=tuple(ids),
            pieces=tuple(policy.pieces(ids)),
            logp_T=logp_T.numpy(),
            completion=text,
            truncated=bool(is_truncated),
            rewards=scores.of_row(number),
            reward=scores.reward_B[number],
        )
        for number, (ids, logp_T, text, is_truncated) in enumerate(
            zip(rollout.completion_lists(), logps, texts, rollout.truncated_B, strict=True)
        )
    ]
