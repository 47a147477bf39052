"""A process beside the leader: it loads the same policy, takes over the leader's weights, and does
its share of what the leader asks for, until the leader needs it no longer."""

from __future__ import annotations

import torch

from workbench.config import GRPOConfig
from workbench.distributed.starting import join_team, join_torchrun
from workbench.distributed.team import Team
from workbench.methods import make_method
from workbench.policy.load import load_policy
from workbench.policy.optim import make_optimizer
from workbench.rewards import RewardSet
from workbench.rollout.native import NativeEngine
from workbench.training.shared.work import Work


def main(store: str, rank: int, size: int, leader: int) -> None:
    """The process that a leader has started."""
    serve(join_team(store, rank, size, leader))


def help_torchrun() -> None:
    """One of torchrun's processes that is not the leader."""
    serve(join_torchrun())


def serve(team: Team) -> None:
    """Help the leader of a team, to its end."""
    source, config, device, threads = team.broadcast()
    torch.set_num_threads(threads)
    team.serve(_work(team, source, config, device))


def _work(team: Team, source: str, config: GRPOConfig, device: str) -> Work:
    policy = load_policy(source, config=config, device=device)
    engine = NativeEngine(
        policy.model, policy.eos_token_ids, policy.pad_token_id, should_stop=team.broken_off
    )
    # Rewards are the leader's; of the method the loss alone is asked for.
    method = make_method(policy, config, RewardSet("answer"))
    optimizer = make_optimizer(policy.trainable_parameters(), config)
    return Work(team, policy, method, engine, optimizer)
