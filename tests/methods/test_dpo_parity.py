"""DPO's loss and gradient equal those of TRL 1.16.0's trainer, in float64. What TRL would
get from its models, it gets from the test."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.methods.dpo import DPO
from workbench.objective import BatchTotals, LossBatch

M, T = 4, 6
"""Pairs, and tokens of the longest answer."""
PROMPT = 2


@pytest.fixture(scope="module")
def trl(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Any) -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    args = DPOConfig(
        output_dir=str(tmp_path_factory.mktemp("trl")),
        use_cpu=True,
        bf16=False,
        report_to=[],
        gradient_checkpointing=False,
    )
    return DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_folder),
        ref_model=AutoModelForCausalLM.from_pretrained(tiny_folder),
        args=args,
        train_dataset=Dataset.from_dict(
            {"prompt": ["1", "2"], "chosen": ["3", "4"], "rejected": ["5", "6"]}
        ),
        processing_class=AutoTokenizer.from_pretrained(tiny_folder),
    )


def answers(logp_RT: Tensor) -> Any:
    """What a model of TRL's gives: the prompt's own log-probabilities are 0 after its labels."""
    padded = torch.cat([logp_RT.new_zeros(len(logp_RT), PROMPT - 1), logp_RT], 1)
    nothing = torch.zeros_like(padded.detach())
    given = SimpleNamespace(
        log_probs=padded,
        entropy=nothing,
        mean_logits=nothing,
        is_top1=nothing.bool(),
        aux_loss=None,
    )
    return lambda **_: given


@pytest.mark.parametrize("beta", [0.1, 0.5, 3.0])
def test_dpo_is_trls(trl: Any, beta: float) -> None:
    generator = torch.Generator().manual_seed(round(10 * beta))
    logp_RT = -2 * torch.rand(2 * M, T, generator=generator, dtype=torch.float64)
    ref_RT = logp_RT + 0.4 * torch.randn(2 * M, T, generator=generator, dtype=torch.float64)
    lengths_R = torch.tensor([6, 3, 1, 5, 2, 6, 4, 4])
    mask_RT = torch.arange(T) < lengths_R[:, None]
    # Padding holds what must not count.
    ours = logp_RT.clone().requires_grad_()

    config = GRPOConfig().with_method("dpo", dpo_beta=beta)
    method = DPO(None, config, None)  # type: ignore[arg-type]
    sign_R = torch.tensor([1.0, -1.0] * M, dtype=torch.float64)
    part = LossBatch(logp=ours, advantages=sign_R, mask=mask_RT, ref_logp=ref_RT)
    totals = BatchTotals(sequences=2 * M, tokens=float(mask_RT.sum()))
    found = method.loss(part, config, totals)
    (gradient_RT,) = torch.autograd.grad(found.loss, ours)

    # TRL has the chosen answers first, then the rejected ones; 0 where nothing is labelled.
    order = torch.tensor([*range(0, 2 * M, 2), *range(1, 2 * M, 2)])
    theirs = torch.where(mask_RT, logp_RT, 0.0)[order].requires_grad_()
    known = torch.where(mask_RT, ref_RT, 0.0)[order]
    prompt_mask = torch.zeros(2 * M, PROMPT, dtype=torch.long)
    completion_mask = torch.cat([prompt_mask, mask_RT[order].long()], 1)
    ids = torch.ones_like(completion_mask)
    trl.beta = beta
    trl.ref_model = answers(known)
    trl._metrics["train"].clear()
    inputs = {"input_ids": ids, "attention_mask": ids, "completion_mask": completion_mask}
    loss = trl._compute_loss(answers(theirs), inputs, False)
    (their_gradient,) = torch.autograd.grad(loss, theirs)
    # A model of TRL's gives a constant 0 where nothing is labelled.
    their_gradient = torch.where(mask_RT[order], their_gradient, 0.0)

    torch.testing.assert_close(found.loss.detach(), loss.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient_RT[order], their_gradient, rtol=1e-12, atol=1e-12)
