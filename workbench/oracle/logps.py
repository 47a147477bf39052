"""Log-probabilities of enumerated completions under the weights of now: of a reference, of the
policy some updates later."""

from __future__ import annotations

import numpy as np
import torch

from workbench.oracle.enumeration import Enumeration
from workbench.policy.logprobs import completion_logps
from workbench.policy.policy import Policy
from workbench.rollout.request import evaluation_mode

ROWS_AT_ONCE = 16
"""Completions that are packed behind one prompt: attention grows with the square of the tokens."""


@torch.no_grad()
def token_logps(policy: Policy, enumeration: Enumeration) -> np.ndarray:
    """(C, T) float64, log-probability of each token under the policy's weights of now, 0 on
    padding. Inside `Reference.active()` it is the reference's."""
    rollout = enumeration.rollout(policy.device)
    rows = torch.arange(len(enumeration.logp_C), device=policy.device)
    parts = []
    with evaluation_mode(policy.model):
        for part in rows.split(ROWS_AT_ONCE):
            logp_RT, _ = completion_logps(policy.model, rollout, part, enumeration.temperature)
            parts.append(logp_RT.double().cpu())
    return torch.cat(parts).numpy()
