"""Mistakes in the objective: KL, mask, denominator, ratio, sign."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.config.losses import reduction_of
from workbench.faults.base import Fault, FaultError
from workbench.methods import Batch, Method
from workbench.objective import BatchTotals, LossBatch, PolicyLoss
from workbench.objective.diagnostics import token_average
from workbench.objective.kl import kl_per_token
from workbench.objective.reductions import REDUCTIONS, Terms


class InvertedK3(Fault):
    """The KL's k3 with its orientation turned: exp(-d) + d - 1 where d = log pi_ref - log pi.

    Had by: ml-explore/mlx-examples#1233 (as first proposed), and many tutorials. One sees a KL of
    the right size as long as the policy is near its reference; further off it blows up where the
    policy likes a token that the reference does not, and its pull has another fixed weight.
    """

    name = "inverted_k3"
    reports = ("ml-explore/mlx-examples#1233",)
    finding_keys = ("kl_inverted",)

    def check(self, config: GRPOConfig) -> None:
        """It needs a KL in the loss."""
        if config.beta == 0 or config.kl_estimator != "k3":
            raise FaultError(
                f"fault={self.name!r} turns the KL term round, and beta={config.beta} with "
                f"kl_estimator={config.kl_estimator!r} has no k3 in the loss. Set beta=0.005 and "
                "kl_estimator='k3'."
            )

    def loss(
        self, method: Method, part: LossBatch, config: GRPOConfig, totals: BatchTotals
    ) -> PolicyLoss:
        """The right loss, plus beta times what the wrong estimate has more than the right one."""
        found = method.loss(part, config, totals)
        if part.ref_logp is None:
            return found
        valid_RT = part.mask != 0
        logp_RT = torch.where(valid_RT, part.logp, 0.0)
        ref_RT = torch.where(valid_RT, part.ref_logp, 0.0)
        old_logp = part.logp if part.old_logp is None else part.old_logp
        old_RT = torch.where(valid_RT, old_logp.detach(), 0.0)
        ratio_RT = (logp_RT - old_RT).exp() if config.use_bias_correction_kl else None
        right_RT = kl_per_token(logp_RT, ref_RT, "k3", ratio_RT)
        # The arguments the other way round, as in the reports.
        wrong_RT = kl_per_token(ref_RT, logp_RT, "k3", ratio_RT)
        more_RT = torch.where(valid_RT, config.beta * (wrong_RT - right_RT), 0.0)
        terms = Terms(more_RT, valid_RT.to(logp_RT.dtype), part.group_tokens, totals)
        more = REDUCTIONS[reduction_of(config)](terms, config)
        return replace(
            found,
            loss=found.loss + more,
            metrics=found.metrics | {"kl": token_average(wrong_RT.detach(), valid_RT)},
        )


class EosMasked(Fault):
    """The end token is left out of the loss, as padding is.

    Had by: NVIDIA-NeMo/Megatron-Bridge#4660 and mlabonne/llm-course#33 (pad = eos, and all that
    equals the pad token is masked). One sees nothing at first; completions grow, since nobody ever
    says when to stop, until they are cut off.
    """

    name = "eos_masked"
    reports = ("NVIDIA-NeMo/Megatron-Bridge#4660", "mlabonne/llm-course#33")
    finding_keys = ("end_token_masked",)

    def credited(self, coefficient: Tensor, batch: Batch, config: GRPOConfig) -> Tensor:
        """The mask without the last token of each completion that ended."""
        rollout = batch.rollout
        mask_BT = batch.loss_mask_BT.clone()
        ended_B = (~rollout.truncated_B).nonzero().flatten()
        mask_BT[ended_B, rollout.lengths_B[ended_B] - 1] = False
        batch.loss_mask_BT = mask_BT
        return coefficient


class WrongDenominator(Fault):
    """Each micro-batch divides by its own tokens instead of the whole batch's, and the results are
    added up.

    Had by: huggingface/trl#5619 and allenai/open-instruct#1161 (gradient accumulation). One sees
    hardly anything, because AdamW divides by the gradient's size: the gradient norm grows with the
    number of micro-batches, clipping by norm cuts more, beta keeps its weight.
    """

    name = "wrong_denominator"
    reports = ("huggingface/trl#5619", "allenai/open-instruct#1161")
    finding_keys = ("denominator_wrong",)
    needs = {"micro_batch_size": 8}  # noqa: RUF012

    def check(self, config: GRPOConfig) -> None:
        """One micro-batch is the whole update, or may be."""
        rows = config.completions_per_step // config.updates_per_rollout
        if config.micro_batch_size is None or config.micro_batch_size >= rows:
            raise FaultError(
                f"fault={self.name!r} shows where an update is made of several micro-batches, and "
                f"micro_batch_size={config.micro_batch_size} may make one of its {rows} "
                "completions. "
                f"Set micro_batch_size={max(rows // 4, 1)}."
            )

    def loss(
        self, method: Method, part: LossBatch, config: GRPOConfig, totals: BatchTotals
    ) -> PolicyLoss:
        """The loss over this micro-batch's own totals."""
        return method.loss(part, config, BatchTotals.of(part.mask))


class RatioToReference(Fault):
    """The importance ratio is taken to the reference instead of the policy that sampled.

    Had by: huggingface/trl#2837 (proposed as a fix). One sees ratios that wander off from 1 as the
    policy learns, and clipping that stops it near its reference.
    """

    name = "ratio_to_reference"
    reports = ("huggingface/trl#2837",)
    finding_keys = ("ratio_to_reference",)

    def credited(self, coefficient: Tensor, batch: Batch, config: GRPOConfig) -> Tensor:
        """The reference's log-probabilities in the place of the old policy's."""
        if batch.ref_logp_BT is None:
            raise FaultError(
                f"fault={self.name!r} needs a reference, and beta={config.beta} with "
                f"measure_kl={config.measure_kl} asks for none. Set beta=0.005."
            )
        batch.old_logp_BT = batch.ref_logp_BT
        return coefficient


class PaddingCounted(Fault):
    """Padding counts as tokens in the loss's denominator and in all means over tokens.

    Had by: NovaSky-AI/SkyRL#462 and rllm-org/rllm#508. One sees an entropy and a KL that are too
    small, and a gradient that shrinks when one completion of the batch is long.
    """

    name = "padding_counted"
    reports = ("NovaSky-AI/SkyRL#462", "rllm-org/rllm#508")
    finding_keys = ("padding_counted",)

    def credited(self, coefficient: Tensor, batch: Batch, config: GRPOConfig) -> Tensor:
        """A mask that is true everywhere up to the longest completion."""
        longest = int(batch.rollout.lengths_B.max())
        mask_BT = torch.zeros_like(batch.loss_mask_BT)
        mask_BT[:, :longest] = True
        batch.loss_mask_BT = mask_BT
        return coefficient


class AdvantageSign(Fault):
    """The sign of the advantage is turned: what was paid is made rarer.

    Had by: fla-org/flash-linear-attention#1076 (a loss negated twice). One sees the reward fall
    from the first steps on, and an entropy that grows.
    """

    name = "advantage_sign"
    reports = ("fla-org/flash-linear-attention#1076",)
    finding_keys = ("advantage_sign",)

    def check(self, config: GRPOConfig) -> None:
        """A loss of pairs takes which one is chosen from the rewards, not from a sign."""
        if config.method_facts.of_pairs:
            raise FaultError(
                f"fault={self.name!r} turns coefficients round, and the loss of "
                f"method={config.method!r} asks for none. Set another method, such as 'grpo'."
            )

    def credited(self, coefficient: Tensor, batch: Batch, config: GRPOConfig) -> Tensor:
        """Minus what it should be."""
        return -coefficient
