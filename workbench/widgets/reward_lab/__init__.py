"""The reward lab: edit an answer, and see what every reward and the whole group's advantages make
of it; try a reward on a corpus of attacks before anything is trained on it.

    RewardLab("runs/x")                              completions of a stored run
    RewardLab(session)                               of a live one, with its own reward functions
    RewardLab("runs/x", rewards=["answer", "my.py:f"])   the same under other rewards
    RewardLab(task="gsm8k", rewards=[my_reward])     no run: a problem and texts of your own
"""

from workbench.widgets.reward_lab.view import RewardLab

__all__ = ["RewardLab"]
