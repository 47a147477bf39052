"""The embedded policy and its task."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workbench.policy import Policy, load_policy
from workbench.tasks import Task, load_task


@pytest.fixture(scope="session")
def embedded() -> Policy:
    """The policy that the package brings."""
    return load_policy("embedded")


@pytest.fixture(scope="session")
def arithmetic() -> Task:
    """Its task."""
    return load_task("arithmetic")


@pytest.fixture(scope="session")
def prompt_of(embedded: Policy, arithmetic: Task) -> Callable[[int], list[int]]:
    """The token ids of a held-out problem by its place."""
    return lambda place: embedded.encode_prompt(arithmetic.messages(arithmetic.held_out[place]))
