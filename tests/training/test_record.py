"""What a step's record says of its rewards: the numbers that were used, not ones made again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench.objective import group_advantages


def one_missing(completions, **columns) -> list[float | None]:
    """1, not scored, 0, 1 for the completions of every group."""
    return [1.0, None, 0.0, 1.0] * (len(completions) // 4)


@pytest.mark.parametrize("baseline", ["group", "leave_one_out", "batch", "none"])
@pytest.mark.filterwarnings("ignore:advantage_baseline=")
def test_the_recorded_baseline_is_the_subtracted_one(make_trainer, baseline: str) -> None:
    step = make_trainer(
        rewards=one_missing, advantage_baseline=baseline, scale_rewards="none"
    ).step()
    samples = step.samples
    scored = [0, 2, 3]  # of the first group; the record's rewards are float32
    np.testing.assert_allclose(
        samples.advantage_B[scored], (samples.reward_B - samples.baseline_B)[scored], atol=1e-6
    )
    assert step.metrics["reward"] == pytest.approx(2 / 3)
    if baseline == "leave_one_out":
        assert samples.baseline_B[0] == pytest.approx(0.5)


def test_the_recorded_spread_is_the_one_that_divides(make_trainer) -> None:
    trainer = make_trainer(rewards=one_missing, advantage_std="population")
    step = trainer.step()
    used = group_advantages(torch.as_tensor(step.samples.rewards_BK), trainer.config)
    assert step.metrics["reward_std"] == pytest.approx(float(used.std_N.mean()))
    assert step.metrics["reward_std"] == pytest.approx(2**0.5 / 3)


def test_earlier_turns_and_a_system_message_belong_to_the_recorded_prompt(make_trainer) -> None:
    turns = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"})
    trainer = make_trainer()
    asked = [replace(problem, before=turns) for problem in trainer.task.train]
    trainer.task = replace(trainer.task, train=asked)
    prompts = trainer.step().samples.prompts
    questions = {problem.question for problem in asked}
    assert prompts
    for prompt in prompts:
        before, _, question = prompt.rpartition("user: ")
        assert before == "system: Be brief.\n\nuser: Hello\n\n"
        assert question in questions
