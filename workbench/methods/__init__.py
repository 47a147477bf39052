"""Every method under one gradient coefficient: the same loop, record and checkpoints, and one short
file for what is its own.

What is known of each stands as data in `workbench/config/methods.py`: what is sampled, from whom,
what coefficient each token gets, which settings make it. `CLASSES` names the code of those that the
settings alone do not make. `supervised` is no method of the loop: it is plain supervised training
on given batches, with which the embedded policy was made.
"""

from __future__ import annotations

from importlib import import_module

from workbench.config import GRPOConfig
from workbench.methods.base import Method, Scored
from workbench.methods.batch import Batch, loss_mask
from workbench.policy.policy import Policy
from workbench.rewards import Rewards

CLASSES = {
    "sft": "workbench.methods.sft:SFT",
    "rft": "workbench.methods.rft:RFT",
    "online_rft": "workbench.methods.rft:RFT",
    "dpo": "workbench.methods.dpo:DPO",
    "reinforce_pp": "workbench.methods.reinforce_pp:ReinforcePP",
    "ppo": "workbench.methods.ppo:PPO",
    "process_grpo": "workbench.methods.process_grpo:ProcessGRPO",
    "iterative_grpo": "workbench.methods.iterative_grpo:IterativeGRPO",
    "distill": "workbench.methods.distill:Distill",
}
"""method -> file:class; the others are `base.Method` with their settings."""


def make_method(policy: Policy, config: GRPOConfig, rewards: Rewards) -> Method:
    """The method of `config`, with the models that it needs beside the policy."""
    if config.method not in CLASSES:
        return Method(policy, config, rewards)
    module, name = CLASSES[config.method].split(":")
    made: Method = getattr(import_module(module), name)(policy, config, rewards)
    return made


__all__ = ["CLASSES", "Batch", "Method", "Scored", "loss_mask", "make_method"]
