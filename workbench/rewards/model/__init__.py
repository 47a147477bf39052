"""Reward models: a copy of the policy's body with one number for a head, trained on what the policy
samples and a gold reward says of it; and any sequence classifier of transformers as a reward.

    collect.py    the policy's completions, scored by the gold reward
    data.py       pairs, outcomes, steps; the replay of old examples
    examples.py   from problems to the examples of a kind, in one call
    roll_ins.py   labels of steps by Monte-Carlo roll-ins
    scalar.py     the model: made of a policy, loaded, asked, saved
    losses.py     Bradley-Terry and cross-entropy
    train.py      training and retraining in place
    reward.py     a model as a reward function

How good a model is, and how it goes stale, `workbench.evaluation` measures.
"""

from workbench.rewards.model.collect import (
    Collecting,
    Sampled,
    gold_rewards,
    gold_scored,
    gold_scored_samples,
    gold_set,
    sample,
)
from workbench.rewards.model.data import (
    Example,
    GoldScored,
    Outcome,
    Pair,
    StepLabels,
    outcomes_of,
    pairs_of,
    replay_mix,
)
from workbench.rewards.model.examples import sample_examples
from workbench.rewards.model.losses import bradley_terry_loss, label_loss
from workbench.rewards.model.reward import ModelReward, reward_model
from workbench.rewards.model.roll_ins import label_steps
from workbench.rewards.model.scalar import (
    KINDS,
    RewardModel,
    RewardModelError,
    load_reward_model,
    reward_model_of,
)
from workbench.rewards.model.train import (
    EMBEDDED_LEARNING_RATE,
    RewardTraining,
    retrain,
    train_reward_model,
)

__all__ = [
    "EMBEDDED_LEARNING_RATE",
    "KINDS",
    "Collecting",
    "Example",
    "GoldScored",
    "ModelReward",
    "Outcome",
    "Pair",
    "RewardModel",
    "RewardModelError",
    "RewardTraining",
    "Sampled",
    "StepLabels",
    "bradley_terry_loss",
    "gold_rewards",
    "gold_scored",
    "gold_scored_samples",
    "gold_set",
    "label_loss",
    "label_steps",
    "load_reward_model",
    "outcomes_of",
    "pairs_of",
    "replay_mix",
    "retrain",
    "reward_model",
    "reward_model_of",
    "sample",
    "sample_examples",
    "train_reward_model",
]
