"""A tiny random policy, and reward models made of it."""

from __future__ import annotations

import pytest

from workbench.policy import load_policy
from workbench.rewards.model import RewardModel, reward_model_of


@pytest.fixture
def tiny_policy(tiny_folder):
    return load_policy(tiny_folder)


@pytest.fixture
def made(tiny_policy) -> RewardModel:
    return reward_model_of(tiny_policy, "outcome", seed=3)
