"""On-policy distillation: a teacher grades every token of the policy's own answers.

The reverse KL(policy, teacher) of each token, estimated from the sampled one, is what a policy
gradient minimises: the coefficient is log pi_teacher - log pi_old (GKD, arXiv 2306.13649, with
samples of the student alone and the reverse KL; as a reward per token without anything to come,
which is discount 0). Rewards are recorded and weigh nothing. No whitening: the coefficient is a
difference in nats and means something as it stands.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.config import ConfigError, GRPOConfig
from workbench.methods.base import Method, Scored
from workbench.methods.batch import Batch
from workbench.policy import load_policy
from workbench.policy.logprobs import logps_in_parts
from workbench.policy.policy import Policy
from workbench.rewards import Rewards


class Distill(Method):
    """Coefficient: how much likelier the teacher finds the token than the policy did."""

    def __init__(self, policy: Policy, config: GRPOConfig, rewards: Rewards) -> None:
        super().__init__(policy, config, rewards)
        # The rule of the config has it that there is one.
        self.teacher = load_policy(
            str(config.teacher), dtype=config.dtype, device=policy.device, trainable=False
        )
        check_same_words(policy, self.teacher)

    def credit(self, batch: Batch, scored: Scored, config: GRPOConfig) -> Tensor:
        if batch.old_logp_BT is None:
            raise ValueError("distill needs the policy's log-probabilities before the updates.")
        with torch.no_grad():
            teacher_logp_BT = logps_in_parts(self.teacher.model, batch.rollout, config)
        ahead_BT = torch.where(batch.loss_mask_BT, teacher_logp_BT - batch.old_logp_BT, 0.0)
        counted = batch.loss_mask_BT.any()
        self.figures = (
            {"reverse_kl": -float(ahead_BT[batch.loss_mask_BT].mean())} if counted else {}
        )
        return ahead_BT


def check_same_words(policy: Policy, teacher: Policy) -> None:
    """Raises `ConfigError` where token ids do not mean the same to both."""
    own, others = (p.tokenizer.get_vocab() for p in (policy, teacher))
    if own != others:
        differing = len(own.items() ^ others.items())
        raise ConfigError(
            f"teacher={teacher.source!r} and policy {policy.source!r} have different vocabularies "
            f"({len(others)} and {len(own)} tokens, {differing} entries differ): the teacher "
            "could not grade the policy's tokens. Take a teacher of the same family."
        )
