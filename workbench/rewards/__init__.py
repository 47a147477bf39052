"""Rewards: functions in TRL's signature, answer checking, scoring a batch with several of them, and
the controls."""

from __future__ import annotations

from workbench.rewards.answers.equal import GoldError, answers_equal, check_gold, compared_plainly
from workbench.rewards.answers.extract import extract_answer
from workbench.rewards.answers.golds import unreadable_golds, with_readable_golds
from workbench.rewards.check import RewardCheck, check_reward
from workbench.rewards.controls import (
    CONTROLS,
    ControlRewards,
    RandomRewards,
    Rewards,
    ShuffledRewards,
    random_rewards,
    shuffled,
)
from workbench.rewards.cosine import CosineScaled
from workbench.rewards.functions import (
    answer_reward,
    completion_text,
    format_reward,
    lenient_answer_reward,
    lenient_correct,
    strict_correct,
)
from workbench.rewards.judge import Judge, JudgeServer
from workbench.rewards.length import Length
from workbench.rewards.noise import Noisy, noisy
from workbench.rewards.overlong import SoftOverlong
from workbench.rewards.repetition import Repetition
from workbench.rewards.resolve import (
    DEFAULT_REWARDS,
    REWARDS,
    WITH_PARAMETERS,
    resolve_reward,
)
from workbench.rewards.score import (
    RewardError,
    RewardSet,
    RewardTable,
    RewardWarning,
    ScoringCancelledError,
)

__all__ = [
    "CONTROLS",
    "DEFAULT_REWARDS",
    "REWARDS",
    "WITH_PARAMETERS",
    "ControlRewards",
    "CosineScaled",
    "GoldError",
    "Judge",
    "JudgeServer",
    "Length",
    "Noisy",
    "RandomRewards",
    "Repetition",
    "RewardCheck",
    "RewardError",
    "RewardSet",
    "RewardTable",
    "RewardWarning",
    "Rewards",
    "ScoringCancelledError",
    "ShuffledRewards",
    "SoftOverlong",
    "answer_reward",
    "answers_equal",
    "check_gold",
    "check_reward",
    "compared_plainly",
    "completion_text",
    "extract_answer",
    "format_reward",
    "lenient_answer_reward",
    "lenient_correct",
    "noisy",
    "random_rewards",
    "resolve_reward",
    "shuffled",
    "strict_correct",
    "unreadable_golds",
    "with_readable_golds",
]
