"""Step rewards: which steps a completion has, what each is worth, and with which token it ends.

A step-reward function has TRL's signature with another answer: `f(prompts, completions, **columns)
-> list[list[(end_character, reward)]]`, one list per completion. `step_tensors` turns that into
what `workbench.objective.process_advantages` takes.

    checked.py      the protocol, and what an answer must look like
    arithmetic.py   a rule: each written equation, and the final answer
    equations.py    the equations of a text, exactly and without evaluating it
    splitting.py    the steps of other texts: paragraphs, lines, sentences
    named.py        the functions by name
    scorer.py       calling one, with a time limit
    tokens.py       from characters to tokens
"""

from workbench.rewards.steps.arithmetic import arithmetic_steps
from workbench.rewards.steps.checked import Step, StepRewardError, StepRewardFunction, checked_steps
from workbench.rewards.steps.equations import Equation, equations
from workbench.rewards.steps.named import STEP_REWARDS, step_reward_named
from workbench.rewards.steps.scorer import StepScorer
from workbench.rewards.steps.splitting import split_steps
from workbench.rewards.steps.tokens import step_tensors, token_ends

__all__ = [
    "STEP_REWARDS",
    "Equation",
    "Step",
    "StepRewardError",
    "StepRewardFunction",
    "StepScorer",
    "arithmetic_steps",
    "checked_steps",
    "equations",
    "split_steps",
    "step_reward_named",
    "step_tensors",
    "token_ends",
]
