"""A reward model as a reward function: `reward_model("FOLDER")`, on a command line
`--reward model:FOLDER`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.rewards.functions import Completion, completion_text
from workbench.rewards.model.data import Message
from workbench.rewards.model.scalar import RewardModel, load_reward_model
from workbench.rewards.steps import Step, split_steps


class ModelReward:
    """A reward function in TRL's signature whose answer is a reward model's number.

    A model that was trained on labels gives the chance of being right, in [0, 1]; one of pairs, and
    one of somebody else's, its logit as it is, as in TRL. What can be hacked: everything that the
    model has not seen. It was trained on what one policy samples, and a policy that is trained on
    it long enough leaves that behind (Gao et al., arXiv 2210.10760). Watch the gold reward beside
    it: give that one the weight 0.
    """

    def __init__(self, model: RewardModel, name: str) -> None:
        self.model = model
        self.__name__ = name
        """What the record calls it."""

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Completion], **_: Any
    ) -> list[float]:
        """The reward of each completion."""
        texts = [completion_text(completion) for completion in completions]
        scores: list[float] = self.model.scores(_conversations(prompts), texts).tolist()
        return scores

    def steps(
        self, prompts: Sequence[Any], completions: Sequence[Completion], **_: Any
    ) -> list[list[Step]]:
        """The reward of each step, as a step-reward function (`workbench.rewards.steps`); what a
        step is, the model was trained with."""
        texts = [completion_text(completion) for completion in completions]
        ends_B = [split_steps(text, self.model.steps_by) for text in texts]
        scores_B = self.model.step_scores(_conversations(prompts), texts, ends_B)
        return [
            list(zip(ends, scores, strict=True))
            for ends, scores in zip(ends_B, scores_B, strict=True)
        ]


def reward_model(folder: str | Path | RewardModel, *, name: str | None = None) -> ModelReward:
    """The reward model in `folder`, or one that is loaded, as a reward function; `name` is what a
    record calls it (None: "model_" and the folder's name). Raises `RewardModelError`."""
    model = folder if isinstance(folder, RewardModel) else load_reward_model(folder)
    return ModelReward(model, name or f"model_{Path(model.source).name}")


def _conversations(prompts: Sequence[Any]) -> list[list[Message]]:
    """Each prompt as messages; text is what a user says."""
    return [
        [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        for prompt in prompts
    ]
