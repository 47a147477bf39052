"""`workbench oracle`: the table of all that a policy can say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from workbench.policy import Policy
from workbench.tasks import load_task

Command = Callable[..., CompletedProcess[str]]
"""The fixture `workbench` (see `conftest.py`)."""


def test_the_completions_are_shown_with_what_they_are_worth(
    tmp_path: Path, workbench: Command
) -> None:
    shown = workbench("oracle", "--problem", 3, "--top", 2, cwd=tmp_path).stdout
    problem = load_task("arithmetic").held_out[3]
    assert problem.question in shown
    assert "in what was not followed" in shown
    assert "expected reward" in shown
    printed = workbench("oracle", "--problem", 3, "--json", cwd=tmp_path).stdout
    values = json.loads(printed)
    assert values["complete"]
    found = values["completions"]
    assert f"in {len(found) - 2} more" in shown
    assert sum(c["probability"] for c in found) == pytest.approx(values["found_mass"], abs=1e-12)
    expected = sum(c["probability"] * c["reward"] for c in found) / values["found_mass"]
    assert values["expected_reward"] == pytest.approx(expected)
    assert all(sum(c["rewards"].values()) == pytest.approx(c["reward"]) for c in found)


def test_what_a_policy_says_does_not_reach_the_terminal_as_a_command(
    tmp_path: Path, workbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Policy, "decode", lambda self, ids, messages=(): "\x1b[2Jred \u202e\nnew")
    shown = workbench("oracle", "--mass", 0.9, cwd=tmp_path).stdout
    assert r"'\x1b[2Jred \u202e\nnew'" in shown
    assert not set("\x1b\u202e") & set(shown)


def test_mistakes_are_told(tmp_path: Path, workbench: Command) -> None:
    done = workbench("oracle", "--problem", 10**6, cwd=tmp_path, code=2)
    assert "held-out problems, counted from 0" in done.stderr
    done = workbench("oracle", "--mass", 1.5, cwd=tmp_path, code=2)
    assert "mass=1.5: must be above 0 and at most 1" in done.stderr
