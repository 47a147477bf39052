"""A reward model as a reward function: by its folder, in a reward set, by steps."""

from __future__ import annotations

import pytest
from reward_examples import COMPLETIONS, MESSAGES

from workbench.rewards import RewardSet, resolve_reward
from workbench.rewards.model import RewardModelError, reward_model
from workbench.rewards.steps import checked_steps


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_a_folder_is_a_reward(made, tmp_path) -> None:
    made.save(tmp_path / "judge")
    rewards = RewardSet([f"model:{tmp_path / 'judge'}", "answer"], [1, 0])
    assert rewards.names == ("model_judge", "answer_reward")
    table = rewards.score(
        MESSAGES, [said(text) for text in COMPLETIONS], step=1, columns={"answer": ["45", "4"]}
    )
    expected = made.scores(MESSAGES, COMPLETIONS).tolist()
    assert table.rewards_BK[:, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_prompt_may_be_text_and_a_model_in_memory_a_reward(made) -> None:
    function = reward_model(made, name="judge")
    assert function.__name__ == "judge"
    paid = function(prompts=["2 + 2?"], completions=["4"])
    assert paid == made.scores([MESSAGES[1]], ["4"]).tolist()


def test_its_steps_are_those_that_it_was_trained_with(made) -> None:
    made.kind = "process"
    made.steps_by = "equations"
    text = COMPLETIONS[0]
    steps = reward_model(made).steps([MESSAGES[0]], [said(text)])
    ends = [len("<think>7+8=15"), len("<think>7+8=15 1+2+1=4"), len(text)]
    assert checked_steps(steps, [text]) == steps
    assert [end for end, _ in steps[0]] == ends
    assert [value for _, value in steps[0]] == made.step_scores([MESSAGES[0]], [text], [ends])[0]


def test_a_folder_that_is_none_ends_in_one_sentence() -> None:
    with pytest.raises(RewardModelError, match="reward model 'nowhere': there is no such folder"):
        resolve_reward("model:nowhere")
