"""The reward check: what a reward function pays, found out before anything is trained on it.

from workbench.rewards import check_reward

check = check_reward("my.py:f", "gsm8k")
print(check)
check.false_positives[:10]
"""

from __future__ import annotations

from workbench.rewards.check.asking import word_ids
from workbench.rewards.check.attacks import ATTACKS
from workbench.rewards.check.result import KindCounts, RewardCheck, Row, Verdict
from workbench.rewards.check.run import KINDS, RewardCheckError, check_reward
from workbench.rewards.check.scene import FORMS, Attempt, Scene

__all__ = [
    "ATTACKS",
    "FORMS",
    "KINDS",
    "Attempt",
    "KindCounts",
    "RewardCheck",
    "RewardCheckError",
    "Row",
    "Scene",
    "Verdict",
    "check_reward",
    "word_ids",
]
