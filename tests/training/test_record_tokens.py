"""Tokens of every so many steps in the record, and what the plan says of its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench import Dashboard
from workbench.config import GRPOConfig
from workbench.doctor import diagnose
from workbench.plan.record_size import record_bytes
from workbench.runs import Run

SMALL: dict[str, Any] = dict(max_steps=8, prompts_per_step=4, num_generations=4, save_steps=4)


def trained(make_trainer: Any, name: str, **changes: Any) -> tuple[Run, Path]:
    trainer = make_trainer(name, **{**SMALL, **changes})
    trainer.train()
    return Run.open(trainer.out), trainer.out


def test_tokens_of_every_third_step_and_of_both_ends(make_trainer: Any) -> None:
    whole, _ = trained(make_trainer, "whole")
    run, _ = trained(make_trainer, "thin", record_tokens_every=3)
    assert whole.kept_steps("tokens") == list(range(1, 9))
    assert run.kept_steps("tokens") == [1, 3, 6, 8]
    assert run.kept_steps("samples") == list(range(1, 9)), "texts and rewards of every step"
    for step in (1, 6, 8):
        kept, same = run.token_arrays(step), whole.token_arrays(step)
        assert all(np.array_equal(kept[name], same[name]) for name in same)
    figures = ["loss", "reward", "kl", "entropy"]
    assert run.steps()[figures].equals(whole.steps()[figures]), "what is computed is the same"
    assert run.damage() == []


def test_pages_and_doctor_do_without(make_trainer: Any) -> None:
    run, out = trained(make_trainer, "thin", record_tokens_every=100)
    for step in (4, 8):
        assert diagnose(run, step)
    dashboard = Dashboard(str(out), step=4)
    for page in range(len(dashboard.pages)):
        dashboard.tabs.selected_index = page
        assert dashboard.error.value == ""


def test_a_run_may_go_on_with_another_number(make_trainer: Any) -> None:
    trained(make_trainer, "a", max_steps=4)
    trainer = make_trainer("a", **{**SMALL, "record_tokens_every": 2}, resume=True)
    trainer.train()
    assert Run.open(trainer.out).kept_steps("tokens") == [1, 2, 3, 4, 6, 8]


@pytest.mark.parametrize("changes", [{}, {"record_tokens_every": 4}, {"beta": 0.0}])
def test_the_plan_foretells_the_size(make_trainer: Any, changes: dict[str, Any]) -> None:
    """A policy of random weights hardly ever ends before the full length."""
    _, out = trained(
        make_trainer, "a", max_steps=12, max_completion_length=64, num_generations=16, **changes
    )
    config = GRPOConfig(
        **{**SMALL, **dict(max_steps=12, max_completion_length=64, num_generations=16), **changes}
    )
    whole = (out / "run.sqlite").stat().st_size
    foretold = record_bytes(config, has_reference=config.beta > 0)
    assert 0.5 * foretold < whole < 1.1 * foretold
