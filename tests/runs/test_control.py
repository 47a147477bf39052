"""Control runs: which run is one, what they reach, and that nobody takes a drift for learning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import REWARD_NAMES, make_run

from workbench.course import recorded
from workbench.errors import WorkbenchError
from workbench.runs import (
    Run,
    accuracy_band,
    controls_beside,
    controls_for,
    is_control,
    learned,
)
from workbench.runs.control import NEAR, metric_band

SHUFFLED = tuple(f"shuffled_{name}" for name in REWARD_NAMES)
DRIFTED = {0: (192, 500), 20: (265, 500), 60: (280, 500)}
"""A real control: 60 steps of the first embedded policy with shuffled rewards, 38.4 -> 56.0 %."""
OTHERS = (
    {0: (197, 500), 60: (277, 500)},  # 39.4 -> 55.3 %, another seed of it
    {0: (194, 500), 60: (181, 500)},  # 38.8 -> 36.1 %, a third
)
TRUE = {0: (190, 500), 20: (460, 500), 60: (485, 500)}


def made(path: Path, evaluations: Mapping[int, tuple[int, int]], **how: Any) -> Run:
    small: dict[str, Any] = {
        "steps": 3,
        "prompts": 1,
        "samples": False,
        "keep_tokens": False,
        "name": path.name,
    }
    # A made run is short: step 20 of a real one is its first, step 60 its last.
    when = {0: 0, 20: 1, 60: 3}
    figures = {when[step]: figure for step, figure in evaluations.items()}
    return make_run(path, evaluations=figures, **(small | how))


def control(path: Path, evaluations: Mapping[int, tuple[int, int]], **how: Any) -> Run:
    return made(path, evaluations, **({"reward_names": SHUFFLED} | how))


def old_assertion(run: Run) -> bool:
    """What notebook 00 used to ask: do the intervals before and after lie apart?"""
    table = run.evaluations()
    return bool(table.low.iloc[-1] > table.high.iloc[0])


def test_the_old_assertion_is_fooled_by_a_control_and_the_new_one_is_not(tmp_path: Path) -> None:
    runs = [control(tmp_path / str(i), table) for i, table in enumerate((DRIFTED, *OTHERS))]
    run = made(tmp_path / "true", TRUE)
    # Two of three runs that cannot have learned anything would have been called learned.
    assert [old_assertion(one) for one in runs] == [True, True, False]
    assert old_assertion(run)

    # Each of them as if it were the run, against what all three reached.
    for i, table in enumerate((DRIFTED, *OTHERS)):
        pretender = made(tmp_path / f"pretender{i}", table)
        assert not learned(pretender, *runs)
        assert "may have drifted" in str(learned(pretender, *runs))
    found = learned(run, *runs)
    assert found
    assert found.band == (
        min(float(one.evaluations().low.min()) for one in runs),
        max(float(one.evaluations().high.max()) for one in runs),
    )
    assert f"all that 3 control runs reached ({found.band[0]:.1%} to" in str(found)


def test_the_highest_point_counts_not_the_last(tmp_path: Path) -> None:
    """A control that rose and came back shows what chance can do all the same."""
    back = control(tmp_path / "back", {0: (190, 500), 20: (300, 500), 60: (190, 500)})
    assert not learned(made(tmp_path / "run", {0: (190, 500), 60: (320, 500)}), back)
    assert learned(made(tmp_path / "better", {0: (190, 500), 60: (375, 500)}), back)


def test_a_control_that_ended_early_says_nothing_of_what_came_later(tmp_path: Path) -> None:
    """One that was broken off after a step is flat, and every drift would lie above it."""
    broken_off = control(tmp_path / "broken_off", {0: (190, 500), 20: (192, 500)})
    drifted = made(tmp_path / "run", {0: (190, 500), 20: (195, 500), 60: (280, 500)})
    found = learned(drifted, broken_off)
    assert not found
    assert (found.step, found.accuracy) == (1, 0.39)
    assert "step 1)" in str(found)
    whole = control(tmp_path / "whole", DRIFTED)
    assert learned(drifted, broken_off, whole).step == 3
    late = made(tmp_path / "late", {60: (485, 500)})
    with pytest.raises(WorkbenchError, match="first evaluated after step 3, its controls ended"):
        learned(late, broken_off)


def test_what_is_asked_of_a_control(tmp_path: Path) -> None:
    run = made(tmp_path / "run", TRUE)
    with pytest.raises(WorkbenchError, match="has no control beside it"):
        learned(run)
    with pytest.raises(WorkbenchError, match="'other' is no control: its rewards format_reward"):
        learned(run, made(tmp_path / "other", TRUE))
    unseen = control(tmp_path / "unseen", {})
    with pytest.raises(WorkbenchError, match="never evaluated"):
        learned(run, unseen)
    with pytest.raises(WorkbenchError, match="has the policy 'embedded'"):
        learned(run, recorded("control"))


def test_controls_are_found_beside_a_run(tmp_path: Path) -> None:
    run = made(tmp_path / "run", TRUE)
    own = control(tmp_path / "run" / "control", DRIFTED)
    near = control(tmp_path / "near", DRIFTED, seed=5)
    control(tmp_path / "other_beta", DRIFTED, config={"beta": 0.5})
    control(tmp_path / "other_reward", DRIFTED, reward_names=("shuffled_x",))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.sqlite").write_bytes(b"no record at all")
    made(tmp_path / "second", TRUE)

    assert {found.path for found in controls_beside(run)} == {own.path, near.path}
    assert learned(run).controls == 2
    assert controls_beside(near) == []  # a control needs none
    mixed = made(tmp_path / "mixed", TRUE, reward_names=("shuffled_format_reward", "answer_reward"))
    assert not is_control(mixed)
    assert controls_for(run, [mixed]) == []


def test_a_shipped_run_has_the_shipped_control() -> None:
    (found,) = controls_beside(Run.open(recorded("long")))
    assert found.path == recorded("control")
    assert controls_beside(Run.open(recorded("hacked"))) == []
    assert learned(recorded("long"), recorded("control"))


def test_bands_span_all_controls(tmp_path: Path) -> None:
    high = control(tmp_path / "high", DRIFTED, metrics={"reward": [1.0, 3.0, 2.0]})
    low = control(
        tmp_path / "low", OTHERS[1], steps=20, metrics={"reward": lambda step: float(step)}
    )
    band = accuracy_band([high, low])
    assert band is not None
    assert band.step.tolist() == [0, 1, 3]
    first, last = (run.evaluations().set_index("step") for run in (high, low))
    assert band.low[2] == min(first.low[3], last.low[3])
    assert band.high[2] == max(first.high[3], last.high[3])
    assert band.high[1] == first.high[1]

    rewards = metric_band([high, low], "reward")
    assert rewards is not None
    assert rewards.step.tolist() == list(range(1, 21))
    steps = np.arange(1, 21)
    # Where only one of them still runs, it alone is the band.
    np.testing.assert_array_equal(rewards.high[9:], np.minimum(steps + NEAR, 20)[9:])
    np.testing.assert_array_equal(rewards.low[9:], (steps - NEAR)[9:])
    assert (rewards.low[0], rewards.high[0]) == (1.0, 6.0)
    assert metric_band([high], "no_such") is None
    assert accuracy_band([]) is None
