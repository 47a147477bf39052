"""What a knob would do, said while the hand is on it: against the kept batch counted by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_runs import make_run

from workbench.config import GRPOConfig
from workbench.widgets.controls.foresight import (
    NO_STEP,
    Foresight,
    gradient_words,
    step_size_words,
    temperature_words,
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    run = make_run(tmp_path_factory.mktemp("runs") / "kept", steps=4)
    config = GRPOConfig.from_dict(run.config_at(4))
    return SimpleNamespace(run=run, step_number=4, config=config)


def clipped_by_hand(session: Any, epsilon: float) -> tuple[int, int]:
    """(clipped, all) tokens of the newest step: those beyond the bound on the side to which their
    advantage pushes."""
    batch = session.run.batch(4)
    ratio_BT = np.exp(batch["logp_BT"] - batch["old_logp_BT"])
    advantage_B1 = np.asarray(batch["advantages_B"])[:, None]
    beyond_BT = ((ratio_BT > 1 + epsilon) & (advantage_B1 > 0)) | (
        (ratio_BT < 1 - epsilon) & (advantage_B1 < 0)
    )
    mask_BT = np.asarray(batch["mask_BT"], bool)
    return int((beyond_BT & mask_BT).sum()), int(mask_BT.sum())


@pytest.mark.parametrize("epsilon", [0.01, 0.05, 0.2])
def test_epsilon_says_how_many_tokens_it_would_clip(session: Any, epsilon: float) -> None:
    clipped, tokens = clipped_by_hand(session, epsilon)
    before, _ = clipped_by_hand(session, session.config.epsilon)
    said = Foresight(session).sentence("epsilon", epsilon)
    assert said == f"would clip {clipped:,} of {tokens:,} tokens of step 4 (was {before:,})"
    assert clipped_by_hand(session, 0.01)[0] > 0, "a bound that nothing passes shows nothing"


def test_beta_says_what_becomes_of_the_gradient(session: Any) -> None:
    foresight = Foresight(session)
    same = foresight.sentence("beta", session.config.beta)
    assert same == "gradient 1 times as long, turned by 0° in step 4"
    assert foresight.sentence("beta", 10.0) != same


def test_what_cannot_be_is_said_and_what_is_not_known_is_not(session: Any) -> None:
    foresight = Foresight(session)
    assert "cannot be tried on step 4: epsilon=-3" in foresight.sentence("epsilon", -3.0)
    assert foresight.sentence("weight_decay", 0.1) == ""
    before = SimpleNamespace(run=session.run, step_number=0, config=session.config)
    assert Foresight(before).sentence("epsilon", 0.1) == NO_STEP


def test_step_size_and_temperature() -> None:
    assert step_size_words(4e-4, 2e-4) == "makes each step 2 times as long"
    assert step_size_words(2e-4, 2e-4) == "as now"
    assert step_size_words(1e-4, 0.0) == "sets the weights in motion"
    assert "more varied (1 now)" in temperature_words(1.2, 1.0)
    assert "more alike (1 now)" in temperature_words(0.8, 1.0)


def test_a_gradient_that_turns() -> None:
    right = np.array([1.0, 0.0])
    assert gradient_words(right, np.array([0.0, 2.0])) == "gradient 2 times as long, turned by 90°"
    assert gradient_words(right, np.zeros(2)) == "would leave no gradient"
    assert gradient_words(np.zeros(2), right) == "would give a gradient"
