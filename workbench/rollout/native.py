"""The native engine: prefill once per prompt, a cache written in place, own sampler, finished rows
leave the batch.

Everything runs under `torch.no_grad`, not `torch.inference_mode`: the difference in speed is below
the noise, and tensors or module buffers made in inference mode could not be used by the training
that follows. Every random number is drawn for all B rows at every token, so a row's sample depends
neither on which other rows have finished nor on when they left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from workbench.config.engines import ENGINE_FACTS
from workbench.libraries.hf_peft import plain_model
from workbench.libraries.hf_transformers import unsupported_reason
from workbench.rollout.decoding import Decoder
from workbench.rollout.look import Look
from workbench.rollout.request import (
    check_request,
    check_special_ids,
    evaluation_mode,
    is_end,
    left_pad,
    make_rollout,
    raise_if_stopped,
)
from workbench.rollout.sampler import pick_tokens, uniforms
from workbench.rollout.shared_decoding import (
    SharedPromptDecoder,
    are_several,
    reason_against_sharing,
)
from workbench.rollout.types import PolicysOwnWeights, Rollout, Sampling

Draw = Callable[[int, torch.Generator, torch.device], Tensor]
"""As `sampler.uniforms`: so many numbers in [0, 1), from a generator, for a device."""


class NativeEngine(PolicysOwnWeights):
    """Rollouts from any Hugging Face causal LM with a standard key-value cache, with its current
    weights.

    `compact_below`: finished rows leave the batch when less than this part of the rows is alive.
    Copying the kept rows costs about as much as one token of them, so 3/4 pays within a few tokens.
    `check_every`: tokens between two looks at who has finished; a look makes a GPU wait, so there
    it is 8, on a CPU 1.
    `should_stop`: asked before every token; where it answers True, `generate` raises
    `RolloutCancelledError`.
    `on_look`: told at each of those looks how far the rollout is (`Look`), at no cost of its own.
    """

    facts = ENGINE_FACTS["native"]
    on_look: Callable[[Look], None] | None = None

    def __init__(
        self,
        model: Any,
        eos_token_ids: Sequence[int],
        pad_token_id: int,
        *,
        compact_below: float = 0.75,
        check_every: int | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        """Raises ValueError for a model that it cannot serve and for ids outside the vocabulary."""
        reason = unsupported_reason(model)
        if reason is not None:
            raise ValueError(
                f"the native engine cannot serve this model: {reason}. Use "
                "rollout_engine='transformers'."
            )
        check_special_ids(model, eos_token_ids, pad_token_id)
        self.model = plain_model(model)
        self.eos_token_ids = tuple(eos_token_ids)
        self.pad_token_id = pad_token_id
        self.compact_below = compact_below
        self.check_every = check_every
        self.should_stop = should_stop
        with torch.no_grad(), evaluation_mode(self.model):
            self.reason_against_sharing = reason_against_sharing(self.model)

    def generate(
        self,
        prompts: list[list[int]],
        num_generations: int,
        sampling: Sampling,
        generator: torch.Generator,
        draw: Draw = uniforms,
    ) -> Rollout:
        """`num_generations` completions for each prompt, on the model's device; see `Rollout`.
        `draw`: gives a token's uniform numbers, where these prompts are a part of those that are
        drawn for.

        Raises ValueError for a request that cannot be served, FloatingPointError for non-finite
        log-probabilities, and
        `RolloutCancelledError`.
        """
        check_request(self.model, prompts, num_generations, sampling)
        device = self.model.get_input_embeddings().weight.device
        # A prompt that occurs twice goes through the model once: the rows of both go on from the
        # same keys and values.
        unique = list(dict.fromkeys(map(tuple, prompts)))
        place = {prompt: index for index, prompt in enumerate(unique)}
        rows_B = torch.tensor([place[tuple(p)] for p in prompts], device=device).repeat_interleave(
            num_generations
        )
        eos_E = torch.tensor(self.eos_token_ids, dtype=torch.long, device=device)
        with torch.no_grad(), evaluation_mode(self.model):
            ids_NP, mask_NP = left_pad(unique, self.pad_token_id, device)
            # One less than the completions are long: the last token is sampled and never fed back.
            make = SharedPromptDecoder if self._shares(len(rows_B), len(unique)) else Decoder
            steps = sampling.max_completion_length - 1
            decoder = make(self.model, ids_NP, mask_NP, max_steps=steps)
            ids_BT, logp_BT = self._sample(decoder, rows_B, eos_E, sampling, generator, draw)
        # The rollout has a row for each prompt that was asked for, doubled ones included.
        prompt_ids_NP, prompt_mask_NP = left_pad(prompts, self.pad_token_id, device)
        return make_rollout(
            prompt_ids_NP,
            prompt_mask_NP,
            ids_BT,
            logp_BT,
            eos_E,
            self.pad_token_id,
            num_generations,
            self.model.get_input_embeddings().weight.dtype,
        )

    def _shares(self, rows: int, prompts: int) -> bool:
        """Whether the completions of a prompt share its keys and values: where the model allows it
        and there are several."""
        return are_several(rows, prompts) and self.reason_against_sharing is None

    def _sample(
        self,
        decoder: Decoder,
        rows_B: Tensor,
        eos_E: Tensor,
        sampling: Sampling,
        generator: torch.Generator,
        draw: Draw,
    ) -> tuple[Tensor, Tensor]:
        """Sampled ids and log-probabilities, (B, T) each; `live_R` are the rows still in the
        batch."""
        shape, device = (len(rows_B), sampling.max_completion_length), rows_B.device
        # Of the full size from the start, so that a row that leaves the batch keeps its place in
        # them.
        ids_BT = torch.full(shape, self.pad_token_id, device=device)
        logp_BT = torch.zeros(shape, device=device)
        live_R = torch.arange(len(rows_B), device=device)
        ended_R = torch.zeros_like(live_R, dtype=torch.bool)
        raise_if_stopped(self.should_stop)
        # The prompts first, then their rows: the G completions of a prompt share one pass over it.
        logits_RV = decoder.prefill()[rows_B]
        decoder.expand_rows(rows_B)
        for t in range(sampling.max_completion_length):
            raise_if_stopped(self.should_stop)
            # For all B rows, then those alive: what a row draws must not depend on who else has
            # finished.
            uniform_B = draw(len(rows_B), generator, device)
            uniform_R = uniform_B[live_R.to(uniform_B.device)]
            new_R, logp_R = pick_tokens(logits_RV, sampling, uniform_R)
            ids_BT[live_R, t], logp_BT[live_R, t] = new_R, logp_R
            # Until the next look an ended row goes on sampling; `make_rollout` turns what follows
            # its end token into padding.
            ended_R = ended_R | is_end(new_R, eos_E)
            if self._is_due(t, device):
                going_on = (~ended_R).nonzero().squeeze(1)
                if self.on_look is not None:
                    written = partial(_written, ids_BT, t, live_R, going_on)
                    self.on_look(Look(len(rows_B) - len(going_on), len(rows_B), written))
                if len(going_on) == 0:
                    break
                if len(going_on) < self.compact_below * len(live_R):
                    decoder.keep_rows(going_on)
                    live_R, ended_R, new_R = live_R[going_on], ended_R[going_on], new_R[going_on]
            # Nothing is sampled after the last token, so its logits need not be computed.
            if t + 1 < sampling.max_completion_length:
                logits_RV = decoder.step(new_R)
        return ids_BT, logp_BT

    def _is_due(self, t: int, device: torch.device) -> bool:
        """Whether to look, after token `t`, at which rows have finished."""
        every = self.check_every or (1 if device.type == "cpu" else 8)
        return (t + 1) % every == 0


def shares_decoding(engine: object) -> bool | None:
    """Whether the completions of a prompt share its keys and values while the native engine
    samples; None for another engine, which has its own way."""
    return engine.reason_against_sharing is None if isinstance(engine, NativeEngine) else None


def _written(ids_BT: Tensor, t: int, live_R: Tensor, going_on: Tensor) -> list[int]:
    """The tokens up to `t` of the first row that goes on; of the last one left where none does."""
    row = live_R[going_on[:1]] if len(going_on) else live_R[-1:]
    # As a tensor of one row: a number would have to come from the device first.
    ids: list[int] = ids_BT[row, : t + 1][0].tolist()
    return ids
